"""Realized quality: what was shown on a day against what visitors did on it, in numbers checked by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from past_events import with_later_columns

from tasks.models.verdicts import Verdict
from tasks.publishing import pages, publications, publishing, realized
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import delta, pins
from tasks.store.store import Store

SATURDAY, SUNDAY, MONDAY = driver.SATURDAY, date(2026, 1, 4), date(2026, 1, 5)
Lists = dict[str, list[tuple[str, str]]]
MakeConfig = Callable[..., Config]

#           user  time                item
MONDAYS = """
            ann   2026-01-03T10:00    c
            ann   2026-01-05T10:00    x
            ann   2026-01-05T10:01    c
            ann   2026-01-05T10:02    c
            bob   2026-01-05T11:00    d
            bob   2026-01-05T11:01    e
            cat   2026-01-05T12:00    a
            eve   2026-01-05T13:00    y
            eve   2026-01-05T13:01    a
"""
USERS: Lists = {
    "ann": [("a", "model"), ("b", "model"), ("c", "fallback")],
    "bob": [("d", "model"), ("a", "fallback"), ("b", "fallback")],
    "dan": [("a", "fallback"), ("b", "fallback"), ("c", "fallback")],
}
ITEMS: Lists = {
    "d": [("a", "model"), ("b", "model"), ("c", "fallback")],
    "x": [("c", "model"), ("a", "fallback"), ("b", "fallback")],
}
POPULAR = ["a", "b", "c", "d"]


@pytest.fixture
def cfg(make_config: MakeConfig) -> Config:
    return make_config(
        recommendations={"k": 3, "exclude": "nothing"}, evaluation={"cutoffs": (1, 20)},
        gate={"metric": "mrr_at_20"},
    )  # fmt: skip


def read_by_the_run(
    cfg: Config, lines: Sequence[Sequence[str]], night: date = MONDAY, run: int = 2
) -> pins.Reads:
    """What Monday's run, or another's, has read when these are the events of its window."""
    for day in window(cfg, night):
        rows = [line for line in lines if line[1].startswith(str(day))]
        delta.replace_partition(Store.of(cfg), "events", events(rows), {"event_day": day}, f"read{run}", run)
    found = pins.newest(cfg, Store.of(cfg), night)
    cut = cutting.sessionize(cfg, night, f"read{run}", run, found.events, cfg.root / "work" / "attempt")
    return pins.Reads(found.events, cut.pinned, cut.derived)


def events(rows: Sequence[Sequence[str]]) -> pa.Table:
    return with_later_columns(
        pa.table(
            {
                "event_id": pa.array([f"{number}" for number in range(len(rows))], pa.string()),
                "user_id": pa.array([row[0] for row in rows], pa.string()),
                "item_id": pa.array([row[2] for row in rows], pa.string()),
                "event_time": pa.array([datetime.fromisoformat(row[1]) for row in rows], pa.timestamp("us")),
                "session_id": pa.nulls(len(rows), pa.string()),
                "source_file": pa.array(["a"] * len(rows), pa.string()),
            }
        )
    )


def rows_of(lists: Lists, key: str, value: str) -> pa.Table:
    flat = [
        (asked, rank, item, source)
        for asked in sorted(lists)
        for rank, (item, source) in enumerate(lists[asked], start=1)
    ]
    columns: list[Any] = list(zip(*flat, strict=True))
    return pa.table(
        {
            key: columns[0],
            "rank": pa.array(columns[1], pa.int32()),
            value: columns[2],
            "score": pa.array([1.0] * len(flat), pa.float32()),
            "source": columns[3],
            "model_version": pa.array([1] * len(flat), pa.int32()),
        }
    )


def show(
    cfg: Config,
    night: date,
    users: Lists = USERS,
    items: Lists = ITEMS,
    popular: list[str] = POPULAR,
    **facts: Any,
) -> publishing.Published:
    """Publish these lists as a night's."""
    tables = driver.output_rows(1) | {
        "user_recommendations": rows_of(users, "user_id", "item_id"),
        "item_recommendations": rows_of(items, "item_id", "next_item_id"),
        "popular_items": pa.table(
            {
                "rank": pa.array(range(1, len(popular) + 1), pa.int32()),
                "item_id": popular,
                "score": [1.0] * len(popular),
            }
        ),
    }
    attempt = delta.next_attempt(Store.of(cfg), night)
    staged = driver.stage_all(cfg, night, tables, f"run{attempt}")
    return publishing.publish(
        Store.of(cfg),
        staged,
        driver.facts(cfg, night, attempt, model=driver.model(7), **facts),
        f"run{attempt}",
    )


