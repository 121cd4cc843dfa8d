"""What is imported ahead of its use is what a night uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from tasks.models import imports
from tasks.models.registry import connection
from tasks.settings.config import Config

wanted = ("mlflow", connection.STORE, "torch", "matplotlib.figure")
for _ in imports.ahead(Config()):
    print(*(name for name in wanted if name in sys.modules))
"""


def test_each_step_brings_in_one_thing_in_the_order_of_the_night() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    wanted = ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "torch", "matplotlib.figure"]
    assert done.stdout.splitlines() == [" ".join(wanted[: n + 1]) for n in range(4)], done.stderr
