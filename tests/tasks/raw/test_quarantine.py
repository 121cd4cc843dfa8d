"""A file that cannot be taken is put aside by name, and the night is as if it were not there."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import cli
from flows.terminal.refusals import told
from tasks.errors import EmptyNightError, SourceError, WarehouseError
from tasks.publishing import forgetting, status
from tasks.raw import ingestion, log_files, preview, refused, sources
from tasks.raw.accounting import Account
from tasks.raw.ingestion import Ingested
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
GOOD = {"user_id": "u", "item_id": "i", "timestamp": "2026-01-05T10:00:00Z"}
LINES = b"".join(json.dumps({**GOOD, "item_id": str(item)}).encode() + b"\n" for item in range(200))
MakeConfig = Callable[..., Config]


def parquet(**columns: list[Any]) -> bytes:
    pq.write_table(pa.table(columns), sink := io.BytesIO())
    return sink.getvalue()


ROWS = parquet(user_id=["u"], item_id=["p"], timestamp=[datetime(2026, 1, 5, 10)])
BAD = {  # name → content, what is said of it
    "cut.ndjson.gz": (gzip.compress(LINES)[:-20], "cannot be read"),
    "cut.ndjson.zst": (pa.Codec("zstd").compress(LINES, asbytes=True)[:-20], "cannot be read"),
    "cut.parquet": (ROWS[:-20], "cannot be read"),
    "empty.parquet": (b"", "cannot be read"),
    "hello.parquet": (b"hello", "cannot be read"),
    "wide.csv": ("\ufeffuser_id,item_id,timestamp\n".encode("utf-16"), "expected UTF-8"),
    "other.csv": (b"who,what,when\nu,i,1767607200\n", "expected a column 'user_id'"),
    "other.ndjson": (b'{"who": "u", "what": "i"}\n' * 3, "expected a column 'user_id'"),
    "other.parquet": (parquet(who=["u"]), "expected a column 'user_id'"),
    "typed.parquet": (parquet(user_id=[1.5], item_id=["i"], timestamp=[1767607200]), "integer or text"),
    "noise.ndjson": (b"\x00\x01\n\xff\n", "expected a usable line"),
}


@pytest.fixture
def cfg(make_config: MakeConfig, tmp_path: Path) -> Config:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.ndjson").write_bytes(LINES)
    return make_config(events={"sources": ("logs/*",), "on_bad_file": "quarantine"})


def ingest(cfg: Config, attempt: int = 1) -> Ingested:
    return ingestion.ingest(cfg, Store.of(cfg), NIGHT, f"run-{attempt}", attempt)


def rows(cfg: Config, table: str) -> list[dict[str, Any]]:
    files = delta.files(Store.of(cfg), table)
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_put_aside_by_name_and_the_others_go_on(
    cfg: Config, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = ingest(cfg)
    content, said = BAD[name]
    (cfg.base / "logs" / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found = ingest(cfg, 2)
    assert list(found.aside) == [f"logs/{name}"]
    assert said in found.aside[f"logs/{name}"]
    assert str(cfg.base) not in found.aside[f"logs/{name}"]
    assert (found.lines, found.events.rows, found.rejected) == (0, 200, 0)
    assert (found.data_digest, found.sources) == (expected.data_digest, expected.sources)
    assert f"logs/{name} was put aside, nothing of it counts" in caplog.text
    (row,) = rows(cfg, "rejects")
    assert (row["source_file"], row["line"], row["reason"]) == (f"logs/{name}", None, "file put aside")


NO_FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a pipe": ("pipe.csv", os.mkfifo),
    "a pipe of no format": ("pipe", os.mkfifo),
    "a link that leads nowhere": ("link.ndjson", lambda path: path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_file_is_put_aside_by_name_and_opened_by_nobody(cfg: Config, what: str) -> None:
    name, make = NO_FILES[what]
    make(cfg.base / "logs" / name)
    seen, found = preview.look(cfg, None), ingest(cfg)
    assert seen.aside == found.aside
    assert found.aside[f"logs/{name}"].startswith(f"logs/{name}: expected a file; got {what[:6]}")
    assert found.events.rows == 200
    again = ingestion.rebuild(cfg, Store.of(cfg), "again", 2)
    assert list(again.aside) == [f"logs/{name}"]
    events = cfg.events.model_copy(update={"on_bad_file": "stop"})
    with pytest.raises(SourceError, match=f"{name}: expected a file; got {what[:6]}"):
        ingest(cfg.model_copy(update={"events": events}), 3)


def test_where_there_is_no_file_at_all_the_night_is_refused_for_what_stands_there(cfg: Config) -> None:
    (cfg.base / "logs/a.ndjson").rename(cfg.base / "a.ndjson")
    (cfg.base / "logs/link.ndjson").symlink_to("nowhere")
    with pytest.raises(SourceError, match=r"got none, all 1 were put aside .*\n.*a link that leads nowhere"):
        ingest(cfg)


@pytest.mark.parametrize("made", [os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_was_taken_in_stays_while_no_file_stands_in_its_place(
    cfg: Config, made: Callable[[Path], None]
) -> None:
    (cfg.base / "logs/b.ndjson").write_bytes(of_day(NIGHT, "v"))
    ingest(cfg)
    (cfg.base / "logs/b.ndjson").unlink()
    made(cfg.base / "logs/b.ndjson")
    found = ingest(cfg, 2)
    assert list(found.aside) == ["logs/b.ndjson"]
    assert found.events.rows == 206


TYPED = {**GOOD, "event": {"type": "view", "shop": "north"}}
STRANGE = {  # lines of which none would count, what is said of them, and whether it is of their names
    "renamed": ({**GOOD, "event": {"name": "view", "shop": "north"}}, "expected a column 'event.type'"),
    "heartbeat": ({"alive": True}, "expected a column 'user_id'"),
    "condition": ({**GOOD, "event": {"type": "view", "store": "north"}}, "'event.shop' (events.where)"),
    "another": ({**GOOD, "event": {"type": "ping", "shop": "north"}}, ""),
    "elsewhere": ({**GOOD, "event": {"type": "view", "shop": "south"}}, ""),
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("bad", ["quarantine", "stop"])
def test_a_file_of_which_no_line_counts_is_asked_for_its_names(
    make_config: MakeConfig, name: str, bad: str
) -> None:
    line, said = STRANGE[name]
    events = {"columns": {"event_type": "event.type"}, "types": {"view": 1}, "where": "event.shop = 'north'"}
    cfg = make_config(events={"sources": ("logs/*",), "on_bad_file": bad, **events})
    (cfg.base / "logs").mkdir()
    early = {**TYPED, "timestamp": "2026-01-04T10:00:00Z"}
    lacking = {**TYPED, "event": {"type": "view"}}  # some lines may lack what the condition asks for
    for other, lines in (("a", [early, TYPED, lacking]), ("b", [line, line])):
        (cfg.base / f"logs/{other}.ndjson").write_text("".join(json.dumps(one) + "\n" for one in lines))
    if said and bad == "stop":
        for asked in (ingest, lambda cfg: preview.look(cfg, NIGHT)):
            with pytest.raises(SourceError, match=said.replace("(", ".").replace(")", ".")):
                asked(cfg)
        return
    seen, found = preview.look(cfg, NIGHT), ingest(cfg)
    assert set(seen.aside) == set(found.aside) == ({"logs/b.ndjson"} if said else set())
    assert all(said in why for aside in (seen.aside, found.aside) for why in aside.values())
    assert (found.accepted, found.left_out) == (2, 1 if said else 3)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_stops_the_night_where_nothing_else_is_said(cfg: Config, name: str) -> None:
    content, said = BAD[name]
    (cfg.base / "logs" / name).write_bytes(content)
    events = cfg.events.model_copy(update={"on_bad_file": "stop"})
    with pytest.raises(SourceError, match=said):
        ingest(cfg.model_copy(update={"events": events}))
    assert not rows(cfg, "events")


def test_what_was_read_of_a_file_before_it_broke_does_not_count(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = b"".join(json.dumps({**GOOD, "user_id": "z"}).encode() + b"\n{\n" for _ in range(300))
    (cfg.base / "logs/b.ndjson").write_bytes(late)
    whole = sources.pieces

    def breaking(con: Any, source: sources.Source, *columns: Any) -> Any:
        yield from whole(con, source, *columns)
        if source.name == "logs/b.ndjson":
            raise SourceError("the disk it lies on is gone")

    monkeypatch.setattr(sources, "pieces", breaking)
    found = ingest(cfg)
    assert (found.lines, found.accepted, list(found.files)) == (200, 200, ["logs/a.ndjson"])
    assert {event["user_id"] for event in rows(cfg, "events")} == {"u"}
    assert [row["line"] for row in rows(cfg, "rejects")] == [None]


def test_a_file_that_grows_while_it_is_read_is_put_aside_and_read_when_it_is_whole(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = cfg.base / "logs/b.ndjson"
    growing.write_bytes(LINES.replace(b'"u"', b'"v"'))
    whole = sources.pieces

    def written_to(con: Any, source: sources.Source, *columns: Any) -> Any:
        yield from whole(con, source, *columns)
        if source.path == growing:
            growing.write_bytes(growing.read_bytes() + LINES)

    with monkeypatch.context() as patched:
        patched.setattr(sources, "pieces", written_to)
        found = ingest(cfg)
    assert "written to or replaced while it was read" in found.aside["logs/b.ndjson"]
    assert found.accepted == 200
    again = ingest(cfg, 2)
    assert (again.accepted, again.duplicates, again.aside) == (200, 200, {})
    assert rows(cfg, "rejects") == []


def test_a_night_without_one_good_file_is_refused(cfg: Config) -> None:
    (cfg.base / "logs/a.ndjson").unlink()
    for name in ("cut.ndjson.gz", "hello.parquet"):
        (cfg.base / "logs" / name).write_bytes(BAD[name][0])
    with pytest.raises(
        SourceError, match=r"expected a file that can be read; got none, all 2 were put aside"
    ):
        ingest(cfg)
    assert not rows(cfg, "events")


def test_text_ids_beside_a_warehouse_of_integers_are_put_aside(cfg: Config) -> None:
    (cfg.base / "logs/a.ndjson").unlink()
    moments = [datetime(2026, 1, 5, 10)]
    (cfg.base / "logs/a.parquet").write_bytes(parquet(user_id=[1], item_id=[2], timestamp=moments))
    ingest(cfg)
    (cfg.base / "logs/b.csv").write_text("user_id,item_id,timestamp\n3,4,1767607200\n")
    found = ingest(cfg, 2)
    assert "ids in CSV and NDJSON are text" in found.aside["logs/b.csv"]
    assert found.events.rows == 1


def test_a_full_disk_of_ours_is_no_fault_of_a_file(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    from tasks.store import duck

    def full(*_: Any, **__: Any) -> None:
        raise duckdb.IOException("IO Error: could not write: No space left on device")

    monkeypatch.setattr(duck, "append", full)
    with pytest.raises(WarehouseError, match="No space left"):
        ingest(cfg)


def test_a_look_says_what_would_be_put_aside(cfg: Config) -> None:
    for name, (content, _) in BAD.items():
        (cfg.base / "logs" / name).write_bytes(content)
    seen = preview.look(cfg, None)
    assert [source.name for source, _ in seen.files] == ["logs/a.ndjson", "logs/noise.ndjson"]
    assert {Path(name).name for name in seen.aside} == BAD.keys() - {"noise.ndjson"}


def test_refused_lines_are_told_by_reason_with_examples(cfg: Config) -> None:
    bad = [
        b'{"user_id": "\x1b[31mred", ' + b"x" * 200 + b"y" * 200,
        b"{",
        b"\xff\xfe",
        b'{"item_id": 1}',
        b"{",
    ]
    (cfg.base / "logs/a.ndjson").write_bytes(LINES + b"\n".join(bad))
    (cfg.base / "logs/cut.ndjson.gz").write_bytes(BAD["cut.ndjson.gz"][0])
    ingest(cfg)
    found = refused.of_night(Store.of(cfg), NIGHT, 2)
    assert (found.lines, [(one.reason, one.lines, one.files) for one in found.reasons]) == (
        5,
        [("malformed json", 3, 1), ("invalid utf-8", 1, 1), ("missing user", 1, 1)],
    )
    assert [(one.file, one.line) for one in found.reasons[0].examples] == [
        ("logs/a.ndjson", 201),
        ("logs/a.ndjson", 202),
    ]
    page = list(told(found))
    assert page[0] == "Night 2026-01-05: 5 lines refused, 1 file put aside."
    assert "malformed json: 3 lines in 1 file" in page
    assert any(line.startswith('    {"user_id": "\\x1b[31mred"') for line in page)
    assert "".join(page).count("x") > 200, "what is refused may stand anywhere in the line"
    assert "".join(page).count("logs/cut.ndjson.gz") == 1
    assert any(line.startswith("logs/cut.ndjson.gz was put aside: cannot be read") for line in page)
    assert " ".join(" ".join(page).split()).endswith("and run the night again; --json has it all.")
    assert max(map(len, page)) <= 80
    assert "\x1b" not in "".join(page)
    assert list(told(refused.of_night(Store.of(cfg), NIGHT, 0)))[2] == "malformed json: 3 lines in 1 file"


def test_a_night_that_refused_nothing_says_so_and_one_that_never_was_is_an_error(cfg: Config) -> None:
    ingest(cfg)
    assert list(told(refused.of_night(Store.of(cfg), NIGHT, 3))) == [
        "Night 2026-01-05: 0 lines refused, 0 files put aside."
    ]
    with pytest.raises(EmptyNightError, match="2026-01-09: expected a night that has read its logs"):
        refused.of_night(Store.of(cfg), date(2026, 1, 9), 3)
    assert refused.of_night(Store.of(cfg), None, 3).night == "2026-01-05"


def test_the_status_names_nights_without_a_file(cfg: Config) -> None:
    (cfg.base / "logs/cut.ndjson.gz").write_bytes(BAD["cut.ndjson.gz"][0])
    ingest(cfg)
    nights: list[Any] = [{"night": "2026-01-05"}, {"night": "2026-01-04"}]
    assert status.put_aside(cfg, nights) == [
        "Night 2026-01-05 was made without 1 file(s) of the logs, such as logs/cut.ndjson.gz: rnnrec rejects "
        "--night 2026-01-05 says why."
    ]


def test_the_status_names_no_file_that_is_gone_and_that_a_later_night_has_done_without(cfg: Config) -> None:
    nights: list[Any] = [{"night": "2026-01-05"}]
    for name in ("cut.ndjson.gz", "cut.parquet"):
        (cfg.base / "logs" / name).write_bytes(BAD[name][0])
    ingest(cfg)
    (cfg.base / "logs/cut.ndjson.gz").unlink()
    assert "2 file(s)" in status.put_aside(cfg, nights)[0]
    (cfg.base / "logs/b.ndjson").write_bytes(of_day(date(2026, 1, 6)))
    ingestion.ingest(cfg, Store.of(cfg), date(2026, 1, 6), "run-2", 2)
    assert "1 file(s) of the logs, such as logs/cut.parquet" in status.put_aside(cfg, nights)[0]
    (cfg.base / "logs/cut.parquet").unlink()
    assert "1 file(s)" in status.put_aside(cfg, nights)[0]
    ingestion.ingest(cfg, Store.of(cfg), date(2026, 1, 6), "run-3", 3)
    assert status.put_aside(cfg, nights) == []
    assert len(refused.of_night(Store.of(cfg), NIGHT, 0).aside) == 2


def test_the_command_shows_the_night_and_the_same_as_json(
    cfg: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    (cfg.base / "logs/a.ndjson").write_bytes(LINES + b"{\n")
    ingest(cfg)
    (cfg.base / "rnnrec.toml").write_text('[events]\nsources = ["logs/*"]\n')
    command = ["rejects", "--night", "2026-01-05", "--config", str(cfg.base / "rnnrec.toml")]
    said = []
    for more in ([], ["--json", "--limit", "0"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, *more])
        assert ended.value.code == 0
        said.append(capsys.readouterr().out)
    assert said[0].splitlines()[2:5] == [
        "malformed json: 1 line in 1 file",
        "  logs/a.ndjson line 201:",
        "    {",
    ]
    assert json.loads(said[1]) == {
        "night": "2026-01-05",
        "lines": 1,
        "reasons": [{"reason": "malformed json", "lines": 1, "files": 1, "examples": []}],
        "aside": {},
    }


@pytest.mark.parametrize("now", [LINES.splitlines(True)[5:], [LINES, LINES.replace(b'"u"', b'"w"')]])
@pytest.mark.parametrize("bad", ["quarantine", "stop"])
def test_a_file_that_was_taken_in_and_changed_since_is_put_aside_where_it_cannot_be_read(
    cfg: Config, monkeypatch: pytest.MonkeyPatch, now: list[bytes], bad: str
) -> None:
    path = cfg.base / "logs/a.ndjson"
    ingest(cfg)
    path.write_bytes(b"".join(now))
    (cfg.base / "logs/b.ndjson").write_bytes(LINES.replace(b'"u"', b'"v"'))
    opened = log_files.opened

    def refused(file: log_files.File) -> Any:
        if file == path:
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file)

    with monkeypatch.context() as patched:
        patched.setattr(log_files, "opened", refused)
        if bad == "stop":
            events = cfg.events.model_copy(update={"on_bad_file": bad})
            with pytest.raises(SourceError, match=r"a\.ndjson: cannot be read: Permission denied"):
                ingest(cfg.model_copy(update={"events": events}), 2)
            return
        found = ingest(cfg, 2)
    assert "cannot be read: Permission denied" in found.aside["logs/a.ndjson"]
    assert (found.lines, found.events.rows, found.arrivals.named("changed")) == (200, 400, [])
    read = ingest(cfg, 3)
    assert (read.aside, read.arrivals.named("unreadable")) == ({}, [])
    assert read.events.rows == 200 + len(b"".join(now).splitlines())


OF_NO_SHOP = {
    "other.csv": b"user_id,item_id,timestamp\nu,i,1767607200\n",
    "other.parquet": ROWS,
    "cut.ndjson.gz": gzip.compress(b"x" * 100_000)[:-30],
}


@pytest.mark.parametrize("name", OF_NO_SHOP)
def test_a_file_that_events_where_cannot_be_asked_of_is_put_aside_while_others_can(
    make_config: MakeConfig, name: str
) -> None:
    cfg = make_config(events={"sources": ("logs/*",), "on_bad_file": "quarantine", "where": "shop = 'n'"})
    (cfg.base / "logs").mkdir()
    lines = [{**GOOD, "shop": "n"}, {**GOOD, "timestamp": "2026-01-04T10:00:00Z", "shop": "n"}]
    (cfg.base / "logs/a.ndjson").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (cfg.base / "logs" / name).write_bytes(OF_NO_SHOP[name])
    assert list(preview.look(cfg, NIGHT).aside) == [f"logs/{name}"]
    found = ingest(cfg)
    assert (list(found.aside), found.accepted) == ([f"logs/{name}"], 2)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize("damage", [cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_table_of_refused_lines_is_named_by_all_that_read_it(
    cfg: Config, damage: Callable[[Path], Any]
) -> None:
    (cfg.base / "logs/a.ndjson").write_bytes(LINES + b"nonsense\n")
    ingest(cfg)
    (file,) = delta.files(Store.of(cfg), "rejects")
    damage(Path(file))
    asked: list[Callable[[], Any]] = [
        lambda: refused.of_night(Store.of(cfg), None, 3),
        lambda: refused.warnings(Store.of(cfg), NIGHT),
        lambda: ingest(cfg, 2),
        lambda: forgetting.forget(cfg, ["u"]),
    ]
    for ask in asked:
        with pytest.raises(WarehouseError, match=r"table rejects: expected readable files; .*from a backup"):
            ask()
    (cfg.base / "logs/b.ndjson").write_bytes(LINES.replace(b'"u"', b'"v"').replace(b"-05T", b"-06T"))
    assert ingestion.ingest(cfg, Store.of(cfg), date(2026, 1, 6), "run-3", 3).accepted == 200


def of_day(day: date, user: str = "u") -> bytes:
    moments = [f"{day}T{hour:02}:00:00Z" for hour in range(8, 14)]
    return b"".join(
        json.dumps({**GOOD, "user_id": user, "timestamp": one}).encode() + b"\n" for one in moments
    )


def events_told(cfg: Config, store: Store | None = None) -> list[tuple[date, str, datetime]]:
    files = delta.files(store or Store.of(cfg), "events")
    every = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted((row["event_day"], row["user_id"], row["event_time"]) for row in every)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bad", [{3: 1}, {4: 2}, {3: 1, 4: 2, 5: 3}])
@pytest.mark.parametrize("late_days", [0, 3660])
def test_logs_that_are_rotated_lose_nothing_while_one_of_them_is_put_aside(
    make_config: MakeConfig, packed: bool, bad: dict[int, int], late_days: int
) -> None:
    events = {"sources": ("logs/*",), "on_bad_file": "quarantine", "format": "ndjson", "late_days": late_days}
    cfg = make_config(events=events, sessions={"window_days": 2})
    (cfg.base / "logs").mkdir()
    contents: list[bytes] = []
    for night in range(1, 7):
        day = date(2026, 1, night)
        past_midnight = of_day(date(2026, 1, night + 1), "early")[:80]
        contents.insert(0, of_day(day) + past_midnight.partition(b"\n")[0] + b"\n")
        for number, content in enumerate(contents):
            whole = gzip.compress(content) if packed and number else content
            cut_off = whole[:-9] if packed else b"\x1f\x8b" + whole
            path = cfg.base / "logs" / ("app.log" + (f".{number}" if number else ""))
            path.write_bytes(cut_off if bad.get(night) == number else whole)
        came = ingestion.ingest(cfg, Store.of(cfg), day, f"run-{night}", night)
        assert len(came.aside) == (night in bad)
        assert bool(came.beside) == (night in bad), night
        assert any("that told them changed" in one for one in came.remarks) == (night in bad)
        days = [date(2026, 1, one) for one in range(1, night + 1) for _ in range(6)]
        assert [day for day, user, _ in events_told(cfg) if user == "u"] == days, night
    made = {day: one.digest for day, one in came.events.pins.items()}
    fresh = cfg.model_copy(update={"warehouse": cfg.warehouse.model_copy(update={"root": "fresh"})})
    anew = ingestion.ingest(fresh, Store.of(fresh), date(2026, 1, 6), "run-1", 1)
    assert {day: one.digest for day, one in anew.events.pins.items()} == made


READ = {
    2: "changed since they were read, and read anew: logs/b.ndjson",
    3: "read again, as files were put aside when they changed: logs/b.ndjson",
}


def test_a_correction_waits_until_no_file_is_put_aside(cfg: Config) -> None:
    (cfg.base / "logs/b.ndjson").write_bytes(of_day(NIGHT, "v"))
    ingest(cfg)
    (cfg.base / "logs/b.ndjson").write_bytes(of_day(NIGHT, "v").replace(b"T08", b"T07"))
    (cfg.base / "logs/junk.parquet").write_bytes(b"junk")
    for attempt in (2, 3):
        found = ingest(cfg, attempt)
        assert ("files_changed" in found.counts) == (attempt == 2)
        assert [one for one in found.remarks if "read a" in one] == [READ[attempt]]
        assert found.beside == {("logs/b.ndjson", NIGHT): 1}
        assert found.files["logs/b.ndjson"] == Account(lines=7, accepted=7)
        assert found.events.rows == 207
    (cfg.base / "logs/junk.parquet").unlink()
    again = ingest(cfg, 4)
    assert (again.beside, ingest(cfg, 5).events.rows) == ({}, 206)
    assert [one for one in again.remarks if "read a" in one] == [READ[3]]
    assert [moment.hour for _, user, moment in events_told(cfg) if user == "v"] == [7, *range(9, 14)]
