"""Every line of every log is accepted, refused with a reason, a repetition, or outside the window."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import ConfigurationError, EmptyNightError, FencedError, SourceError, WarehouseError
from tasks.raw import columnar, forgotten, ingestion, lines, preview, sources
from tasks.raw.accounting import Account
from tasks.raw.ingestion import Ingested
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
GOOD = {"user_id": "u", "item_id": "i", "timestamp": "2026-01-05T10:00:00Z"}
TEN = datetime(2026, 1, 5, 10)
MakeConfig = Callable[..., Config]


def ingest(cfg: Config, night: date, run_id: str, attempt: int) -> Ingested:
    return ingestion.ingest(cfg, Store.of(cfg), night, run_id, attempt)


def log(cfg: Config, *entries: bytes | dict[str, Any], name: str = "logs/a.ndjson") -> None:
    path = cfg.base / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        b"\n".join(entry if isinstance(entry, bytes) else json.dumps(entry).encode() for entry in entries)
    )


def rows(cfg: Config, table: str) -> list[dict[str, Any]]:
    files = delta.files(Store.of(cfg), table)
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def accounted(result: Ingested) -> int:
    return sum(result.parts.values())


@pytest.fixture
def lenient(make_config: MakeConfig) -> Config:
    return make_config(events={"max_reject_share": 1.0, "sources": ("logs/*",)})


def test_a_good_line_becomes_a_typed_event(config: Config) -> None:
    log(config, GOOD)
    result = ingest(config, NIGHT, "run", 1)
    (event,) = rows(config, "events")
    assert event.pop("event_id")
    assert event == {
        "user_id": "u",
        "item_id": "i",
        "event_time": datetime(2026, 1, 5, 10),
        "session_id": None,
        "source_file": "logs/a.ndjson",
        "line": 1,
        "tie_break": None,
        "place": 1,
        "event_type": None,
        "weight": 1.0,
        "event_day": NIGHT,
    }
    assert (result.lines, result.accepted, result.days) == (1, 1, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"user_id": "u", "item', "malformed json"),
        (b"\xff\xfe", "invalid utf-8"),
        (b"", "blank line"),
        (b"  \r", "blank line"),
        (b"[1, 2]", "not a json object"),
        ({"item_id": "i", "timestamp": 1767607200}, "missing user"),
        ({**GOOD, "user_id": None}, "missing user"),
        ({**GOOD, "user_id": " "}, "missing user"),
        ({**GOOD, "user_id": 1.5}, "user is neither text nor integer"),
        ({**GOOD, "user_id": ["u"]}, "user is neither text nor integer"),
        ({"user_id": "u", "timestamp": 1767607200}, "missing item"),
        ({**GOOD, "item_id": {"id": 1}}, "item is neither text nor integer"),
        ({"user_id": "u", "item_id": "i"}, "missing timestamp"),
        ({**GOOD, "timestamp": ""}, "missing timestamp"),
        ({**GOOD, "timestamp": "yesterday"}, "bad timestamp"),
        ({**GOOD, "timestamp": "infinity"}, "timestamp out of range"),
        ({**GOOD, "timestamp": "2026-13-01"}, "bad timestamp"),
        ({**GOOD, "timestamp": "2026-01-05 10:00:00 America/Vancouver"}, "bad timestamp"),
        ({**GOOD, "timestamp": "2026-01-05 10:00:00 CET"}, "bad timestamp"),
        ({**GOOD, "timestamp": "2026-01-05T10:00:00+16:00"}, "bad timestamp"),
        ({**GOOD, "timestamp": "2026-01-05T10:00:00+01:60"}, "bad timestamp"),
        ({**GOOD, "timestamp": True}, "bad timestamp"),
        ({**GOOD, "timestamp": -5}, "timestamp out of range"),
        ({**GOOD, "timestamp": "2999-01-01T00:00:00Z"}, "timestamp out of range"),
        ({**GOOD, "timestamp": 1e300}, "timestamp out of range"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_place(
    lenient: Config, line: bytes | dict[str, Any], reason: str
) -> None:
    log(lenient, GOOD, line, GOOD)
    ingest(lenient, NIGHT, "run", 1)
    (reject,) = rows(lenient, "rejects")
    assert (reject["source_file"], reject["line"], reject["reason"]) == ("logs/a.ndjson", 2, reason)


def test_a_refused_line_is_kept_up_to_a_thousand_characters(lenient: Config) -> None:
    log(lenient, GOOD, b"x" * 5000)
    ingest(lenient, NIGHT, "run", 1)
    assert rows(lenient, "rejects")[0]["raw"] == "x" * 1000


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("auto", 1767607200, datetime(2026, 1, 5, 10)),
        ("auto", 1767607200.25, datetime(2026, 1, 5, 10, 0, 0, 250_000)),
        ("auto", 1767607200123, datetime(2026, 1, 5, 10, 0, 0, 123_000)),
        ("auto", 1767607200123456, datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("auto", "1767607200", datetime(2026, 1, 5, 10)),
        ("auto", "2026-01-05T10:00:00+01:00", datetime(2026, 1, 5, 9)),
        ("auto", "2026-01-05T10:00:00+01", datetime(2026, 1, 5, 9)),
        ("auto", "2026-01-05 10:00:00 UTC", datetime(2026, 1, 5, 10)),
        ("auto", " 2026-01-05T10:00 ", datetime(2026, 1, 5, 10)),
        ("auto", "2026-01-05 10:00:00", datetime(2026, 1, 5, 10)),
        ("auto", "2026-01-05", datetime(2026, 1, 5)),
        ("s", 1767607200, datetime(2026, 1, 5, 10)),
        ("ms", 1767607200123, datetime(2026, 1, 5, 10, 0, 0, 123_000)),
        ("us", 1767607200123456, datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("iso", "2026-01-05T10:00:00.5Z", datetime(2026, 1, 5, 10, 0, 0, 500_000)),
        ("iso", "2026-01-05T10:00:00.123456999Z", datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("auto", "2026-01-05T10:00:00+0530", datetime(2026, 1, 5, 4, 30)),
        ("auto", 1767607200123456999, datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("auto", "1767607200123456999.9", datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("ns", "1767607200123456999", datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("ns", 1767607200500000000.0, datetime(2026, 1, 5, 10, 0, 0, 500_000)),
        ("us", 1767607200123456.0, datetime(2026, 1, 5, 10, 0, 0, 123_456)),
        ("s", "1767607200.123456", datetime(2026, 1, 5, 10, 0, 0, 123_456)),
    ],
)
def test_timestamps_of_every_unit(
    make_config: MakeConfig, unit: str, value: object, expected: datetime
) -> None:
    cfg = make_config(events={"timestamp_unit": unit})
    log(cfg, {**GOOD, "timestamp": value})
    ingest(cfg, NIGHT, "run", 1)
    assert [event["event_time"] for event in rows(cfg, "events")] == [expected]


def test_a_text_is_no_timestamp_where_numbers_are_expected(make_config: MakeConfig) -> None:
    cfg = make_config(events={"timestamp_unit": "ms", "max_reject_share": 1.0})
    log(cfg, {**GOOD, "timestamp": 1767607200123}, GOOD)
    ingest(cfg, NIGHT, "run", 1)
    assert [reject["reason"] for reject in rows(cfg, "rejects")] == ["bad timestamp"]


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("%d/%b/%Y:%H:%M:%S %z", "05/Jan/2026:11:00:00 +0100", TEN),
        ("%d/%b/%Y:%H:%M:%S %z", "05/Jan/2026:11:00:00 +01:00", TEN),
        ("%d.%m.%y %H:%M", "5.1.26 10:00", TEN),
        ("%m/%d/%Y %I:%M:%S.%f %p", "01/05/2026 10:00:00.000 AM", TEN),
        ("%Y-%m-%dT%H:%M:%SZ", "2026-01-05T10:00:00Z", TEN),
        ("%Y%m%d", 20260105, datetime(2026, 1, 5)),
        ("%Y%j", "2026005", datetime(2026, 1, 5)),
        ("%d/%m/%Y", "2026-01-05T10:00:00Z", None),
        ("%d/%m/%Y", "1767607200", None),
        ("%d/%m/%Y", "31/02/2026", None),
        ("%d/%m/%Y %H:%M %z", "05/01/2026 10:00 +1600", None),
        ("%d/%m/%Y %H:%M %z", "05/01/2026 10:00 +0160", None),
        ("%d/%m/%Y %H:%M %z", "05/01/2026 10:00 CET", None),
    ],
)
def test_timestamps_of_a_pattern(
    make_config: MakeConfig, pattern: str, value: object, expected: datetime | None
) -> None:
    cfg = make_config(events={"timestamp_format": pattern, "max_reject_share": 1.0, "sources": ("logs/*",)})
    good = TEN.replace(tzinfo=UTC).strftime(pattern)
    log(cfg, {**GOOD, "user_id": "good", "timestamp": good}, {**GOOD, "timestamp": value})
    times = pa.array([type(value)(good), value])
    parquet(cfg, {"user_id": ["good", "v"], "item_id": ["i", "i"], "timestamp": times})
    ingest(cfg, NIGHT, "run", 1)
    found = {event["user_id"]: event["event_time"] for event in rows(cfg, "events")}
    assert (found.get("u"), found.get("v")) == (expected, expected)
    assert [one["reason"] for one in rows(cfg, "rejects")] == ([] if expected else ["bad timestamp"] * 2)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("%d/%m %H:%M", "a year"),
        ("%Y %H:%M", "a day"),
        ("%Y-%m-%d %Z", "known directives; got %Z"),
        ("%s", "known directives; got %s"),
        ("%Y-%m-%d %I:%M", "%p with %I"),
        ("%z %Y-%m-%d", "%z at the very end"),
        ("%Y-%m-%d %", "known directives; got %"),
    ],
)
def test_a_pattern_that_is_no_moment_is_refused(make_config: MakeConfig, pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"timestamp_format: expected .*{said}"):
        make_config(events={"timestamp_format": pattern})


def test_a_pattern_and_a_unit_exclude_each_other(make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="timestamp_unit: expected auto beside timestamp_format; got ms"):
        make_config(events={"timestamp_format": "%Y%m%d", "timestamp_unit": "ms"})


def test_days_are_local_days(make_config: MakeConfig) -> None:
    cfg = make_config(events={"timezone": "Europe/Berlin"})
    log(cfg, {**GOOD, "timestamp": "2026-01-04T23:00:00Z"}, {**GOOD, "timestamp": "2026-01-04T22:59:59Z"})
    ingest(cfg, NIGHT, "run", 1)
    days = {event["event_time"]: event["event_day"] for event in rows(cfg, "events")}
    assert days == {
        datetime(2026, 1, 4, 22, 59, 59): date(2026, 1, 4),
        datetime(2026, 1, 4, 23): NIGHT,
    }


def test_exact_repetitions_are_dropped_and_counted_across_files(config: Config) -> None:
    log(config, GOOD, GOOD, {**GOOD, "item_id": "j"})
    log(config, GOOD, name="logs/b.ndjson")
    result = ingest(config, NIGHT, "run", 1)
    assert (result.lines, result.accepted, result.duplicates) == (4, 2, 2)
    assert {event["source_file"] for event in rows(config, "events")} == {"logs/a.ndjson"}


def test_the_lines_of_each_file_are_accounted_for_by_themselves(lenient: Config) -> None:
    log(lenient, GOOD, GOOD, b"nonsense")
    log(lenient, GOOD, {**GOOD, "user_id": "v"}, {**GOOD, "timestamp": "2020-01-01"}, name="logs/b.ndjson")
    log(lenient, b"user_id,item_id,timestamp", b"w,i,1767607200", name="logs/c.csv")
    assert ingest(lenient, NIGHT, "run", 1).files == {
        "logs/a.ndjson": Account(lines=3, accepted=1, duplicates=1, rejected=1),
        "logs/b.ndjson": Account(lines=3, accepted=1, duplicates=1, outside=1),
        "logs/c.csv": Account(lines=1, accepted=1),
    }


def test_events_outside_the_window_are_counted_and_not_written(config: Config) -> None:
    log(
        config,
        GOOD,
        {**GOOD, "timestamp": "2025-12-30T00:00:00Z"},
        {**GOOD, "timestamp": "2025-12-28T23:59:59Z"},
        {**GOOD, "timestamp": "2026-01-13T00:00:00Z"},
    )
    result = ingest(config, NIGHT, "run", 1)
    assert (result.accepted, result.outside, result.days) == (2, 2, 2)


def test_the_day_before_the_window_is_accepted_too(config: Config) -> None:
    log(config, GOOD, {**GOOD, "timestamp": "2025-12-29T00:00:00Z"})
    result = ingest(config, NIGHT, "run", 1)
    assert (result.accepted, result.outside, result.days) == (2, 0, 2)
    assert {event["event_day"] for event in rows(config, "events")} == {NIGHT, date(2025, 12, 29)}


def test_a_night_run_again_from_the_same_lines_changes_nothing(config: Config) -> None:
    other = {**GOOD, "item_id": "j"}
    log(config, GOOD, other)
    first = ingest(config, NIGHT, "run-1", 1)
    files = delta.files(Store.of(config), "events")
    log(config, GOOD, other, GOOD)
    again = ingest(config, NIGHT, "run-2", 2)
    assert (again.data_digest, again.duplicates) == (first.data_digest, 1)
    assert delta.files(Store.of(config), "events") == files


def test_a_run_that_began_before_another_cannot_overwrite_what_that_one_wrote(config: Config) -> None:
    log(config, GOOD)
    ingest(config, NIGHT, "newer", 2)
    log(config, {**GOOD, "item_id": "read too early"})
    with pytest.raises(FencedError, match=r"to be the newest run .*, number 1; run number 2"):
        ingest(config, NIGHT, "older", 1)
    assert [event["item_id"] for event in rows(config, "events")] == ["i"]


def test_ingesting_takes_no_number_of_its_own(config: Config) -> None:
    log(config, GOOD)
    ingest(config, NIGHT, "run", 1)
    assert not (config.root / "attempts").exists()


def test_a_refused_line_of_a_forgotten_user_is_known_by_its_field_wherever_the_text_is_cut(
    lenient: Config,
) -> None:
    forgotten.add(Store.of(lenient), ["ann-7f3a91"], "forget-1")
    for name, others in (("a", {}), ("b", {"pad": "x" * (1000 - len('{"pad": "", "user_id": "ann-7f'))})):
        log(lenient, GOOD, {**others, "user_id": "ann-7f3a91"}, name=f"logs/{name}.ndjson")
    result = ingest(lenient, NIGHT, "run", 1)
    assert (result.rejected, result.forgotten) == (2, 0)
    assert [one["raw"] for one in rows(lenient, "rejects")] == [forgotten.NOBODY_SAID] * 2


def test_too_many_refused_lines_stop_the_night_but_are_kept(config: Config) -> None:
    log(config, GOOD, b"{", b"{", {**GOOD, "user_id": None})
    with pytest.raises(
        SourceError, match=r"3 of 4 lines .* malformed json: 2 \(first in logs/a.ndjson line 2\)"
    ):
        ingest(config, NIGHT, "run", 1)
    assert len(rows(config, "rejects")) == 3
    assert not rows(config, "events")


def test_a_missing_source_names_folder_and_glob(config: Config) -> None:
    with pytest.raises(SourceError, match=r"logs; there is no such folder \(glob .*logs/\*\.ndjson\)"):
        ingest(config, NIGHT, "run", 1)
    (config.base / "logs").mkdir()
    with pytest.raises(SourceError, match=r"no file there matches \*\.ndjson"):
        ingest(config, NIGHT, "run", 1)


def test_a_night_without_events_is_an_empty_night(config: Config) -> None:
    log(config, {**GOOD, "timestamp": "2026-01-04T10:00:00Z"})
    with pytest.raises(EmptyNightError) as night_says:
        ingest(config, NIGHT, "run", 1)
    assert str(night_says.value) == (
        "night 2026-01-05: expected events of that day (UTC) in logs/*.ndjson; they reach from 2026-01-04 to "
        "2026-01-04; no night can be run before there is a second day; bring the day's logs, or give another "
        "--night"
    )
    assert not rows(config, "events")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Sao_Paulo"])
def test_a_look_and_a_night_say_the_same_of_a_day_without_logs(make_config: MakeConfig, zone: str) -> None:
    """Also of events far outside of the night's days, by the local day of each."""
    cfg = make_config(events={"timezone": zone})
    log(cfg, *({**GOOD, "timestamp": f"{day}T23:30:00Z"} for day in ("2025-03-01", "2025-12-30")))
    said = []
    for tried in (lambda: preview.look(cfg, NIGHT), lambda: ingest(cfg, NIGHT, "run", 1)):
        with pytest.raises(EmptyNightError) as refused:
            tried()
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert f"reach from 2025-03-0{2 if zone == 'Asia/Tokyo' else 1} to 2025-12-3" in said[0]


