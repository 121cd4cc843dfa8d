"""The table of models: every kind is fitted, saved, loaded by the same calls; others join by entry point."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from rnnrec_model import models
from rnnrec_model.config import NoSettings, TrainingConfig
from rnnrec_model.counting.settings import SequentialRulesConfig, SessionNeighboursConfig
from rnnrec_model.errors import ConfigError, DataError, SavedModelError
from rnnrec_model.models import MODELS, Fitting, Kind
from rnnrec_model.saving import CONFIG, VOCABULARY, WEIGHTS, load, save
from rnnrec_model.scorer import Model
from rnnrec_model.sessions import Sessions
from rnnrec_model.sizing import Size
from rnnrec_model.vocabulary import Vocabulary

ITEMS = 8
SMALL = {
    "recurrent": {"units": 4},
    "sasrec": {"units": 4, "max_length": 3},
    "bert4rec": {"units": 4, "max_length": 3},
    "fpmc": {"factors": 4},
    "vsknn": {"neighbours": 2, "sample": 3},
    "sequential_rules": {"steps": 3},
}
QUICK = Fitting(training=TrainingConfig(epochs=1, negatives=4, device="cpu"))
LOG = [[0, 1, 2, 0], [3, 1], [2, 5, 7]]
lists = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=9)


def fitted(name: str, log: list[list[int]] = LOG, **told: object) -> Model:
    if name == "als":
        pytest.importorskip("implicit", reason="the extra `als` of the model library is not installed")
    sessions = Sessions.of(log)
    counts = np.bincount(sessions.items, minlength=ITEMS)
    ids = pa.array([f"item {i}" for i in range(ITEMS)])
    kind = models.find(name)
    made = kind.settings(**(SMALL.get(name, {}) | told))
    return kind.fit(made, sessions, Vocabulary(ids, counts), QUICK).scorer


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(log=lists, asked=lists)
def test_a_saved_model_scores_bit_for_bit_the_same(
    name: str, log: list[list[int]], asked: list[list[int]]
) -> None:
    scorer, sessions = fitted(name, [*log, [0, 1]]), Sessions.of(asked)
    with TemporaryDirectory() as folder:
        digests = save(scorer, Path(folder))
        again = load(Path(folder))
        assert save(again, Path(folder) / "again") == digests
    assert torch.equal(again.score_steps(sessions), scorer.score_steps(sessions))
    assert torch.equal(again.score_last(sessions), scorer.score_last(sessions))
    assert (type(again), again.name) == (type(scorer), scorer.name)
    assert again.saved().settings == scorer.saved().settings
    assert again.vocabulary.ids.equals(scorer.vocabulary.ids)
    assert again.vocabulary.counts.tolist() == scorer.vocabulary.counts.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_saved_as_its_kind_without_pickle(name: str, tmp_path: Path) -> None:
    files = save(fitted(name), tmp_path)
    told = json.loads((tmp_path / CONFIG).read_text())
    assert (told["kind"], told["name"]) == (name, name)
    asked = MODELS[name].settings(**SMALL.get(name, {}))
    assert told["settings"] == asked.sized(Size(9, 3, ITEMS)).as_dict()
    assert files.keys() == {WEIGHTS, CONFIG, VOCABULARY}
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_a_model_of_one_item_is_loaded_as_any_other(tmp_path: Path) -> None:
    one = Vocabulary(pa.array(["the only one"]), np.array([2]))
    save(MODELS["popularity"].fit(NoSettings(), Sessions.of([[0, 0]]), one).scorer, tmp_path)
    assert load(tmp_path).vocabulary.ids.to_pylist() == ["the only one"]


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_has_settings_that_need_not_be_told_and_takes_no_others(name: str) -> None:
    kind = MODELS[name]
    assert kind.settings() == kind.settings(**kind.settings().as_dict())
    other = SessionNeighboursConfig() if kind.settings is not SessionNeighboursConfig else NoSettings()
    with pytest.raises(ConfigError, match=f"expected {kind.settings.__name__}"):
        kind.fit(other, Sessions.of(LOG), fitted("popularity").vocabulary)


@pytest.mark.parametrize(
    ("settings_of", "wrong", "said"),
    [
        (SequentialRulesConfig, {"steps": 11}, "steps: expected a number from 1 to 10; got 11"),
        (SessionNeighboursConfig, {"sample": 0}, "sample: expected a number from 1 to"),
        (SessionNeighboursConfig, {"idf_weight": float("nan")}, "idf_weight: expected a number"),
    ],
)
def test_settings_out_of_their_range_are_refused(
    settings_of: type, wrong: dict[str, float], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_of(**wrong)


def test_rules_of_one_step_are_a_markov_chain() -> None:
    rules, asked = fitted("sequential_rules", steps=1), Sessions.of([[i] for i in range(ITEMS)])
    assert torch.equal(rules.score_last(asked), fitted("markov").score_last(asked))


def test_a_kind_is_not_fitted_without_what_it_needs() -> None:
    kind = Kind("rnnrec_model.counting.markov", needs=("users", "times"))
    with pytest.raises(DataError, match="expected times beside items"):
        kind.fit(NoSettings(), Sessions.of([[0]], users=["ann"]), fitted("markov").vocabulary)


def test_what_a_kind_only_uses_is_carried_and_not_missed() -> None:
    kind = Kind("rnnrec_model.counting.markov", needs=("times",), uses=("users",))
    assert kind.carried == {"users", "times"}
    kind.fit(NoSettings(), Sessions.of([[0]], times=[[1]]), fitted("markov").vocabulary)


def without(name: str) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda arrays: arrays.pop(name)


def with_first(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda arrays: arrays[name].view(-1)[:1].fill_(value)


def with_last(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda arrays: arrays[name].view(-1)[-1:].fill_(value)


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("popularity", without("events"), r"expected arrays events \(float32, 8\); got none"),
        (
            "popularity",
            lambda arrays: arrays.update(more=torch.zeros(1)),
            r"got events .*, more \(float32, 1\)",
        ),
        ("popularity", lambda arrays: arrays.update(events=torch.zeros(7)), r"got events \(float32, 7\)"),
        ("popularity", lambda arrays: arrays.update(events=torch.zeros(8).double()), "float64"),
        ("popularity", with_first("events", torch.nan), "expected finite numbers in events"),
        ("session_popularity", with_first("share", torch.inf), "expected finite numbers in share"),
        ("markov", with_first("columns", ITEMS), "expected values from 0 to below 8"),
        ("markov", with_first("columns", -1), "expected values from 0 to below 8"),
        ("markov", with_first("starts", 1), "expected starts that rise"),
        ("markov", with_last("starts", 99), "expected starts that rise"),
        ("markov", lambda arrays: arrays.update(weights=torch.zeros(1)), "expected arrays"),
        ("sequential_rules", without("weights"), "expected arrays"),
        ("vsknn", with_first("sessions", 3), "expected values from 0 to below 3"),
        ("vsknn", with_first("items", ITEMS), "expected values from 0 to below 8"),
        ("vsknn", with_last("items_starts", 99), "expected starts that rise"),
        ("vsknn", with_first("item_weight", torch.nan), "expected finite numbers in item_weight"),
        ("als", without("gram"), r"expected arrays gram \(float64, 64, 64\), item_matrix \(float32, 8, 64\)"),
        ("als", with_first("gram", torch.nan), "expected finite numbers in gram"),
        ("fpmc", without("user_rows"), "user_rows"),
        ("fpmc", without("user_ids"), "expected user_ids, or user_text and user_ends; got none"),
        ("recurrent", without("item_rows"), "item_rows"),
    ],
)
def test_arrays_that_are_no_such_model_are_refused(
    name: str, spoil: Callable[[dict[str, torch.Tensor]], object], said: str, tmp_path: Path
) -> None:
    save(fitted(name), tmp_path)
    arrays = load_file(tmp_path / WEIGHTS)
    spoil(arrays)
    save_file(arrays, tmp_path / WEIGHTS)
    with pytest.raises(
        SavedModelError, match=rf"(?s)weights\.safetensors: expected weights for 8 items .*{said}"
    ):
        load(tmp_path)


@pytest.mark.parametrize("name", ["recurrent", "markov"])
@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"kind": "nearest"}, "model 'nearest': expected one of recurrent"),
        ({"kind": None}, "expected"),
        ({"settings": {"colour": 1}}, "colour"),
        ({"settings": [1]}, "mapping"),
        ({"training": {"epochs": 0}}, "epochs"),
    ],
)
def test_settings_of_no_model_are_refused(
    name: str, spoilt: dict[str, object], said: str, tmp_path: Path
) -> None:
    save(fitted(name), tmp_path)
    told = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(told | spoilt))
    with pytest.raises(SavedModelError, match=rf"config\.json: expected the settings of a model; .*{said}"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "1", '"two"', "{}"])
def test_json_that_is_no_saved_settings_is_refused(content: str, tmp_path: Path) -> None:
    save(fitted("markov"), tmp_path)
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(SavedModelError, match=r"config\.json: expected"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"item_id": ["a", "b"]}, "item_id and events columns"),
        ({"item_id": ["b", "a"], "events": [1, 1]}, "sorted, distinct"),
        ({"item_id": ["a", "a"], "events": [1, 1]}, "sorted, distinct"),
        ({"item_id": ["a", None], "events": [1, 1]}, "sorted, distinct"),
        ({"item_id": [0.5, 1.5], "events": [1, 1]}, "sorted, distinct"),
        ({"item_id": ["a", "b"], "events": [1, -1]}, "counts"),
        ({"item_id": ["a", "b"], "events": [1, None]}, "counts"),
        ({"item_id": ["a", "b"], "events": ["1", "2"]}, "counts"),
    ],
)
def test_item_ids_of_no_vocabulary_are_refused(
    table: dict[str, list[object]], said: str, tmp_path: Path
) -> None:
    save(fitted("markov"), tmp_path)
    pq.write_table(pa.table(table), tmp_path / VOCABULARY)
    with pytest.raises(SavedModelError, match=rf"vocabulary\.parquet: expected .*{said}"):
        load(tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_a_vocabulary_of_another_size_does_not_fit(name: str, tmp_path: Path) -> None:
    save(fitted(name), tmp_path)
    pq.write_table(pa.table({"item_id": ["a", "b"], "events": [1, 1]}), tmp_path / VOCABULARY)
    with pytest.raises(SavedModelError, match="expected weights for 2 items"):
        load(tmp_path)


# ------------------------------------------------------------------------------------- models of one's own

OWN = '''
from dataclasses import dataclass

import torch

from rnnrec_model.config import Settings, setting
from rnnrec_model.models import Fitted, Kind, Saved


@dataclass(frozen=True, kw_only=True)
class LatestConfig(Settings):
    """The newest items first."""

    step: float = setting(1.0, "how much one place counts", 0.1, 10.0)


@dataclass(frozen=True)
class Latest:
    settings: LatestConfig
    vocabulary: object
    score: torch.Tensor
    name: str = "latest"

    def score_steps(self, sessions):
        return self.score_last(sessions.beginnings())

    def score_last(self, sessions):
        return self.score.expand(len(sessions), -1)

    def saved(self):
        known = {"settings": self.settings, "vocabulary": self.vocabulary}
        return Saved(kind="latest", name=self.name, arrays={"score": self.score}, **known)


def fit(settings, sessions, vocabulary, fitting):
    score = torch.zeros(len(vocabulary))
    for place, item in enumerate(sessions.items):
        score[item] = settings.step * place
    return Fitted(Latest(settings, vocabulary, score))


def load(saved):
    saved.require(score=(torch.float32, len(saved.vocabulary)))
    return Latest(saved.settings, saved.vocabulary, saved.arrays["score"], saved.name)


KIND = Kind("own_models", "LatestConfig")
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a package of the user's own on the path, which offers models."""

    def put(package: str, **offers: str) -> None:
        described = tmp_path / f"{package}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in offers.items())
        (described / "entry_points.txt").write_text(f"[{models.GROUP}]\n{lines}")
        (tmp_path / "own_models.py").write_text(OWN)
        importlib.invalidate_caches()
        models._offered.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield put
    sys.modules.pop("own_models", None)
    models._offered.cache_clear()


