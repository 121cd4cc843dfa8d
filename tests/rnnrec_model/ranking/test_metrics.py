"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest

from rnnrec_model.errors import ConfigError
from rnnrec_model.ranking.metrics import mean_metrics, metric_values

RANKS = np.array([1, 2, 3, 4, 20, 21])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall_at_3", [1, 1, 1, 0, 0, 0]),
        ("recall_at_20", [1, 1, 1, 1, 1, 0]),
        ("mrr_at_3", [1, 1 / 2, 1 / 3, 0, 0, 0]),
        ("mrr_at_20", [1, 1 / 2, 1 / 3, 1 / 4, 1 / 20, 0]),
        ("ndcg_at_3", [1, 1 / math.log2(3), 1 / 2, 0, 0, 0]),
    ],
)
def test_every_rank_is_worth_what_the_definition_says(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(metric_values(name, RANKS), expected)


def test_a_mean_is_over_all_predictions() -> None:
    means = mean_metrics(np.array([1, 2, 100, 100]), cutoffs=(1, 2))
    assert means == {
        "recall_at_1": 0.25,
        "mrr_at_1": 0.25,
        "ndcg_at_1": 0.25,
        "recall_at_2": 0.5,
        "mrr_at_2": 0.375,
        "ndcg_at_2": pytest.approx((1 + 1 / math.log2(3)) / 4),
    }


def test_no_prediction_has_no_mean() -> None:
    assert math.isnan(mean_metrics(np.array([], dtype=np.int64), (20,))["recall_at_20"])


@pytest.mark.parametrize(
    "name", ["recall@20", "recall_at_0", "recall_at_", "precision_at_20", "recall_at_-1"]
)
def test_an_unknown_metric_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="recall_at_20, mrr_at_20, ndcg_at_20"):
        metric_values(name, RANKS)