def test_a_night_of_empty_logs_says_that_no_line_is_usable(config: Config) -> None:
    log(config, b"")
    with pytest.raises(EmptyNightError, match=r"in logs/\*\.ndjson; of 0 lines there none is usable; bring"):
        ingest(config, NIGHT, "run", 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logs/a.ndjson", b'{"user": "u", "item_id": "i", "timestamp": 1767607200}\n'),
        ("logs/a.csv", b"user,item_id,timestamp\nu,i,1767607200\n"),
    ],
)
def test_an_unknown_column_lists_those_that_exist(lenient: Config, name: str, content: bytes) -> None:
    log(lenient, content, name=name)
    with pytest.raises(SourceError, match=r"expected a column 'user_id' .*there are .*user"):
        ingest(lenient, NIGHT, "run", 1)


def test_columns_have_the_configured_names_whatever_is_in_them(make_config: MakeConfig) -> None:
    names = {"user_id": "a/b~c", "item_id": 'quo"te', "timestamp": "t $x", "session_id": "s"}
    cfg = make_config(events={"columns": names})
    log(cfg, {"a/b~c": 1, 'quo"te': "i", "t $x": 1767607200, "s": 7})
    ingest(cfg, NIGHT, "run", 1)
    (event,) = rows(cfg, "events")
    assert (event["user_id"], event["item_id"], event["session_id"]) == ("1", "i", "7")


