"""Whatever the bytes: each line is an event with the right values, or refused; checked in plain Python."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import hostile_logs as hostile
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import SourceError
from tasks.raw import columnar, counting, delimited, ingestion, lines, sources
from tasks.settings.config import Config
from tasks.settings.days import clock
from tasks.store import duck

NIGHT = date(2026, 1, 5)
Became = dict[int, Any]  # line → (user, item, time), or why it is refused
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def became(path: Path, **events: Any) -> tuple[Became, int]:
    """What the night's own readers make of a file, and the lines that they say they took."""
    cfg = Config(base=path.parent, events={"sources": [path.name], **events})
    (source,) = sources.find(cfg)
    found: Became = {}
    taken = 0
    with duck.reader() as con:
        con.register("clock", clock(cfg, [NIGHT]))
        for piece in sources.pieces(con, source, cfg.events.columns):
            with duck.reading(path):
                counting.judge(con, cfg, source)
                duck.keep(con, "typed", "typed_events", **ingestion.typing_of(cfg))
            rows = con.sql("select line, reason, user_id, item_id, event_time from typed").fetchall()
            assert len(rows) == piece.records
            for line, reason, *values in rows:
                assert line not in found
                found[line] = reason or tuple(values)
            taken += piece.lines
    if source.format == "parquet" and taken != sources.lines_of(source):
        raise SourceError("the footer's own number was edited, too: the night stops by it")
    assert taken == sources.lines_of(source)
    return found, taken


def kinds(found: Mapping[int, Any]) -> list[str]:
    return [one if isinstance(one, str) else "ok" for _, one in sorted(found.items())]


def test_the_corpus_is_large() -> None:
    assert sum(map(len, (hostile.NDJSON, hostile.MOMENTS, hostile.CSV, hostile.FILES))) >= 250


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_hostile_lines_of_ndjson(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(end.join(line for line, _ in hostile.NDJSON) + end + b"{}")
    found, _ = became(path)
    wrong = [
        (line[:100], expected, came)
        for (line, expected), came in zip(hostile.NDJSON, kinds(found), strict=False)
        if came != expected
    ]
    assert wrong == []
    assert len(found) == len(hostile.NDJSON) + 1


def test_hostile_moments_are_the_same_in_every_format(tmp_path: Path) -> None:
    texts = [text for text, _ in hostile.MOMENTS]
    table = pa.table({"user_id": ["u"] * len(texts), "item_id": ["i"] * len(texts), "timestamp": texts})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = "".join(json.dumps({"user_id": "u", "item_id": "i", "timestamp": text}) + "\n" for text in texts)
    (tmp_path / "a.ndjson").write_text(rows)
    quoted = "".join(f'u,i,"{text}"\n' for text in texts)
    (tmp_path / "a.csv").write_text(hostile.HEADER.decode() + quoted, encoding="utf-8")
    for name in ("a.parquet", "a.ndjson", "a.csv"):
        came = kinds(became(tmp_path / name)[0])
        assert [(*one, got) for one, got in zip(hostile.MOMENTS, came, strict=True) if got != one[1]] == []


def test_hostile_lines_of_csv(tmp_path: Path) -> None:
    path, wrong = tmp_path / "a.csv", []
    for content, expected in hostile.CSV:
        path.write_bytes(hostile.HEADER + content + b"\n")
        found, _ = became(path)
        if kinds(found) != expected:
            wrong.append((content[:100], expected, kinds(found)))
    assert wrong == []


@pytest.mark.parametrize("quoted", [False, True])
def test_hostile_lines_of_csv_among_good_ones_change_nothing_of_these(tmp_path: Path, quoted: bool) -> None:
    """One after the other in one file, but for those that an open quote would join with what follows."""
    path, good = tmp_path / "a.csv", b'"w","g",1767607200' if quoted else b"w,g,1767607200"
    chosen = [(content, kinds) for content, kinds in hostile.CSV if "unclosed quote" not in kinds]
    path.write_bytes(hostile.HEADER + b"".join(content + b"\n" + good + b"\n" for content, _ in chosen))
    found, _ = became(path)
    assert kinds(found) == [kind for _, expected in chosen for kind in (*expected, "ok")]


@pytest.mark.parametrize(
    ("name", "content", "said"), hostile.FILES, ids=[f"{at}-{one[0]}" for at, one in enumerate(hostile.FILES)]
)
def test_hostile_files_are_taken_or_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    if not said:
        became(tmp_path / name)
        return
    with pytest.raises(SourceError, match=rf"{name}.*{said}"):
        became(tmp_path / name)


def event(place: int) -> tuple[str, str, int]:
    return f"u{place % 7}", f'i"{place}, {place % 3}' if place % 5 == 0 else f"i{place}", 1767607200 + place


EVENTS = [event(place) for place in range(30)]
FIELDS = ("user_id", "item_id", "timestamp")
NDJSON = "".join(json.dumps(dict(zip(FIELDS, one, strict=True))) + "\n" for one in EVENTS).encode()


def as_csv() -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([FIELDS, *EVENTS])
    return out.getvalue().encode()


CSV = as_csv()
PACKED = {
    "gz": gzip.compress(NDJSON, mtime=0),
    "zst": bytes(pa.Codec("zstd").compress(NDJSON, asbytes=True)),
}
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(
            [b"", b"\n", b"\r", b'"', b",", b"{", b"}", b"\\", b"\xff", b"\x00", b":", b"7", b" "]
        )
        | st.binary(min_size=1, max_size=3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)


def edited(content: bytes, edits: list[tuple[float, bytes, int]]) -> bytes:
    """At places of the content: so many bytes taken away, others put there."""
    for place, new, gone in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + gone :]
    return content


