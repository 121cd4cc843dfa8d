"""Whole nights whose tables lie in an object store, moto's on loopback, beside those of the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from object_store import Served, served
from typer.testing import CliRunner

from tasks.errors import StoreError
from tasks.publishing import publications, publishing, rollback, status, verification
from tasks.settings.config import load_config
from tasks.store import objects
from tasks.store.store import Store

pytestmark = pytest.mark.slow
NIGHT, DAY = date(2026, 3, 3), timedelta(days=1)


@pytest.fixture
def there() -> Iterator[Served]:
    with served() as found:
        yield found


def in_store(place: Any, there: Served, folder: Path) -> Any:
    """The place, with its tables in the store."""
    moved = type(place)(Path(shutil.copytree(place.folder, folder, symlinks=True)))
    text = Path(moved.config).read_text()
    Path(moved.config).write_text(text.replace('root = "warehouse"', f'root = "{there.root()}"'))
    return moved


def test_nights_in_a_store_are_those_of_the_disk_and_go_back_as_they_do(
    fresh: Any, there: Served, tmp_path: Path, run_night: Callable[..., dict[str, Any]]
) -> None:
    stored = in_store(fresh, there, tmp_path / "stored")
    for day in (NIGHT, NIGHT, NIGHT + DAY):
        assert run_night(fresh, day)["content_digest"] == run_night(stored, day)["content_digest"]
    cfg, ours = load_config(stored.config), load_config(fresh.config)
    rows = publications.read(Store.of(cfg)).rows
    assert [one.data_digest for one in rows] == [
        one.data_digest for one in publications.read(Store.of(ours)).rows
    ]
    assert len(rows) == 2
    assert all(one.broken is None for one in verification.verify(cfg))
    assert rollback.rollback(cfg, NIGHT).moved
    assert status.health(cfg, status.age("26h")).readers_see == NIGHT.isoformat()
    assert not (stored.root / "tables").exists()
    from flows.cli import app

    for command in (["check", "--config", stored.config], ["status", "--config", stored.config]):
        said = CliRunner().invoke(app, command)
        assert said.exit_code == 0, said.output
        assert cfg.address in said.output
        assert ("keeps what is there" in said.output) == (command[0] == "check")


def test_a_store_that_goes_away_in_a_night_leaves_readers_the_night_before(
    fresh: Any,
    there: Served,
    tmp_path: Path,
    run_night: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = in_store(fresh, there, tmp_path / "stored")
    run_night(stored, NIGHT)
    before = (stored.root / "serve.duckdb").read_bytes()
    publish = publishing.publish

    def gone(*args: Any, **given: Any) -> Any:
        there.end()
        return publish(*args, **given)

    monkeypatch.setattr(publishing, "publish", gone)
    monkeypatch.setattr(objects, "TRIES", 1)
    with pytest.raises(StoreError, match="look at AWS_ENDPOINT_URL and the network"):
        run_night(stored, NIGHT + DAY)
    assert (stored.root / "serve.duckdb").read_bytes() == before