def test_a_line_without_its_given_session_is_refused(make_config: MakeConfig) -> None:
    cfg = make_config(events={"columns": {"session_id": "s"}, "max_reject_share": 1.0})
    log(cfg, {**GOOD, "s": "x"}, GOOD)
    ingest(cfg, NIGHT, "run", 1)
    assert [reject["reason"] for reject in rows(cfg, "rejects")] == ["missing session"]


def test_compressed_logs_and_byte_order_marks_are_read(lenient: Config) -> None:
    log(lenient, b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), name="logs/a.ndjson")
    (lenient.base / "logs/b.csv.gz").write_bytes(
        gzip.compress(b"user_id,item_id,timestamp\nv,i,1767607200\n")
    )
    result = ingest(lenient, NIGHT, "run", 1)
    assert (result.lines, result.accepted, result.rejected) == (2, 2, 0)


def test_a_damaged_gzip_is_a_source_error(lenient: Config) -> None:
    log(lenient, gzip.compress(b"user_id,item_id,timestamp\n" * 100)[:-9], name="logs/a.csv.gz")
    with pytest.raises(SourceError, match=r"a\.csv\.gz: cannot be read"):
        ingest(lenient, NIGHT, "run", 1)


def test_an_unknown_suffix_is_a_source_error(lenient: Config) -> None:
    log(lenient, GOOD, name="logs/a.xls")
    with pytest.raises(SourceError, match="cannot tell its format"):
        ingest(lenient, NIGHT, "run", 1)


