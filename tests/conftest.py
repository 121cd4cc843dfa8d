"""Fixtures that several folders share; keep it small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tasks.settings.config import Config

settings.register_profile("untimed", deadline=None)  # a busy machine is not a wrong answer
settings.load_profile("untimed")

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """A configuration whose folder is the test's own; sections as plain dicts."""

    def make(**sections: Any) -> Config:
        return Config(**{"warehouse": {"threads": 1, "memory_gb": 1.0}} | sections, base=tmp_path)

    return make


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    """The default configuration in the test's own folder: sources logs/*.ndjson, tables in warehouse/."""
    return make_config()


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The two nights of traced_shop.py, to be looked at; `traced_shop.moved` gives a copy to break."""
    from traced_shop import build

    return build(tmp_path_factory.mktemp("traced") / "shop")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Path of a file of ../shared/data; skips the test where it is absent."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"{DATA / name} is absent; it is for research only and not part of the project")
        return DATA / name

    return find
