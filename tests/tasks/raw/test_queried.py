"""One query that is asked of each file, and whose rows are the file's lines."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import ConfigurationError, SourceError
from tasks.raw import ingestion, log_files, manifest, preview, queried, sources
from tasks.raw.accounting import Account
from tasks.settings.config import Config
from tasks.store import delta, duck
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
QUERY = """
-- a line has all that somebody saw in a visit
select who.id as user_id, one.sku as item_id, one.at::timestamp as timestamp, one.n as n, kind
from (select who, kind, unnest(seen) as one from read_json($file));
"""
MakeConfig = Callable[..., Config]


def visit(user: str, *items: str, kind: str = "view", at: str = "2026-01-05T12:00:00Z") -> dict[str, Any]:
    seen = [{"sku": item, "at": at, "n": place} for place, item in enumerate(items)]
    return {"who": {"id": user}, "kind": kind, "seen": seen}


def write(cfg: Config, name: str, *visits: dict[str, Any]) -> Path:
    path = cfg.base / "logs" / name
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in visits)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def shop(make_config: MakeConfig, **events: Any) -> Config:
    return make_config(events={"sources": ("logs/*",), "query": QUERY, **events})


def ingest(cfg: Config) -> ingestion.Ingested:
    store = Store.of(cfg)
    return ingestion.ingest(cfg, store, NIGHT, "run", delta.next_attempt(store, NIGHT))


def events(cfg: Config) -> list[tuple[Any, ...]]:
    files = delta.files(Store.of(cfg), "events")
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted(
        (Path(row["source_file"]).name, row["line"], row["user_id"], row["item_id"]) for row in rows
    )


def test_the_lines_of_a_file_are_the_rows_that_the_query_yields_of_it(make_config: MakeConfig) -> None:
    cfg = shop(make_config)
    write(cfg, "a.ndjson", visit("ann", "i", "j"), visit("ben"), visit("ben", "i"))
    write(cfg, "b [1].json.gz", visit("ann", "j", "k"))
    found = ingest(cfg)
    assert events(cfg) == [
        ("a.ndjson", 1, "ann", "i"),
        ("a.ndjson", 2, "ann", "j"),
        ("a.ndjson", 3, "ben", "i"),
        ("b [1].json.gz", 2, "ann", "k"),
    ]
    assert found.files == {
        "logs/a.ndjson": Account(lines=3, accepted=3),
        "logs/b [1].json.gz": Account(lines=2, accepted=1, duplicates=1),
    }
    assert [one.lines for one in found.sources.values()] == [3, 2]
    assert any("events.query yields" in remark for remark in found.remarks)
    assert not [*(cfg.root / "work").iterdir()]


def test_files_that_the_query_was_asked_of_are_not_asked_again_but_by_another_query(
    make_config: MakeConfig,
) -> None:
    cfg = shop(make_config)
    write(cfg, "a.ndjson", visit("ann", "i", "j"))
    ingest(cfg)
    assert not ingest(cfg).arrivals.readings
    other = shop(make_config, query=QUERY.replace("one.sku", "upper(one.sku)"))
    assert ingest(other).arrivals.named("read otherwise") == ["logs/a.ndjson"]
    assert [item for *_, item in events(cfg)] == ["I", "J"]


@pytest.mark.slow
def test_a_file_that_has_grown_may_yield_its_rows_in_another_order_so_its_days_are_made_anew(
    make_config: MakeConfig,
) -> None:
    newest_first = QUERY.replace(";", "order by timestamp desc")
    cfg = shop(make_config, query=newest_first, late_days=0)
    write(cfg, "a.ndjson", visit("ann", "i"))
    ingest(cfg)
    write(cfg, "a.ndjson", visit("ann", "i"), visit("ann", "j", at="2026-01-05T13:00:00Z"))
    assert ingest(cfg).arrivals.named("changed") == ["logs/a.ndjson"]
    assert events(cfg) == [("a.ndjson", 1, "ann", "j"), ("a.ndjson", 2, "ann", "i")]
    assert manifest.read(Store.of(cfg))["logs/a.ndjson"].account == Account(lines=2, accepted=2)


def test_what_counts_is_asked_of_the_querys_columns(make_config: MakeConfig) -> None:
    cfg = shop(make_config, columns={"event_type": "kind"}, types={"view": 1.0}, where="n < 2")
    write(cfg, "a.ndjson", visit("ann", "i", "j", "k"), visit("ann", "l", kind="search"))
    found = ingest(cfg)
    assert [item for *_, item in events(cfg)] == ["i", "j"]
    assert found.left_out_by == {"events.where": 1, "type search": 1}


@pytest.mark.slow
def test_text_in_any_format_and_ids_that_are_integers(make_config: MakeConfig) -> None:
    csv = "select u as user_id, i as item_id, epoch_ms(t) as timestamp from read_csv($file, delim = '~')"
    cfg = make_config(events={"sources": ("logs/a.txt",), "query": csv})
    write(cfg, "a.txt").write_text("u~i~t\n7~8~1767607200000\n")
    assert [(one.user_id, one.event_time) for one in preview.look(cfg, None).all.examples] == [
        ("7", datetime(2026, 1, 5, 10))
    ]
    ingest(cfg)
    assert events(cfg) == [("a.txt", 1, 7, 8)]


def test_a_check_sees_what_the_night_would_and_writes_nothing(make_config: MakeConfig) -> None:
    cfg = shop(make_config)
    write(cfg, "a.ndjson", visit("ann", "i", at="2026-01-04T12:00:00Z"), visit("ann", "i", "j"))
    seen = preview.look(cfg, NIGHT).all
    assert seen.days == {date(2026, 1, 4): 1, NIGHT: 2}
    assert [one.name for one in cfg.base.iterdir()] == ["logs"]


REFUSED = {
    "select 1": "does not name \\$file",
    "select * from read_json('logs/a.ndjson')": "does not name \\$file",
    "select $file, $other": "names \\$other",
    "select $file; select 1": "it is SELECT, SELECT",
    "copy (from read_csv($file)) to 'x.csv'": "it is COPY",
    "attach 'x.db'": "it is ATTACH",
    "install httpfs": "it is LOAD",
    "pragma version": "it is PRAGMA",
    "set threads = 8": "it is SET",
    "create table x as from read_csv($file)": "it is CREATE",
    "-- nothing": "it is nothing",
    "from read_csv($file); -- all of it": "something stands behind its ;",
    "selec $file": "syntax error",
    "from read_json($file), glob('*')": "glob is no reader",
    "from read_json($file), query('select random()')": "query is no reader",
    "from sniff_csv($file)": "sniff_csv is no reader",
    "select random() from read_json($file)": "random says another thing each time",
    "from read_json($file) as x where seen < now()": "now says another thing",
    "from read_json($file) as x where seen < current_timestamp": "current_timestamp says another thing",
    "select ago(interval 1 day) from read_json($file)": "ago says another thing",
    "select * from (select current_setting('threads') from read_json($file))": "current_setting says",
    "select age(seen) from read_json($file)": "age says another thing",
    "from read_json($file) using sample 10": "a sample is another one",
    "from read_json($file) tablesample reservoir(1 rows)": "a sample is another one",
    "from (from read_json($file) tablesample 50%)": "a sample is another one",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_is_no_single_select_of_a_file_is_refused_with_one_that_is(query: str) -> None:
    with pytest.raises(ConfigurationError, match=REFUSED[query]) as raised:
        queried.check(query)
    assert queried.EXAMPLE in str(raised.value)


def test_it_is_refused_by_the_night_before_it_writes_and_by_a_check(make_config: MakeConfig) -> None:
    cfg = shop(make_config, query="select 1")
    write(cfg, "a.ndjson", visit("ann", "i"))
    for refused in (ingest, lambda one: preview.look(one, None)):
        with pytest.raises(ConfigurationError, match="does not name"):
            refused(cfg)
    assert not (cfg.root / "tables" / "events").exists()


@pytest.mark.parametrize(
    "there",
    ["'{file}'", "read_text('{file}')", "read_csv('{folder}/*')", "read_csv('https://127.0.0.1:1/a.csv')"],
)
def test_it_sees_its_own_file_and_nothing_else(make_config: MakeConfig, there: str) -> None:
    secret = make_config().base / "secret.csv"
    secret.write_text("user_id,item_id,timestamp\nSECRET,1,2026-01-05\n")
    elsewhere = there.format(file=secret, folder=secret.parent)
    cfg = shop(make_config, query=f"select * from read_json($file), {elsewhere}")
    write(cfg, "a.ndjson", visit("ann", "i"))
    with pytest.raises(SourceError, match="disabled by configuration") as raised:
        preview.look(cfg, None)
    assert "SECRET" not in str(raised.value)


def test_it_sees_no_variable_of_the_program(make_config: MakeConfig) -> None:
    cfg = shop(make_config, query="select * from read_json($file), table_of_the_program")
    table_of_the_program = pa.table({"user_id": ["ann"]})
    write(cfg, "a.ndjson", visit("ann", "i"))
    with pytest.raises(SourceError, match="table_of_the_program does not exist"):
        preview.look(cfg, None)
    assert table_of_the_program.num_rows == 1


def test_it_has_one_thread_and_no_way_out(make_config: MakeConfig, tmp_path: Path) -> None:
    cfg = make_config(warehouse={"threads": 4})
    with duck.spilling(cfg) as folder, duck.alone(cfg, folder, tmp_path / "a") as con:
        settings = "select {}".format(
            ", ".join(f"current_setting('{name}')" for name in
                      ("threads", "enable_external_access", "lock_configuration", "allowed_directories"))
        )  # fmt: skip
        [(threads, outside, locked, folders)] = con.execute(settings).fetchall()
    assert (threads, outside, locked) == (1, False, True)
    assert [Path(one) for one in folders] in ([], [folder])


def test_a_number_that_nothing_can_hold_puts_its_file_aside(make_config: MakeConfig) -> None:
    """39 digits fit DuckDB's largest integer, and no decimal that is read of it."""
    query = QUERY.replace("one.sku", "one.sku::hugeint")
    cfg = shop(make_config, query=query, on_bad_file="quarantine")
    write(cfg, "a.ndjson", visit("ann", "1"))
    write(cfg, "b.ndjson", visit("ann", "9" * 38), visit("ann", "1" + "0" * 38))
    assert [*ingest(cfg).aside] == ["logs/b.ndjson"]


