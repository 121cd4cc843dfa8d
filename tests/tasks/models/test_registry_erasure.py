"""Users are taken out of a registered model that knows them: it is whole, and all others have their rows."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rnnrec_model import saving
from rnnrec_model.config import TrainingConfig
from rnnrec_model.factors.settings import FpmcConfig
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.ranking.answers import Answering, save_answering
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.models import registry
from tasks.models.registry import copies, erasure
from tasks.models.verdicts import Verdict
from tasks.settings.config import Config

NIGHT = date(2026, 1, 2)
GONE = "zoe-7f3a91"


def fitted(folder: Path, users: list[Any]) -> dict[str, str]:
    lists = pa.array([["i1", "i2", "i3"], ["i2", "i3", "i1"], ["i3", "i1", "i2"]] * 4)
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary, users=pa.array(users * 4))
    fitting = Fitting(training=TrainingConfig(epochs=1, device="cpu", negatives=2))
    trained = MODELS["fpmc"].fit(FpmcConfig(factors=4), sessions, vocabulary, fitting)
    files = saving.save(trained.scorer, folder)
    popular = pa.table({"item_id": ["i3", "i2", "i1"], "score": [3.0, 2.0, 1.0]})
    return files | save_answering(Answering(popular, 2, 10), folder)


def rows(folder: Path) -> dict[Any, list[float]]:
    """User → row; nobody's is None's."""
    model: Any = saving.load(folder)
    known = model.network.users.known
    ids = [] if known is None else known.ids.to_pylist()
    return dict(zip([*ids, None], model.network.user_rows.detach().numpy().tolist(), strict=True))


@pytest.fixture
def registered(config: Config, tmp_path: Path) -> tuple[Config, registry.Version]:
    registry.reach(config)
    files = fitted(tmp_path / "model", [GONE, "ann", "ben"])
    facts = registry.Facts(
        Verdict("fresh", "fresh", "best", {}, 8, 3), None, "all", "d", config.as_dict(), config.digest(), ()
    )
    return config, registry.register(config, NIGHT, tmp_path / "model", files, facts)


def holding(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file() and GONE.encode() in path.read_bytes()]


def test_a_registered_model_is_whole_without_him_and_has_the_rows_of_all_others(
    registered: tuple[Config, registry.Version], tmp_path: Path
) -> None:
    cfg, version = registered
    before = rows(tmp_path / "model")
    assert holding(cfg.root) == [saving.WEIGHTS]
    files = registry.without_users(cfg, lambda user: user == GONE)
    assert holding(cfg.root) == []
    found = registry.get(cfg, version.number)
    folder = copies.fetch(cfg, found, tmp_path / "fetched")
    assert rows(folder) == {user: row for user, row in before.items() if user != GONE}
    assert copies.pin(cfg, found).files == files[version.run_id]
    assert registry.without_users(cfg, lambda user: user == GONE) == files, "done again it changes nothing"


@pytest.mark.parametrize("dies_at", ["set_model_version_tag", "log_artifact"])
def test_an_erasure_that_died_is_done_again_to_the_same_bytes(
    registered: tuple[Config, registry.Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    import mlflow

    cfg, version = registered

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, dies_at, die)
        with pytest.raises(KeyboardInterrupt):
            registry.without_users(cfg, lambda user: user == GONE)
    registry.without_users(cfg, lambda user: user == GONE)
    folder = copies.fetch(cfg, registry.get(cfg, version.number), tmp_path / "fetched")
    assert set(rows(folder)) == {"ann", "ben", None}
    assert holding(cfg.root) == []


@pytest.mark.parametrize(("users", "gone"), [([1, 2, 3], [2]), (["a", "b", "c"], ["a", "b", "c"])])
def test_ids_of_either_type_go_and_all_of_them_may(tmp_path: Path, users: list[Any], gone: list[Any]) -> None:
    fitted(tmp_path, users)
    before = rows(tmp_path)
    saving.drop_users(tmp_path / saving.WEIGHTS, gone)
    assert rows(tmp_path) == {user: row for user, row in before.items() if user not in gone}
    assert np.allclose(rows(tmp_path)[None], 0)


def test_a_model_that_knows_no_users_is_left_alone(tmp_path: Path) -> None:
    lists = pa.array([["i1", "i2"], ["i2", "i1"]] * 4)
    vocabulary = Vocabulary.build(lists.flatten())
    trained = MODELS["markov"].fit(
        MODELS["markov"].settings(), Sessions.from_arrow(lists, vocabulary), vocabulary, Fitting()
    )
    saving.save(trained.scorer, tmp_path)
    assert saving.users_in(tmp_path / saving.WEIGHTS) is None
    assert erasure.DIGEST == "files_digest"
