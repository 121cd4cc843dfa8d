"""A night that is killed between any two stages is finished by the next run, and no reader notices."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

DRIVER = Path(__file__).with_name("killed_night.py")
NIGHT = date(2026, 3, 4)
FLOW = (Path(__file__).parents[2] / "flows" / "nightly.py").read_text()
STAGES = re.findall(r"\bstages\.(\w+)\(", FLOW)  # all there are, in their order
SOME = [one for n, one in enumerate(STAGES) if n % 2 == 0 or one in ("promote", "publish", "confirm")]
PUBLISHED = STAGES[STAGES.index("publish") + 1 :]  # who dies before one of these has published already


class Reader(threading.Thread):
    """Asks serve.duckdb over and over; keeps every distinct answer, and what went wrong."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.database, self.stop = str(root / "serve.duckdb"), threading.Event()
        self.answers: set[tuple[Any, ...]] = set()
        self.reads, self.errors = 0, []  # type: ignore[var-annotated]

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.answers.add(look(self.database))
                self.reads += 1
                time.sleep(0.02)
            except Exception as error:
                self.errors.append(repr(error))


def look(database: str) -> tuple[Any, ...]:
    """(nights over all tables, rows of the user table, fewest and most rows of a user)."""
    with duckdb.connect(database, read_only=True) as con:
        nights = con.execute(
            "select list(distinct night order by night) from (select night from user_recommendations "
            "union all select night from item_recommendations union all select night from popular_items "
            "union all select night from evaluations)"
        ).fetchone()
        counts = con.execute(
            "select sum(n), min(n), max(n) from "
            "(select count(*) as n from user_recommendations group by user_id)"
        ).fetchone()
    assert nights is not None
    assert counts is not None
    return (tuple(nights[0]), *counts)


@contextmanager
def reading(root: Path) -> Iterator[Reader]:
    reader = Reader(root)
    reader.start()
    yield reader
    reader.stop.set()
    reader.join()


@pytest.fixture(scope="session")
def undisturbed(prefect_server: str, shop: Any, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001
    """Content digest of the second night when nothing is killed."""
    import shutil

    from flows.nightly import nightly

    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(shop.folder, folder, dirs_exist_ok=True)
    nightly(str(folder / "rnnrec.toml"), "2026-03-03")
    return str(nightly(str(folder / "rnnrec.toml"), NIGHT.isoformat())["content_digest"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES if os.environ.get("RNNREC_THOROUGH") else SOME)
def test_a_killed_night_is_finished_by_the_next_run(
    stage: str, after_first: Any, undisturbed: str, prefect_server: str, run_night: Callable[..., Any]
) -> None:
    with reading(after_first.root) as reader:
        dead = subprocess.run(
            [sys.executable, str(DRIVER), after_first.config, NIGHT.isoformat(), stage],
            env=os.environ | {"PREFECT_API_URL": prefect_server},
            capture_output=True,
            text=True,
            check=False,
        )
        assert dead.returncode == -signal.SIGKILL, dead.stderr[-2000:]
        result = run_night(after_first, NIGHT)
    assert result["content_digest"] == undisturbed
    assert result["published"] == (stage not in PUBLISHED)
    assert not reader.errors
    assert reader.reads > 10
    assert {nights for nights, *_ in reader.answers} <= {(date(2026, 3, 3),), (NIGHT,)}
    assert all(fewest == most == 5 for *_, fewest, most in reader.answers)
    assert look(str(after_first.root / "serve.duckdb"))[0] == (NIGHT,)
    assert not list((after_first.root / "work").glob(f"{NIGHT}*"))