def test_csv_records_may_hold_newlines_and_broken_ones_are_refused(lenient: Config) -> None:
    log(
        lenient,
        b"timestamp,user_id,item_id",
        b'1767607200,u,"two',
        b'lines, ""quoted"""',
        b"1767607201,u,i",
        b"1767607202,u",
        b'1767607203,u,"open',
        b"1767607204,u,j",
        b'1767607205,u,"a"b',
        b"1767607206,\xff,k",
        name="logs/a.csv",
    )
    result = ingest(lenient, NIGHT, "run", 1)
    assert [event["item_id"] for event in rows(lenient, "events")] == ['two\nlines, "quoted"', "i", "j"]
    assert [(reject["line"], reject["reason"]) for reject in rows(lenient, "rejects")] == [
        (5, "wrong number of fields"),
        (6, "unclosed quote"),
        (8, "malformed csv"),
        (9, "invalid utf-8"),
    ]
    assert result.lines == accounted(result) == 7


@pytest.mark.parametrize("content", [b"", b"user_id,item_id,timestamp", b"user_id,item_id,timestamp\n"])
def test_a_csv_without_records_has_no_lines(lenient: Config, content: bytes) -> None:
    log(lenient, GOOD)
    log(lenient, content, name="logs/b.csv")
    assert ingest(lenient, NIGHT, "run", 1).lines == 1


def test_tab_separated_files_are_told_by_their_header(lenient: Config) -> None:
    log(lenient, b"user_id\titem_id\ttimestamp\nu\ti,j\t2026-01-05T10:00:00Z\n", name="logs/a.tsv")
    ingest(lenient, NIGHT, "run", 1)
    assert rows(lenient, "events")[0]["item_id"] == "i,j"


def parquet(cfg: Config, columns: dict[str, pa.Array], name: str = "logs/a.parquet") -> None:
    (cfg.base / "logs").mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), cfg.base / name)


MOMENT = pa.array([datetime(2026, 1, 5, 10), None], pa.timestamp("ms"))


def test_parquet_keeps_integer_ids_and_refuses_rows_by_number(lenient: Config) -> None:
    parquet(
        lenient, {"user_id": pa.array([1, 2], pa.int32()), "item_id": pa.array([7, 8]), "timestamp": MOMENT}
    )
    result = ingest(lenient, NIGHT, "run", 1)
    (event,) = rows(lenient, "events")
    assert (event["user_id"], event["item_id"]) == (1, 7)
    (reject,) = rows(lenient, "rejects")
    assert (reject["line"], reject["reason"]) == (2, "missing timestamp")
    assert "'user': 2" in reject["raw"]
    assert result.lines == accounted(result) == 2


def test_integer_and_text_sources_together_have_text_ids(lenient: Config) -> None:
    parquet(lenient, {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT})
    log(lenient, GOOD)
    ingest(lenient, NIGHT, "run", 1)
    assert {event["user_id"] for event in rows(lenient, "events")} == {"1", "u"}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user_id", pa.array([1.5, 2.5]), "expected 'user_id' to be integer or text; got double"),
        (
            "timestamp",
            pa.array([True, False]),
            "expected 'timestamp' to be a timestamp, number or text; got bool",
        ),
    ],
)
def test_a_parquet_column_of_the_wrong_type_is_a_source_error(
    lenient: Config, column: str, values: pa.Array, message: str
) -> None:
    columns = {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT}
    parquet(lenient, columns | {column: values})
    with pytest.raises(SourceError, match=message):
        ingest(lenient, NIGHT, "run", 1)


def test_a_file_that_is_not_parquet_is_a_source_error(lenient: Config) -> None:
    log(lenient, b"hello", name="logs/a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read"):
        ingest(lenient, NIGHT, "run", 1)


def test_lines_that_appear_while_reading_are_noticed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    log(config, GOOD, GOOD)
    monkeypatch.setattr(sources, "lines_of", lambda _: 1)
    with pytest.raises(SourceError, match="counted 1 lines but read 2"):
        ingest(config, NIGHT, "run", 1)


def numbered(path: Path, size: int) -> list[tuple[int, bytes]]:
    tables = list(lines.numbered(path, block_bytes=size))
    return [(n, raw) for table in tables for n, raw in zip(*table.to_pydict().values(), strict=True)]


def test_blocks_of_any_size_give_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"one\n\nthree is long\r\nfour\rfive")
    expected = [(1, b"one\n"), (2, b"\n"), (3, b"three is long\r\n"), (4, b"four\r"), (5, b"five")]
    for size in range(1, 32):
        assert numbered(path, size) == expected


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc"])).map(b"".join), size=st.integers(1, 9))
def test_lines_end_where_any_system_ends_them(tmp_path: Path, content: bytes, size: int) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(content)
    expected = content.splitlines(keepends=True)
    assert [raw for _, raw in numbered(path, size)] == expected
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "BLOCK_BYTES", size)
        assert lines.count_lines(path) == len(expected)


