"""A preview says what a night would make of the logs, by their heads and tails."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from past_events import with_later_columns

from tasks.errors import EmptyNightError, SourceError, WarehouseError
from tasks.raw import ingestion, preview, samples
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

FIRST = datetime(2026, 1, 2, 11, 30)  # half past midnight of the 3rd in Auckland


def rows(n: int = 3) -> list[dict[str, Any]]:
    """One event a day, from 2 January 2026 on."""
    return [
        {"user_id": f"u{i}", "item_id": f"i{i}", "timestamp": FIRST + timedelta(days=i)} for i in range(n)
    ]


def ndjson(path: Path, found: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(one, default=str) + "\n" for one in found)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def csv(path: Path, found: list[dict[str, Any]]) -> None:
    lines = ["user_id,item_id,timestamp", *(",".join(map(str, one.values())) for one in found)]
    path.write_text("\n".join(lines) + "\n")


def parquet(path: Path, found: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(found), path, row_group_size=700)


FORMATS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "a.ndjson": ndjson,
    "a.ndjson.gz": ndjson,
    "a.csv": csv,
    "a.parquet": parquet,
}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def reading(make_config: Callable[..., Config], **events: Any) -> Config:
    return make_config(events={"sources": ["logs/*"]} | events)


@pytest.mark.parametrize("name", FORMATS)
def test_events_are_shown_as_they_would_be_kept_with_their_local_day(
    name: str, logs: Path, make_config: Callable[..., Config]
) -> None:
    FORMATS[name](logs / name, rows(4))
    found = preview.look(reading(make_config, timezone="Pacific/Auckland"), date(2026, 1, 5))
    first = found.all.examples[0]
    assert (first.user_id, first.item_id, first.session_id) == ("u0", "i0", None)
    assert (first.event_time, first.event_day) == (FIRST, date(2026, 1, 3))
    assert len(found.all.examples) == 3
    assert (found.all.first, found.all.last) == (FIRST, FIRST + timedelta(days=3))


@pytest.mark.parametrize("name", FORMATS)
def test_the_tail_of_a_long_file_is_seen_without_its_middle(
    name: str, logs: Path, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "HEAD_BYTES", 2_000)
    FORMATS[name](logs / name, rows(3_000))
    found = preview.look(reading(make_config), None)
    assert (found.all.first, found.all.last) == (FIRST, FIRST + timedelta(days=2_999))
    assert found.all.days.total() < 2_500
    assert not found.all.refused


@pytest.mark.parametrize("name", FORMATS)
def test_every_wrong_column_is_told_at_once_with_a_guess(
    name: str, logs: Path, make_config: Callable[..., Config]
) -> None:
    FORMATS[name](logs / name, rows())
    columns = {"user_id": "userid", "item_id": "product", "timestamp": "when"}
    with pytest.raises(SourceError) as refused:
        preview.look(reading(make_config, columns=columns), None)
    told = str(refused.value).splitlines()
    assert told[0] == "3 wrong column(s) in [events.columns]"
    assert [line.split("; ")[-1] for line in told[1:]] == [
        "did you mean user_id = 'user_id'?",
        "did you mean item_id = 'item_id'?",
        "did you mean timestamp = 'timestamp'?",
    ]


def test_a_column_is_guessed_by_what_people_call_it(logs: Path, make_config: Callable[..., Config]) -> None:
    (logs / "a.csv").write_text("visitorid,product_sku,ts\nu,i,2026-01-02\n")
    with pytest.raises(SourceError) as refused:
        preview.look(reading(make_config), None)
    assert [line.split("did you mean ")[1] for line in str(refused.value).splitlines()[1:]] == [
        "user_id = 'visitorid'?",
        "item_id = 'product_sku'?",
        "timestamp = 'ts'?",
    ]


@pytest.mark.parametrize(
    ("header", "guesses"),
    [
        ("visitor,article,clicked_at,sid", ["visitor", "article", "clicked_at"]),
        ("customerNumber,movieId,eventTime", ["customerNumber", "movieId", "eventTime"]),
        ("usr_id,itemid,time_stamp", ["usr_id", "itemid", "time_stamp"]),
        ("sid,item_id,timestamp", []),
        ("user_session,item_id,timestamp", []),
        ("user_agent,site_id,products_sold", []),
    ],
)
def test_a_column_that_may_be_something_else_is_not_guessed(
    header: str, guesses: list[str], logs: Path, make_config: Callable[..., Config]
) -> None:
    (logs / "a.csv").write_text(f"{header}\n")
    with pytest.raises(SourceError) as refused:
        preview.look(reading(make_config), None)
    assert re.findall(r"did you mean \w+ = '(\w+)'\?", str(refused.value)) == guesses


def test_an_objects_key_is_guessed_and_not_the_object(logs: Path, make_config: Callable[..., Config]) -> None:
    ndjson(logs / "a.ndjson", [{"user": {"id": "u", "name": "n"}, "item_id": "i", "timestamp": 1767607200}])
    with pytest.raises(SourceError, match=r"there are .*user, user.id, .*did you mean user_id = 'user.id'\?"):
        preview.look(reading(make_config), None)


def test_lines_without_a_user_are_refused_with_what_sessions_would_do(
    logs: Path, make_config: Callable[..., Config]
) -> None:
    ndjson(logs / "a.ndjson", [{**one, "user_id": None, "sid": "s"} for one in rows(5)] + rows(5))
    cfg = reading(make_config)
    for asked in (
        lambda: preview.look(cfg, None),
        lambda: ingestion.ingest(cfg, Store.of(cfg), date(2026, 1, 2), "run", 1),
    ):
        with pytest.raises(SourceError, match=r"missing user: 5 .*events\.columns\.session_id takes lines"):
            asked()
    given = reading(make_config, columns={"session_id": "sid"}, max_reject_share=1.0)
    assert not preview.look(given, None).all.refused["missing user"]


@pytest.mark.parametrize("night", [date(2026, 1, 1), date(2026, 1, 5)])
def test_a_night_outside_of_the_logs_is_refused_with_the_days_that_there_are(
    night: date, logs: Path, make_config: Callable[..., Config]
) -> None:
    ndjson(logs / "a.ndjson", rows())
    with pytest.raises(EmptyNightError, match="reach from 2026-01-02 to 2026-01-04; nights from 2026-01-03"):
        preview.look(reading(make_config), night)


def test_the_first_day_of_the_logs_has_nothing_to_learn_from(
    logs: Path, make_config: Callable[..., Config]
) -> None:
    ndjson(logs / "a.ndjson", rows())
    with pytest.raises(EmptyNightError, match="expected events of earlier days"):
        preview.look(reading(make_config), date(2026, 1, 2))


def test_a_night_hidden_in_the_middle_of_an_unsorted_file_is_found(
    logs: Path, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "HEAD_BYTES", 500)
    early, late = rows(2)[0], rows(2)[1]
    ndjson(logs / "a.ndjson", [early] * 50 + [late] + [early] * 50)
    assert preview.look(reading(make_config), date(2026, 1, 3)).all.days[date(2026, 1, 3)] == 0


def test_days_of_the_window_without_logs_are_named(logs: Path, make_config: Callable[..., Config]) -> None:
    for number in (0, 2, 3):
        ndjson(logs / f"{number}.ndjson", rows(4)[number : number + 1])
    cfg = make_config(events={"sources": ["logs/*"]}, sessions={"window_days": 3})
    assert preview.look(cfg, date(2026, 1, 5)).gaps == (date(2026, 1, 3),)


def test_logs_without_one_usable_line_are_refused_with_one_of_them(
    logs: Path, make_config: Callable[..., Config]
) -> None:
    (logs / "a.ndjson").write_text('{"user_id": "u", "item_id": "i", "timestamp": "tomorrow"}\n' * 9)
    with pytest.raises(SourceError, match=r"not one of 9 lines .*bad timestamp.*tomorrow"):
        preview.look(reading(make_config), None)


@pytest.mark.parametrize(("wrong", "bearable"), [(50, True), (51, False)])
def test_more_refused_lines_than_a_night_bears_are_refused_by_the_look_too(
    logs: Path, make_config: Callable[..., Config], wrong: int, bearable: bool
) -> None:
    found = [one | {"timestamp": FIRST} for one in rows(950)]
    ndjson(logs / "a.ndjson", found + [one | {"timestamp": "tomorrow"} for one in found[:wrong]])
    cfg = reading(make_config)
    if bearable:
        assert preview.look(cfg, None).all.refused.total() == 50
        return
    with pytest.raises(SourceError, match=r"51 of 1,001 lines would be refused, .*= 0\.05: .*tomorrow"):
        preview.look(cfg, None)


def test_ids_of_another_type_than_the_warehouse_has_are_refused_before_a_night_is(
    logs: Path, make_config: Callable[..., Config]
) -> None:
    cfg = reading(make_config)
    parquet(logs / "a.parquet", rows())
    event = {
        "event_id": "e",
        "user_id": 1,
        "item_id": 1,
        "event_time": FIRST,
        "session_id": "s",
        "source_file": "a",
    }
    events = with_later_columns(pa.Table.from_pylist([event]))
    delta.replace_partition(Store.of(cfg), "events", events, {"event_day": FIRST.date()}, "r", 1)
    with pytest.raises(WarehouseError, match="user_id: expected BIGINT"):
        preview.look(cfg, None)


def test_a_file_that_cannot_be_read_and_a_column_that_is_there_twice_are_refused(
    logs: Path, make_config: Callable[..., Config]
) -> None:
    (logs / "a.csv").write_text("user_id,item_id,timestamp,item_id\n")
    with pytest.raises(SourceError, match=r"item_id: expected one column 'item_id' in logs/a\.csv"):
        preview.look(reading(make_config), None)
    (logs / "a.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(SourceError, match=r"a\.parquet.*cannot be read"):
        preview.look(reading(make_config), None)


def test_empty_files_are_no_logs(logs: Path, make_config: Callable[..., Config]) -> None:
    (logs / "a.ndjson").touch()
    with pytest.raises(SourceError, match="every file is empty"):
        preview.look(reading(make_config), None)


def test_logs_that_nights_have_taken_in_may_be_gone(logs: Path, make_config: Callable[..., Config]) -> None:
    """As a night bears it: what its window wants is in the table."""
    cfg, night = make_config(sessions={"window_days": 2}), date(2026, 1, 4)
    ndjson(logs / "a.ndjson", rows())
    ingestion.ingest(cfg, Store.of(cfg), night, "run", 1)
    (logs / "a.ndjson").unlink()
    seen = preview.look(cfg, night)
    assert (seen.files, seen.gaps) == ((), ())
    ndjson(logs / "b.ndjson", [{**rows()[0], "timestamp": "2026-01-05T12:00:00"}])
    assert preview.look(cfg, night + timedelta(days=1)).gaps == ()
    with pytest.raises(EmptyNightError):
        preview.look(cfg, night + timedelta(days=2))
