"""What the night's two trainings learn from."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from rnnrec_model import models, sizing
from rnnrec_model.config import NoSettings
from rnnrec_model.contract import Fitted
from rnnrec_model.saving import OF_A_MACHINE
from rnnrec_model.sessions import Sessions
from tasks.errors import ConfigurationError, ModelFailure
from tasks.models import recipes, training
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.settings.sections import GateConfig
from tasks.store.pins import Reads

NIGHT = date(2026, 1, 2)


def test_a_refit_learns_from_all_sessions_as_long_as_patience_let_the_first_fit(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = random.Random(7)
    lists = [[draw.randrange(12) for _ in range(5)] for _ in range(60)]
    cfg = make_config(
        models={"recurrent": {"units": 8}},
        training={"epochs": 12, "patience": 1, "batch_events": 16, "negatives": 4, "device": "cpu"},
    )
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists[:40]}))
    monkeypatch.setattr(splitting, "all_sessions", lambda *_: pa.table({"items": lists}))
    trained = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "work", None)
    first, recipe = trained.models["recurrent"], trained.recipes["recurrent"]
    refit = training.refit(cfg, NIGHT, Reads({}, {}), tmp_path / "work", recipe, first)
    assert first.epochs == len(first.history) - 1  # one epoch without a better one ended it
    assert {epoch["events"] for epoch in first.history} == {38 * 4}  # the newest 5 % validate
    assert [epoch["events"] for epoch in refit.history] == [60 * 4] * first.epochs
    assert refit.epochs == first.epochs


def test_a_training_that_its_minutes_have_ended_is_told_on_the_page(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lists = [[item % 12 for item in range(start, start + 5)] for start in range(60)]
    cfg = make_config(training={"epochs": 5, "minutes": 1e-9, "negatives": 4, "device": "cpu"})
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists[:40]}))
    monkeypatch.setattr(splitting, "all_sessions", lambda *_: pa.table({"items": lists}))
    trained = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "work", None)
    said = "recurrent was trained for 1 of 5 epochs: the next would have ended after training.minutes = 1e-09"
    assert trained.remarks == (said,)
    first = trained.models["recurrent"]
    refit = training.refit(cfg, NIGHT, Reads({}, {}), tmp_path / "work", trained.recipes["recurrent"], first)
    assert refit.remarks == (), "one epoch was all that it should learn"
    quick = replace(first, epochs=3)
    refit = training.refit(cfg, NIGHT, Reads({}, {}), tmp_path / "work", trained.recipes["recurrent"], quick)
    assert refit.remarks == (said.replace("1 of 5", "1 of 3"),)


def test_a_night_starts_workers_of_its_own_whatever_the_environment_says_of_others(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"RANK": "7", "WORLD_SIZE": "9", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    lists = [[item % 12 for item in range(start, start + 5)] for start in range(60)]
    settings = {"epochs": 1, "negatives": 4, "device": "cpu", "shards": 2, "workers": 2}
    cfg = make_config(models={"recurrent": {"units": 8}}, training=settings)
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists}))
    trained = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "work", None)
    assert trained.models["recurrent"].epochs == 1


def test_a_night_that_has_given_up_bits_says_so_on_its_page(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lists = [[item % 12 for item in range(start, start + 5)] for start in range(60)]
    settings = {"epochs": 1, "negatives": 4, "device": "cpu", "sums": "fast", "workers": 2}
    cfg = make_config(models={"recurrent": {"units": 8}}, training=settings)
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists}))
    trained = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "work", None)
    assert trained.remarks == (
        'recurrent was trained with training.sums = "fast" by 2 workers: a night that is run again may make '
        "another model of the same data",
    )


def test_a_refit_has_the_sizes_of_the_first_fit_though_its_own_data_are_a_step_larger(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """200 events are judged, 300 are published, and the table has a step at 250."""
    monkeypatch.setattr(sizing, "FROM_EVENTS", (0, 250))
    for name, row in sizing.STEPS.items():
        monkeypatch.setitem(sizing.STEPS, name, {"units": (4, 8), "epochs": (1, 2)}.get(name, row[:1] * 2))
    lists = [[item % 12 for item in range(start, start + 5)] for start in range(60)]
    cfg = make_config(training={"negatives": 4, "device": "cpu"})
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists[:40]}))
    monkeypatch.setattr(splitting, "all_sessions", lambda *_: pa.table({"items": lists}))
    trained = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "work", None)
    first, recipe = trained.models["recurrent"], trained.recipes["recurrent"]
    refit = training.refit(cfg, NIGHT, Reads({}, {}), tmp_path / "work", recipe, first)
    assert (first.sized["units"], first.sized["epochs"]) == (4, 1)
    assert (refit.sized, len(refit.history), refit.events) == (first.sized, 1, 300)
    of_the_model = {name: value for name, value in first.sized.items() if name not in OF_A_MACHINE}
    assert recipes.sized_of(refit.folder) == of_the_model
    for folder in (first.folder, refit.folder):  # and both say the recipe that was asked for
        assert recipes.saved(cfg, "recurrent", folder).digest == recipe.digest
    anew = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "next", None)
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists}))
    grown = training.train(cfg, NIGHT, Reads({}, {}), tmp_path / "after", refit.folder)
    assert anew.models["recurrent"].files == first.files
    assert grown.fitted_as("recurrent") == "fresh"
    assert grown.models["fresh"].sized["units"] == 8


@pytest.mark.parametrize(
    ("needs", "users", "times"), [((), None, None), (("users", "times"), ["u", "v"], [10, 20, 30, 40])]
)
def test_users_and_times_reach_the_models_that_need_them_and_no_others(
    needs: Any, users: Any, times: Any, config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[Sessions] = []

    def fit(_: Any, sessions: Sessions, vocabulary: Any, fitting: Any) -> Fitted:  # noqa: ARG001
        given.append(sessions)
        return models.find("popularity").fit(NoSettings(), sessions, vocabulary)

    monkeypatch.setitem(sys.modules, "spy", cast("ModuleType", SimpleNamespace(fit=fit)))
    monkeypatch.setitem(models.MODELS, "spy", models.Kind("spy", needs=needs))
    rows = {"items": [[1, 2], [9], [2, 3]], "user_id": ["u", "w", "v"], "times": [[10, 20], [25], [30, 40]]}
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table(rows))
    cfg = config.model_copy(update={"gate": GateConfig(candidates=("spy",))})
    trained = training.train(cfg, NIGHT, Reads({}, {}), tmp_path, None)
    assert list(trained.models) == ["spy", "popularity", "markov", "vsknn"]
    assert trained.models["spy"].sessions == 2
    [seen] = given
    assert (None if seen.users is None else seen.users.to_pylist()) == users
    assert (None if seen.times is None else seen.times.tolist()) == times


def test_all_contestants_learn_from_one_set_of_sessions_that_is_made_once(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[tuple[Sessions, Any]] = []

    def fit(_: Any, sessions: Sessions, vocabulary: Any, fitting: Any) -> Fitted:  # noqa: ARG001
        given.append((sessions, vocabulary))
        return models.find("popularity").fit(NoSettings(), sessions, vocabulary)

    monkeypatch.setitem(sys.modules, "spy", cast("ModuleType", SimpleNamespace(fit=fit)))
    monkeypatch.setitem(models.MODELS, "plain", models.Kind("spy"))
    monkeypatch.setitem(models.MODELS, "of_users", models.Kind("spy", needs=("users",)))
    rows = {"items": [[1, 2], [2, 3]], "user_id": ["u", "v"], "times": [None, None]}
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table(rows))
    cfg = config.model_copy(update={"gate": GateConfig(candidates=("plain", "of_users"))})
    training.train(cfg, NIGHT, Reads({}, {}), tmp_path, None)
    (plain, one), (of_users, other) = given
    assert plain.items is of_users.items
    assert one is other
    assert plain.users is None
    assert of_users.users is not None
    assert of_users.users.to_pylist() == ["u", "v"]


@pytest.mark.parametrize(
    ("exclude", "margin", "refused"),
    [("nothing", 0.01, True), ("last_item", 0.01, True), ("session", 0.01, False), ("window", 0.01, False),
     ("last_item", -1.0, False)],
)  # fmt: skip
def test_lists_that_would_show_what_the_champion_never_learnt_are_refused_unless_it_shall_change(
    exclude: str, margin: float, refused: bool, make_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own recipe counts, which rnnrec.toml may have said on another night."""
    cfg = make_config(recommendations={"exclude": exclude}, gate={"margin": margin})
    ours = recipes.configured(cfg, "recurrent")
    saved = replace(ours, name="fresh", training=replace(cfg.training, exclude_seen=True))
    monkeypatch.setattr(recipes, "saved", lambda *_: saved)
    if refused:
        with pytest.raises(ConfigurationError, match=f"champion .*exclude_seen.* got '{exclude}'.*margin=-1"):
            training.contestants(cfg, Path("champion"))
    else:
        assert training.contestants(cfg, Path("champion"))["fresh"] is saved


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError("Unable to allocate 9 GiB"),
    ],
)
def test_a_want_of_memory_is_told_with_what_to_make_smaller(error: Exception) -> None:
    def train() -> None:
        with training.model_failures("training the challenger"):
            raise error

    with pytest.raises(ModelFailure, match=r"training the challenger: memory did not suffice: .*negatives"):
        train()


def test_other_faults_are_not_called_a_want_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), training.model_failures("training"):
        raise RuntimeError("shapes differ")
