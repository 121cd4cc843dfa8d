"""Logs in an object store become the same events: against moto's S3 on loopback."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from tasks.errors import ConfigurationError, SourceError
from tasks.raw import accounting, ingestion, log_files, preview, remote, sources, standing
from tasks.raw.remote import Remote
from tasks.settings.config import Config, load_config
from tasks.store.pins import RawFile
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
LINES = b"".join(
    json.dumps({"user_id": "u", "item_id": str(n), "timestamp": f"2026-01-0{4 + n % 2}T10:00:00Z"}).encode()
    + b"\n"
    for n in range(50)
)


def as_parquet(path: Path) -> bytes:
    table = pa.table({"user_id": ["v"], "item_id": ["p"], "timestamp": ["2026-01-05T10:00:00Z"]})
    pq.write_table(table, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def bucket() -> Iterator[fs.FileSystem]:
    """The store, empty but for a bucket `shop`; the environment leads to it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        for name in [one for one in os.environ if one.startswith("AWS_")]:
            patched.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patched.setenv(name, value)
        files = fs.S3FileSystem(
            endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True, region="us-east-1"
        )
        files.create_dir("shop")
        yield files
    server.stop()


def put(bucket: fs.FileSystem, name: str, content: bytes) -> None:
    with bucket.open_output_stream(f"shop/{name}", compression=None) as out:
        out.write(content)


def config(base: Path, *patterns: str, **events: Any) -> Config:
    return Config(
        base=base, events={"sources": patterns, **events}, warehouse={"threads": 1, "memory_gb": 1.0}
    )


def ingest(cfg: Config, attempt: int = 1) -> ingestion.Ingested:
    return ingestion.ingest(cfg, Store.of(cfg), NIGHT, f"run-{attempt}", attempt)


def test_every_format_is_read_from_a_store_as_from_a_folder(bucket: fs.FileSystem, tmp_path: Path) -> None:
    logs = {
        "logs/a.ndjson": LINES,
        "logs/b.ndjson.gz": gzip.compress(LINES.replace(b'"u"', b'"w"')),
        "logs/c.ndjson.zst": bytes(pa.Codec("zstd").compress(LINES.replace(b'"u"', b'"x"'), asbytes=True)),
        "logs/d.csv": b"user_id,item_id,timestamp\ny,i,1767607200\n,i,1767607200\n",
        "logs/e.parquet": as_parquet(tmp_path / "e.parquet"),
    }
    (tmp_path / "here/logs").mkdir(parents=True)
    for name, content in logs.items():
        (tmp_path / "here" / name).write_bytes(content)
        put(bucket, f"formats/{name}", content)
    here = ingest(config(tmp_path / "here", "logs/*", max_reject_share=0.5))
    there = config(tmp_path / "there", "s3://shop/formats/logs/*", max_reject_share=0.5)
    found = ingest(there)
    assert (found.lines, found.accepted, found.rejected) == (153, 152, 1) == (
        here.lines, here.accepted, here.rejected,
    )  # fmt: skip
    assert {
        name.removeprefix("s3://shop/formats/"): one for name, one in found.sources.items()
    } == here.sources
    assert (
        preview.look(there, NIGHT).all.days
        == preview.look(config(tmp_path / "here", "logs/*", max_reject_share=0.5), NIGHT).all.days
    )


def test_a_query_is_asked_of_objects_that_are_fetched_for_it(bucket: fs.FileSystem, tmp_path: Path) -> None:
    put(bucket, "asked/a.ndjson.gz", gzip.compress(LINES))
    query = "select user_id, 'x' || item_id as item_id, timestamp from read_json($file)"
    cfg = config(tmp_path, "s3://shop/asked/*", query=query)
    found = ingest(cfg)
    assert found.files == {"s3://shop/asked/a.ndjson.gz": accounting.Account(lines=50, accepted=50)}
    assert not [*(cfg.root / "work").iterdir()]