def realized_on_monday(cfg: Config, reads: pins.Reads) -> realized.Realized:
    return realized.realize(cfg, MONDAY, reads, "run5")


def test_lists_of_users_are_scored_by_what_each_visitor_met(cfg: Config) -> None:
    show(cfg, SUNDAY)
    reads = read_by_the_run(cfg, [line.split() for line in MONDAYS.split("\n") if line.strip()])
    found = realized_on_monday(cfg, reads).measures
    users = {name.removeprefix("users."): each for name, each in found.items() if name.startswith("users.")}
    assert users == {
        # ann, bob, cat and eve came; ann and bob had a list
        "published.all.share_with_list": (2 / 4, 4),
        # ann met c, third in her list; bob met d, first in his
        "published.all.hit_rate_at_1": (1 / 2, 2),
        "published.all.hit_rate_at_3": (2 / 2, 2),
        "published.all.mrr_at_1": (1 / 2, 2),
        "published.all.mrr_at_3": ((1 / 3 + 1) / 2, 2),
        # ann's x, c, c and bob's d, e
        "published.all.event_hit_rate_at_1": (1 / 5, 5),
        "published.all.event_hit_rate_at_3": (3 / 5, 5),
        # d is a row of the model, c is none
        "published.model.hit_rate_at_1": (1 / 2, 2),
        "published.model.hit_rate_at_3": (1 / 2, 2),
        "published.model.mrr_at_1": (1 / 2, 2),
        "published.model.mrr_at_3": (1 / 2, 2),
        "published.model.event_hit_rate_at_1": (1 / 5, 5),
        "published.model.event_hit_rate_at_3": (1 / 5, 5),
        "published.fallback.hit_rate_at_1": (0.0, 2),
        "published.fallback.hit_rate_at_3": (1 / 2, 2),
        "published.fallback.mrr_at_1": (0.0, 2),
        "published.fallback.mrr_at_3": (1 / 3 / 2, 2),
        "published.fallback.event_hit_rate_at_1": (0.0, 5),
        "published.fallback.event_hit_rate_at_3": (2 / 5, 5),
        # new: ann's x, bob's d and e; repeated: ann's c, which she had met on Saturday
        "published.new.hit_rate_at_1": (1 / 2, 2),
        "published.new.hit_rate_at_3": (1 / 2, 2),
        "published.new.mrr_at_1": (1 / 2, 2),
        "published.new.mrr_at_3": (1 / 2, 2),
        "published.new.event_hit_rate_at_1": (1 / 3, 3),
        "published.new.event_hit_rate_at_3": (1 / 3, 3),
        "published.repeated.hit_rate_at_1": (0.0, 1),
        "published.repeated.hit_rate_at_3": (1.0, 1),
        "published.repeated.mrr_at_1": (0.0, 1),
        "published.repeated.mrr_at_3": (1 / 3, 1),
        "published.repeated.event_hit_rate_at_1": (0.0, 2),
        "published.repeated.event_hit_rate_at_3": (2 / 2, 2),
        # bob's d is not among three popular items; ann's c is in both lists, and no row of the model
        **dict.fromkeys([f"published.{part}.lone_hit_rate_at_1" for part in ("all", "model")], (1 / 2, 2)),
        **dict.fromkeys([f"published.{part}.lone_hit_rate_at_3" for part in ("all", "model")], (1 / 2, 2)),
        **dict.fromkeys([f"published.fallback.lone_hit_rate_at_{k}" for k in (1, 3)], (0.0, 2)),
        **dict.fromkeys([f"published.new.lone_hit_rate_at_{k}" for k in (1, 3)], (1 / 2, 2)),
        **dict.fromkeys([f"published.repeated.lone_hit_rate_at_{k}" for k in (1, 3)], (0.0, 1)),
        **dict.fromkeys(
            [f"popularity.{part}.lone_hit_rate_at_1" for part in ("all", "model", "fallback", "new")],
            (0.0, 2),
        ),
        **dict.fromkeys(
            [f"popularity.{part}.lone_hit_rate_at_3" for part in ("all", "fallback", "new")], (0.0, 2)
        ),
        "popularity.model.lone_hit_rate_at_3": (1 / 2, 2),
        **dict.fromkeys([f"popularity.repeated.lone_hit_rate_at_{k}" for k in (1, 3)], (0.0, 1)),
        # popular are a, b, c, d: c is third, d is fourth
        **{
            f"popularity.{part}.{metric}": each
            for part in ("all", "model", "fallback")
            for metric, each in {
                "hit_rate_at_1": (0.0, 2),
                "hit_rate_at_3": (1 / 2, 2),
                "mrr_at_1": (0.0, 2),
                "mrr_at_3": (1 / 3 / 2, 2),
                "event_hit_rate_at_1": (0.0, 5),
                "event_hit_rate_at_3": (2 / 5, 5),
            }.items()
        },
        "popularity.new.hit_rate_at_1": (0.0, 2),
        "popularity.new.hit_rate_at_3": (0.0, 2),
        "popularity.new.mrr_at_1": (0.0, 2),
        "popularity.new.mrr_at_3": (0.0, 2),
        "popularity.new.event_hit_rate_at_1": (0.0, 3),
        "popularity.new.event_hit_rate_at_3": (0.0, 3),
        "popularity.repeated.hit_rate_at_1": (0.0, 1),
        "popularity.repeated.hit_rate_at_3": (1.0, 1),
        "popularity.repeated.mrr_at_1": (0.0, 1),
        "popularity.repeated.mrr_at_3": (1 / 3, 1),
        "popularity.repeated.event_hit_rate_at_1": (0.0, 2),
        "popularity.repeated.event_hit_rate_at_3": (1.0, 2),
        # cat met a, eve met y and a
        "popularity.without_list.hit_rate_at_1": (2 / 2, 2),
        "popularity.without_list.hit_rate_at_3": (2 / 2, 2),
        "popularity.without_list.mrr_at_1": (2 / 2, 2),
        "popularity.without_list.mrr_at_3": (2 / 2, 2),
        "popularity.without_list.event_hit_rate_at_1": (2 / 3, 3),
        "popularity.without_list.event_hit_rate_at_3": (2 / 3, 3),
    }


