"""A name that somebody may have meanwhile is taken in one step, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasks.store import durable


@pytest.mark.parametrize("links", [True, False])
def test_a_name_is_taken_where_nobody_has_it_and_left_where_somebody_does(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links in this file system")

    if not links:
        monkeypatch.setattr(os, "link", none)
    new, name = tmp_path / "new", tmp_path / "name"
    new.write_text("first")
    assert durable.take_free(new, name)
    new.write_text("second")
    assert not durable.take_free(new, name)
    assert (name.read_text(), [one.name for one in tmp_path.iterdir()]) == ("first", ["name"])


def test_a_disk_that_fails_while_a_name_is_taken_says_so_and_has_taken_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "link", full)
    (tmp_path / "new").write_text("whole")
    with pytest.raises(OSError, match="no space left"):
        durable.take_free(tmp_path / "new", tmp_path / "name")
    assert not (tmp_path / "name").exists()