def test_no_line_is_lost_whatever_ends_it(lenient: Config) -> None:
    for number, end in enumerate([b"\n", b"\r\n", b"\r"]):
        ndjson = [
            b'{"user_id":"%d.%d","item_id":"i","timestamp":1767607200}' % (number, n) for n in range(999)
        ]
        csv = [b"user_id,item_id,timestamp", *[b"u%d.%d,i,1767607200" % (number, n) for n in range(999)]]
        log(lenient, end.join(ndjson) + end, name=f"logs/{number}.ndjson")
        log(lenient, end.join(csv) + end, name=f"logs/{number}.csv")
    result = ingest(lenient, NIGHT, "run", 1)
    assert (result.lines, result.accepted) == (6 * 999, 6 * 999)


def test_a_quoted_field_keeps_its_own_line_ends(lenient: Config) -> None:
    log(lenient, b'user_id,item_id,timestamp\ru,"a\rb\r\nc",1767607200\rv,d,1767607201\r', name="logs/a.csv")
    result = ingest(lenient, NIGHT, "run", 1)
    assert [event["item_id"] for event in rows(lenient, "events")] == ["a\rb\r\nc", "d"]
    assert result.lines == 2


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


@pytest.mark.parametrize(("packed", "suffix"), [(gzip.compress, "gz"), (zstd, "zst")])
def test_a_file_is_packed_if_it_begins_as_such_files_do(
    lenient: Config, packed: Callable[[bytes], bytes], suffix: str
) -> None:
    for name in (f"a.ndjson.{suffix}", f"b.ndjson.{suffix.upper()}", "d.ndjson"):
        log(lenient, packed(json.dumps({**GOOD, "user_id": name}).encode()), name=f"logs/{name}")
    log(lenient, GOOD, name=f"logs/e.ndjson.{suffix}")
    two = [packed(json.dumps({**GOOD, "user_id": part}).encode() + b"\n") for part in "xy"]
    log(lenient, b"".join(two), name=f"logs/f.ndjson.{suffix}")
    assert ingest(lenient, NIGHT, "run", 1).accepted == 6
    assert preview.look(lenient, None).all.days == {NIGHT: 6}


@pytest.mark.parametrize("packed", [gzip.compress, zstd])
def test_a_packed_file_that_is_cut_anywhere_is_a_source_error(
    lenient: Config, packed: Callable[[bytes], bytes]
) -> None:
    whole = packed(b"".join(json.dumps({**GOOD, "item_id": n}).encode() + b"\n" for n in range(200)))
    for length in range(4, len(whole)):
        log(lenient, whole[:length])
        with pytest.raises(SourceError, match=r"a\.ndjson: cannot be read"):
            lines.count_lines(lenient.base / "logs/a.ndjson")


@pytest.mark.parametrize(
    ("encoding", "called"),
    [("utf-16", "utf-16"), ("utf-16-be", "utf-16"), ("utf-32", "utf-32"), ("utf-32-be", "utf-32")],
)
def test_another_encoding_is_refused_by_the_files_name_with_what_converts_it(
    tmp_path: Path, encoding: str, called: str
) -> None:
    path = tmp_path / "a.csv"
    text = ("\ufeff" if encoding.endswith("be") else "") + "user_id,item_id,timestamp\nu,i,1767607200\n"
    path.write_bytes(text.encode(encoding))
    says = rf"a\.csv: expected UTF-8; got {called.upper()}; convert it, as with iconv -f {called} -t utf-8"
    with pytest.raises(SourceError, match=says):
        lines.count_lines(path)


LONGER = "x" * (lines.LONGEST_LINE_BYTES + 1)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_that_is_too_long_is_one_refused_line(lenient: Config, end: bytes) -> None:
    good = json.dumps(GOOD).encode()
    ndjson = [good, json.dumps({**GOOD, "page": LONGER}).encode(), good, json.dumps(LONGER * 3).encode()]
    log(lenient, end.join(ndjson), name="logs/a.ndjson")
    csv = [
        b"user_id,item_id,timestamp",
        b"u,i,1767607200",
        b"u," + LONGER.encode() + b",0",
        b"v,i,1767607201",
    ]
    log(lenient, end.join([*csv, b'v,"' + LONGER.encode() + b'",0']), name="logs/b.csv")
    result = ingest(lenient, NIGHT, "run", 1)
    assert (result.lines, result.rejected) == (4 + 4, 4)
    assert [(one["source_file"], one["line"], one["reason"]) for one in rows(lenient, "rejects")] == [
        ("logs/a.ndjson", 2, "line too long"),
        ("logs/a.ndjson", 4, "line too long"),
        ("logs/b.csv", 3, "line too long"),
        ("logs/b.csv", 5, "line too long"),
    ]
    assert all(len(one["raw"]) <= 1000 for one in rows(lenient, "rejects"))


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("block_bytes", [1, 7, 64])
def test_a_long_line_is_cut_and_no_other_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes, block_bytes: int
) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE_BYTES", 10)
    path = tmp_path / "a.ndjson"
    parts = [b"", b"a" * 9, b"", b"b" * 10, b"c" * 11, b"d" * 40, b"e" * 9, b"", b"f" * 90, b"g" * 10]
    path.write_bytes(end.join(parts))
    found = [raw for table in lines.numbered(path, block_bytes) for raw in table["raw"].to_pylist()]
    assert [raw.rstrip(b"\r\n") for raw in found[:-1]] == [part[:10] for part in parts[:-1]]
    assert found[-1] == parts[-1]
    assert lines.count_lines(path) == len(parts)
    assert [len(raw) > 10 for raw in found[:-1]] == [len(part + end) > 10 for part in parts[:-1]]


def test_ids_that_are_too_long_refuse_their_line_in_every_format(lenient: Config) -> None:
    long, longest = "ü" * 1025, "ü" * 1024
    log(lenient, GOOD, {**GOOD, "user_id": longest}, {**GOOD, "user_id": long}, name="logs/a.ndjson")
    log(lenient, f"user_id,item_id,timestamp\nu,{longest},1767607200\nu,{long},1767607200\n".encode(),
        name="logs/b.csv")  # fmt: skip
    table = pa.table({"user_id": ["u", long], "item_id": ["i", "i"], "timestamp": [1767607200, 1767607200]})
    pq.write_table(table, lenient.base / "logs" / "c.parquet")
    ingest(lenient, NIGHT, "run", 1)
    assert [(one["source_file"], one["line"], one["reason"]) for one in rows(lenient, "rejects")] == [
        ("logs/a.ndjson", 3, "user id too long"),
        ("logs/b.csv", 3, "item id too long"),
        ("logs/c.parquet", 2, "user id too long"),
    ]