def test_lists_of_items_are_scored_by_what_came_next_in_a_session(cfg: Config) -> None:
    show(cfg, SUNDAY)
    reads = read_by_the_run(cfg, [line.split() for line in MONDAYS.split("\n") if line.strip()])
    found = realized_on_monday(cfg, reads).measures
    items = {
        name.removeprefix("items."): each
        for name, each in found.items()
        if name.startswith("items.") and not name.endswith("_at_1")
    }
    assert items == {
        # both lists of x have c; of x's own it is a row of the model
        **{
            f"{of}.{part}.lone_hit_rate_at_3": (0.0, 1 if part in ("new", "repeated") else 2)
            for of in ("published", "popularity")
            for part in ("all", "model", "fallback", "new", "repeated")
        },
        "popularity.fallback.lone_hit_rate_at_3": (1 / 2, 2),
        # x then c (ann; c after c is no pair), d then e (bob), y then a (eve); y had no list
        "published.all.share_with_list": (2 / 3, 3),
        "published.all.hit_rate_at_3": (1 / 2, 2),
        "published.all.mrr_at_3": (1 / 2, 2),
        "published.model.hit_rate_at_3": (1 / 2, 2),
        "published.model.mrr_at_3": (1 / 2, 2),
        "published.fallback.hit_rate_at_3": (0.0, 2),
        "published.fallback.mrr_at_3": (0.0, 2),
        "published.new.hit_rate_at_3": (0.0, 1),
        "published.new.mrr_at_3": (0.0, 1),
        "published.repeated.hit_rate_at_3": (1.0, 1),
        "published.repeated.mrr_at_3": (1.0, 1),
        **{
            f"popularity.{part}.{metric}": each
            for part in ("all", "model", "fallback")
            for metric, each in {"hit_rate_at_3": (1 / 2, 2), "mrr_at_3": (1 / 3 / 2, 2)}.items()
        },
        "popularity.new.hit_rate_at_3": (0.0, 1),
        "popularity.new.mrr_at_3": (0.0, 1),
        "popularity.repeated.hit_rate_at_3": (1.0, 1),
        "popularity.repeated.mrr_at_3": (1 / 3, 1),
        "popularity.without_list.hit_rate_at_3": (1.0, 1),
        "popularity.without_list.mrr_at_3": (1.0, 1),
    }


