"""A warehouse whose tables lie elsewhere than on this disk, as far as the libraries of this house allow.

delta-rs and DuckDB open an address by themselves; all else that is ours goes through the store's file system.
Here that is one of our own, which hands everything to a folder that nobody else may touch.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import night_driver as driver
import pytest
from friday_night import NIGHT, logs_of_friday, night
from pyarrow import fs

from tasks.publishing import publications, wholeness
from tasks.store import delta
from tasks.store.store import Store

TOUCHING = {"open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.link", "os.mkdir", "os.symlink"}


class Elsewhere(fs.FileSystemHandler):
    """A file system that counts what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        self.asked: Counter[str] = Counter()

    def get_type_name(self) -> str:
        return "elsewhere"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> Any:
        return self._ask("look", self.folder.get_file_info, paths)

    def get_file_info_selector(self, selector: fs.FileSelector) -> Any:
        return self._ask("list", self.folder.get_file_info, selector)

    def create_dir(self, path: str, _recursive: bool) -> None:
        self._ask("create folder", self.folder.create_dir, path)

    def delete_file(self, path: str) -> None:
        self._ask("remove", self.folder.delete_file, path)

    def open_input_file(self, path: str) -> Any:
        return self._ask("open", self.folder.open_input_file, path)

    def open_output_stream(self, path: str, _metadata: Any) -> Any:
        return self._ask("create", self.folder.open_output_stream, path)

    def _ask(self, what: str, work: Any, *args: Any) -> Any:
        self.asked[what] += 1
        return work(*args)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("expected nothing but what docs/decisions/ says that a store has to give")

    open_input_stream = open_append_stream = delete_dir = delete_dir_contents = _refuse
    delete_root_dir_contents = move = copy_file = _refuse


def in_object_store(local: Path, bucket: Path) -> tuple[Store, Elsewhere]:
    bucket.mkdir(parents=True)
    elsewhere = Elsewhere(bucket)
    return Store(local, str(bucket), fs.PyFileSystem(elsewhere)), elsewhere


@contextmanager
def nobody_touches(folder: Path) -> Iterator[None]:
    """Python itself neither opens, lists, links nor removes anything there during the `with`."""
    touched: list[tuple[str, str]] = []
    watching = [True]

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if watching[0] and event in TOUCHING:
            named = [os.fsdecode(one) for one in args if isinstance(one, str | bytes | os.PathLike)]
            touched.extend((event, name) for name in named if name.startswith(str(folder)))

    sys.addaudithook(watch)  # cannot be taken away again
    try:
        yield
    finally:
        watching[0] = False
    assert touched == []


def test_a_night_goes_through_a_file_system_that_is_not_the_local_disk(tmp_path: Path) -> None:
    here, cfg = logs_of_friday(tmp_path / "here"), logs_of_friday(tmp_path / "elsewhere")
    bucket = tmp_path / "bucket"
    store, elsewhere = in_object_store(cfg.root, bucket)
    expected = night(here, Store.of(here), 1).publication
    with nobody_touches(bucket):
        published = night(cfg, store, 1).publication
        assert not night(cfg, store, 2).is_new
        assert wholeness.changed(store, published) == ""
        assert delta.clean_stale(store, older_than_hours=-1) == []
        assert publications.read(store).shown == published
    assert published.content_digest == expected.content_digest
    assert published.data_digest == expected.data_digest
    assert driver.whole_night(cfg) == [str(NIGHT), 4, str(NIGHT), 4]
    assert not (cfg.root / "tables").exists()
    assert set(elsewhere.asked) == {"look", "list", "open", "create", "create folder", "remove"}


def test_a_file_that_is_there_is_never_written_to_again(tmp_path: Path) -> None:
    elsewhere, _ = in_object_store(tmp_path / "local", tmp_path / "bucket")
    for store in (elsewhere, Store.in_folder(tmp_path / "here")):
        with store.create(store.at("a", "b")) as file:
            file.write(b"first")
        with pytest.raises(FileExistsError), store.create(store.at("a", "b")):
            pass
        assert store.read(store.at("a", "b")) == b"first"
        assert store.size(store.at("a", "b")) == 5


def test_what_is_gone_is_said_alike_by_every_store(tmp_path: Path) -> None:
    elsewhere, _ = in_object_store(tmp_path / "local", tmp_path / "bucket")
    for store in (elsewhere, Store.in_folder(tmp_path)):
        gone = store.at("gone")
        assert (store.has(gone), store.listed(gone)) == (False, {})
        store.remove(gone)
        for ask in (store.size, store.read, lambda file, store=store: store.digest([file])):
            with pytest.raises(FileNotFoundError):
                ask(gone)


def test_a_folder_that_another_makes_while_it_is_listed_is_listed_as_it_is_by_then(tmp_path: Path) -> None:
    """pyarrow lists it, finds none, and then asks whether there is one: there is by now, so it raises."""
    store, raised = Store.in_folder(tmp_path), []

    class MadeMeanwhile:
        def get_file_info(self, select: fs.FileSelector) -> list[fs.FileInfo]:
            if not raised:
                raised.append(select)
                (tmp_path / "new").mkdir()
                (tmp_path / "new" / "file").touch()
                raise FileNotFoundError(f"Cannot list directory '{select.base_dir}'")
            return store.files.get_file_info(select)

    asked = replace(store, files=MadeMeanwhile())
    assert list(asked.listed(store.at("new"))) == [store.at("new", "file")]


@pytest.mark.parametrize("folder", ["it's ours", "50% of [it]", "läden=x"])
def test_an_address_below_a_folder_with_an_odd_name_comes_back(tmp_path: Path, folder: str) -> None:
    store = Store.in_folder(tmp_path / folder)
    with store.create(store.at("tables", "a", "part 1")) as file:
        file.write(b"x")
    assert list(store.listed(store.at("tables", "a"))) == [store.at("tables", "a", "part 1")]
    assert store.below(store.at("tables", "a")) == "tables/a"


def test_an_address_of_another_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="expected an address in"):
        Store.in_folder(tmp_path / "a").below(str(tmp_path / "ab" / "file"))
