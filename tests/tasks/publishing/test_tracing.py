"""Who got what, and from which sessions and raw files: the shop of traced_shop.py, by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import traced_shop
from night_driver import FRIDAY, SATURDAY, facts, output_rows, stage_all

from tasks.errors import ConfigurationError, NightError, WarehouseError
from tasks.publishing import differences, publications, publishing, tracing
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store


def items(found: tracing.Trace) -> list[Any]:
    return [row["item_id"] for row in found["list"]]


def steps(session: tracing.Session) -> list[tuple[Any, ...]]:
    return [(one["time"], one["item_id"], one["name"], one["source_file"]) for one in session["steps"]]


def test_a_user_got_what_was_published_with_names_and_the_model_that_made_it(traced: Config) -> None:
    found = tracing.user(traced, "ann", FRIDAY)
    assert (found["night"], found["state"], found["sequence"]) == ("2026-01-02", "fresh", 1)
    assert [(row["rank"], row["item_id"], row["name"], row["source"]) for row in found["list"]] == [
        (1, "i3", None, "model"),
        (2, "i1", "A lamp", "fallback"),
    ]
    [friday, _] = publications.read(Store.of(traced)).rows
    assert friday.model is not None
    assert found["model"] == {"name": "rnnrec", "version": 1, "run_id": friday.model.run_id, "made_by": ""}


def test_without_a_night_it_is_what_readers_see(traced: Config) -> None:
    found = tracing.user(traced, "ann")
    assert (found["night"], items(found)) == ("2026-01-03", ["i2", "i3"])


def test_the_sessions_are_those_that_the_night_has_read_the_newest_first(traced: Config) -> None:
    newest, older = tracing.user(traced, "ann")["sessions"]
    assert steps(newest) == [
        ("2026-01-03T09:00:00Z", "i3", None, "logs/saturday.ndjson"),
        ("2026-01-03T09:05:00Z", "i1", "A lamp", "logs/saturday.ndjson"),
    ]
    assert [step[:2] for step in steps(older)] == [
        ("2026-01-02T10:00:00Z", "i1"),
        ("2026-01-02T10:01:00Z", "i2"),
    ]
    assert (newest["is_kept"], older["is_kept"]) == (True, True)
    assert (newest["is_asked"], older["is_asked"]) == (True, False)
    assert tracing.user(traced, "ann")["sources"] == {"logs/friday.ndjson": 2, "logs/saturday.ndjson": 2}


def test_what_came_later_is_not_shown_of_an_earlier_night(traced: Config) -> None:
    [only] = tracing.user(traced, "ann", FRIDAY)["sessions"]
    assert [step[1] for step in steps(only)] == ["i1", "i2"]


def test_a_session_of_one_click_is_shown_though_the_table_of_sessions_has_not_got_it(traced: Config) -> None:
    found = tracing.user(traced, "ben", FRIDAY)
    [session] = found["sessions"]
    assert (steps(session), session["is_kept"]) == (
        [("2026-01-02T12:00:00Z", "i2", "A chair", "logs/friday.ndjson")],
        False,
    )
    assert items(found) == ["i1", "i3"]


@pytest.mark.parametrize(
    ("who", "night", "why"),
    [
        (
            "cat",
            FRIDAY,
            "seen, but not in recommendations.active_days; its last event .* 2026-01-01 08:01 UTC",
        ),
        (
            "ben",
            SATURDAY,
            "seen, but not in recommendations.active_days; its last event .* 2026-01-02 12:00 UTC",
        ),
        ("zoe", FRIDAY, "never seen in any event that is kept"),
    ],
)
def test_who_has_no_list_is_told_why(traced: Config, who: str, night: date, why: str) -> None:
    found = tracing.user(traced, who, night)
    assert found["list"] == []
    assert re.search(f"User {who} has no list: {why}. Readers show the popular items.", found["sentence"])


def test_a_user_of_other_days_is_told_apart_from_one_whom_nobody_has_seen(
    traced: Config, tmp_path: Path
) -> None:
    cfg = traced_shop.moved(traced, tmp_path / "shop")
    day = date(2025, 6, 1)
    row = delta.rows(Store.of(cfg), "events").slice(0, 1).to_pylist()[0]  # type: ignore[union-attr]
    row |= {"user_id": "old", "event_day": day}
    delta.replace_partition(Store.of(cfg), "events", pa.Table.from_pylist([row]), {"event_day": day}, "r", 9)
    said = tracing.user(cfg, "old")["sentence"]
    assert "not seen on the days that the night has read, but from 2025-06-01 to 2025-06-01" in said


def test_an_item_has_its_list_its_sessions_and_what_came_after_it(traced: Config) -> None:
    found = tracing.item(traced, "i1", FRIDAY)
    assert (found["name"], items(found), found["users"]) == ("A lamp", ["i2", "i3"], 2)
    assert [one["user_id"] for one in found["sessions"]] == ["ann", "cat"]
    assert found["followers"] == [
        {"item_id": "i2", "name": "A chair", "times": 1},
        {"item_id": "i3", "name": None, "times": 1},
    ]
    assert found["sources"] == {"logs/friday.ndjson": 2}


def test_an_item_that_nobody_met_has_none(traced: Config) -> None:
    found = tracing.item(traced, "i9")
    assert (found["list"], found["sessions"], found["followers"], found["users"]) == ([], [], [], 0)
    assert "Item i9 has no list: never seen" in found["sentence"]


def test_settings_that_changed_since_are_told(traced: Config) -> None:
    assert tracing.user(traced, "ann")["settings_today"]
    other = traced.model_copy(update={"sessions": traced.sessions.model_copy(update={"gap_minutes": 5.0})})
    assert not tracing.user(other, "ann")["settings_today"]


def test_a_night_that_is_not_published_is_refused_with_those_that_are(traced: Config) -> None:
    with pytest.raises(NightError, match=r"night 2026-02-01: .* there are 2026-01-02 to 2026-01-03 \(2\)"):
        tracing.user(traced, "ann", date(2026, 2, 1))


def numbered(cfg: Config) -> None:
    """A night whose ids are whole numbers, of an older version of ours: what it read was not kept."""
    rows = output_rows(users=0, items=3)
    rows["user_recommendations"] = traced_shop.ranked("user_id", "item_id", {7: [1, 2]})
    rows["item_recommendations"] = traced_shop.ranked("item_id", "next_item_id", {1: [2, 3]})
    rows["popular_items"] = pa.table({"rank": pa.array([1], pa.int32()), "item_id": [1], "score": [2.0]})
    staged = stage_all(cfg, FRIDAY, rows, "run1")
    publishing.publish(Store.of(cfg), staged, facts(cfg, FRIDAY, 1, reads=None), "run1")


def test_ids_that_are_whole_numbers_are_asked_as_such(config: Config) -> None:
    numbered(config)
    assert items(tracing.user(config, "7")) == [1, 2]
    assert items(tracing.item(config, "1")) == [2, 3]
    with pytest.raises(ConfigurationError, match=r"--user: expected a whole number, .* got 'ann'"):
        tracing.user(config, "ann")


def test_of_a_night_that_has_not_kept_what_it_read_the_list_is_shown_all_the_same(config: Config) -> None:
    numbered(config)
    found = tracing.user(config, "7")
    assert (found["sessions"], found["sources"], items(found)) == ([], {}, [1, 2])
    assert "which events the night has read was not kept" in tracing.user(config, "8")["sentence"]


def damaged_in_place(path: Path) -> None:
    """A word in the footer, so that its length and its end are as they were."""
    content = bytearray(path.read_bytes())
    at = len(content) - 120
    content[at : at + 8] = b"XXXXXXXX"
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damaged_in_place, Path.unlink])
@pytest.mark.parametrize("what", ["published", "read"])
def test_a_damaged_file_is_named_with_the_next_step(
    traced: Config, tmp_path: Path, damage: Callable[[Path], None], what: str
) -> None:
    cfg = traced_shop.moved(traced, tmp_path / "shop")
    store = Store.of(cfg)
    saturday = publications.read(store).asked(SATURDAY)
    assert saturday.reads is not None
    files = {
        "published": saturday.files(store)["user_recommendations"],
        "read": [store.at(file) for file in saturday.reads["events"][SATURDAY].files],
    }
    [file] = files[what]
    damage(Path(file))
    with pytest.raises(WarehouseError) as caught:
        tracing.user(cfg, "ann", SATURDAY)
    said = str(caught.value)
    assert said.startswith(f"night 2026-01-03: expected the files that it was published with; {file}; it")
    assert "restore what is named from a backup; `rnnrec verify --night 2026-01-03`" in said
    if what == "published":
        with pytest.raises(WarehouseError, match=re.escape(file)):
            differences.between(cfg, FRIDAY, SATURDAY)


def test_a_list_of_all_the_window_leads_back_to_all_sessions_that_it_was_asked_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ann has four sessions of a click each: more than the newest that are always told."""
    monkeypatch.setitem(
        traced_shop.LOGS,
        "logs/saturday.ndjson",
        [
            ("ann", item, f"2026-01-03T{hour}:00:00Z")
            for hour, item in (("09", "i3"), ("11", "i1"), ("13", "i2"))
        ],
    )
    cfg = traced_shop.build(tmp_path / "shop", context="window")
    found = tracing.user(cfg, "ann")
    assert found["context"] == "window"
    assert ["".join(step["item_id"] for step in one["steps"]) for one in found["sessions"]] == [
        "i2", "i1", "i3", "i1i2"
    ]  # fmt: skip
    assert [one["is_asked"] for one in found["sessions"]] == [True] * 4
    shorter = cfg.model_copy(update={"sessions": cfg.sessions.model_copy(update={"max_length": 2})})
    asked = [one["is_asked"] for one in tracing.user(shorter, "ann")["sessions"]]
    assert asked == [True, True, True, False], "the newest two events before the last session"
