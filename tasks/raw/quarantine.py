"""Files that cannot be taken, put aside by name: the night goes on without them (events.on_bad_file).

Such a file is as if it were not there: none of its lines is counted, and nothing of it is kept but a row in
the table rejects, without a line, that says why. The next night tries it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tasks.errors import SourceError, WarehouseError
from tasks.raw import counting, settled, sources
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.words import some
from tasks.store.store import Store

REASON = "file put aside"
NAMED = 5

log = logging.getLogger(__name__)


def heads(
    cfg: Config, store: Store, found: Sequence[Source], others: int, aside: dict[str, str]
) -> list[Source]:
    """Those whose columns can be read and whose ids are of the warehouse's types; others are put aside.

    aside    files of which something wrong is known already; this adds to it
    others   files that are there too, and were taken in before
    Raises SourceError when all are put aside.
    """
    if cfg.events.on_bad_file == "stop":
        return list(found)
    for source in found:
        if source.name in aside:
            continue
        with around(cfg, source, aside):
            sources.check(source, cfg.events.columns)
            counting.check_source(cfg, source)
            settled.check_text(store, sources.id_types([source], cfg.events.columns))
    good = [source for source in found if source.name not in aside]
    if not good and not others:
        check(len(found), aside)
    return good


@contextmanager
def around(cfg: Config, source: Source, aside: dict[str, str]) -> Iterator[None]:
    """What is wrong with the file is kept by its name, where bad files are put aside."""
    try:
        yield
    except (SourceError, WarehouseError) as error:
        if cfg.events.on_bad_file == "stop":
            raise
        aside[source.name] = str(error).replace(
            str(source.path), source.name
        )  # tables keep no machine's paths


def check(found: int, aside: Mapping[str, str]) -> None:
    """Tell of every file that was put aside. Raises SourceError when all that were found were."""
    every = _alike(aside)
    lost = bool(aside) and len(aside) == found
    for why, names in every[NAMED if lost else 0 :]:
        log.warning("%s", told(names[0], why, names[1:]))
    if lost:
        told_of = "\n".join(f"  {why}{_also(names[1:])}" for why, names in every[:NAMED])
        raise SourceError(
            f"expected a file that can be read; got none, all {len(aside):,} were put aside "
            f"(events.on_bad_file):\n{told_of}"
        )


def told(name: str, why: str, others: Sequence[str] = ()) -> str:
    """A sentence about a file that was put aside, and about others of which the same is wrong."""
    return f"{name} was put aside, nothing of it counts: {why}{_also(others)}; the next night tries it again"


def without_name(name: str, why: str) -> str:
    """What is wrong with a file, where its name is said already."""
    return why.removeprefix(name).lstrip(":, ")


def _alike(aside: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """(what is wrong, the files): a query that fails on each file is not a fault of each."""
    alike: dict[str, list[str]] = {}
    for name, why in aside.items():
        alike.setdefault(why.replace(name, ""), []).append(name)
    return [(aside[names[0]], names) for names in alike.values()]


def _also(others: Sequence[str]) -> str:
    return f" (and so {some(others, NAMED)})" if others else ""
