"""Each loss against numbers worked out by hand, and against a slow loop over its definition."""

import math
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.losses import ABSENT, LOSSES
from rnnrec_model.fitting.sampled_softmax import Places, SampledSoftmax, factors
from rnnrec_model.fitting.workspace import Workspace

CONFIG, ITEMS = TrainingConfig(regularization=0.5, gbce_t=0.75), 21
LOG2, LOG3 = math.log(2), math.log(3)


def value(name, scores, target):
    row = torch.tensor([scores], dtype=torch.float64)
    return LOSSES[name].of_scores(row, torch.tensor([target]), CONFIG, ITEMS).item()


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


def test_gbce_weighs_the_positive_by_how_many_of_all_negatives_were_drawn():
    # two of twenty negatives: alpha = 1/10, beta = 1 - 3/4 * 9/10 = 13/40; log 2 leaves chances of a half
    assert value("gbce", [LOG2, LOG2, LOG2], 1) == pytest.approx((13 / 40 + 2) * LOG2 / 3)
    # all twenty drawn: nothing to make up for, binary cross-entropy
    assert value("gbce", [math.log(20)] * 21, 1) == pytest.approx(LOG2)


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
    if name == "gbce":  # as the paper writes it, of scores less the logarithm of how many negatives there are
        positive, negatives = (
            positive - math.log(len(negatives)),
            [s - math.log(len(negatives)) for s in negatives],
        )
        alpha = len(negatives) / (ITEMS - 1)
        beta = alpha * (CONFIG.gbce_t * (1 - 1 / alpha) + 1 / alpha)
        lost = sum(math.log(1 - sigmoid(s)) for s in negatives) + math.log(sigmoid(positive) ** beta)
        return -lost / (len(negatives) + 1)
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
    assert torch.autograd.gradcheck(
        lambda s: LOSSES[name].of_scores(s, targets, CONFIG, ITEMS), scores.requires_grad_()
    )


def softmax_case():
    random = torch.Generator().manual_seed(0)
    hidden, matrix, offset, raises = (
        torch.randn(*shape, generator=random).requires_grad_() for shape in ((4, 3), (6, 3), (6, 1), (4, 2))
    )
    own = torch.tensor([[5, 1, 1], [0, 0, 2], [3, 4, 5], [3, 2, 3]])
    banned = torch.zeros(4, 6, dtype=torch.bool)
    banned[0, 2] = banned[3, 4] = True
    places = Places(
        targets=torch.tensor([5, 0, 3, 3]),
        recent=torch.tensor([[1, 1], [2, 0], [4, 5], [2, 3]]),
        own=own,
        own_offset=torch.randn(6, generator=random)[own],
        banned=banned,
    )
    return hidden, matrix, offset, raises, places


def plain(hidden, matrix, offset, raises, places, scale):
    """Entry by entry: an own column gets its offset once, however often named, a recent one each time."""
    rows = []
    if scale is not None:
        matrix = scale * torch.nn.functional.normalize(matrix, dim=1)
    for event in range(len(hidden)):
        own = dict(zip(places.own[event].tolist(), places.own_offset[event], strict=True))
        row = []
        for column in range(len(matrix)):
            score = hidden[event] @ matrix[column] + offset[column, 0] + own.get(column, 0.0)
            named = zip(places.recent[event].tolist(), raises[event], strict=True)
            score = score + sum(by for recent, by in named if recent == column)
            row.append(torch.tensor(-torch.inf) if places.banned[event, column] else score)
        rows.append(torch.stack(row))
    return torch.nn.functional.cross_entropy(torch.stack(rows), places.targets, reduction="none")


def gradients(loss, leaves):
    weights = torch.tensor([0.1, 0.7, 0.2, 0.5])
    return torch.autograd.grad((loss * weights).sum(), leaves)


@pytest.mark.parametrize("scale", [None, 3.0])
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_the_fast_softmax_is_the_plain_one(precision, tolerance, scale):
    case = softmax_case()
    fast = SampledSoftmax.apply(*case, scale, precision, Workspace())
    slow = plain(*case, scale)
    torch.testing.assert_close(fast, slow, atol=tolerance, rtol=tolerance)
    for one, other in zip(gradients(fast, case[:4]), gradients(slow, case[:4]), strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def test_products_in_low_precision_come_in_few_shapes_and_are_little_larger_than_asked():
    """What oneDNN keeps for every shape would else grow with the data."""

    def rows(events):
        hidden, matrix, offset = torch.zeros(events, 1), torch.zeros(2, 1), torch.zeros(2, 1)
        return len(factors(hidden, matrix, offset, torch.bfloat16, Workspace())[0])

    sizes = range(1, 4097, 7)
    padded = [rows(events) for events in sizes]
    assert all(size <= row <= max(size + 63, size * 9 / 8) for size, row in zip(sizes, padded, strict=True))
    assert len(set(padded)) <= 33


def test_the_settings_offer_the_losses_there_are():
    assert set(get_args(get_type_hints(TrainingConfig)["loss"])) == {"auto", *LOSSES}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_corrected_draws_and_a_softmax_is_one(name):
    """What is not drawn is there for certain; what training takes as a softmax is the cross-entropy."""
    loss, scores = LOSSES[name], torch.tensor([[0.5, 2.0, -1.0]])
    assert loss.draws or not loss.corrected
    targets = torch.tensor([1])
    found = loss.of_scores(scores, targets, CONFIG, ITEMS)
    is_softmax = torch.equal(found, -torch.log_softmax(scores, dim=1)[:, 1])
    assert loss.softmax == is_softmax
