"""Runs that meet: a neighbouring night's between two stages, and two of one night."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tasks.publishing import publications
from tasks.settings.config import load_config
from tasks.store.store import Store

DRIVER = Path(__file__).with_name("stopped_night.py")
D2, D3, D4 = (date(2026, 3, day) for day in (2, 3, 4))
KEEP_CHAMPION = "gate.tolerance=-1"  # so that version numbers, which rows carry, are the same


def start(place: Any, server: str, night: date, stage: str, *settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(place / "rnnrec.toml"), night.isoformat(), stage, *settings],
        env=os.environ | {"PREFECT_API_URL": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_sleep(process: subprocess.Popen[str]) -> None:
    pid, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), (pid, status)


def wake(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, what it said)."""
    os.kill(process.pid, signal.SIGCONT)
    said, _ = process.communicate()
    return process.returncode, said


def halve(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[::2]))


@pytest.fixture
def two_places(prefect_server: str, shop: Any, tmp_path: Path) -> list[Path]:  # noqa: ARG001
    """Two folders in which the night before has run."""
    from flows.nightly import nightly

    places = [Path(shutil.copytree(shop.folder, tmp_path / name)) for name in ("alone", "met")]
    for place in places:
        nightly(str(place / "rnnrec.toml"), D3.isoformat())
    return places


@pytest.mark.slow
def test_a_night_publishes_from_what_it_has_read_though_a_backfill_rewrote_its_days(
    two_places: list[Path], prefect_server: str
) -> None:
    from flows.backfill import backfill

    alone, met = two_places
    lone = start(alone, prefect_server, D4, "none", KEEP_CHAMPION)
    said, _ = lone.communicate()
    assert lone.returncode == 0, said[-3000:]

    asleep = start(met, prefect_server, D4, "train", KEEP_CHAMPION)
    await_sleep(asleep)
    for day in (D2, D3):
        halve(met / "logs" / f"{day}.ndjson")
    [other] = backfill(D3.isoformat(), D3.isoformat(), str(met / "rnnrec.toml"))
    assert other["published"], "the backfill found other days"
    code, said = wake(asleep)
    assert code == 0, said[-3000:]

    [expected, got] = [newest(place, D4) for place in (alone, met)]
    assert got.content_digest == expected.content_digest
    assert got.data_digest == expected.data_digest
    for name in ("events", "sessions"):
        mine, rewritten, alone_in_it = ((one.reads or {})[name] for one in (got, newest(met, D3), expected))
        assert {day: pin.digest for day, pin in mine.items()} == {
            day: pin.digest for day, pin in alone_in_it.items()
        }
        assert mine[D2].files != rewritten[D2].files
        assert all((met / "warehouse" / file).is_file() for pin in mine.values() for file in pin.files)


def newest(place: Path, night: date) -> publications.Publication:
    return publications.read(Store.of(load_config(place / "rnnrec.toml"))).nights[night]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["train", "register", "publish"])
def test_the_older_of_two_runs_of_a_night_ends_with_9_where_it_wakes(
    stage: str,
    prefect_server: str,
    shop: Any,
    tmp_path: Path,
    run_night: Callable[..., Any],  # noqa: ARG001
) -> None:
    from flows.nightly import nightly

    place = Path(shutil.copytree(shop.folder, tmp_path / "place"))
    older = start(place, prefect_server, D3, stage)
    await_sleep(older)
    assert nightly(str(place / "rnnrec.toml"), D3.isoformat())["published"]
    code, said = wake(older)
    assert code == 9, said[-3000:]
    assert "run number 2" in " ".join(said.split())
    check_one_night(place)


def check_one_night(place: Path) -> None:
    rows = publications.read(Store.of(load_config(place / "rnnrec.toml"))).rows
    assert len(rows) == 1
    with duckdb.connect(str(place / "warehouse" / "serve.duckdb"), read_only=True) as con:
        told = con.execute(
            "select count(*) = 5 * count(distinct user_id), min(night), max(night) from user_recommendations"
        ).fetchone()
    assert told == (True, D3, D3)
    assert not list((place / "warehouse" / "work").glob(f"{D3}*"))


RACES = os.environ.get("RNNREC_RACES", "0,0.6,1.5,2.5,4,8")  # seconds between two that begin


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [float(one) for one in RACES.split(",")])
def test_of_two_equal_commands_at_once_one_publishes_and_the_other_says_so_with_a_code_of_its_own(
    seconds: float, prefect_server: str, shop: Any, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(shop.folder, tmp_path / "place"))
    first = start(place, prefect_server, D3, "none")
    time.sleep(seconds)
    second = start(place, prefect_server, D3, "none")
    said = [process.communicate()[0] for process in (first, second)]
    codes = (first.returncode, second.returncode)
    assert sorted(codes) in ([0, 9], [0, 0]), said[0][-3000:] + said[1][-3000:]
    words = [" ".join(one.split()) for one in said]
    assert sum(re.search(r"published [\d,]+ rows", one) is not None for one in words) == 1
    for code, one in zip(codes, words, strict=True):  # who publishes nothing was fenced, or came too late
        assert code == 0 or re.search("expected to be (its|the) newest run, number", one), one[-3000:]
    check_one_night(place)


@pytest.mark.slow
def test_a_night_that_sleeps_through_a_rollback_ends_with_9_and_readers_keep_what_it_shows(
    prefect_server: str, shop: Any, tmp_path: Path
) -> None:
    from flows.nightly import nightly
    from tasks.models import registry
    from tasks.publishing.rollback import rollback

    place = Path(shutil.copytree(shop.folder, tmp_path / "place"))
    config = str(place / "rnnrec.toml")
    for night in (D2, D3):
        nightly(config, night.isoformat(), {"gate.tolerance": 1})
    asleep = start(place, prefect_server, D4, "register", KEEP_CHAMPION)
    await_sleep(asleep)
    cfg = load_config(config)
    back = rollback(cfg, D2)
    code, said = wake(asleep)
    assert code == 9, said[-3000:]
    assert "a rollback, run 4, has decided what they see" in " ".join(said.split())
    shown = publications.read(Store.of(cfg)).shown
    champion = registry.by_alias(cfg, registry.CHAMPION)
    assert shown is not None
    assert champion is not None
    assert (shown.night, champion.number) == (D2, back.model_version)
    assert nightly(config, D4.isoformat(), {"gate.tolerance": -1})["model_version"] == back.model_version
