"""The application runs from its folder: it is installed in editable mode, and no wheel of it is built.

A wheel would put packages named `flows` and `tasks` into somebody's environment, and leave prefect.yaml out.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REFUSAL = """rnnrec: expected an editable installation, since the pipeline runs from its folder:
    make venv, or pip install --editable .
For its models alone in another environment:
    pip install ./rnnrec_model, or the wheel that `make wheel` writes to dist/"""


class NoWheel(BuildHookInterface):
    """Refuses whatever is not an editable installation."""

    def initialize(self, version: str, _build_data: dict[str, Any]) -> None:
        if version != "editable":
            raise SystemExit(REFUSAL)