def test_globs_mean_in_a_store_what_they_mean_in_a_folder(bucket: fs.FileSystem, tmp_path: Path) -> None:
    names = ["a.csv", "x/b.csv", "x/y/c.csv", "x/.hidden/d.csv", ".e.csv", "[1].csv", "1.csv"]
    for name in names:
        put(bucket, f"globs/{name}", b"")
    for pattern in (
        "*.csv",
        "**/*.csv",
        "**",
        "**/y/*.csv",
        "x/*",
        "x/b.csv",
        "[1].csv",
        "[0-9].csv",
        "?/*.csv",
    ):
        folder = tmp_path / "globs"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        found = log_files.found(tmp_path, [f"globs/{pattern}"]).files
        expected = {f"s3://shop/globs/{path.relative_to(folder)}" for path in found}
        assert {str(one) for one in remote.matches(f"s3://shop/globs/{pattern}")} == expected, pattern


@pytest.mark.parametrize("pattern", ["s3://shop/none/*.csv", "s3://shop/none.csv", "s3://gone/*.csv"])
@pytest.mark.usefixtures("bucket")
def test_what_is_not_there_is_named(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match="s3://"):
        sources.find(config(tmp_path, pattern))


def test_a_store_that_does_not_answer_is_named_with_what_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str) -> None:
        raise OSError("When listing: AWS Error ACCESS_DENIED")

    monkeypatch.setattr(remote, "matches", refused)
    with pytest.raises(
        SourceError, match=r"s3://shop/\*\.csv: expected a store .*ACCESS_DENIED; see AWS_ENDPOINT_URL"
    ):
        sources.find(config(tmp_path, "s3://shop/*.csv"))


def test_an_object_that_is_written_anew_while_it_is_read_is_put_aside(
    bucket: fs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "growing/a.ndjson", LINES)
    put(bucket, "growing/b.ndjson", LINES)
    cfg = config(tmp_path, "s3://shop/growing/*", on_bad_file="quarantine")
    whole = sources.pieces

    def written(con: Any, source: sources.Source, columns: Any, fields: Any) -> Any:
        yield from whole(con, source, columns, fields)
        if source.name.endswith("b.ndjson"):
            put(bucket, "growing/b.ndjson", LINES.replace(b'"u"', b'"v"'))

    monkeypatch.setattr(sources, "pieces", written)
    found = ingest(cfg)
    assert list(found.aside) == ["s3://shop/growing/b.ndjson"]
    assert found.accepted == 50


def test_a_raw_object_stands_as_it_was_read_or_has_grown_gone_or_changed(
    bucket: fs.FileSystem, tmp_path: Path
) -> None:
    cfg = config(tmp_path, "s3://shop/standing/*")
    name = "s3://shop/standing/a.ndjson"
    put(bucket, "standing/a.ndjson", LINES)
    read = RawFile(*log_files.fingerprint(Remote(name)), 50)
    for content, expected in ((LINES, "same"), (LINES * 2, "grown"), (b"x" + LINES, "changed")):
        put(bucket, "standing/a.ndjson", content)
        assert standing.Standings(cfg, [{name: read}]).of(name, read) == expected
    bucket.delete_file("shop/standing/a.ndjson")
    assert standing.Standings(cfg, [{name: read}]).of(name, read) == "gone"


def test_size_and_time_stand_last_in_what_an_object_is(bucket: fs.FileSystem, tmp_path: Path) -> None:
    put(bucket, "facts/a.csv", b"12345")
    (tmp_path / "a.csv").write_bytes(b"12345")
    facts = bucket.get_file_info("shop/facts/a.csv")
    assert log_files.identity(Remote("s3://shop/facts/a.csv"))[-2:] == (5, facts.mtime_ns)
    assert log_files.identity(tmp_path / "a.csv")[-2:] == (5, (tmp_path / "a.csv").stat().st_mtime_ns)


@pytest.mark.parametrize(
    "address", ["s3://key:secret@bucket/a.csv", "https://bucket/a.csv", "s3://bucket", "s3:///a"]
)
def test_another_address_is_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    (tmp_path / "rnnrec.toml").write_text(f'[events]\nsources = ["{address}"]\n')
    with pytest.raises(ConfigurationError, match=r"expected globs of local files, or of objects") as refused:
        load_config(tmp_path / "rnnrec.toml")
    assert "secret" not in str(refused.value)