def test_a_file_that_it_fails_on_is_named_with_the_query_and_what_was_said(make_config: MakeConfig) -> None:
    cfg = shop(make_config, query=QUERY.replace("one.sku", "one.sku::integer"))
    write(cfg, "a.ndjson", visit("ann", "1"))
    path = write(cfg, "b.ndjson", visit("ann", "2"), visit("ann", "many"))
    for refused in (ingest, lambda one: preview.look(one, None)):
        with pytest.raises(SourceError) as raised:
            refused(cfg)
        for said in ("logs/b.ndjson", "Could not convert string 'many' to INT32", "one.sku::integer"):
            assert said in str(raised.value)
        assert str(path) not in str(raised.value)
    found = ingest(shop(make_config, query=cfg.events.query, on_bad_file="quarantine"))
    assert [*found.aside] == ["logs/b.ndjson"]
    assert events(cfg) == [("a.ndjson", 1, "ann", 1)]


@pytest.mark.slow
def test_a_file_that_is_broken_is_named_where_it_breaks(make_config: MakeConfig) -> None:
    cfg = shop(make_config, on_bad_file="quarantine")
    write(cfg, "a.ndjson", visit("ann", "i"))
    path = write(cfg, "b.ndjson", *(visit("ann", "j") for _ in range(3)))
    with path.open("a") as file:
        file.write('{"who": {"id": "ann"}, "seen": [\n')
    found = ingest(cfg)
    assert [*found.files] == ["logs/a.ndjson"]
    assert 'Malformed JSON in file "logs/b.ndjson"' in found.aside["logs/b.ndjson"]