def test_a_key_that_stands_twice_refuses_its_line(lenient: Config) -> None:
    log(
        lenient,
        GOOD,
        b'{"user_id": "u", "user_id": "v", "item_id": "i", "timestamp": 1767607200}',
        b'{"user_id": "u", "item_id": "i", "timestamp": 1767607200, "item\\u005fid": "i"}',
        b'{"timestamp": 0, "user_id": "u", "item_id": "i", "timestamp": 1767607200}',
    )
    ingest(lenient, NIGHT, "run", 1)
    assert [(one["line"], one["reason"]) for one in rows(lenient, "rejects")] == [
        (line, "repeated key") for line in (2, 3, 4)
    ]


def test_a_key_of_no_column_may_stand_twice_and_deeper_ones_are_others(lenient: Config) -> None:
    log(
        lenient,
        b'{"user_id": "u", "item_id": "i", "timestamp": 1767607200, "x": 1, "x": {"user_id": "v"}}',
    )
    assert ingest(lenient, NIGHT, "run", 1).accepted == 1


def test_two_columns_of_one_name_are_refused_by_the_files_name(lenient: Config) -> None:
    log(lenient, b"user_id,item_id,timestamp,x,x, user_id\nu,i,1767607200,1,2,v\n", name="logs/a.csv")
    with pytest.raises(SourceError, match=r"logs/a\.csv: expected one column 'user_id' .* got 2; rename"):
        ingest(lenient, NIGHT, "run", 1)
    (lenient.base / "logs/a.csv").unlink()
    names = ["user_id", "item_id", "timestamp", "item_id"]
    pq.write_table(
        pa.table([pa.array([1]), pa.array([2]), MOMENT[:1], pa.array([3])], names),
        lenient.base / "logs/a.parquet",
    )
    with pytest.raises(SourceError, match=r"logs/a\.parquet: expected one column 'item_id' .* got 2; rename"):
        ingest(lenient, NIGHT, "run", 1)


def test_two_columns_of_one_name_that_nobody_asks_for_are_read_past(lenient: Config) -> None:
    log(lenient, b"user_id,item_id,timestamp,x,x\nu,i,1767607200,1,2\n", name="logs/a.csv")
    assert ingest(lenient, NIGHT, "run", 1).accepted == 1