def test_a_slow_loop_over_visitors_finds_the_same(cfg: Config) -> None:
    draw = random.Random(3)
    items = [f"i{n}" for n in range(12)]
    users: Lists = {
        f"u{n}": [
            (item, "model" if rank < n % 4 else "fallback") for rank, item in enumerate(draw.sample(items, 3))
        ]
        for n in range(30)
    }
    lines = [
        (f"u{draw.randrange(45)}", f"{MONDAY - timedelta(days=draw.randrange(3))}T{n // 60:02}:{n % 60:02}",
         draw.choice(items))
        for n in range(600)
    ]  # fmt: skip
    show(cfg, SUNDAY, users=users, popular=items)
    found = realized_on_monday(cfg, read_by_the_run(cfg, lines)).measures
    for part in ("all", "model", "fallback", "new", "repeated"):
        ranks = []
        for user in {user for user, time, _ in lines if time.startswith(str(MONDAY)) and user in users}:
            if part in ("model", "fallback") and part not in {source for _, source in users[user]}:
                continue
            before = {item for one, time, item in lines if one == user and not time.startswith(str(MONDAY))}
            met = {item for one, time, item in lines if one == user and time.startswith(str(MONDAY))}
            met = {"new": met - before, "repeated": met & before}.get(part, met)
            if not met:
                continue
            ranks.append(
                [
                    rank
                    for rank, (item, source) in enumerate(users[user], start=1)
                    if item in met and (part not in ("model", "fallback") or source == part)
                ]
            )
        assert len(ranks) > 5
        name = f"users.published.{part}"
        assert found[f"{name}.hit_rate_at_3"] == (sum(map(bool, ranks)) / len(ranks), len(ranks))
        value, n = found[f"{name}.mrr_at_3"]
        assert value == pytest.approx(sum(1 / min(one) for one in ranks if one) / len(ranks))
        assert n == len(ranks)