def test_what_is_said_of_a_file_does_not_show_its_line(make_config: MakeConfig) -> None:
    query = "select * from read_csv($file, types = {'n': 'integer'}) where n > 0"
    cfg = make_config(events={"sources": ("logs/*",), "query": query})
    write(cfg, "a.csv").write_text("user_id,item_id,timestamp,n\nann,i,2026-01-05,many\n")
    with pytest.raises(SourceError, match=r"Line: 2 .*string \"many\" to 'INTEGER'") as raised:
        ingest(cfg)
    assert "ann" not in str(raised.value)


@pytest.mark.parametrize("how", ["who.id", "to_json(who.id) ->> '$'", "who"])
def test_an_id_that_is_a_number_in_one_line_and_text_in_the_next_is_one(
    make_config: MakeConfig, how: str
) -> None:
    query = f"select {how} as user_id, sku as item_id, '2026-01-05'::date as timestamp from read_json($file)"
    cfg = make_config(events={"sources": ("logs/*",), "query": query})
    lines: list[list[Any]] = [[634, "634", 7], ["ann", "634"], [8]]
    for name, users in zip("abc", lines, strict=True):
        told = [{"who": user if how == "who" else {"id": user}, "sku": user} for user in users]
        write(cfg, f"{name}.ndjson", *told)
    seen = preview.look(cfg, None)
    assert (seen.all.refused.total(), seen.all.days.total()) == (0, 6)
    ingest(cfg)
    assert {(user, item) for *_, user, item in events(cfg)} == {(u, u) for u in ("634", "7", "8", "ann")}