def test_a_file_that_is_refused_by_more_than_is_borne_of_all_is_named_though_the_night_goes_on(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(events={"max_reject_share": 0.05, "sources": ("logs/*",)})
    good = [GOOD | {"user_id": f"u{number}"} for number in range(2000)]
    log(config, *good, name="logs/old.ndjson")
    log(config, *good[:75], *[GOOD | {"timestamp": "late"}] * 25, name="logs/new.ndjson")
    log(config, GOOD | {"timestamp": "late"}, GOOD, name="logs/few.ndjson")
    assert ingest(config, NIGHT, "run", 1).rejected == 26
    (said,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert said.startswith(
        "logs/new.ndjson: more than events.max_reject_share = 0.05 of its lines are refused"
    )
    assert "bad timestamp: 25 (first in logs/new.ndjson line 76)" in said


def test_a_file_without_a_usable_line_stops_the_night_by_name(make_config: MakeConfig) -> None:
    cfg = make_config(events={"sources": ("logs/*",)})
    log(cfg, *[{**GOOD, "item_id": str(n)} for n in range(1_000)])
    log(cfg, b"BZh9\xff packed in another way", b"\x00", name="logs/b.ndjson")
    with pytest.raises(
        SourceError,
        match=r"logs/b\.ndjson: expected a usable line .* got none: invalid utf-8: 1 .* move it out",
    ):
        ingest(cfg, NIGHT, "run", 1)
    assert [one["source_file"] for one in rows(cfg, "rejects")] == ["logs/b.ndjson"] * 2
    assert not rows(cfg, "events")


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_hour_without_an_event_is_no_error(lenient: Config, content: bytes) -> None:
    log(lenient, GOOD)
    log(lenient, content, name="logs/b.ndjson")
    assert ingest(lenient, NIGHT, "run", 1).accepted == 1


def test_lines_of_another_day_or_seen_before_are_usable(lenient: Config) -> None:
    log(lenient, GOOD)
    log(lenient, GOOD, {**GOOD, "timestamp": "2020-01-01T00:00:00Z"}, name="logs/b.ndjson")
    result = ingest(lenient, NIGHT, "run", 1)
    assert (result.accepted, result.duplicates, result.outside) == (1, 1, 1)


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(config, GOOD, GOOD)
    identities = iter([(1, 1), (1, 2)])
    monkeypatch.setattr(sources, "identity", lambda _: next(identities))
    with pytest.raises(SourceError, match=r"a\.ndjson: written to or replaced while it was read"):
        ingest(config, NIGHT, "run", 1)


def test_a_file_that_is_written_to_while_it_is_read_is_noticed_though_it_has_as_many_lines(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(config, GOOD, GOOD)
    pieces = sources.pieces

    def rewritten(*args: Any) -> Any:
        yield from pieces(*args)
        log(config, GOOD, {**GOOD, "user_id": "v"})

    monkeypatch.setattr(sources, "pieces", rewritten)
    with pytest.raises(SourceError, match=r"a\.ndjson: written to or replaced while it was read"):
        ingest(config, NIGHT, "run", 1)


def test_each_raw_file_is_kept_with_the_digest_of_its_stored_bytes_its_length_and_its_lines(
    lenient: Config,
) -> None:
    log(lenient, GOOD, b"nonsense")
    log(lenient, {**GOOD, "timestamp": "2020-01-01T00:00:00Z"}, name="logs/old.ndjson")
    log(lenient, name="logs/silent.ndjson")
    (lenient.base / "logs/packed.ndjson.gz").write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    parquet(lenient, {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT})
    found = ingest(lenient, NIGHT, "run", 1).sources
    stored = {name: (lenient.base / name).read_bytes() for name in found}
    assert {name: (one.sha256, one.bytes) for name, one in found.items()} == {
        name: (hashlib.sha256(content).hexdigest(), len(content)) for name, content in stored.items()
    }
    assert {name.removeprefix("logs/"): one.lines for name, one in found.items()} == {
        "a.ndjson": 2, "a.parquet": 2, "old.ndjson": 1, "packed.ndjson.gz": 1, "silent.ndjson": 0,
    }  # fmt: skip


def test_rows_of_parquet_are_counted_against_the_footer(
    lenient: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(lenient, {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT})
    whole = columnar.pieces
    monkeypatch.setattr(columnar, "pieces", lambda *args: (table.slice(1) for table in whole(*args)))
    with pytest.raises(SourceError, match=r"a\.parquet: counted 2 lines but read 1"):
        ingest(lenient, NIGHT, "run", 1)


def test_times_of_every_parquet_type(lenient: Config) -> None:
    times = [
        pa.array([TEN], pa.timestamp("ns", "Europe/Berlin")),  # as pandas writes it
        pa.array([TEN], pa.timestamp("us", "UTC")),
        pa.array([TEN], pa.timestamp("ms", "America/Vancouver")),
        pa.array([TEN], pa.timestamp("ns")),
        pa.array([1767607200]),
        pa.array([1767607200.0], pa.float64()),
        pa.array([Decimal("1767607200.000")], pa.decimal128(20, 3)),
        pa.array(["2026-01-05T10:00:00Z"]).dictionary_encode(),
        pa.array(["2026-01-05T11:00:00+01:00"], pa.large_string()),
        pa.array([1767607200_000000999], pa.int64()),
        pa.array([1767607200_000000999], pa.uint64()),
        pa.array([Decimal(1767607200_000000999)], pa.decimal128(20, 0)),
        pa.array(["2026-01-05T10:00:00Z"], pa.string_view()),
    ]
    for user, moments in enumerate(times):
        columns = {"user_id": pa.array([user]), "item_id": pa.array([7]), "timestamp": moments}
        parquet(lenient, columns, name=f"logs/{user}.parquet")
    ingest(lenient, NIGHT, "run", 1)
    found = {event["user_id"]: event["event_time"] for event in rows(lenient, "events")}
    assert found == dict.fromkeys(range(len(times)), TEN)


INTEGERS = (pa.int8, pa.int16, pa.int32, pa.int64, pa.uint8, pa.uint16, pa.uint32, pa.uint64)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (
            [
                pa.array(["u"]).dictionary_encode(),
                pa.array(["v"], pa.large_string()),
                pa.array(["w"], pa.string_view()),
                pa.array([UUID(int=7).bytes], pa.uuid()),
            ],
            {"u", "v", "w", "00000000-0000-0000-0000-000000000007"},
        ),
        (
            [
                *(pa.array([n], kind()) for n, kind in enumerate(INTEGERS)),
                pa.array([2**63 - 1], pa.uint64()),
                pa.array([-(2**63)], pa.int64()),
                pa.array([50], pa.uint16()).dictionary_encode(),
                pa.array([Decimal(60)], pa.decimal128(20, 0)),
                pa.array([Decimal(70)], pa.decimal256(50, 0)),
            ],
            {*range(len(INTEGERS)), 2**63 - 1, -(2**63), 50, 60, 70},
        ),
    ],
    ids=["text", "integers"],
)
def test_ids_of_every_parquet_type(lenient: Config, ids: list[pa.Array], expected: set[object]) -> None:
    for number, one in enumerate(ids):
        columns = {"user_id": one, "item_id": one, "timestamp": pa.array([TEN], pa.timestamp("us"))}
        parquet(lenient, columns, name=f"logs/{number}.parquet")
    ingest(lenient, NIGHT, "run", 1)
    assert {event["user_id"] for event in rows(lenient, "events")} == expected
    assert {event["item_id"] for event in rows(lenient, "events")} == expected


def test_a_parquet_time_too_far_away_is_out_of_range(lenient: Config) -> None:
    moments = pa.array([1767607200000, 2**62, -(2**62)], pa.int64()).cast(pa.timestamp("ms"))
    ids = pa.array([1, 2, 3])
    parquet(lenient, {"user_id": ids, "item_id": ids, "timestamp": moments})
    ingest(lenient, NIGHT, "run", 1)
    refused = [(one["line"], one["reason"]) for one in rows(lenient, "rejects")]
    assert refused == [(2, "timestamp out of range"), (3, "timestamp out of range")]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "got none: user id too large: 1"),
        (pa.array([Decimal(10**30)], pa.decimal128(38, 0)), "got none: user id too large: 1"),
        (pa.array([b"\xff"]).view(pa.string()), "a.parquet: cannot be read: .*UTF8"),
    ],
)
def test_ids_that_do_not_fit_are_refused_by_the_files_name(
    lenient: Config, ids: pa.Array, message: str
) -> None:
    moments = pa.array([TEN], pa.timestamp("us"))
    parquet(lenient, {"user_id": ids, "item_id": pa.array([1]), "timestamp": moments})
    with pytest.raises(SourceError, match=message):
        ingest(lenient, NIGHT, "run", 1)


def test_an_unsigned_id_beyond_a_bigint_refuses_its_row_and_never_wraps(lenient: Config) -> None:
    users = pa.array([7, 2**63, 2**64 - 1, None], pa.uint64())
    items = pa.array([Decimal(7), Decimal(8), Decimal(9), Decimal(10)], pa.decimal128(38, 0))
    parquet(lenient, {"user_id": users, "item_id": items, "timestamp": pa.array([TEN] * 4)})
    ingest(lenient, NIGHT, "run", 1)
    assert [(event["user_id"], event["item_id"]) for event in rows(lenient, "events")] == [(7, 7)]
    refused = rows(lenient, "rejects")
    assert [(one["line"], one["reason"]) for one in refused] == [
        (2, "user id too large"),
        (3, "user id too large"),
        (4, "missing user"),
    ]
    assert "'user': 18446744073709551615" in refused[1]["raw"]