@pytest.mark.parametrize("exclude", ["nothing", "last_item", "session", "window"])
def test_popularity_has_not_got_either_what_a_visitors_own_list_had_to_leave_out(
    exclude: str, cfg: Config
) -> None:
    draw = random.Random(7)
    items = [f"i{n}" for n in range(12)]
    lines = [
        (f"u{draw.randrange(40)}", f"{MONDAY - timedelta(days=draw.randrange(3))}T{n // 60:02}:{n % 60:02}",
         items[int(draw.random() ** 2 * 12)])
        for n in range(900)
    ]  # fmt: skip
    left_out = {user: what_is_left_out(exclude, user, lines) for user in {user for user, _, _ in lines}}
    users: Lists = {
        user: [(item, "model") for item in draw.sample(sorted(set(items) - left_out[user]), 3)]
        for user in sorted(left_out)
        if int(user[1:]) < 30 and len(left_out[user]) <= 9
    }
    show(cfg, SUNDAY, users=users, popular=items, verdict={"exclude": exclude})
    found = realized_on_monday(cfg, read_by_the_run(cfg, lines)).measures
    hits, lone, ranks = {"published": 0, "popularity": 0}, {"published": 0, "popularity": 0}, []
    came = {user for user, time, _ in lines if time.startswith(str(MONDAY)) and user in users}
    for user in came:
        met = {item for one, time, item in lines if one == user and time.startswith(str(MONDAY))}
        popular = [item for item in items if item not in left_out[user]][:3]
        theirs = {"published": [item for item, _ in users[user]], "popularity": popular}
        hit = {of: bool(met & set(shown)) for of, shown in theirs.items()}
        for of, other in (("published", "popularity"), ("popularity", "published")):
            hits[of] += hit[of]
            lone[of] += hit[of] and not hit[other]
        ranks.append(min((rank for rank, item in enumerate(popular, start=1) if item in met), default=0))
    assert len(came) > 20
    for of in ("published", "popularity"):
        assert found[f"users.{of}.all.hit_rate_at_3"] == (hits[of] / len(came), len(came))
        assert found[f"users.{of}.all.lone_hit_rate_at_3"] == (lone[of] / len(came), len(came))
    expected = sum(1 / rank for rank in ranks if rank) / len(came)
    assert found["users.popularity.all.mrr_at_3"] == (pytest.approx(expected), len(came))


def what_is_left_out(exclude: str, user: str, lines: Sequence[Sequence[str]]) -> set[str]:
    """Of the days before Monday; a pause of more than half an hour begins a session."""
    own = sorted((datetime.fromisoformat(time), item) for one, time, item in lines if one == user)
    own = [event for event in own if event[0].date() < MONDAY]
    last: list[str] = []
    for place, (time, item) in enumerate(own):
        goes_on = place and time - own[place - 1][0] <= timedelta(minutes=30)
        last = [*last, item] if goes_on else [item]
    return {
        "nothing": set(), "last_item": set(last[-1:]), "session": set(last),
        "window": {item for _, item in own},
    }[exclude]  # fmt: skip


def test_an_item_is_not_among_the_popular_ones_that_stand_for_its_own_list(cfg: Config) -> None:
    """Popular are a, b, c, d: for the list of a they are b, c, d, and d is the third of them."""
    show(cfg, SUNDAY, items={"a": [("c", "model")]})
    lines = [("ann", "2026-01-05T10:00", "a"), ("ann", "2026-01-05T10:01", "d")]
    found = realized_on_monday(cfg, read_by_the_run(cfg, lines)).measures
    assert found["items.popularity.all.mrr_at_3"] == (pytest.approx(1 / 3), 1)


def test_lists_are_scored_by_what_they_left_out_when_they_were_made(make_config: MakeConfig) -> None:
    """Ann had c last. Her list was made under `last_item`, whatever is set since."""
    cfg = make_config(recommendations={"k": 3, "exclude": "nothing"})
    ranks = []
    for first, told in (("a", {"exclude": "last_item"}), ("b", {"exclude": "nothing"}), ("e", {})):
        show(cfg, SUNDAY, users={"ann": [(first, "model")]}, verdict=told)
        lines = [("ann", "2026-01-03T10:00", "c"), ("ann", "2026-01-05T10:00", "d")]
        found = realized_on_monday(cfg, read_by_the_run(cfg, lines)).measures
        ranks.append(found["users.popularity.all.mrr_at_3"][0])
    assert ranks == [pytest.approx(1 / 3), 0.0, 0.0], "d is the fourth of a, b, c, d"


