"""Draws come in proportion, and each candidate's chance is what counting batch by batch shows."""

import random

import numpy as np
import pytest
import torch

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import strips, training_plan
from rnnrec_model.fitting.candidates import compact
from rnnrec_model.fitting.negatives import Inclusion, NegativeSampler, alias_table
from rnnrec_model.fitting.objective import NextItem
from rnnrec_model.sessions import Sessions


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def drawn_by(threshold, alias):
    """(items,) each item's share of all buckets, added up bucket by bucket."""
    shares = threshold.clone()
    return shares.index_add_(0, alias, 1 - threshold) / len(threshold)


@pytest.mark.parametrize("weight", [[1], [3, 3, 3], [1, 2, 3, 4], [7, 1, 1, 1], [1e-9, 1, 1e6, 3, 1]])
def test_the_buckets_add_up_to_the_weights(weight):
    threshold, alias = alias_table(torch.tensor(weight))
    assert ((threshold >= 0) & (threshold <= 1)).all()
    expected = np.array(weight) / np.sum(weight)
    np.testing.assert_allclose(drawn_by(threshold, alias), expected, rtol=1e-6)


def test_five_million_items_can_all_be_drawn_at_alpha_one():
    counts = torch.from_numpy(np.random.default_rng(0).permutation(1e7 // np.arange(1, 5_000_001)))
    given = drawn_by(*alias_table(counts)) / (counts / counts.sum())
    assert given.min() > 0.999
    assert given.max() < 1.001


def test_rare_items_beside_one_that_has_nearly_all_events_hardly_meet_twice():
    """About 1,000 of 5 M draws fall on 20,000 items of chance 1e-8 each: 25 of them on one that was there."""
    counts = torch.full((20_001,), 100)
    counts[0] = 10**10
    drawn = NegativeSampler(counts, 1.0, seeded()).draw(5_000_000)
    rare = drawn[drawn > 0]
    assert 800 < len(rare) < 1200
    assert len(rare) - len(rare.unique()) < 50


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_items_come_as_often_as_their_chance_says(alpha):
    """Pearson's chi-square over 500 items: 499 expected, within five of its standard deviations."""
    counts = torch.from_numpy(np.random.default_rng(0).zipf(1.5, 500).clip(1, 5000))
    draws = 400_000
    seen = torch.bincount(NegativeSampler(counts, alpha, seeded()).draw(draws), minlength=500)
    weight = counts.double() ** alpha
    expected = draws * weight / weight.sum()
    chi_square = ((seen - expected).square() / expected).sum().item()
    assert abs(chi_square - 499) < 5 * (2 * 499) ** 0.5


def test_the_same_seed_draws_the_same_items():
    counts = torch.arange(1, 100)
    first, second, other = (NegativeSampler(counts, 0.5, seeded(s)).draw(50).tolist() for s in (1, 1, 2))
    assert first == second != other


def shop(items=300, count=3000):
    """Sessions of popular and rare items, where people come back to what they looked at."""
    chooser = np.random.default_rng(3)
    chance = 1 / np.arange(1, items + 1) ** 0.7
    lists = []
    for length in chooser.integers(2, 7, count):
        session = chooser.choice(items, length, p=chance / chance.sum())
        again = chooser.random(length) < 0.4
        session[1:] = np.where(again[1:], session[:-1], session[1:])
        lists.append(session.tolist())
    return lists


LISTS = shop()
SESSIONS = Sessions.of(LISTS)


def test_a_session_holds_an_item_once_and_sessions_of_one_item_are_not_trained_on():
    assert Sessions.of([[0, 1, 0, 0], [1], [1, 2], [2, 2]]).holding(4).tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize(("drawn", "others"), [(0, 5), (12, 5), (0, 15)])
def test_the_chance_of_a_candidate_is_how_often_it_is_one(drawn, others):
    """Batches put together by a loop: sessions at random, sets of their items, and one draw after another."""
    chooser, batches = random.Random(4), 20_000
    popularity = np.bincount(SESSIONS.items, minlength=300) ** 0.5
    chance = torch.from_numpy(popularity / popularity.sum())
    there, asked, brought = np.zeros(300), np.zeros(300), 0
    for _ in range(batches):
        own, *rest = chooser.sample(LISTS, 1 + others)
        candidates = set().union(*rest, chooser.choices(range(300), popularity, k=drawn))
        free = np.ones(300)
        free[own] = 0
        asked += free
        there[list(candidates)] += free[list(candidates)]
        brought += sum(len(set(session)) for session in rest)
    inclusion = Inclusion(chance, torch.from_numpy(SESSIONS.holding(300)), drawn)
    expected = inclusion.log_chance(torch.arange(300), torch.tensor(brought / batches)).exp().numpy()
    error = np.sqrt(expected * (1 - expected) / asked)
    assert (np.abs(there / asked - expected) < 4 * error + 0.02 * expected).all()
    assert (there / asked).sum() == pytest.approx(expected.sum(), rel=0.01)


@pytest.mark.parametrize(("negatives", "batch_events"), [(0, 64), (0, 256), (40, 64), (400, 64)])
def test_the_candidates_stand_for_the_whole_softmax(negatives, batch_events):
    """The sum of exp(score) / chance over a batch's candidates is on average that of exp(score) over all."""
    config = TrainingConfig(
        batch_events=batch_events, negatives=negatives, order="random", negative_alpha=0.5
    )
    items = torch.from_numpy(SESSIONS.items)
    sampler = NegativeSampler(torch.bincount(items, minlength=300), config.negative_alpha, seeded(5))
    inclusion = Inclusion(sampler.chance, torch.from_numpy(SESSIONS.holding(300)), negatives)
    weight = torch.rand(300, generator=seeded(6)).exp()
    found_sums, whole_sums = [], []
    for epoch in range(4):
        for batch in training_plan(SESSIONS, config, np.random.default_rng(epoch)):
            starts, lengths = torch.as_tensor(batch.starts), torch.as_tensor(batch.lengths)
            lanes = strips(starts, lengths, batch.steps, 0)
            found = compact(items, lanes, NextItem()(lanes), sampler.draw(negatives))
            ours = weight[found.items] / inclusion.log_chance(found.items, found.others).exp()
            for lane in range(0, len(starts), 7):
                own = found.columns[:, lane].unique()
                found_sums.append(ours.sum().item() - ours[own].sum().item())
                whole_sums.append(weight.sum().item() - weight[found.items[own]].sum().item())
    assert np.mean(found_sums) == pytest.approx(np.mean(whole_sums), rel=0.02)
