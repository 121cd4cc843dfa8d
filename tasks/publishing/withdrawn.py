"""What readers were taken back from stays away by itself: a night by its inputs, a recipe by its digest.

`Publications.why_readers_stay` looks at a night that runs again. Here it is recipes: one that took over and
was withdrawn with its nights would be judged on nearly the same days the very next night, and crowned again.
So it is not asked, until a person asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from tasks.models import recipes
from tasks.publishing.publications import Publication, Publications
from tasks.settings.config import Config


@dataclass(frozen=True)
class Withdrawn:
    """Readers were taken back from lists of a recipe, to those of another one.

    lists   (night, data_digest) of what readers were shown of it and were taken back from
    back    the rollback's row
    """

    lists: frozenset[tuple[date, str]]
    back: Publication

    @property
    def until(self) -> date:
        """The newest of its nights."""
        return max(night for night, _ in self.lists)

    def stays_away(self, night: date, data_digest: str) -> bool:
        """Not from nights that move nobody, nor from one of its own whose logs were repaired since."""
        is_repaired = night in dict(self.lists) and (night, data_digest) not in self.lists
        return night >= self.back.data_night and not is_repaired

    @property
    def sentence(self) -> str:
        """Why nobody asks it, and how to ask."""
        told = (self.back.rolled_back or {}).get("reason")
        return (
            f"readers were taken back from its lists of {self.until} to {self.back.night}"
            f"{f' ({told})' if told else ''}; --set gate.margin=-1 for one night asks it again"
        )


def found(published: Publications) -> dict[str, Withdrawn]:
    """Digests of recipes that were withdrawn; one that readers are shown again since is not."""
    withdrawn: dict[str, Withdrawn] = {}
    seen: list[tuple[str, tuple[date, str]]] = []
    for row in (one for one in published.rows if one.moves_latest):
        own = published.origin(row).recipe
        if own is None:
            continue
        if row.rolled_back is not None:
            later: dict[str, set[tuple[date, str]]] = {}
            for recipe, lists in seen:
                if lists[0] > row.data_night:
                    later.setdefault(recipe, set()).add(lists)
            withdrawn |= {recipe: Withdrawn(frozenset(lists), row) for recipe, lists in later.items()}
        withdrawn.pop(own, None)
        seen.append((own, (row.data_night, row.data_digest)))
    return withdrawn


def not_asked(cfg: Config, night: date, published: Publications, data_digest: str) -> dict[str, str]:
    """The models that might take over tonight but for a rollback → why they are not asked.

    data_digest   of tonight's events, which tells the withdrawn night from the same one with repaired logs
    A negative `gate.margin` asks for a change, and so for them.
    """
    gone = {} if cfg.gate.margin < 0 else found(published)
    told: dict[str, str] = {}
    for name in dict.fromkeys((*cfg.gate.candidates, *cfg.gate.must_beat)) if gone else ():
        one = next((gone[digest] for digest in _digests(cfg, name) if digest in gone), None)
        if one is not None and one.stays_away(night, data_digest):
            told[name] = one.sentence
    return told


def without(cfg: Config, names: Mapping[str, str]) -> Config:
    """The settings for the others: these neither take over, nor have to be beaten."""
    candidates, must_beat = (
        tuple(name for name in listed if name not in names)
        for listed in (cfg.gate.candidates, cfg.gate.must_beat)
    )
    gate = cfg.gate.model_copy(update={"candidates": candidates, "must_beat": must_beat})
    return cfg.model_copy(update={"gate": gate})


def _digests(cfg: Config, name: str) -> Iterator[str]:
    """Of its recipe as it is set, and as a saved model tells it whose kind has no use for [training]."""
    recipe = recipes.configured(cfg, name)
    yield recipe.digest
    yield replace(recipe, training=None).digest
