"""A rollback that takes a recipe back holds over the nights that follow, until a person asks for it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from flows.cli import main
from tasks.models import registry
from tasks.publishing import publications
from tasks.settings.config import load_config
from tasks.store.store import Store

D3, D4, D5 = (date(2026, 3, day) for day in (3, 4, 5))
WIDE = {"slice_tolerance": 1, "guards.coverage": 1, "guards.popularity": 100, "guards.novelty": 1}
SETTINGS: dict[str, Any] = {"gate.must_beat": [], "evaluation.baselines": ["popularity"]} | {
    f"gate.{name}": value for name, value in WIDE.items()
}


@pytest.fixture
def withdrawn(fresh: Any, run_night: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Popularity on the 3rd, Markov takes over on the 4th, by the rules alone, and is taken back; runs on."""

    def night(day: date, *candidates: str, **others: Any) -> dict[str, Any]:
        told = SETTINGS | {"gate.candidates": list(candidates)} | others
        return run_night(fresh, day, overrides=told)

    assert night(D3, "popularity")["chosen"] == "popularity"
    assert night(D4, "markov")["state"] == "recipe_changed"
    with pytest.raises(SystemExit) as ended:
        main(["rollback", "-c", fresh.config, "--night", str(D3), "--reason", "odd lists"])
    assert ended.value.code == 0
    return night


def shown(place: Any) -> publications.Publication:
    found = publications.read(Store.of(load_config(place.config))).shown
    assert found is not None
    return found


@pytest.mark.slow
def test_a_withdrawn_recipe_is_not_crowned_again_the_next_night_and_the_page_says_why(
    fresh: Any, withdrawn: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert withdrawn(D5, "markov")["state"] == "fresh"
    one = shown(fresh)
    why = (
        "readers were taken back from its lists of 2026-03-04 to 2026-03-03 (odd lists); --set gate.margin=-1"
    )
    assert (one.night, one.verdict["chosen"]) == (D5, "fresh")
    assert one.verdict["failures"]["markov"].startswith(why)
    assert f"- markov: {why}" in one.report
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["why", "-c", fresh.config, "--night", str(D5)])
    assert ended.value.code == 0
    assert f"markov was not asked: {why[:50]}" in " ".join(capsys.readouterr().out.split())

    assert withdrawn(D5, "markov", **{"gate.margin": -1})["state"] == "recipe_changed"
    one = shown(fresh)
    assert (one.night, one.verdict["chosen"]) == (D5, "markov")
    champion = registry.by_alias(load_config(fresh.config), registry.CHAMPION)
    assert champion is not None
    assert champion.number == one.model_version


@pytest.mark.slow
def test_a_rollback_that_is_undone_leaves_the_recipe_as_any_other(
    fresh: Any, withdrawn: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(SystemExit):
        main(["rollback", "-c", fresh.config, "--night", str(D4)])
    assert withdrawn(D5, "markov", **{"gate.tolerance": 1})["state"] == "fresh"
    assert (shown(fresh).night, shown(fresh).verdict["failures"]) == (D5, {})


@pytest.mark.slow
def test_the_withdrawn_night_run_again_with_other_settings_does_not_bring_its_recipe_back(
    fresh: Any, withdrawn: Callable[..., dict[str, Any]]
) -> None:
    assert withdrawn(D4, "markov", **{"gate.tolerance": 1})["state"] == "fresh"
    one = shown(fresh)
    assert (one.night, one.verdict["chosen"], list(one.verdict["failures"])) == (D4, "fresh", ["markov"])


@pytest.mark.slow
def test_a_withdrawn_night_stays_so_with_settings_that_decide_nothing_and_comes_back_the_same(
    fresh: Any, withdrawn: Callable[..., dict[str, Any]]
) -> None:
    again = withdrawn(
        D4, "markov", **{"warehouse.memory_gb": 2.0, "training.threads": 1, "audits.max_size": 9}
    )
    assert "readers were taken back from it to 2026-03-03" in again["sentence"]
    assert shown(fresh).night == D3
    with pytest.raises(SystemExit):
        main(["rollback", "-c", fresh.config, "--night", str(D4)])
    assert (shown(fresh).night, shown(fresh).content_digest) == (D4, again["content_digest"])