def test_ids_that_a_cast_leaves_in_quotes_are_refused_with_the_cure(make_config: MakeConfig) -> None:
    cfg = shop(make_config, query=QUERY.replace("who.id", "who.id::varchar"))
    write(cfg, "a.ndjson", visit("634", "i"), visit(634, "j"))  # type: ignore[arg-type]
    for refused in (ingest, lambda one: preview.look(one, None)):
        with pytest.raises(SourceError, match=r"1 of 2 .*user id in quotes: 1 .*take to_json\("):
            refused(cfg)


@pytest.mark.parametrize("asked", [ingest, lambda cfg: preview.look(cfg, None)])
def test_a_query_that_fails_alike_on_every_file_is_told_once(
    make_config: MakeConfig, asked: Callable[[Config], Any], caplog: pytest.LogCaptureFixture
) -> None:
    cfg = shop(make_config, query=QUERY.replace("who.id", "who.uid"), on_bad_file="quarantine")
    for name in "abc":
        write(cfg, f"{name}.ndjson", visit("ann", "i"))
    with pytest.raises(SourceError) as raised:
        asked(cfg)
    assert str(raised.value).count("who.uid as user_id") == 1
    assert "(and so logs/b.ndjson, logs/c.ndjson)" in str(raised.value)
    assert not caplog.records


@pytest.mark.slow
def test_columns_that_it_does_not_yield_are_told_with_those_that_it_does(make_config: MakeConfig) -> None:
    cfg = shop(make_config, query="select who.id as uid, 1 as item_id from read_json($file)")
    write(cfg, "a.ndjson", visit("ann", "i"))
    with pytest.raises(SourceError, match=r"as events\.query yields it: .*'user_id'.*there are uid, item_id"):
        ingest(cfg)
    with pytest.raises(SourceError, match=r"'user_id' in logs/a.ndjson; there are uid, item_id"):
        preview.look(cfg, None)


