"""Whoever runs the pieces of a stage, in whatever order and however often, the files are the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_nights import NIGHT, RICH, night, shop

from tasks.engine.engines import Engine, Local
from tasks.engine.laying import Folder, Memory
from tasks.errors import WarehouseError
from tasks.raw import ingestion
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store


@dataclass(frozen=True)
class Elsewhere:
    """Processes that share but a folder with this one; jobs come in no order, each one twice."""

    cfg: Config
    place: Folder
    run: Callable[..., Any]
    pieces: int = 5

    def map(self, kernel: Callable[[Any], Any], jobs: Iterable[Any], *_: int) -> Iterator[Any]:
        every = list(jobs)
        order = random.Random(len(every)).sample(range(len(every)), len(every))
        for _ in "an attempt that is lost", "and one that is believed":
            made = dict(zip(order, self.run(kernel, [every[place] for place in order]), strict=True))
        return iter([made[place] for place in range(len(every))])


@pytest.fixture(scope="module")
def processes() -> Iterator[Callable[..., Any]]:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield pool.map


@pytest.mark.parametrize(
    "sections",
    [pytest.param({}, id="defaults", marks=pytest.mark.slow), pytest.param(RICH, id="all there is")],
)
def test_a_night_whose_pieces_run_twice_in_other_processes_has_the_same_bytes(
    sections: dict[str, Any],
    make_config: Callable[..., Config],
    tmp_path: Path,
    processes: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cutting, "LISTS", 16)
    cfg = shop(make_config, **sections)
    (tmp_path / "laid").mkdir()

    def elsewhere(cfg: Config) -> Engine:
        return Elsewhere(cfg, Folder(tmp_path / "laid"), processes)

    here = night(cfg, tmp_path / "here", Local)
    assert night(cfg, tmp_path / "there", elsewhere) == here
    assert all(here["counts"].get(name) for name in ("beside", "aside", "forgotten", "files_changed")), here


def test_what_a_dead_attempt_has_left_of_a_day_is_never_committed(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    cfg = shop(make_config)
    made = night(cfg, tmp_path / "w", partial(Elsewhere, place=Folder(tmp_path), run=map))
    store = Store.in_folder(tmp_path / "w")
    committed = delta.files_by_day(store, "sessions")
    day = Path(committed[NIGHT][0]).parent
    assert len(list(day.glob("*.parquet"))) == 2
    assert [len(files) for files in committed.values()] == [1] * len(made["sessions"])


def test_rows_that_are_laid_are_the_same_and_no_two_take_one_name(tmp_path: Path) -> None:
    rows = pa.table({"a": [1, 2, 3], "b": [["x"], [], None]}).slice(1)
    for place in Memory(), Folder(tmp_path):
        assert place.lay(rows).value().equals(rows)
        assert place.share({"k": 1}).value() == {"k": 1}
    Folder(tmp_path).lay(rows)
    assert len(list(tmp_path.iterdir())) == 3


def test_rows_that_are_others_than_were_laid_are_refused(tmp_path: Path) -> None:
    laid = Folder(tmp_path).lay(pa.table({"a": [1]}))
    laid.file.write_bytes(laid.file.read_bytes() + b"more")
    with pytest.raises(WarehouseError, match=r"expected what was laid there.*run the night again"):
        laid.value()
    with pytest.raises(WarehouseError, match="No such file"):
        replace(laid, file=tmp_path / "gone").value()


def test_this_process_works_with_its_own_settings_and_does_a_job_when_it_is_asked_for(config: Config) -> None:
    begun: list[int] = []
    local = Local(config)
    made = local.map(begun.append, [1, 2])
    next(made)
    assert (begun, local.cfg, local.pieces) == ([1], config, 1)


@dataclass(frozen=True)
class Counted(Local):
    """This process, and how many pieces of which work it was given."""

    pieces: int = 5
    given: dict[str, int] = field(default_factory=dict)

    def map(self, kernel: Callable[[Any], Any], jobs: Iterable[Any], *_: int) -> Iterator[Any]:
        every = list(jobs)
        if every:
            self.given[kernel.__name__] = len(every)
        return map(kernel, every)


def test_logs_that_a_night_has_read_are_no_work_for_anybody_when_it_is_run_again(
    make_config: Callable[..., Config],
) -> None:
    cfg = shop(make_config)
    store, first, again = Store.of(cfg), Counted(cfg), Counted(cfg)
    for engine in first, again:
        attempt = delta.next_attempt(store, NIGHT)
        ingestion.ingest(cfg, store, NIGHT, f"run-{attempt}", attempt, engine)
    assert (first.given, again.given) == ({"_read_log": 1, "_write_days": 1}, {})
