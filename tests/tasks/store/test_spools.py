"""Rows put aside on disk, and read again by their key."""

from __future__ import annotations

import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.errors import WarehouseError
from tasks.settings.config import Config
from tasks.store.spools import Spool

SCHEMA = pa.schema([("day", pa.int64()), ("item", pa.string())])


def rows(*pairs: tuple[int | None, str]) -> pa.RecordBatchReader:
    columns = [[pair[place] for pair in pairs] for place in (0, 1)]
    return pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA).to_reader()


def items(spool: Spool, key: int | None) -> list[str]:
    return [str(item) for item in spool.read(key).read_all()["item"].to_pylist()]


def test_rows_of_a_key_are_read_in_the_order_in_which_they_were_put_in(
    config: Config, tmp_path: Path
) -> None:
    spool = Spool(config, tmp_path / "spool", key="day")
    spool.put(rows((1, "a"), (1, "b"), (2, "c")))
    spool.put(rows())
    spool.put(rows((1, "d"), (3, "e")))
    assert [items(spool, key) for key in (3, 1, 2, 4, 1)] == [
        ["e"],
        ["a", "b", "d"],
        ["c"],
        [],
        ["a", "b", "d"],
    ]


def test_without_a_key_all_rows_are_read_in_their_order(config: Config, tmp_path: Path) -> None:
    spool = Spool(config, tmp_path / "spool")
    assert not spool
    for some in ([(2, "a"), (None, "b")], [(1, "c")]):
        spool.put(rows(*some))
    assert spool
    assert items(spool, None) == ["a", "b", "c"]


def test_no_rows_have_columns_too(config: Config, tmp_path: Path) -> None:
    spool = Spool(config, tmp_path / "spool", key="day")
    spool.put(rows())
    assert spool.read(1).read_all().schema == SCHEMA


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What writing to a full disk is like, for any file of this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_is_full_is_named(config: Config, tmp_path: Path) -> None:
    spool = Spool(config, tmp_path / "spool")
    noise = pa.table({"day": [1] * 4096, "item": [os.urandom(16).hex() for _ in range(4096)]}, schema=SCHEMA)
    wanted = re.escape(str(tmp_path)) + r": expected room on the disk .*; free some"
    with files_of_at_most(8192), pytest.raises(WarehouseError, match=wanted):
        spool.put(noise.to_reader())


def test_what_is_put_aside_in_a_folder_is_bounded_together(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    cfg = make_config(warehouse={"spill_gb": 6e-5})
    noise = pa.table({"day": [1] * 1000, "item": [os.urandom(16).hex() for _ in range(1000)]}, schema=SCHEMA)
    first, second = (Spool(cfg, tmp_path / name) for name in ("first", "second"))
    first.put(noise.to_reader())
    wanted = re.escape(str(tmp_path)) + r": expected warehouse\.spill_gb = 6e-05 to do for what is put aside"
    with pytest.raises(WarehouseError, match=wanted):
        second.put(noise.to_reader())