@pytest.mark.slow
def test_a_query_that_yields_nothing_of_a_file_is_an_empty_file(make_config: MakeConfig) -> None:
    cfg = shop(make_config)
    write(cfg, "a.ndjson", visit("ann", "i"))
    write(cfg, "b.ndjson", {"who": {"id": "ann"}, "kind": "view", "seen": [{"sku": "x", "at": "", "n": 1}]})
    none = shop(make_config, query=QUERY.replace(";", "where item_id <> 'x'").replace("::timestamp", ""))
    assert ingest(none).files["logs/b.ndjson"] == Account()


def test_a_file_without_a_byte_is_an_empty_file_for_a_night_and_a_check(make_config: MakeConfig) -> None:
    integers = "select u as user_id, i as item_id, epoch_ms(t) as timestamp from read_csv($file)"
    cfg = make_config(events={"sources": ("logs/*",), "query": integers, "where": "item_id > 0"})
    write(cfg, "a.csv")
    write(cfg, "c.csv.gz")
    write(cfg, "b.csv").write_text("u,i,t\n7,8,1767607200000\n")
    assert preview.look(cfg, None).all.days.total() == 1
    empty = {"logs/a.csv": Account(), "logs/c.csv.gz": Account()}
    assert ingest(cfg).files == empty | {"logs/b.csv": Account(lines=1, accepted=1)}
    assert events(cfg) == [("b.csv", 1, 7, 8)]


def test_how_a_file_is_read_is_said_once() -> None:
    with pytest.raises(ValueError, match="expected auto beside query"):
        Config.model_validate({"events": {"query": QUERY, "format": "csv"}})


def test_a_query_that_is_too_deep_to_be_looked_at_is_refused() -> None:
    deep = " + ".join(["1"] * 100)
    queried.check(f"select {deep} from read_csv($file)")
    with pytest.raises(ConfigurationError, match="random says"):
        queried.check(f"select {deep} + random() from read_csv($file)")
    with pytest.raises(ConfigurationError, match="nested too deep"):
        queried.check(f"select {'+'.join(['1'] * 900)} from read_csv($file)")


