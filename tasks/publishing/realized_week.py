"""Did readers' own lists do better than popular items would have, over the last scored nights?

The judge says which model foresees the next click; what readers get is used the day after. Where popular
items, held to the same rules, would have been met by more of the very same visitors, lists are worth less
than what they replace, and somebody has to be told. Both have the same visitors, so what tells them apart are
those that one of them alone was right for (McNemar 1947): with b of n met by the list alone and c by popular
items alone, the difference is (b - c) / n, and its 95 % interval that of Agresti & Min (2005), who add one
half to each of the four counts. Only counts are kept, so who comes every night counts every night, as if it
were another visitor: the interval is too narrow, the more so the more of the same visitors come again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice

import pyarrow as pa

from tasks.publishing.publications import Publications
from tasks.store import parquet
from tasks.store.store import Store

TABLE = "realized_quality"
NIGHTS = 7  # a week: each weekday once
FEWEST = 3  # one odd day is no habit
LOOKED_AT = 14  # nights in which they are looked for
NORMAL = 1.96  # 97.5 % point

Measures = Mapping[str, tuple[float, int]]


@dataclass(frozen=True)
class Week:
    """What visitors with a list met, over some nights.

    chances             visitors with a list, each night's
    hits, popular       of them those who met an item of their list, of the popular items
    alone               of `hits` those who met none of the popular items; and the other way round
    popular_alone
    """

    nights: int
    chances: int
    hits: int
    popular: int
    alone: int
    popular_alone: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the list's hit rate less popularity's."""
        n, b, c = self.chances + 2, self.alone + 0.5, self.popular_alone + 0.5
        difference = (b - c) / n
        half = NORMAL * (b + c - (b - c) ** 2 / n) ** 0.5 / n
        return difference - half, difference + half

    @property
    def is_lost(self) -> bool:
        """Is it shown that popular items would have been met by more?"""
        return self.nights >= FEWEST and self.interval[1] < 0

    @property
    def warning(self) -> str:
        """In one sentence, with what to do next; empty where nothing is shown."""
        if not self.is_lost:
            return ""
        low, high = self.interval
        return (
            f"Popular items do better than readers' own lists: of {self.chances:,} visitors with a list in "
            f"the last {self.nights} scored nights {self.popular / self.chances:.1%} met one of them, and "
            f"{self.hits / self.chances:.1%} an item of their list (95 % interval of the difference "
            f'{low:+.1%} to {high:+.1%}); look at part `new` of the view hits, and at "When popular items do '
            'better" of docs/judging.md'
        )


NOTHING = Week(0, 0, 0, 0, 0, 0)


def week(
    store: Store, past: Publications, k: int, *, tonight: Measures | None = None, before: date | None = None
) -> Week:
    """The last NIGHTS scored nights.

    k         the length of a list
    tonight   what a night has measured that is not published yet
    before    published nights before this one only
    """
    nights = [night for night in sorted(past.nights, reverse=True) if before is None or night < before]
    files = (past.nights[night].files(store).get(TABLE, []) for night in nights[:LOOKED_AT])
    found = islice(
        chain(_counts(tonight or {}, k), *(_counts(_read(store, one), k) for one in files)), NIGHTS
    )
    columns = list(zip(*found, strict=True))
    return Week(len(columns[0]), *map(sum, columns)) if columns else NOTHING


def measures(rows: pa.Table) -> Measures:
    """`<lists_of>.<list>.<part>.<metric>` → (value, over how many) of rows of realized_quality."""
    return {
        ".".join((one["lists_of"], one["list"], one["part"], one["metric"])): (one["value"], one["n"])
        for one in rows.to_pylist()
    }


def _read(store: Store, files: Sequence[str]) -> Measures:
    """What a published night has measured; nothing where its files are gone or damaged, which others tell."""
    try:
        return measures(parquet.dataset(store, files).to_table()) if files else {}
    except (OSError, pa.ArrowException):
        return {}


def _counts(found: Measures, k: int) -> Iterator[tuple[int, ...]]:
    """A night's chances, hits, popular, alone and popular_alone; nothing where it has not got them all."""
    names = [
        f"users.{of}.all.{metric}_at_{k}"
        for metric in ("hit_rate", "lone_hit_rate")
        for of in ("published", "popularity")
    ]
    if all(name in found for name in names):
        yield found[names[0]][1], *(round(value * n) for value, n in (found[name] for name in names))