def by_json(line: bytes) -> tuple[str, str, datetime] | None:
    """The event of a line, by Python's json; None for one that is to be refused, whyever."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs if name in FIELDS]
        return {} if len(names) > len(set(names)) else dict(pairs)

    try:
        value = json.loads(line.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(isinstance(value.get(one), str | int) for one in FIELDS):
        return None
    user, item, moment = (value[one] for one in FIELDS)
    if isinstance(user, bool) or isinstance(item, bool) or isinstance(moment, bool | str):
        return None
    if not (str(user).strip() and str(item).strip()) or not 631152000 <= moment < 4102444800:
        return None
    return str(user), str(item), datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)


@quick
@given(edits=EDITS)
def test_ndjson_of_any_edit_is_what_pythons_json_says(tmp_path_factory: Any, edits: Any) -> None:
    content = edited(NDJSON, edits)
    path = tmp_path_factory.mktemp("any") / "a.ndjson"
    path.write_bytes(content)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b"):
        return
    found, _ = became(path)
    split = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    assert sorted(found) == [*range(1, len(split) + 1)]
    for number, line in enumerate(split, 1):
        expected, came = by_json(line), found[number]
        if expected is not None:
            assert came == expected, line
        elif not isinstance(came, str):  # DuckDB bears a comma too many, and text that is a number
            bearable = re.sub(rb",(\s*[}\]])", rb"\1", line)
            text = re.sub(rb'"timestamp": ?"\s*([\d.]+)\s*"', rb'"timestamp": \1', bearable)
            assert came == by_json(text) or b"timestamp" in line, line


@quick
@given(edits=EDITS, block_bytes=st.integers(1, 2000), piece_lines=st.sampled_from([1, 2, 5, 2**19]))
def test_csv_of_any_edit_is_what_a_slow_reader_of_one_record_after_the_other_says(
    tmp_path_factory: Any, edits: Any, block_bytes: int, piece_lines: int
) -> None:
    """Also wherever the file is cut into blocks; each record that Python's csv reads alone is the same."""
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(CSV[:27] + edited(CSV[27:], edits))
    head = delimited.header(path)
    assert head is not None
    body = path.read_bytes().splitlines(keepends=True)[1:]
    expected = {one.line + 1: one for one in delimited.records(body, ",", 3)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(delimited, "CHUNK_BYTES", block_bytes)
        patched.setattr(lines, "PIECE_LINES", piece_lines)
        pieces = list(delimited.chunks(path, head, {name: name for name in FIELDS}))
    assert sum(taken for _, taken in pieces) == len(body)
    found = {row["line"]: row for table, _ in pieces for row in table.to_pylist()}
    assert found.keys() == expected.keys()
    for line, one in expected.items():
        row = found[line]
        assert (row["raw"], row["fault"]) == (one.raw, one.fault)
        if one.fault is None:
            assert [row[name] for name in FIELDS] == one.fields
            assert [one.fields] == list(csv.reader([one.raw.rstrip(b"\r\n").decode()], strict=True))


@quick
@given(edits=EDITS, pack=st.sampled_from(["gz", "zst"]))
def test_a_packed_file_of_any_edit_is_the_same_or_named(tmp_path_factory: Any, edits: Any, pack: str) -> None:
    """Without a checksum, as zstd may be, a damaged byte may come out; every line is accounted for anyway."""
    content = edited(PACKED[pack], edits)
    path = tmp_path_factory.mktemp("any") / f"a.ndjson.{pack}"
    path.write_bytes(content)
    try:
        found, taken = became(path)
    except SourceError:
        return
    assert len(found) == taken
    if pack == "gz" and content[:2] == b"\x1f\x8b":
        assert gzip.decompress(content).count(b"\n") <= taken


def parquet(compression: str) -> bytes:
    columns = dict(zip(FIELDS, map(list, zip(*EVENTS, strict=True)), strict=True))
    pq.write_table(pa.table(columns), sink := io.BytesIO(), compression=compression, write_page_checksum=True)
    return sink.getvalue()


PARQUET = {kind: parquet(kind) for kind in ("none", "snappy", "zstd")}


@quick
@given(edits=EDITS, compression=st.sampled_from([*PARQUET]))
def test_parquet_of_any_edit_is_the_same_rows_or_named(
    tmp_path_factory: Any, edits: Any, compression: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    path.write_bytes(edited(PARQUET[compression], edits))
    try:
        found, _ = became(path)
    except SourceError:
        return
    assert sorted(found) == [*range(1, len(found) + 1)]


@pytest.mark.parametrize("lines_in_quotes", [2, 100, 101])
def test_a_record_over_many_lines_is_whole_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines_in_quotes: int
) -> None:
    path = tmp_path / "a.csv"
    long = b'u,"' + b"i\n" * (lines_in_quotes - 1) + b'i",1767607200\n'
    path.write_bytes(hostile.HEADER + (long + b"v,j,1767607201\n") * 8)
    expected = 16 if lines_in_quotes <= delimited.LONGEST_RECORD_LINES else 8
    for block_bytes in (100, 1000):
        monkeypatch.setattr(delimited, "CHUNK_BYTES", block_bytes)
        assert kinds(became(path)[0]).count("ok") == expected


def test_a_quoted_field_may_be_as_long_as_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = b"x" * 200_000
    path.write_bytes(
        b'user_id,item_id,timestamp,note\nu,i,1767607200,"' + long + b'"\nu,i,1767607200,"a""' + long + b'"\n'
    )
    assert kinds(became(path)[0]) == ["ok", "ok"]


def test_csv_without_a_quote_or_a_fault_is_read_without_a_loop_over_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        hostile.HEADER
        + b"u,i,1767607200\n" * 5_000
        + b'"u","i","1767607200"\n' * 5_000
        + b"x\n"
        + b"\n \n" * 9
    )
    asked: list[int] = []
    records = delimited.records

    def counted(*args: Any, **more: Any) -> Any:
        asked.append(1)
        return records(*args, **more)

    monkeypatch.setattr(delimited, "records", counted)
    found, _ = became(path)
    assert kinds(found) == ["ok"] * 10_000 + ["wrong number of fields"] + ["blank line"] * 18
    assert len(asked) == 1  # the header's


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
@pytest.mark.parametrize("line", [b"\n", b"x\n", b'"\n', b"\xff\n"])
def test_a_block_of_very_many_short_lines_is_read_in_pieces_that_memory_bears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: bytes
) -> None:
    """Sixteen MiB of line ends, a few KiB packed, were 16 million records at once: 6 GiB."""
    path = tmp_path / name
    path.write_bytes((hostile.HEADER if name == "a.csv" else b"") + line * 1000)
    monkeypatch.setattr(lines, "PIECE_LINES", 128)
    assert len(became(path)[0]) == 1000
    cfg = Config(base=tmp_path, events={"sources": [name]})
    (source,) = sources.find(cfg)
    with duck.reader() as con:
        pieces = [piece.records for piece in sources.pieces(con, source, cfg.events.columns)]
    assert max(pieces) <= 2 * 128
    assert len(pieces) >= 7


def test_wide_rows_of_parquet_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is repeated stands once in the file: 19 KiB of them were 10 GB in memory."""
    users = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), ["u" * 900])
    table = pa.table({"user_id": users, "item_id": ["i"] * 5_000, "timestamp": [1767607200] * 5_000})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    monkeypatch.setattr(columnar, "PIECE_BYTES", 2**20)
    pieces = list(columnar.pieces(tmp_path / "a.parquet", {name: name for name in FIELDS}))
    assert 5 <= len(pieces) < 10
    assert [row for piece in pieces for row in piece["row_number"].to_pylist()] == [*range(5_000)]
    assert became(tmp_path / "a.parquet")[1] == 5_000