def test_a_model_of_ones_own_joins_by_entry_point(install: Callable[..., None], tmp_path: Path) -> None:
    install("mine", latest="own_models:KIND")
    assert models.names() == [*MODELS, "latest"]
    scorer = fitted("latest", step=2.0)
    save(scorer, tmp_path / "saved")
    again, asked = load(tmp_path / "saved"), Sessions.of([[0]])
    assert again.score_last(asked).tolist() == [[6, 10, 12, 8, 0, 14, 0, 16]]
    assert again.saved().settings == scorer.saved().settings


def test_a_saved_model_whose_package_is_gone_is_refused_by_its_kind(
    install: Callable[..., None], tmp_path: Path
) -> None:
    install("mine", latest="own_models:KIND")
    save(fitted("latest"), tmp_path / "saved")
    (tmp_path / "mine-1.0.dist-info" / "entry_points.txt").unlink()
    models._offered.cache_clear()
    with pytest.raises(SavedModelError, match="model 'latest': expected one of recurrent"):
        load(tmp_path / "saved")


def test_two_models_of_one_name_are_refused_by_name_and_the_others_are_not(
    install: Callable[..., None],
) -> None:
    install("mine", latest="own_models:KIND", markov="own_models:KIND")
    install("yours", latest="own_models:KIND")
    with pytest.raises(ConfigError, match=r"'latest': .* one from each of package mine, package yours"):
        models.find("latest")
    with pytest.raises(ConfigError, match=r"'markov': .* one from each of rnnrec itself, package mine"):
        models.find("markov")
    assert models.find("vsknn") is MODELS["vsknn"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("own_models:NONE", "package mine offers own_models:NONE, which cannot be imported: AttributeError"),
        ("no_such_module:KIND", "cannot be imported: ModuleNotFoundError"),
        ("own_models:Latest", "expected own_models:Latest of package mine to be a rnnrec_model.models.Kind"),
    ],
)
def test_a_broken_offer_is_an_error_only_when_it_is_asked_for(
    install: Callable[..., None], value: str, said: str
) -> None:
    install("mine", broken=value, latest="own_models:KIND")
    assert models.names() == [*MODELS, "broken", "latest"]
    assert models.find("latest").settings().step == 1.0
    with pytest.raises(ConfigError, match=said):
        models.find("broken")


def test_a_name_that_nobody_has_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"model 'gru': expected one of recurrent, sasrec, .*vsknn"):
        models.find("gru")


def test_kinds_and_their_settings_are_known_without_a_model_library() -> None:
    code = (
        "import sys; from rnnrec_model import models\n"
        "for name in models.names(): models.find(name).settings()\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_what_a_machine_was_told_is_not_kept_with_the_model(tmp_path: Path) -> None:
    lists = pa.array([[1, 2, 3], [2, 3, 1], [3, 1, 2]] * 5)
    vocabulary = Vocabulary.build(lists.flatten())
    sessions, kept = Sessions.from_arrow(lists, vocabulary), []
    for own in ({"threads": 2, "checkpoint_minutes": 3.0}, {"device": "cpu"}, {"threads": 1}):
        training = TrainingConfig(**{"epochs": 1, "negatives": 2, "device": "cpu", **own})
        fitted = MODELS["recurrent"].fit(
            MODELS["recurrent"].settings(units=4), sessions, vocabulary, Fitting(training=training)
        )
        kept.append(save(fitted.scorer, tmp_path / str(len(kept))))
    assert kept[0] == kept[1] == kept[2]
