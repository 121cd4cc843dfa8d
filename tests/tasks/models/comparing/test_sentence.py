"""The rule of the one sentence: who is recommended, and what has to be shown before a winner is named."""

from __future__ import annotations

from rnnrec_model.ranking.contenders import Between
from tasks.models.comparing.sentence import Row, told

GRU = Row("recurrent", 0.431, 40.2)
KNN = Row("vsknn", 0.382, 3.04)
MARKOV = Row("markov", 0.30, 0.4)
CLEAR = {
    ("recurrent", "vsknn"): (0.041, 0.058),
    ("recurrent", "markov"): (0.11, 0.15),
    ("vsknn", "markov"): (0.06, 0.1),
}


def both(given: Between) -> Between:
    """Each pair the other way round, too."""
    return {**given, **{(b, a): (-high, -low) for (a, b), (low, high) in given.items()}}


def test_one_alone_that_can_be_the_best_is_set_beside_the_best_cheaper_one() -> None:
    assert told([MARKOV, GRU, KNN], "recall_at_20", 14, both(CLEAR)) == (
        "On these 14 days the recurrent network finds the next item in the top 20 for 43 of 100 clicks; the "
        "best cheaper model, VS-kNN, 38. That lead is shown (95 % interval over all pairs, users and seeds: "
        "4 to 6), and costs 40 s of processor time a night instead of 3.0 s."
    )


def test_where_several_can_be_the_best_the_cheapest_is_taken_and_what_it_may_miss_is_named() -> None:
    knn = Row("vsknn", 0.425, 3.04)
    near = both({**CLEAR, ("recurrent", "vsknn"): (-0.008, 0.021)})
    assert told([GRU, knn, MARKOV], "recall_at_20", 14, near) == (
        "On these 14 days none of the recurrent network and VS-kNN is shown to be worse than another: take "
        "the cheapest of them, VS-kNN, which finds the next item in the top 20 for 42 of 100 clicks and "
        "costs 3.0 s of processor time a night; the recurrent network may be better by up to 2 of 100 clicks "
        "all the same (95 % interval over all pairs, users and seeds); what is cheaper is shown to be worse, "
        "and the best of it is the Markov chain: 30 of 100 clicks for 0.4 s."
    )


def test_whoever_is_taken_and_shown_to_be_worse_by_another_metric_is_told_to_be() -> None:
    """As on a shop where both find as much and one ranks it lower."""
    near = both({**CLEAR, ("recurrent", "vsknn"): (-0.008, 0.021)})
    only = {"mrr_at_20": {"recurrent"}, "ndcg_at_20": {"recurrent"}}
    said = told([GRU, KNN, MARKOV], "recall_at_20", 14, near, only)
    assert said.endswith(" for 0.4 s; by MRR@20 and NDCG@20 VS-kNN is shown to be worse than another.")
    won = told([MARKOV, GRU, KNN], "recall_at_20", 14, both(CLEAR), {"mrr_at_20": {"vsknn"}})
    assert won.endswith(
        " instead of 3.0 s; by MRR@20 the recurrent network is shown to be worse than another."
    )
    assert "MRR" not in told([MARKOV, GRU, KNN], "recall_at_20", 14, both(CLEAR), only)


def test_who_is_shown_to_be_behind_one_of_them_is_not_taken_for_its_cheapness() -> None:
    """Of 400 users: all could be as good as the GRU, and VS-kNN is ahead of the Markov chain for sure."""
    rows = [Row("recurrent", 0.4194, 40.0), Row("vsknn", 0.4175, 3.0), Row("markov", 0.4019, 0.4)]
    between = both(
        {
            ("recurrent", "vsknn"): (-0.012, 0.016),
            ("recurrent", "markov"): (-0.001, 0.036),
            ("vsknn", "markov"): (0.010, 0.021),
        }
    )
    said = told(rows, "recall_at_20", None, between)
    assert said.startswith("None of the recurrent network and VS-kNN is shown to be worse than another: take")
    assert "VS-kNN, which finds" in said
    assert "what is cheaper is shown to be worse, and the best of it is the Markov chain" in said


def test_too_few_users_are_no_sign_that_models_are_equal() -> None:
    rows = [Row("recurrent", 0.409, 40.0), Row("popularity", 0.027, 0.1)]
    assert told(rows, "recall_at_20", 14, None) == (
        "On these 14 days too few users were asked to tell 2 models apart, or to call them equal: the "
        "recurrent network finds the next item in the top 20 for 41 of 100 clicks, popularity 3, and other "
        "users may turn that round. Ask a night with more."
    )


def test_the_best_that_is_the_cheapest_too_needs_no_price() -> None:
    rows = [Row("vsknn", 0.5, 1.0), Row("recurrent", 0.4, 9.0)]
    assert told(rows, "recall_at_10", 6, both({("vsknn", "recurrent"): (0.08, 0.12)})) == (
        "On these 6 days VS-kNN is the best, and none is cheaper: it finds the next item in the top 10 for "
        "50 of 100 clicks; the next, the recurrent network, 40. That lead is shown (95 % interval over all "
        "pairs, users and seeds: 8 to 12)."
    )


def test_values_have_as_many_decimals_as_tell_them_apart() -> None:
    near = Row("vsknn", 0.4306, 3.0)
    said = told([GRU, near], "recall_at_20", None, both({("recurrent", "vsknn"): (0.0001, 0.0008)}))
    assert "for 43.10 of 100 clicks; the best cheaper model, VS-kNN, 43.06" in said
    assert "seeds: 0.01 to 0.08)" in said


def test_another_metric_is_named_and_its_values_stand_as_they_are() -> None:
    rows = [Row("recurrent", 0.2, 700.0), Row("mine", 0.15, 0.01)]
    assert told(rows, "mrr_at_20", None, both({("recurrent", "mine"): (0.03, 0.07)})) == (
        "The recurrent network has an MRR@20 of 0.2000; the best cheaper model, mine, 0.1500. That lead is "
        "shown (95 % interval over all pairs, users and seeds: 0.0300 to 0.0700), and costs 12 min of "
        "processor time a night instead of less than 0.1 s."
    )


def test_what_costs_the_same_as_far_as_it_is_told_is_no_cheaper() -> None:
    rows = [Row("markov", 0.3, 0.02), Row("vsknn", 0.2, 0.04), Row("popularity", 0.1, 0.01)]
    lead = {
        ("markov", "vsknn"): (0.05, 0.2),
        ("markov", "popularity"): (0.1, 0.3),
        ("vsknn", "popularity"): (0.05, 0.2),
    }
    said = told(rows, "recall_at_20", None, both(lead))
    assert said.startswith("The Markov chain is the best, and none is cheaper: it finds")
    assert "the next, VS-kNN, 20." in said


def test_seconds_of_a_gpu_are_called_so() -> None:
    gpu = Row("recurrent", 0.431, 40.2, on_gpu=True)
    said = told([gpu, KNN], "recall_at_20", None, both({("recurrent", "vsknn"): (0.04, 0.06)}))
    assert said.endswith("costs 40 s of GPU time, by the clock, a night instead of 3.0 s of processor time.")


def test_one_model_is_compared_with_nothing() -> None:
    assert told([GRU], "recall_at_20", 1).endswith("; nothing was compared with it.")
