"""Each loss against numbers worked out by hand, and against a slow loop over its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model.config import TrainingConfig
from rnnrec_model.losses import ABSENT, LOSSES
from rnnrec_model.sampled_softmax import SampledSoftmax, Workspace

CONFIG = TrainingConfig(regularization=0.5)
LOG2, LOG3 = math.log(2), math.log(3)


def value(name, scores, target):
    row = torch.tensor([scores], dtype=torch.float64)
    return LOSSES[name](row, torch.tensor([target]), CONFIG).item()


def test_cross_entropy_of_equal_scores_is_the_logarithm_of_their_number():
    assert value("cross_entropy", [7.0, 7.0, 7.0], 1) == pytest.approx(LOG3)


def test_bpr_of_equal_scores_is_log_two_and_the_target_is_not_its_own_negative():
    assert value("bpr", [0.0, 0.0, 0.0], 2) == pytest.approx(LOG2)
    assert value("bpr", [0.0, LOG3], 1) == pytest.approx(math.log(4 / 3))  # sigmoid(log 3) = 3/4


def test_bpr_is_a_mean_over_the_negatives_not_a_sum():
    assert value("bpr", [0.0] * 100, 5) == pytest.approx(LOG2)


def test_bpr_max_weighs_the_negatives_by_their_softmax_without_the_positive():
    # negatives 0 and log 3 weigh 1/4 and 3/4; sigmoid(0 - 0) = 1/2, sigmoid(0 - log 3) = 1/4
    expected = -math.log(1 / 4 * 1 / 2 + 3 / 4 * 1 / 4) + 0.5 * (3 / 4 * LOG3**2)
    assert value("bpr_max", [0.0, 0.0, LOG3], 0) == pytest.approx(expected)
    # however large the positive, the weights of the negatives stay as they are
    large = value("bpr_max", [50.0, 0.0, LOG3], 0)
    assert large == pytest.approx(0.5 * (3 / 4 * LOG3**2))


def test_top1_max_adds_the_pull_to_zero():
    expected = 1 / 4 * (1 / 2 + 1 / 2) + 3 / 4 * (3 / 4 + 1 / (1 + math.exp(-(LOG3**2))))
    assert value("top1_max", [0.0, 0.0, LOG3], 0) == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_an_absent_column_takes_no_part(name):
    assert value(name, [0.3, ABSENT, 1.2], 0) == pytest.approx(value(name, [0.3, 1.2], 0))


def slow(name, scores, target):
    negatives = [s for column, s in enumerate(scores) if column != target]
    positive, weights = scores[target], [math.exp(s) for s in negatives]
    weights = [w / sum(weights) for w in weights]

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    if "cross_entropy" in name:
        return -math.log(math.exp(positive) / sum(math.exp(s) for s in scores))
    if name == "bpr":
        return sum(-math.log(sigmoid(positive - s)) for s in negatives) / len(negatives)
    if name == "bpr_max":
        won = sum(w * sigmoid(positive - s) for w, s in zip(weights, negatives, strict=True))
        size = sum(w * s * s for w, s in zip(weights, negatives, strict=True))
        return -math.log(won) + CONFIG.regularization * size
    return sum(w * (sigmoid(s - positive) + sigmoid(s * s)) for w, s in zip(weights, negatives, strict=True))


@pytest.mark.parametrize("name", LOSSES)
@given(scores=st.lists(st.floats(-5, 5), min_size=2, max_size=8), pick=st.integers(0, 7))
@settings(max_examples=40)
def test_every_loss_is_its_definition(name, scores, pick):
    target = pick % len(scores)
    assert value(name, scores, target) == pytest.approx(slow(name, scores, target), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_agree_with_finite_differences(name):
    scores = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 4, 2])
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, targets, CONFIG), scores.requires_grad_())


def softmax_case(dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 3, generator=random, dtype=dtype).requires_grad_()
    matrix = torch.randn(6, 3, generator=random, dtype=dtype).requires_grad_()
    offset = torch.randn(6, 1, generator=random, dtype=dtype).requires_grad_()
    own = torch.randn(4, generator=random, dtype=dtype)
    return hidden, matrix, offset, torch.tensor([5, 0, 3, 3]), own


def plain(hidden, matrix, offset, targets, own):
    scores = hidden @ matrix.t() + offset.t()
    scores = scores.index_put((torch.arange(4), targets), own, accumulate=True)
    return torch.nn.functional.cross_entropy(scores, targets, reduction="none")


def gradients(loss, leaves):
    weights = torch.tensor([0.1, 0.7, 0.2, 0.5])
    return torch.autograd.grad((loss * weights).sum(), leaves)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_the_fast_softmax_is_the_plain_one(precision, tolerance):
    case = softmax_case()
    fast = SampledSoftmax.apply(*case, precision, Workspace())
    slow = plain(*case)
    torch.testing.assert_close(fast, slow, atol=tolerance, rtol=tolerance)
    for one, other in zip(gradients(fast, case[:3]), gradients(slow, case[:3]), strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)
