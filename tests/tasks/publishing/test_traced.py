"""A night and a rollback die before every system call that changes something: readers see whole nights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import forked_nights as forked
import night_driver as driver
import pytest
import traced_deaths

FRIDAY, SATURDAY = [str(driver.FRIDAY), 4], [str(driver.SATURDAY), 5]
FRIDAYS, SATURDAYS = forked.model_of(driver.FRIDAY, 4), forked.model_of(driver.SATURDAY, 5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("work", "old", "new", "champion", "fewest"),
    [("night", FRIDAY, SATURDAY, SATURDAYS, 100), ("rollback", SATURDAY, FRIDAY, FRIDAYS, 60)],
)
def test_before_whichever_system_call_it_dies_readers_see_whole_nights_and_the_next_run_mends_the_rest(
    tmp_path: Path, work: str, old: list[object], new: list[object], champion: int, fewest: int
) -> None:
    if reason := traced_deaths.why_not():
        pytest.skip(reason)
    command = [sys.executable, traced_deaths.__file__, str(tmp_path), work]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    deaths = [json.loads(line) for line in ran.stdout.splitlines()]
    for death in deaths:
        assert death["died"], death
        assert (death["reader"], death["again"]) == (0, 0), (death, ran.stderr)
        for seen in [*death["seen"], death["after_death"]]:
            assert seen[:2] in (old, new), death
            assert seen[2:] in (old, new), death
        assert (death["seen"][0], death["seen"][-1]) == (old * 2, new * 2), death
        assert death["champion"] == champion, death
    assert len(deaths) > fewest // (1 if driver.THOROUGH else 6)