def test_new_is_what_the_window_of_the_shown_list_has_not_got(make_config: MakeConfig) -> None:
    """Saturday is in Sunday's window of two days, and not in Monday's."""
    cfg = make_config(
        sessions={"window_days": 2}, recommendations={"k": 3}, evaluation={"cutoffs": (1, 20)},
        gate={"metric": "mrr_at_20"},
    )  # fmt: skip
    read_by_the_run(cfg, [("ann", "2026-01-03T10:00", "c"), ("bob", "2026-01-04T10:00", "d")], SUNDAY, 1)
    show(cfg, SUNDAY)
    of_monday = [("ann", "2026-01-05T10:00", "c"), ("bob", "2026-01-05T11:00", "a")]
    reads = read_by_the_run(cfg, of_monday)  # Sunday has been read anew since, as a day without an event
    found = realized_on_monday(cfg, reads).measures
    assert found["users.published.repeated.hit_rate_at_3"] == (1.0, 1), "ann met c on Saturday"
    assert found["users.published.new.hit_rate_at_3"] == (1.0, 1), "bob had not met a"
    for day in (SATURDAY, SUNDAY):
        for file in (cfg.root / "tables" / "events" / f"event_day={day}").iterdir():
            if str(file) not in reads.events.files():
                file.unlink()
    found = realized_on_monday(cfg, reads).measures
    assert "users.published.repeated.hit_rate_at_3" not in found, "as of tonight's window, where it is gone"


def table(found: realized.Realized) -> list[dict[str, Any]]:
    return pq.ParquetFile(found.staged.files[0]).read().to_pylist()


def test_each_row_says_which_publication_it_scores(cfg: Config) -> None:
    show(cfg, SATURDAY)
    show(cfg, SUNDAY)
    found = realized_on_monday(cfg, read_by_the_run(cfg, [("ann", "2026-01-05T10:00", "a")]))
    assert {
        (row["shown_sequence"], row["shown_night"], row["shown_state"], row["model_version"], row["night"])
        for row in table(found)
    } == {(2, SUNDAY, "fresh", 7, MONDAY)}
    assert found.counts == {"visitors": 1, "with_list": 1}
    assert found.sentence == (
        "Of 1 visitors 1 had a list of 2026-01-04; 100.0% of them met an item of it (popular items: 100.0%)"
    )


def test_before_the_first_publication_there_is_nothing_to_score(cfg: Config) -> None:
    found = realized_on_monday(cfg, read_by_the_run(cfg, [("ann", "2026-01-05T10:00", "a")]))
    assert (found.shown, table(found), found.counts, found.sentence) == (None, [], {}, "")


def test_a_day_on_which_nobody_had_a_list_says_so(cfg: Config) -> None:
    show(cfg, SUNDAY)
    found = realized_on_monday(cfg, read_by_the_run(cfg, [("new", "2026-01-05T10:00", "a")]))
    assert found.measures["users.published.all.share_with_list"] == (0.0, 1)
    assert "users.published.all.hit_rate_at_3" not in found.measures
    assert found.sentence == "Of 1 visitors 0 had a list of 2026-01-04"


def test_what_was_shown_last_before_the_night_is_scored_and_nothing_that_came_later(cfg: Config) -> None:
    def scored() -> int | None:
        found = realized.shown_on(publications.read(Store.of(cfg)), MONDAY)
        return None if found is None else found.sequence

    show(cfg, SATURDAY)
    show(cfg, SUNDAY)
    publishing.show_again(Store.of(cfg), SATURDAY, run_id="rollback", attempt=9)
    assert scored() == 3, "readers were taken back to Saturday's"
    driver.publish_night(cfg, SUNDAY, users=4, attempt=10, move_latest=False)
    assert scored() == 3, "readers never saw that one"
    driver.publish_night(cfg, MONDAY, users=4, attempt=11)
    driver.publish_night(cfg, SUNDAY, users=5, attempt=12, move_latest=True)
    assert scored() == 3, "Monday was over by then"


def test_the_page_tells_of_one_list_alone_over_all_chances_only(cfg: Config) -> None:
    staged: Any = None
    names = [f"users.published.{part}.lone_hit_rate_at_3" for part in ("all", "new")]
    found = realized.Realized(staged, None, dict.fromkeys(names, (0.25, 8)), 3)
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    page = pages.page(cfg, MONDAY, verdict=verdict, model_version=1, realized=found, **told)
    assert "| users published all lone_hit_rate_at_3 | 0.2500 | 8 |" in page
    assert "new lone_hit_rate" not in page