def test_a_page_that_is_not_what_its_checksum_says_is_refused(lenient: Config) -> None:
    path = lenient.base / "logs/a.parquet"
    path.parent.mkdir()
    ids = pa.array(range(1_000))
    moments = pa.array([TEN] * 1_000, pa.timestamp("us"))
    table = pa.table({"user_id": ids, "item_id": ids, "timestamp": moments})
    pq.write_table(
        table,
        path,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
        write_statistics=False,
    )
    content = bytearray(path.read_bytes())
    place = content.index((500).to_bytes(8, "little"))
    content[place] ^= 1  # user 500 would be user 501
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read: .*CRC"):
        ingest(lenient, NIGHT, "run", 1)


def test_another_type_of_ids_is_refused_before_anything_is_written(lenient: Config) -> None:
    parquet(lenient, {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT})
    ingest(lenient, NIGHT, "run", 1)
    log(lenient, GOOD)
    before = delta.version(Store.of(lenient), "rejects")
    with pytest.raises(WarehouseError, match=r"user_id: expected BIGINT, .* has VARCHAR: .* new warehouse"):
        ingest(lenient, NIGHT, "run", 2)
    assert delta.version(Store.of(lenient), "rejects") == before


def test_integers_are_text_where_the_warehouse_has_text(lenient: Config) -> None:
    """As they are in a night that reads both."""
    log(lenient, GOOD)
    ingest(lenient, NIGHT, "run", 1)
    (lenient.base / "logs/a.ndjson").unlink()
    parquet(lenient, {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT})
    assert ingest(lenient, NIGHT, "run", 2).accepted == 1
    assert {event["user_id"] for event in rows(lenient, "events")} == {"u", "1"}


def test_the_first_source_with_text_ids_is_named_and_csv_is_said_to_be_text(lenient: Config) -> None:
    cfg = lenient
    parquet(cfg, {"user_id": pa.array([1, 2]), "item_id": pa.array([7, 8]), "timestamp": MOMENT})
    ingest(cfg, NIGHT, "run", 1)
    for name in ("b", "c"):
        (cfg.base / f"logs/{name}.csv").write_text("user_id,item_id,timestamp\n3,9,2026-01-02\n")
    with pytest.raises(
        WarehouseError,
        match=r"user_id: expected BIGINT, .* logs/b\.csv has VARCHAR: ids in CSV .* are text.*Parquet",
    ):
        ingest(cfg, NIGHT, "run", 2)
    for path in (cfg.base / "logs").iterdir():
        path.unlink()
    parquet(cfg, {"user_id": pa.array([1, 2]), "item_id": pa.array(["i", "j"]), "timestamp": MOMENT})
    with pytest.raises(WarehouseError, match=r"item_id: expected BIGINT, .*\.parquet has VARCHAR; write"):
        ingest(cfg, NIGHT, "run", 2)


def test_another_zone_is_refused_before_anything_is_written(make_config: MakeConfig) -> None:
    berlin, london = (make_config(events={"timezone": zone}) for zone in ("Europe/Berlin", "Europe/London"))
    log(berlin, GOOD)
    ingest(berlin, NIGHT, "run", 1)
    before = delta.version(Store.of(berlin), "rejects")
    with pytest.raises(
        ConfigurationError, match=r"events\.timezone: expected 'Europe/Berlin', .* set it back"
    ):
        ingest(london, NIGHT, "run", 2)
    assert delta.version(Store.of(berlin), "rejects") == before
    assert ingest(berlin, NIGHT, "run", 3).events.rows == 1


def test_another_name_of_the_same_zone_is_the_same_zone(make_config: MakeConfig) -> None:
    log(make_config(), GOOD)
    ingest(make_config(), NIGHT, "run", 1)
    assert ingest(make_config(events={"timezone": "Etc/UTC"}), NIGHT, "run", 2).accepted == 1


def test_a_warehouse_without_a_zone_takes_that_of_the_next_night(make_config: MakeConfig) -> None:
    cfg = make_config(events={"timezone": "Europe/Berlin"})
    log(cfg, GOOD)
    ingest(cfg, NIGHT, "run", 1)
    (cfg.root / "timezone").unlink()
    ingest(cfg, NIGHT, "run", 2)
    assert (cfg.root / "timezone").read_text() == "Europe/Berlin\n"


PIECES = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b'"',
        b",",
        b"\xff",
        b"\x00",
        b"{",
        b"}",
        b"\xef\xbb\xbf",
        b"user_id,item_id,timestamp\n",
        json.dumps(GOOD).encode() + b"\n",
        b"u,i,1767607200\n",
        b'u,"i\ni",1767607200\n',
        b'{"user_id":"\\u0000"}\n',
    ]
)
WILD = st.lists(PIECES | st.binary(max_size=8), max_size=30).map(b"".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ndjson=WILD, csv=WILD)
def test_whatever_the_bytes_every_line_is_accounted_for(
    make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory, ndjson: bytes, csv: bytes
) -> None:
    base = tmp_path_factory.mktemp("wild")
    cfg = make_config(events={"max_reject_share": 1.0, "sources": ("logs/*",)}).model_copy(
        update={"base": base}
    )
    log(cfg, json.dumps(GOOD).encode() + b"\n" + ndjson)
    log(cfg, b"user_id,item_id,timestamp\nu,i,1767607200\n" + csv, name="logs/b.csv")
    result = ingest(cfg, NIGHT, "run", 1)
    whole = (cfg.base / "logs/a.ndjson").read_bytes()
    ndjson_lines = len(whole.splitlines())
    csv_lines = 1 + len(csv.splitlines())
    assert result.lines == accounted(result)
    assert ndjson_lines <= result.lines <= ndjson_lines + csv_lines
    assert len(rows(cfg, "rejects")) == result.rejected
    assert len(rows(cfg, "events")) == result.accepted


@pytest.mark.slow
@pytest.mark.data
def test_three_million_news_clicks_are_accounted_for(
    make_config: MakeConfig, real_data: Callable[[str], Path]
) -> None:
    path = str(real_data("globo_clicks.parquet"))
    cfg = make_config(events={"sources": (path,)}, warehouse={"memory_gb": 4.0})
    result = ingest(cfg, date(2017, 10, 10), "run", 1)
    assert result.lines == accounted(result) == 2_988_181
    assert (result.rejected, result.duplicates, result.days) == (0, 0, 8)
