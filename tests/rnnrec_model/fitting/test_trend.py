"""What items have come to lately, and what a network makes of it."""

import json
from math import exp, log

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model import saving
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting import trend as trends
from rnnrec_model.fitting.trend import LIVES, Past, trend
from rnnrec_model.models import find
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


def drifting(days: int = 10, items: int = 20, events: int = 400) -> np.ndarray:
    """Each day two other items are what everybody looks at."""
    rng = np.random.default_rng(1)
    fresh = [rng.integers(2 * day, 2 * day + 2, events // 2) for day in range(days)]
    rest = [rng.integers(0, items, events // 2) for _ in range(days)]
    return np.concatenate([rng.permutation(np.concatenate(pair)) for pair in zip(fresh, rest, strict=True)])


def test_items_of_the_last_day_are_raised_above_those_of_the_days_before():
    added = trend(drifting(), 20, 0.5)
    assert set(np.argsort(-added)[:2]) == {18, 19}
    assert added[18] > 0 > added[0]


def test_the_drift_is_the_log_of_the_share_to_come_over_the_share_in_all():
    past = Past(np.zeros(3), np.zeros((len(LIVES), 3)))
    for counts in ([8.0, 2.0, 0.0], [1.0, 9.0, 0.0]):
        past.add(np.array(counts))
    life, prior = 1, 100.0
    kept = exp(-1 / LIVES[life])
    lately = [8 * kept + 1, 2 * kept + 9]
    expected = [
        log((came + prior * share) / (sum(lately) + prior) / share)
        for came, share in zip(lately, (9 / 20, 11 / 20), strict=True)
    ]
    assert past.drift(life, prior) == pytest.approx([*expected, 0.0])


def test_half_of_it_is_added_as_half_of_it():
    items = drifting()
    assert trend(items, 20, 1.0).any()
    assert not trend(items, 20, 0.0).any()


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_changes_nothing_is_added(seed):
    items = np.random.default_rng(seed).permutation(drifting())
    assert not trend(items, 20, 0.5).any()


@given(st.lists(st.integers(0, 6), max_size=300), st.floats(0.0, 1.0))
@settings(max_examples=50)
def test_it_is_finite_whatever_came_and_zero_for_what_never_came(items, part):
    added = trend(np.array(items, dtype=np.int64), 9, part)
    assert added.shape == (9,)
    assert np.isfinite(added).all()
    assert not added[7:].any()


def test_what_it_foretold_is_what_came_after_each_look_and_nothing_later():
    """What comes after the last look can choose nothing: other last events, the same choice before them."""
    items = drifting()
    end = trends.LOOKS[-1] * len(items) // trends.BLOCKS
    seen = [(over, past.every.copy()) for over, past in trends._blocks(items, 20) if over in trends.LOOKS]
    changed = items.copy()
    changed[end:] = 0
    again = [(over, past.every.copy()) for over, past in trends._blocks(changed, 20) if over in trends.LOOKS]
    for (over, one), (other, two) in zip(seen, again, strict=True):
        assert over == other
        assert (one == two).all()
        assert one.sum() == over * len(items) // trends.BLOCKS


@pytest.mark.parametrize("kind", ["recurrent", "sasrec", "bert4rec"])
def test_a_network_that_learns_shares_follows_the_times_and_is_else_the_same(kind):
    items = drifting()
    sessions = Sessions(items, np.arange(0, len(items) + 1, 4))
    vocabulary = Vocabulary(pa.array(range(20)), np.bincount(items, minlength=20))
    model = find(kind)

    def fitted(**training):
        small = model.settings(units=8, **({} if kind == "recurrent" else {"heads": 1}))
        how = TrainingConfig(epochs=1, threads=1, batch_events=256, **training)
        return model.fit(small, sessions, vocabulary, Fitting(training=how)).scorer

    still, moved = fitted(trend=0.0), fitted(trend=0.5)
    assert (still.item_matrix == moved.item_matrix).all()
    added = (moved.item_bias - still.item_bias).numpy()
    assert added == pytest.approx(trend(items, 20, 0.5), abs=1e-5)


def test_a_network_whose_scores_are_no_logarithms_of_shares_stays_as_it_is():
    items = drifting()
    sessions = Sessions(items, np.arange(0, len(items) + 1, 4))
    vocabulary = Vocabulary(pa.array(range(20)), np.bincount(items, minlength=20))
    model = find("recurrent")
    biases = [
        model.fit(
            model.settings(units=8),
            sessions,
            vocabulary,
            Fitting(training=TrainingConfig(epochs=1, threads=1, loss="bpr", trend=part)),
        ).scorer.item_bias
        for part in (0.0, 0.5)
    ]
    assert (biases[0] == biases[1]).all()


def test_a_model_that_was_saved_before_there_was_a_trend_was_fitted_without_one(tmp_path):
    items = drifting()
    sessions = Sessions(items, np.arange(0, len(items) + 1, 4))
    vocabulary = Vocabulary(pa.array(range(20)), np.bincount(items, minlength=20))
    model = find("recurrent")
    how = TrainingConfig(epochs=1, threads=1, batch_events=256)
    saving.save(
        model.fit(model.settings(units=8), sessions, vocabulary, Fitting(training=how)).scorer, tmp_path
    )
    told = json.loads((tmp_path / saving.CONFIG).read_text())
    assert saving.load_recipe(tmp_path)[2].trend == 0.5
    del told["training"]["trend"]
    (tmp_path / saving.CONFIG).write_text(json.dumps(told))
    assert saving.load_recipe(tmp_path)[2].trend == 0.0


def test_the_newest_sessions_tell_of_the_times_where_they_served_to_validate():
    """An item that only the last twentieth has is raised, whoever keeps that apart to stop by."""
    items = np.where(np.arange(4_000) >= 3_850, 20, np.resize(drifting(), 4_000))
    sessions = Sessions.of(items.reshape(-1, 4).tolist())
    vocabulary = Vocabulary(pa.array(range(21)), np.bincount(items, minlength=21))
    biases = []
    for part in (0.0, 1.0):
        how = TrainingConfig(epochs=1, patience=1, trend=part, device="cpu", loss="full_cross_entropy")
        fitted = find("recurrent").fit(RecurrentConfig(units=4), sessions, vocabulary, Fitting(training=how))
        biases.append(fitted.scorer.network.tables()["item_bias"].detach().numpy()[:, 0])
    added = biases[1] - biases[0]
    assert added == pytest.approx(trend(sessions.items, 21, 1.0), abs=1e-5)
    assert added[20] > 0
