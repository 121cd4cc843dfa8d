"""Each thing that can be wrong ends with its own message and exit code, and leaves yesterday as it was."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Callable
from datetime import date
from typing import Any

import duckdb
import pytest

from flows.cli import main
from tasks.errors import PipelineError

Break = Callable[[Any], list[str]]


def missing_source(place: Any) -> list[str]:
    for path in (place.folder / "logs").iterdir():
        path.unlink()
    return []


def empty_night(_: Any) -> list[str]:
    return []


def unknown_column(_: Any) -> list[str]:
    return ["--set", "events.columns.item_id=product"]


def wrong_type(_: Any) -> list[str]:
    return ["--set", "training.epochs=many"]


def unknown_key(_: Any) -> list[str]:
    return ["--set", "training.epoch=3"]


def bad_night(_: Any) -> list[str]:
    return ["--night", "2026-02-30"]


def future_night(_: Any) -> list[str]:
    return ["--night", "2999-01-01"]


def unreachable_registry(_: Any) -> list[str]:
    with socket.socket() as free:  # a port nobody listens on
        free.bind(("127.0.0.1", 0))
        return ["--set", f'registry.tracking_uri="http://127.0.0.1:{free.getsockname()[1]}"']


def unwritable_path(place: Any) -> list[str]:
    (place.folder / "taken").write_text("a file where a folder should be")
    return ["--set", "warehouse.root=taken"]


def all_lines_broken(place: Any) -> list[str]:
    path = place.folder / "logs" / "2026-03-04.ndjson"
    path.write_text("not an event\n" * 10_000)
    return []


NEVER_BEGUN: dict[Break, tuple[int, str]] = {
    wrong_type: (2, "training.epochs"),
    unknown_key: (2, "unknown key"),
    bad_night: (3, "expected a date such as"),
    future_night: (3, "expected a day that is over"),
    unreachable_registry: (6, "expected a reachable MLflow server"),
    unwritable_path: (7, "expected a folder that can be written"),
}
WITHOUT_THE_DAY: dict[Break, tuple[int, str]] = {
    missing_source: (5, "logs/*.ndjson"),  # logs may go once they are taken in; the day has none yet
    unknown_column: (4, "product"),
    all_lines_broken: (4, "expected a usable line in every file"),
    empty_night: (5, "2026-03-04"),
}


def published(place: Any) -> dict[str, bytes]:
    """Every byte a reader can reach."""
    kept = [place.root / "serve.duckdb", *(place.root / "latest").resolve().iterdir()]
    log = sorted((place.root / "tables" / "publications" / "_delta_log").glob("*.json"))
    return {str(path): path.read_bytes() for path in [*kept, *log]}


@pytest.fixture
def before_its_logs(fresh: Any, run_night: Callable[..., dict[str, Any]]) -> Any:
    """A place after its first night, to which no line of the day after it has come."""
    for day in (4, 5):
        (fresh.folder / "logs" / f"2026-03-0{day}.ndjson").unlink()
    for path in (fresh.folder / "logs").glob("*.ndjson"):  # sessions over midnight reach into the day
        lines = path.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join(line for line in lines if b"2026-03-04T" not in line))
    run_night(fresh, date(2026, 3, 3))
    return fresh


def files(place: Any) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place.root / "latest").resolve().iterdir()}


def states(place: Any) -> list[tuple[str, str, str]]:
    """(night, state, night whose tables they are) of each publication, as readers open them."""
    with duckdb.connect(str(place.root / "serve.duckdb"), read_only=True) as con:
        found = con.sql(
            "select night::varchar, state, coalesce(carried_from, night)::varchar from publications "
            "order by sequence"
        )
        return found.fetchall()


def said_of(place: Any, code: int, *arguments: str) -> str:
    """What the command says of a night that ends with this code."""
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as said:
        main(["nightly", "--config", place.config, "--night", "2026-03-04", *arguments])
    assert ended.value.code == code, said.getvalue()
    return said.getvalue()


def rung_of(code: int) -> str:
    [error] = [one for one in PipelineError.__subclasses__() if one.exit_code == code]
    return error.rung


@pytest.mark.parametrize("break_it", NEVER_BEGUN, ids=lambda case: case.__name__)
def test_a_night_that_cannot_begin_says_why_and_moves_nothing(
    break_it: Break, first_night: tuple[Any, Any]
) -> None:
    (place, _), (code, words) = first_night, NEVER_BEGUN[break_it]
    before = published(place)
    assert words in said_of(place, code, *break_it(place))
    assert published(place) == before
    assert rung_of(code) == "nothing moved"


@pytest.mark.parametrize(
    "break_it",
    [case if case is empty_night else pytest.param(case, marks=pytest.mark.slow) for case in WITHOUT_THE_DAY],
    ids=lambda case: case.__name__,
)
def test_a_night_without_its_day_says_why_and_readers_keep_yesterday_marked_stale(
    break_it: Break, before_its_logs: Any
) -> None:
    code, words = WITHOUT_THE_DAY[break_it]
    before = files(before_its_logs)
    said = said_of(before_its_logs, code, *break_it(before_its_logs))
    assert words in said
    assert files(before_its_logs) == before
    assert rung_of(code) == "carried_forward"
    assert states(before_its_logs)[1:] == [("2026-03-04", "carried_forward", "2026-03-03")]
    assert "Readers see 2026-03-03 on, marked stale (carried_forward)" in said


def test_a_broken_audit_shows_on_what_readers_see_and_crowns_nobody(
    after_first: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from tasks.models import registry, scoring
    from tasks.settings.config import load_config

    before = files(after_first)
    real = scoring.stage_tables

    def without_fallback(cfg: Any, *rest: Any) -> Any:
        fewer = cfg.recommendations.model_copy(update={"k": 3})
        return real(cfg.model_copy(update={"recommendations": fewer}), *rest)

    monkeypatch.setattr(scoring, "stage_tables", without_fallback)
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "--config", after_first.config, "--night", "2026-03-04"])
    assert ended.value.code == 8
    assert "row_counts" in capsys.readouterr().err
    assert files(after_first) == before
    assert states(after_first)[1:] == [("2026-03-04", "carried_forward", "2026-03-03")]
    assert registry.by_alias(load_config(after_first.config), registry.CHAMPION).number == 1  # type: ignore[union-attr]


def test_a_first_night_that_fails_moves_nothing(fresh: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "--config", fresh.config, "--night", "2026-03-04", *missing_source(fresh)])
    assert ended.value.code == 4
    assert "marked stale" not in capsys.readouterr().err
    assert not (fresh.root / "tables" / "publications").exists()


@pytest.mark.slow
def test_a_night_that_failed_and_is_run_again_with_its_logs_is_fresh(
    after_first: Any, run_night: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.errors import EmptyNightError
    from tasks.raw import ingestion

    def empty(*_: Any) -> None:
        raise EmptyNightError("no event of 2026-03-04")

    with monkeypatch.context() as patch:
        patch.setattr(ingestion, "ingest", empty)
        with pytest.raises(EmptyNightError):
            run_night(after_first, date(2026, 3, 4))
    assert run_night(after_first, date(2026, 3, 4))["published"]
    told = states(after_first)
    assert told[1] == ("2026-03-04", "carried_forward", "2026-03-03")
    assert told[2][::2] == ("2026-03-04", "2026-03-04")
    with duckdb.connect(str(after_first.root / "serve.duckdb"), read_only=True) as con:
        nights = con.sql("select distinct night::varchar from user_recommendations_history order by 1")
        assert nights.fetchall() == [("2026-03-03",), ("2026-03-04",)]


@pytest.mark.slow
def test_a_run_that_is_stopped_moves_nothing(
    after_first: Any, run_night: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.raw import ingestion
    from tasks.running.stopping import Stopped

    before = published(after_first)

    def stopped(*_: Any) -> None:
        raise Stopped("asked to end")

    monkeypatch.setattr(ingestion, "ingest", stopped)
    with pytest.raises(BaseException, match="asked to end"):
        run_night(after_first, date(2026, 3, 4))
    assert published(after_first) == before


@pytest.mark.slow
def test_a_recipe_that_cannot_be_fitted_leaves_its_weights_published_and_wakes_somebody(
    after_first: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from rnnrec_model.errors import TrainingError
    from tasks.models import training
    from tasks.publishing import publications
    from tasks.settings.config import load_config
    from tasks.store.store import Store

    fit = training.fit

    def failing(cfg: Any, recipe: Any, *given: Any, **how: Any) -> Any:
        if recipe.name == "fresh":
            raise TrainingError("the loss is no number")
        return fit(cfg, recipe, *given, **how)

    monkeypatch.setattr(training, "fit", failing)
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "--config", after_first.config, "--night", "2026-03-04"])
    assert ended.value.code == 10
    said = " ".join(capsys.readouterr().err.split())
    assert "training fresh: the loss is no number" in said
    assert "Readers have the lists of 2026-03-04, made by the weights that were published before" in said
    row = publications.read(Store.of(load_config(after_first.config))).rows[-1]
    assert (str(row.night), row.state, row.model_version) == ("2026-03-04", "weights_kept", 1)
    assert row.verdict["failures"] == {"fresh": "training fresh: the loss is no number"}


def test_the_command_line_overrides_are_the_flows_mapping(after_first: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "-c", after_first.config, "--night", "2026-03-04", "-s", "training.epochs=11"])
    assert ended.value.code == 0
    assert "Night 2026-03-04: published" in " ".join(capsys.readouterr().out.split())
    from tasks.publishing import publications
    from tasks.settings.config import load_config
    from tasks.store.store import Store

    row = publications.read(Store.of(load_config(after_first.config))).rows[-1]
    assert row.config_digest == load_config(after_first.config, {"training.epochs": 11}).digest()
    assert row.verdict["champion"] == 1