def test_a_carried_nights_lists_are_named_by_the_night_that_made_them(cfg: Config) -> None:
    shown = show(cfg, SATURDAY, verdict={"exclude": "last_item"}).publication
    carried = replace(
        shown,
        sequence=2,
        night=SUNDAY,
        carried_from=SATURDAY,
        state="carried_forward",
        verdict={"reason": "no data"},
    )
    staged: Any = None
    measures = {
        "users.published.all.share_with_list": (0.5, 4), "users.published.all.hit_rate_at_3": (0.5, 2),
        "users.popularity.all.hit_rate_at_3": (0.0, 2),
    }  # fmt: skip
    found = realized.Realized(staged, carried, measures, 3)
    assert found.sentence.startswith("Of 4 visitors 2 had a list of 2026-01-03; 50.0% of them")


def test_the_night_run_again_gives_the_same_bytes(cfg: Config) -> None:
    show(cfg, SUNDAY)
    reads = read_by_the_run(cfg, [line.split() for line in MONDAYS.split("\n") if line.strip()])
    first = realized_on_monday(cfg, reads)
    show(cfg, MONDAY)
    driver.publish_night(cfg, SUNDAY, users=5, move_latest=True)
    assert realized_on_monday(cfg, reads).staged.digest == first.staged.digest


def test_numbers_of_lists_that_are_gone_are_kept_by_the_night_that_knows_them(
    cfg: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a vacuum gave Sunday up, and Monday, which is kept, is run again."""
    sunday = show(cfg, SUNDAY).publication
    lines = [line.split() for line in MONDAYS.split("\n") if line.strip()]
    reads = read_by_the_run(cfg, lines)
    first = realized_on_monday(cfg, reads)
    publish_monday(cfg, reads, first)
    Path(sunday.files(Store.of(cfg))["popular_items"][0]).unlink()
    again = realized_on_monday(cfg, reads)
    assert (again.staged.digest, again.measures, again.sentence) == (
        first.staged.digest, first.measures, first.sentence,
    )  # fmt: skip
    assert "cannot be scored" not in caplog.text

    others = read_by_the_run(cfg, lines[:-1], run=3)
    assert (realized_on_monday(cfg, others).shown, "cannot be scored" in caplog.text) == (None, True)


def test_numbers_that_are_known_of_other_cutoffs_are_not_taken_for_these(
    cfg: Config, make_config: MakeConfig
) -> None:
    sunday = show(cfg, SUNDAY).publication
    reads = read_by_the_run(cfg, [("ann", "2026-01-05T10:00", "a")])
    publish_monday(cfg, reads, realized_on_monday(cfg, reads))
    Path(sunday.files(Store.of(cfg))["popular_items"][0]).unlink()
    longer = make_config(recommendations={"k": 4}, evaluation={"cutoffs": (1, 20)})
    assert table(realized_on_monday(longer, reads)) == []


def publish_monday(cfg: Config, reads: pins.Reads, found: realized.Realized) -> None:
    tables = driver.output_rows(1)
    del tables["realized_quality"]
    staged = [*driver.stage_all(cfg, MONDAY, tables, "run2"), found.staged]
    publishing.publish(Store.of(cfg), staged, driver.facts(cfg, MONDAY, 2, reads=reads.by_table()), "run2")


def test_lists_that_were_lost_are_not_scored_and_stop_no_night(
    cfg: Config, caplog: pytest.LogCaptureFixture
) -> None:
    shown = show(cfg, SUNDAY).publication
    Path(shown.files(Store.of(cfg))["user_recommendations"][0]).unlink()
    found = realized_on_monday(cfg, read_by_the_run(cfg, [("ann", "2026-01-05T10:00", "a")]))
    assert (found.shown, table(found)) == (None, [])
    assert "what readers were shown of 2026-01-04 cannot be scored" in caplog.text