@pytest.mark.slow
def test_whatever_order_files_arrive_in_the_days_are_those_of_one_reading(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    logs = {f"{n}.ndjson": [visit(f"u{n % 2}", "i", f"j{n}"), visit("v", "i")] for n in range(4)}

    def digest(folder: str, order: Sequence[Sequence[str]]) -> str:
        cfg = shop(make_config).model_copy(update={"base": tmp_path / folder})
        cfg.base.mkdir()
        for names in order:
            for name in names:
                write(cfg, name, *logs[name])
            found = ingest(cfg)
        store = Store.of(cfg)
        assert (
            ingestion.rebuild(cfg, store, "run", delta.next_attempt(store, NIGHT)).data_digest
            == found.data_digest
        )
        return found.data_digest

    at_once = digest("at once", [[*logs]])
    assert digest("forwards", [[name] for name in logs]) == at_once
    assert digest("backwards", [[name] for name in reversed(logs)]) == at_once


@pytest.mark.slow
def test_pieces_are_numbered_on(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queried, "PIECE_ROWS", 4096)
    columns = "i as user_id, i as item_id, timestamp '2026-01-05' as timestamp"
    text = f"select {columns} from range(10000) t(i), read_text($file)"
    cfg = shop(make_config, query=text)
    write(cfg, "a.ndjson", visit("ann", "i"))
    found = ingest(cfg)
    assert found.files["logs/a.ndjson"] == Account(lines=10000, accepted=10000)
    assert all(user == line - 1 for _, line, user, _ in events(cfg))
    assert sources.lines_of(sources.find(cfg)[0]) == 10000


ENDLESS = {
    "recursion": "with recursive r as (select 1 as n union all select n + 1 from r) "
    "select 'u' as user_id, 'i' as item_id, n as timestamp from r, read_text($file)",
    "rows": "select 'u' as user_id, 'i' as item_id, range as timestamp "
    "from range(1000000000000), read_text($file)",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_query_that_does_not_end_is_stopped_and_its_file_is_a_bad_one(
    make_config: MakeConfig, name: str
) -> None:
    told = r"a\.ndjson: events\.query: expected an answer within events\.query_minutes = 0\.005; .*raise it"
    for bad in ("stop", "quarantine"):
        cfg = shop(make_config, query=ENDLESS[name], query_minutes=0.005, on_bad_file=bad)
        write(cfg, "a.ndjson", visit("ann", "i"))
        with pytest.raises(SourceError, match=told):
            ingest(cfg)
        assert not [*(cfg.root / "work").iterdir()]


def test_how_long_a_query_may_take_does_not_say_how_lines_are_read(make_config: MakeConfig) -> None:
    cfg = shop(make_config)
    write(cfg, "a.ndjson", visit("ann", "i"))
    ingest(cfg)
    assert not ingest(shop(make_config, query_minutes=5)).arrivals.readings


def test_what_is_done_with_the_rows_is_no_time_of_the_query(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = shop(make_config, query_minutes=0.02)
    write(cfg, "a.ndjson", *(visit(f"u{n}", "i") for n in range(3)))
    monkeypatch.setattr(queried, "PIECE_ROWS", 1)
    (source,) = sources.find(cfg)
    assert source.asked is not None
    rows = 0
    for batch in source.asked.batches(["user_id"]):
        time.sleep(0.5)
        rows += len(batch)
    assert rows == 3


def test_a_file_whose_name_is_no_text_is_asked_too(make_config: MakeConfig) -> None:
    cfg = shop(make_config)
    write(cfg, os.fsdecode(b"caf\xe9.ndj\xe9"), visit("ann", "i"))
    assert ingest(cfg).files == {"logs/caf\\xe9.ndj\\xe9": Account(lines=1, accepted=1)}


def test_a_file_that_cannot_be_opened_is_a_bad_one(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = shop(make_config, on_bad_file="quarantine")
    write(cfg, "a.ndjson", visit("ann", "i"))
    bad = write(cfg, "b.ndjson", visit("ben", "i"))
    opened = log_files.opened

    def refused(path: log_files.File) -> Any:
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(log_files, "opened", refused)
    found = ingest(cfg)
    assert re.search("cannot be read: .*Permission denied", found.aside["logs/b.ndjson"])
    assert [user for *_, user, _ in events(cfg)] == ["ann"]


NOBODY = 'select null as user_id, sku as item_id, "at" as timestamp, visit from read_json($file)'


def test_a_column_of_nulls_alone_is_of_no_type_and_settles_none(make_config: MakeConfig) -> None:
    sessions = {"columns": {"session_id": "visit"}}
    line = {"sku": "i", "at": "2026-01-05T12:00:00Z", "visit": "v"}
    first = shop(make_config, **sessions | {"query": NOBODY})
    write(first, "a.ndjson", line)
    assert ingest(first).accepted == 1
    (first.base / "logs/a.ndjson").unlink()
    then = shop(make_config, **sessions | {"query": NOBODY.replace("null as user_id", "who as user_id")})
    write(then, "b.ndjson", {**line, "who": "ann"})
    assert ingest(then).accepted == 1
    assert [(user, item) for *_, user, item in events(then)] == [(None, "i"), ("ann", "i")]
    nothing = shop(make_config, query=NOBODY)
    write(nothing, "c.ndjson", line)
    with pytest.raises(SourceError, match=r"missing user: 2 .*session_id takes lines without a user"):
        ingest(nothing)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_query_reads_what_our_own_readers_do_not(make_config: MakeConfig, name: str) -> None:
    columns = "user_id, item_id, timestamp from read_csv($file, encoding = 'utf-16')"
    cfg = shop(make_config, query=f"select {columns}")
    text = "user_id,item_id,timestamp\nann,i,2026-01-05T12:00:00Z\n".encode("utf-16")
    write(cfg, name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert ingest(cfg).accepted == 1
