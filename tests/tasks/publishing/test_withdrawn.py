"""A recipe that readers were taken back from does not take over by itself; who asks for it gets it judged."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from night_driver import FACTS

from tasks.models import recipes
from tasks.publishing import withdrawn
from tasks.publishing.publications import Publication, Publications
from tasks.settings.config import Config

NIGHTS = {n: date(2026, 1, n) for n in range(1, 10)}
CFG = Config.model_validate({"gate": {"candidates": ("vsknn", "markov"), "must_beat": ("popularity",)}})
DIGESTS = {name: recipes.configured(CFG, name).digest for name in CFG.contestants}


def rows(*told: tuple[int, str, int | None]) -> Publications:
    """(night, recipe, the night that readers were taken back from) of each publication; recipes by name."""
    return Publications(1, tuple(row(place, *one) for place, one in enumerate(told, 1)))


def row(sequence: int, night: int, recipe: str, back_from: int | None, **others: Any) -> Publication:
    rolled_back = None if back_from is None else {"from_night": str(NIGHTS[back_from]), "reason": "odd"}
    verdict = {"chosen": recipe, "recipes": {recipe: DIGESTS.get(recipe, recipe)}} if recipe else {}
    told = FACTS | {
        "sequence": sequence, "night": NIGHTS[night], "attempt": sequence, "moves_latest": True,
        "model_version": 1, "content_digest": f"e{sequence}", "tables": {}, "rolled_back": rolled_back,
        "published_at": datetime(2026, 1, 9), "verdict": verdict, "model": None, "reads": None,
    }  # fmt: skip
    return Publication(**told | others)


def names(published: Publications, night: int = 9, data_digest: str = "d", **gate: Any) -> list[str]:
    cfg = CFG.model_copy(update={"gate": CFG.gate.model_copy(update=gate)})
    return list(withdrawn.not_asked(cfg, NIGHTS[night], published, data_digest))


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(1, "popularity", None), (2, "markov", None)], []),
        ([(1, "popularity", None), (2, "markov", None), (1, "popularity", 2)], ["markov"]),
        ([(1, "markov", None), (2, "markov", None), (1, "markov", 2)], []),  # no recipe went with the night
        # undone
        ([(1, "popularity", None), (2, "markov", None), (1, "popularity", 2), (2, "markov", 1)], []),
        # asked for, and crowned, by a later night
        ([(1, "popularity", None), (2, "markov", None), (1, "popularity", 2), (3, "markov", None)], []),
        # over several nights: all that took over since
        (
            [(1, "popularity", None), (2, "markov", None), (3, "vsknn", None), (1, "popularity", 3)],
            ["vsknn", "markov"],
        ),
        # one of them only, back to the other
        ([(1, "popularity", None), (2, "markov", None), (3, "vsknn", None), (2, "markov", 3)], ["vsknn"]),
        # the next nights of the recipe that readers went back to change nothing of it
        (
            [(1, "popularity", None), (2, "markov", None), (1, "popularity", 2), (3, "popularity", None)],
            ["markov"],
        ),
        # rows of before recipes were kept say nothing
        ([(1, "", None), (2, "markov", None), (1, "", 2)], []),
    ],
)  # fmt: skip
def test_what_readers_were_taken_back_from_is_not_asked_until_they_see_it_again(
    history: list[tuple[int, str, int | None]], expected: list[str]
) -> None:
    assert names(rows(*history)) == expected


BACK = ((1, "popularity", None), (2, "markov", None), (1, "popularity", 2))


def test_the_withdrawn_night_itself_is_run_again_with_its_recipe_only_where_its_logs_were_repaired() -> None:
    assert names(rows(*BACK), night=2) == ["markov"]
    assert names(rows(*BACK), night=2, data_digest="repaired") == []
    assert names(rows(*BACK), night=3, data_digest="another") == ["markov"]


def test_no_other_night_that_may_move_readers_asks_it() -> None:
    back = rows((2, "popularity", None), (4, "markov", None), (2, "popularity", 4))
    asked = {night: names(back, night, data_digest="other") for night in (1, 2, 3, 4, 5)}
    assert asked == {1: [], 2: ["markov"], 3: ["markov"], 4: [], 5: ["markov"]}


def test_a_negative_margin_asks_for_it() -> None:
    assert names(rows(*BACK), margin=-1.0) == []


def test_other_settings_of_a_model_are_another_recipe() -> None:
    other = Config.model_validate({"models": {"vsknn": {"neighbours": 7}}} | CFG.model_dump(include={"gate"}))
    taken_back = rows((1, "popularity", None), (2, "vsknn", None), (1, "popularity", 2))
    assert list(withdrawn.not_asked(CFG, NIGHTS[9], taken_back, "d")) == ["vsknn"]
    assert withdrawn.not_asked(other, NIGHTS[9], taken_back, "d") == {}


def test_a_backfill_that_moved_nobody_is_nothing_that_was_taken_back() -> None:
    unseen = row(2, 2, "markov", None, moves_latest=False)
    assert names(Publications(1, (row(1, 1, "popularity", None), unseen, row(3, 1, "popularity", 1)))) == []


def test_it_is_said_why_and_how_to_ask() -> None:
    assert withdrawn.not_asked(CFG, NIGHTS[9], rows(*BACK), "d")["markov"] == (
        "readers were taken back from its lists of 2026-01-02 to 2026-01-01 (odd); --set gate.margin=-1 for "
        "one night asks it again"
    )


def test_a_recipe_of_a_kind_that_is_not_fitted_by_passes_is_known_again_by_its_saved_model() -> None:
    saved = recipes.Recipe("markov", "markov", CFG.model("markov").settings, None).digest
    history = rows(*BACK)
    as_saved = row(2, 2, "markov", None, verdict={"chosen": "x", "recipes": {"x": saved}})
    assert names(Publications(1, (history.rows[0], as_saved, history.rows[2]))) == ["markov"]


def test_the_others_are_judged_without_it() -> None:
    cfg = withdrawn.without(CFG, {"markov": "why", "popularity": "why"})
    assert (cfg.gate.candidates, cfg.gate.must_beat) == (("vsknn",), ())
    assert withdrawn.without(CFG, {}).gate == CFG.gate
