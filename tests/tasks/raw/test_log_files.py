"""Raw logs are listed, looked at and opened in one place, whatever their format."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.raw import delimited, ingestion, log_files, preview
from tasks.raw.log_files import Found
from tasks.settings.config import Config
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
TIMES = ["2026-01-04T09:00:00Z", "2026-01-05T09:00:00Z", "2026-01-05T09:01:00Z"]


def parquet_log() -> bytes:
    columns = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"], "timestamp": TIMES}
    pq.write_table(pa.table(columns), sink := io.BytesIO())
    return sink.getvalue()


LOGS = {
    "logs/a.ndjson": b"".join(
        b'{"user_id": "w", "item_id": "%d", "timestamp": "%s"}\n' % (place, moment.encode())
        for place, moment in enumerate(TIMES)
    ),
    "logs/b.csv": b"user_id,item_id,timestamp\nx,a,2026-01-05T10:00:00Z\n,a,2026-01-05T10:00:00Z\n",
    "logs/c.parquet": parquet_log(),
}


def settings(base: Path) -> Config:
    return Config(base=base, events={"sources": ["logs/*"], "max_reject_share": 0.5})


def ingest(cfg: Config) -> ingestion.Ingested:
    return ingestion.ingest(cfg, Store.of(cfg), NIGHT, "run", 1)


def keep_in_memory(monkeypatch: pytest.MonkeyPatch, logs: dict[Path, bytes]) -> None:
    """Logs that lie in no folder; a sample that a preview makes of one does."""
    opened = log_files.opened
    monkeypatch.setattr(log_files, "found", lambda *_, **__: Found(frozenset(logs), ()))
    monkeypatch.setattr(log_files, "identity", lambda path: (0, list(logs).index(path), len(logs[path]), 0))
    monkeypatch.setattr(log_files, "size", lambda path: len(logs[path]))
    monkeypatch.setattr(
        log_files,
        "opened",
        lambda path: io.BufferedReader(io.BytesIO(logs[path])) if path in logs else opened(path),
    )


def test_logs_that_lie_in_no_folder_become_the_same_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = settings(tmp_path / "here"), settings(tmp_path / "elsewhere")
    (here.base / "logs").mkdir(parents=True)
    for name, content in LOGS.items():
        (here.base / name).write_bytes(content)
    expected, seen = ingest(here), preview.look(here, NIGHT)
    keep_in_memory(monkeypatch, {elsewhere.base / name: content for name, content in LOGS.items()})
    found = ingest(elsewhere)
    assert (found.lines, found.accepted, found.rejected) == (8, 7, 1)
    assert found.data_digest == expected.data_digest
    assert preview.look(elsewhere, NIGHT).all == seen.all
    assert not (elsewhere.base / "logs").exists()


def test_a_piece_of_csv_is_bounded_in_bytes_and_loses_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, path = ["user_id", "item_id", "timestamp"], tmp_path / "a.csv"
    records = [f"u{place},{'i' * 290},2026-01-05\n" for place in range(10)]
    path.write_text(",".join(names) + "\n" + "".join(records))
    head = delimited.header(path)
    assert head is not None
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 900)
    pieces = list(delimited.chunks(path, head, {name: name for name in names} | {"session_id": ""}))
    assert max(len(table) for table, _ in pieces) == 3
    assert [lines for _, lines in pieces] == [len(table) for table, _ in pieces]
    assert [line for table, _ in pieces for line in table["line"].to_pylist()] == [*range(2, 12)]
    users = [user for table, _ in pieces for user in table["user_id"].to_pylist()]
    assert users == [f"u{place}" for place in range(10)]
