"""The rule of the one sentence: who is recommended, and what has to be sure before a winner is named."""

from __future__ import annotations

from tasks.models.comparing.sentence import Row, told

GRU = Row("recurrent", 0.431, 40.2, True)
KNN = Row("vsknn", 0.382, 3.04, False)
MARKOV = Row("markov", 0.30, 0.4, False)


def test_one_alone_that_can_be_the_best_is_set_beside_the_best_cheaper_one() -> None:
    assert told([MARKOV, GRU, KNN], "recall_at_20", 14, (0.041, 0.058)) == (
        "On these 14 days the recurrent network finds the next item in the top 20 for 43 of 100 clicks; the "
        "best cheaper model, VS-kNN, 38. That difference is sure (95 % interval 4 to 6), and costs 40 s of "
        "processor time a night instead of 3.0 s."
    )


def test_where_several_can_be_the_best_the_cheapest_of_them_is_taken() -> None:
    knn = Row("vsknn", 0.425, 3.04, True)
    assert told([GRU, knn, MARKOV], "recall_at_20", 14, (-0.001, 0.012)) == (
        "On these 14 days no difference can be shown between the recurrent network and VS-kNN: take the "
        "cheapest of them, VS-kNN, which finds the next item in the top 20 for 42 of 100 clicks and costs "
        "3.0 s of processor time a night; what is cheaper cannot be the best, and the best of it is the "
        "Markov chain: 30 of 100 clicks for 0.4 s."
    )


def test_a_cheap_model_that_cannot_be_the_best_is_not_taken_for_its_cheapness() -> None:
    fpmc = Row("fpmc", 0.428, 30.0, True)
    said = told([GRU, fpmc, KNN, MARKOV], "recall_at_20", None)
    assert said.startswith("No difference can be shown between the recurrent network and FPMC: take the ch")
    assert said.endswith(
        "FPMC, which finds the next item in the top 20 for 43 of 100 clicks and costs 30 s of processor "
        "time a "
        "night; what is cheaper cannot be the best, and the best of it is VS-kNN: 38 of 100 clicks for 3.0 s."
    )


def test_the_best_that_is_the_cheapest_too_needs_no_price() -> None:
    rows = [Row("vsknn", 0.5, 1.0, True), Row("recurrent", 0.4, 9.0, False)]
    assert told(rows, "recall_at_10", 6) == (
        "On these 6 days VS-kNN is the best, that is sure, and the cheapest: it finds the next item in the "
        "top 10 for 50 of 100 clicks."
    )


def test_values_have_as_many_decimals_as_tell_them_apart() -> None:
    near = Row("vsknn", 0.4306, 3.0, False)
    said = told([GRU, near], "recall_at_20", None, (0.0001, 0.0008))
    assert "for 43.10 of 100 clicks; the best cheaper model, VS-kNN, 43.06" in said
    assert "(95 % interval 0.01 to 0.08)" in said


def test_another_metric_is_named_and_its_values_stand_as_they_are() -> None:
    rows = [Row("recurrent", 0.2, 700.0, True), Row("mine", 0.15, 0.01, False)]
    assert told(rows, "mrr_at_20", None, (0.03, 0.07)) == (
        "The recurrent network has an MRR@20 of 0.2000; the best cheaper model, mine, 0.1500. That "
        "difference is sure (95 % interval 0.0300 to 0.0700), and costs 12 min of processor time a night "
        "instead of less than 0.1 s."
    )


def test_what_costs_the_same_as_far_as_it_is_told_is_told_once() -> None:
    rows = [Row("markov", 0.3, 0.02, True), Row("popularity", 0.1, 0.01, False)]
    said = told(rows, "recall_at_20", None, (0.1, 0.3))
    assert said.endswith("10 to 30), and each costs less than 0.1 s of processor time a night.")


def test_one_model_is_compared_with_nothing() -> None:
    assert told([GRU], "recall_at_20", 1).endswith("; nothing was compared with it.")
