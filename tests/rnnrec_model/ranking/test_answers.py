"""k rows for every list: the model's first, then popularity, never the same item twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from rnnrec_model.config import NoSettings, TrainingConfig
from rnnrec_model.earlier import Earlier
from rnnrec_model.errors import SavedModelError
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.ranking.answers import Answering, answer, load_answering, save_answering
from rnnrec_model.ranking.left_out import Exclude, LeftOut
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

POPULAR = pa.table({"item_id": [30, 77, 10, 20], "score": [9.0, 8.0, 7.0, 6.0]})  # the model never saw 77


@pytest.fixture
def markov() -> Scorer:
    """Knows 10, 20, 30, and that 20 follows 10."""
    lists = pa.array([[10, 20], [10, 20], [20, 30]])
    vocabulary = Vocabulary.build(lists.flatten())
    return MODELS["markov"].fit(NoSettings(), Sessions.from_arrow(lists, vocabulary), vocabulary).scorer


def rows(
    scorer: Scorer,
    lists: list[list[int]],
    k: int = 2,
    exclude: Exclude = "nothing",
    seen: list[list[int]] | None = None,
) -> list[tuple[int, int, int, str]]:
    asked, had = (None if one is None else pa.array(one, pa.list_(pa.int64())) for one in (lists, seen))
    table = answer(scorer, Answering(POPULAR, k, 10, LeftOut(exclude)), asked, seen=had).rows
    return [(row["row"], row["rank"], row["item_id"], row["source"]) for row in table.to_pylist()]


def test_a_known_list_is_answered_by_the_model(markov: Scorer) -> None:
    assert rows(markov, [[10]], k=1) == [(0, 1, 20, "model")]


def test_only_the_newest_items_count(markov: Scorer) -> None:
    asked = pa.array([[20, 20, 20, 10]])
    table = answer(markov, Answering(POPULAR, 1, 1), asked).rows
    assert table["item_id"].to_pylist() == [20]


@pytest.mark.parametrize("nothing", [[], [99], [99, 98]])
def test_a_list_without_known_items_is_answered_by_popularity(nothing: list[int], markov: Scorer) -> None:
    assert rows(markov, [nothing]) == [(0, 1, 30, "fallback"), (0, 2, 77, "fallback")]


def test_a_small_catalogue_is_filled_up_without_repeating_an_item(markov: Scorer) -> None:
    got = rows(markov, [[10]], k=10)
    assert [source for *_, source in got] == ["model"] * 3 + ["fallback"]
    assert sorted(item for _, _, item, _ in got) == [10, 20, 30, 77]


def test_seen_items_are_left_out_of_both_kinds_of_rows(markov: Scorer) -> None:
    got = rows(markov, [[10, 77], [30, 99]], k=10, exclude="session")
    assert {item for row, _, item, _ in got if row == 0} == {20, 30}
    assert {item for row, _, item, _ in got if row == 1} == {10, 20, 77}


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("nothing", [{10, 20, 30, 77}, {10, 20, 30, 77}, {10, 20, 30, 77}]),
        ("last_item", [{10, 20, 30}, {10, 30, 77}, {10, 20, 30, 77}]),
        ("session", [{20, 30}, {30, 77}, {10, 20, 30, 77}]),
        ("window", [{20}, {77}, {10, 20, 77}]),
    ],
)
def test_each_exclusion_leaves_out_what_it_says_of_model_and_fallback_rows(
    exclude: Exclude, left: list[set[int]], markov: Scorer
) -> None:
    got = rows(markov, [[10, 77], [10, 20], []], k=10, exclude=exclude, seen=[[30, 10], [30, 99], [30]])
    assert [{item for row, _, item, _ in got if row == place} for place in range(3)] == left
    assert {source for _, _, _, source in got} == {"model", "fallback"}


def test_the_window_without_what_else_was_seen_is_the_session(markov: Scorer) -> None:
    lists = [[10, 77], [30, 99], []]
    assert rows(markov, lists, k=10, exclude="window") == rows(markov, lists, k=10, exclude="session")


def test_what_is_left_out_is_not_repeated_items_of_an_older_part_of_the_list(markov: Scorer) -> None:
    """Of a list that is longer than what is read, the newest so many items are the list."""
    asked = pa.array([[30, 20, 10]])
    for exclude, hidden in (("last_item", {10}), ("session", {10, 20})):
        table = answer(markov, Answering(POPULAR, 9, 2, LeftOut(exclude)), asked).rows
        assert {10, 20, 30, 77} - set(table["item_id"].to_pylist()) == hidden


def test_a_list_in_which_nothing_is_left_has_no_rows(markov: Scorer) -> None:
    assert rows(markov, [[10], [10]], k=3, exclude="window", seen=[[10, 20, 30, 77], []])[0][0] == 1


def test_an_answer_does_not_depend_on_its_company(markov: Scorer) -> None:
    lists = [[10], [], [20, 10], [99], [30]] * 300
    alone = [rows(markov, [one]) for one in lists[:5]]
    together = rows(markov, lists)
    for place in range(5):
        assert [row[1:] for row in together if row[0] == place + 500] == [row[1:] for row in alone[place]]


def test_how_a_model_answers_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    files = save_answering(Answering(POPULAR, 5, 50, LeftOut("window")), tmp_path)
    assert set(files) == {"popular.parquet", "answering.json"}
    assert load_answering(tmp_path) == Answering(POPULAR, 5, 50, LeftOut("window"))


def test_a_model_registered_under_the_earlier_name_of_the_file_still_answers(tmp_path: Path) -> None:
    save_answering(Answering(POPULAR, 5, 50, LeftOut("window")), tmp_path)
    (tmp_path / "answering.json").rename(tmp_path / "serving.json")
    assert load_answering(tmp_path) == Answering(POPULAR, 5, 50, LeftOut("window"))


@pytest.mark.parametrize(("was", "means"), [(True, "session"), (False, "nothing")])
def test_a_model_saved_before_exclusions_had_names_answers_as_it_did(
    was: bool, means: Exclude, tmp_path: Path
) -> None:
    save_answering(Answering(POPULAR, 5, 50), tmp_path)
    (tmp_path / "answering.json").write_text(
        f'{{"k": 5, "max_items": 50, "exclude_seen": {str(was).lower()}}}'
    )
    assert load_answering(tmp_path) == Answering(POPULAR, 5, 50, LeftOut(means))


def test_an_exclusion_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    save_answering(Answering(POPULAR, 5, 50, LeftOut("everything")), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(SavedModelError, match="exclude is 'everything'"):
        load_answering(tmp_path)


def test_a_folder_that_does_not_say_how_to_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match=r"expected popular\.parquet and answering\.json"):
        load_answering(tmp_path)


def test_a_model_that_scores_by_users_and_times_is_given_those_of_its_lists() -> None:
    given: list[Sessions] = []

    class Asking:
        name, vocabulary = "asking", Vocabulary.build(pa.array([10, 20, 30]))

        def score_last(self, sessions: Sessions) -> Any:
            given.append(sessions)
            return torch.zeros(len(sessions), 3)

    popular = pa.table({"item_id": [10, 20, 30], "score": [3.0, 2.0, 1.0]})
    users, times = pa.array(["ann", "bob", "eve"]), pa.array([[1, 2, 3], [4], [5, 6]])
    lists = pa.array([[10, 20, 30], [99], [99, 20]])  # the oldest of three is not read, 99 is not known
    answer(Asking(), Answering(popular, 1, 2), lists, users=users, times=times)
    assert given[0].users.to_pylist() == ["ann", "eve"]
    assert given[0].times.tolist() == [2, 3, 6]


@pytest.mark.parametrize("kind", ["recurrent", "sasrec"])
def test_a_model_with_memory_answers_by_what_came_before_as_if_it_were_one_list(kind: str) -> None:
    """A long visit, then one of a click. A model that learnt no boundary looks at no end of a visit."""
    lists = pa.array([[item, *range(100, 104)] for item in range(100, 140)])
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary)
    config = TrainingConfig(epochs=1, negatives=0, device="cpu", loss="full_cross_entropy")
    settings = MODELS[kind].settings(units=8)
    scorer = MODELS[kind].fit(settings, sessions, vocabulary, Fitting(training=config)).scorer
    answering = Answering(POPULAR, 40, 6)

    def answered(items: list[int], before: list[list[int]] | None = None, over: bool = True) -> pa.Table:
        earlier = None if before is None else Earlier.of(pa.array([before], pa.list_(lists.type)))
        return answer(scorer, answering, pa.array([items]), earlier=earlier, over=over).rows

    alone, joined = answered([103]), answered([103], [[120, 130], [125, 110]])
    assert not joined.equals(alone)
    assert joined.equals(answered([120, 130, 125, 110, 103], over=False))
    longer = [[101, 120, 130], [125, 110], [7, 8]]  # the newest six count, known to the model or not
    assert joined.equals(answered([103], longer))
    assert alone.equals(answered([103], over=False))
    assert alone.equals(answered([103], []))


def test_what_is_left_out_is_of_the_last_visit_alone(markov: Scorer) -> None:
    earlier = Earlier.of(pa.array([[[10], [20]]]))
    for exclude, left in (("last_item", {30}), ("session", {30}), ("nothing", set())):
        answering = Answering(POPULAR, 9, 10, LeftOut(exclude))
        found = answer(markov, answering, pa.array([[30]]), earlier=earlier, over=True).rows
        assert {10, 20, 30, 77} - set(found["item_id"].to_pylist()) == left
