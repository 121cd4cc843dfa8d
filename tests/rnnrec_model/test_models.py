"""The table of models: every kind is fitted, saved and loaded by the same calls."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model.config import TrainingConfig
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.saving import load, save
from rnnrec_model.scorer import Model
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ITEMS = 8
SMALL = {"recurrent": {"units": 4}, "vsknn": {"neighbours": 2, "sample": 3}, "sequential_rules": {"steps": 3}}
QUICK = Fitting(training=TrainingConfig(epochs=1, negatives=4, device="cpu"))
lists = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=9)


def fitted(name: str, log: list[list[int]], **told: object) -> Model:
    sessions = Sessions.of(log)
    counts = np.bincount(sessions.items, minlength=ITEMS)
    ids = pa.array([f"item {i}" for i in range(ITEMS)])
    kind = MODELS[name]
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
