"""A process whose work is done ends at once: what was registered is called, what was said is out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import atexit, sys
from tasks.running import ending

class Late:
    def __del__(self):
        sys.stdout.write("taken apart\\n")

late = Late()
with ending.at_once():
    atexit.register(print, "registered")
    print("work")
    END
"""


def ended(how: str) -> tuple[int, list[str]]:
    """(exit code, lines of stdout) of the program that ends like this."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("END", how)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("code", [0, 5])
def test_an_end_with_a_code_leaves_the_modules_as_they_are(code: int) -> None:
    assert ended(f"sys.exit({code})") == (code, ["work", "registered"])


@pytest.mark.parametrize(("how", "code"), [("1 / 0", 1), ("sys.exit('why')", 1), ("pass", 0)])
def test_any_other_end_is_pythons_own(how: str, code: int) -> None:
    assert ended(how) == (code, ["work", "registered", "taken apart"])


def test_what_the_log_still_holds_is_out_before_the_end() -> None:
    log = "import logging.handlers; logging.raiseExceptions = False; out = logging.StreamHandler(sys.stdout)"
    held = "held = logging.handlers.MemoryHandler(100, target=out); logging.getLogger().addHandler(held)"
    assert ended(f"{log}; {held}; logging.warning('said last'); sys.exit(0)") == (
        0,
        ["work", "registered", "said last"],
    )


def test_an_end_that_is_held_up_and_can_say_nothing_any_more_ends() -> None:
    held = "ending.LAST_SECONDS = 0.1; import threading, time; threading._register_atexit(time.sleep, 600)"
    program = PROGRAM.replace("END", f"sys.stdout.close(); {held}; sys.exit(3)")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 3


def test_an_end_that_is_held_up_is_waited_for_no_longer_than_its_time() -> None:
    held = "ending.LAST_SECONDS = 0.1; import threading, time; threading._register_atexit(time.sleep, 600)"
    assert ended(f"{held}; sys.exit(3)") == (3, ["work"])
