"""What changed from one published night to another, in SQL over the published files and in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, TypedDict

import pyarrow as pa

from tasks.publishing import publications, wholeness
from tasks.publishing.lineage import moment
from tasks.publishing.publications import Publication, Publications
from tasks.settings.config import Config
from tasks.store import duck
from tasks.store.store import Store

MOST = 10  # rows of what moved the most
SIDES = ("first", "second")
VIEWS = {"users": "user_recommendations", "popular": "popular_items"}
SHARES = (0.25, 0.5, 0.75, 1.0)  # of a list that stayed: the bounds of the distribution
Row = dict[str, Any]


class Side(TypedDict):
    """One of the two nights. `recipe` is the digest of what was published, where the verdict has it, and
    `model` what that is, by name and kind."""

    night: str
    tables_of: str
    sequence: int
    state: str
    published_at: str
    model_version: int
    model: str
    run_id: str | None
    recipe: str | None
    config_digest: str
    data_digest: str
    content_digest: str


class Overlap(TypedDict):
    """How much of the lists of users of both nights stayed.

    mean           share of a list's items that are in both, over users; None without such users
    distribution   "none", "under 25 %" ... "all": users whose lists share so much
    same           users whose lists are the same, in the same order
    """

    mean: float | None
    distribution: dict[str, int]
    same: int


class Difference(TypedDict):
    """All that changed; plain values only.

    metrics   contestant, metric, before, after: as the judges of the two nights have measured
    rows      table → rows before and after; None where a night has not got it
    users     went, came, stayed
    items     in how many users' lists an item is, where that changed the most
    turned    of users of both nights: in how many lists an item is new (entered) or missing (left_lists)
    popular   rank before and after, where it changed the most; None for an item that is not there
    """

    first: Side
    second: Side
    metrics: list[Row]
    rows: dict[str, tuple[int | None, int | None]]
    users: dict[str, int]
    overlap: Overlap
    items: list[Row]
    turned: list[Row]
    popular: list[Row]


def between(cfg: Config, first: date, second: date) -> Difference:
    """The two nights, each as it was last published.

    Raises NightError for a night that is not published, WarehouseError for files that are gone or damaged.
    """
    store = Store.of(cfg)
    published = publications.read(store)
    pair = [published.asked(first), published.asked(second)]
    with duck.connect(cfg) as con, wholeness.readable(store, *pair):
        for side, one in zip(SIDES, pair, strict=True):
            _views(con, store, side, one)
        [users] = _rows(con, "diff_users")
        return Difference(
            first=_side(published, pair[0]),
            second=_side(published, pair[1]),
            metrics=_metrics(*pair),
            rows=_counts(*pair),
            users=users,
            overlap=_overlap(_rows(con, "diff_overlap")),
            items=_rows(con, "diff_items", most=MOST),
            turned=_rows(con, "diff_entered", most=MOST),
            popular=_rows(con, "diff_popular", most=MOST),
        )


def _views(con: duck.Connection, store: Store, side: str, one: Publication) -> None:
    for name, table in VIEWS.items():
        duck.view_files(con, store, f"{side}_{name}", one.files(store)[table])
    names = [file for pin in (one.reads or {}).get("items", {}).values() for file in pin.files]
    if names:
        duck.view_files(con, store, f"{side}_names", [store.at(file) for file in names])
    else:
        kind = duck.arrow(con.table(f"{side}_users").limit(0)).schema.field("item_id").type
        unnamed = pa.schema([("item_id", kind), ("name", pa.string())])
        con.register(f"{side}_names", unnamed.empty_table())


def _rows(con: duck.Connection, query: str, /, **params: Any) -> list[Row]:
    found: list[Row] = duck.arrow(duck.query(con, query, **params)).to_pylist()
    return found


def _side(published: Publications, one: Publication) -> Side:
    made = published.origin(one)
    return Side(
        night=one.night.isoformat(),
        tables_of=one.data_night.isoformat(),
        sequence=one.sequence,
        state=one.state,
        published_at=moment(one.published_at),
        model_version=one.model_version,
        model=made.made_by,
        run_id=None if one.model is None else one.model.run_id,
        recipe=made.recipe,
        config_digest=one.config_digest,
        data_digest=one.data_digest,
        content_digest=one.content_digest,
    )


def _metrics(first: Publication, second: Publication) -> list[Row]:
    """Every metric that either judge has measured, of every contestant."""
    before, after = (
        {
            (contestant, metric): value
            for contestant, values in (one.verdict.get("metrics") or {}).items()
            for metric, value in values.items()
        }
        for one in (first, second)
    )
    return [
        {"contestant": key[0], "metric": key[1], "before": before.get(key), "after": after.get(key)}
        for key in sorted(before.keys() | after.keys())
    ]


def _counts(first: Publication, second: Publication) -> dict[str, tuple[int | None, int | None]]:
    names = dict.fromkeys([*first.rows, *second.rows])
    return {name: (first.rows.get(name), second.rows.get(name)) for name in names}


def _overlap(found: Sequence[Row]) -> Overlap:
    """From users by the number of items that they share and the length of their lists."""
    distribution = dict.fromkeys(("none", *(f"under {bound:.0%}" for bound in SHARES), "all"), 0)
    for row in found:
        distribution[_bin(row["shared"] / row["length"])] += row["users"]
    users = sum(row["users"] for row in found)
    shared = sum(row["users"] * row["shared"] / row["length"] for row in found)
    return Overlap(
        mean=shared / users if users else None,
        distribution=distribution,
        same=sum(row["same"] for row in found),
    )


def _bin(share: float) -> str:
    if share in (0, 1):
        return "all" if share else "none"
    return next(f"under {bound:.0%}" for bound in SHARES if share < bound)
