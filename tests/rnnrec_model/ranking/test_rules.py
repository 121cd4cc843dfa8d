"""Lists by a shop's rules are what a greedy pass over the whole sorted catalogue gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model.errors import SavedModelError
from rnnrec_model.ranking import answers
from rnnrec_model.ranking.answers import Answering, Answers, answer, load_answering, save_answering
from rnnrec_model.ranking.left_out import Exclude, LeftOut
from rnnrec_model.ranking.rules import REASONS, Rules
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

KIND = pa.schema(
    [("item_id", pa.int64()), ("never_show", pa.bool_()), ("in_stock", pa.bool_()), ("category", pa.string())]
)


@dataclass
class Scored:
    """Knows items 0, 10, 20 ...; the score of an item depends on the last item, with many ties."""

    items: int
    name: str = "scored"

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.build(pa.array(range(0, 10 * self.items, 10)))

    def score_last(self, sessions: Sessions) -> Any:
        lasts = sessions.items[sessions.offsets[1:] - 1]
        return torch.tensor(np.array([self.row(int(last)) for last in lasts]), dtype=torch.float32)

    def row(self, last: int) -> list[int]:
        return [(item * 7 + last * 3) % 5 for item in range(self.items)]


def rules(per_category: int = 0, **items: list[Any]) -> Rules:
    """Columns of `Rules.items` by their name."""
    count = len(items["item_id"])
    columns = {"never_show": [False] * count, "in_stock": [None] * count, "category": [None] * count} | items
    return Rules(pa.table({name: columns[name] for name in KIND.names}, schema=KIND), per_category)


def slowly(
    scorer: Scored, answering: Answering, lists: list[list[int]], seen: list[list[int]]
) -> tuple[list[tuple[int, ...]], dict[str, int]]:
    """(row, rank, item) of a greedy pass over the complete ranking, and rows that each rule has taken."""
    assert answering.left_out.rules
    known = {row["item_id"]: row for row in answering.left_out.rules.items.to_pylist()}
    stock_given = any(row["in_stock"] is not None for row in known.values())
    found, removed = [], Counter(dict.fromkeys(REASONS, 0))
    for place, asked in enumerate(lists):
        last = [item // 10 for item in asked if item % 10 == 0 and item < 10 * scorer.items][-1:]
        scores = scorer.row(last[0]) if last else []
        ranking = [10 * item for _, item in sorted((-score, item) for item, score in enumerate(scores))]
        ranking += [item for item in answering.popular["item_id"].to_pylist() if item not in ranking]
        hidden = {
            "nothing": set(), "last_item": set(asked[-1:]),
            "session": set(asked), "window": {*asked, *seen[place]},
        }[answering.left_out.exclude]  # fmt: skip
        ranking = [item for item in ranking if item not in hidden]
        taken, full, plain = [], Counter(), set(ranking[: answering.k])
        for item in ranking:
            told = known.get(item, {"never_show": False, "in_stock": False, "category": None})
            category, quota = told["category"], answering.left_out.rules.per_category
            reason = (
                "never_show" if told["never_show"]
                else "out_of_stock" if stock_given and not told["in_stock"]
                else "over_quota" if quota and category is not None and full[category] >= quota
                else None
            )  # fmt: skip
            if reason is None:
                full[category] += 1
                taken.append(item)
            elif item in plain:
                removed[reason] += 1
        found += [(place, rank + 1, item) for rank, item in enumerate(taken[: answering.k])]
    return found, dict(removed)


def quickly(
    scorer: Scored, answering: Answering, lists: list[list[int]], seen: list[list[int]]
) -> tuple[list[tuple[int, ...]], dict[str, int]]:
    found = answered(scorer, answering, lists, seen)
    rows = found.rows.select(["row", "rank", "item_id"]).to_pylist()
    return [tuple(row.values()) for row in rows], dict(found.removed)


def answered(scorer: Scored, answering: Answering, lists: list[list[int]], seen: list[list[int]]) -> Answers:
    kind = pa.list_(pa.int64())
    return answer(scorer, answering, pa.array(lists, kind), seen=pa.array(seen, kind))  # type: ignore[arg-type]


@st.composite
def shops(draw: st.DrawFn) -> tuple[Scored, Answering, list[list[int]], list[list[int]]]:
    """Items 0 to 10 n that the model knows every tenth of, lists, and rules about some items."""
    scorer = Scored(draw(st.integers(1, 40)))
    ids = st.integers(0, 10 * scorer.items + 5)
    popular = draw(st.lists(ids, unique=True, max_size=30))
    known = draw(st.lists(ids, unique=True, min_size=1, max_size=60))
    stock = draw(st.booleans())
    said = rules(
        draw(st.integers(0, 3)),
        item_id=known,
        never_show=[draw(st.integers(0, 5)) == 0 for _ in known],
        in_stock=[draw(st.booleans()) if stock else None for _ in known],
        category=[draw(st.sampled_from([None, "a", "b", "c"])) for _ in known],
    )
    table = pa.table(
        {"item_id": pa.array(popular, pa.int64()), "score": [float(-n) for n in range(len(popular))]}
    )
    exclude: Exclude = draw(st.sampled_from(["nothing", "last_item", "session", "window"]))
    answering = Answering(table, draw(st.integers(1, 12)), 50, LeftOut(exclude, said))
    lists = draw(st.lists(st.lists(ids, max_size=4), min_size=1, max_size=6))
    return scorer, answering, lists, [draw(st.lists(ids, max_size=4)) for _ in lists]


@given(shops())
@settings(max_examples=200)
def test_lists_by_the_rules_are_a_greedy_pass_over_the_whole_sorted_catalogue(shop: Any) -> None:
    assert quickly(*shop) == slowly(*shop)


def test_a_quota_that_most_of_a_large_catalogue_breaks_is_kept_in_bounded_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one item that is in no category is the 600th of some lists, the 3,000th of others."""
    scorer, count, widths = Scored(3000), 3000, []
    said = rules(2, item_id=[10 * n for n in range(count - 1)], category=["all"] * (count - 1))
    popular = pa.table({"item_id": pa.array([], pa.int64()), "score": pa.array([], pa.float64())})
    shop = (
        scorer,
        Answering(popular, 3, 50, LeftOut("nothing", said)),
        [[10 * n] for n in range(40)],
        [[]] * 40,
    )
    recommend = answers.recommend

    def watched(scorer: Any, sessions: Sessions, k: int, **others: Any) -> Any:
        widths.append((len(sessions), k))
        return recommend(scorer, sessions, k, **others)

    monkeypatch.setattr(answers, "recommend", watched)
    monkeypatch.setattr(answers, "CELLS", 9000)
    assert quickly(*shop) == slowly(*shop)
    assert widths[:2] == [(40, 3), (40, 6)]
    assert all(rows * width <= 9000 for rows, width in widths)
    assert {width for _, width in widths} == {3, 6, 24, 96, 384, 1536, 3000}
    assert sum(rows for rows, width in widths if width == 3000) == 24  # for others it came before the 1,536th


def test_lists_that_no_rule_touches_are_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, asked = Scored(30), []
    popular = pa.table({"item_id": pa.array([], pa.int64()), "score": pa.array([], pa.float64())})
    first = answered(scorer, Answering(popular, 1, 9), [[0], [10]], [[], []]).rows["item_id"].to_pylist()
    recommend = answers.recommend

    def watched(scorer: Any, sessions: Sessions, k: int, **others: Any) -> Any:
        asked.append(len(sessions))
        return recommend(scorer, sessions, k, **others)

    monkeypatch.setattr(answers, "recommend", watched)
    said = rules(item_id=[first[0]], never_show=[True])
    found = answered(scorer, Answering(popular, 1, 9, LeftOut("nothing", said)), [[0], [10]], [[], []])
    assert first[0] != first[1]
    assert found.removed == {"never_show": 1, "out_of_stock": 0, "over_quota": 0}
    assert asked == [2, 1]


def test_rules_are_read_back_as_they_were_saved_and_listed_with_their_digest(tmp_path: Path) -> None:
    popular = pa.table({"item_id": [10, 20], "score": [2.0, 1.0]})
    said = rules(3, item_id=[10], in_stock=[True], category=["a"])
    files = save_answering(Answering(popular, 5, 50, LeftOut("session", said)), tmp_path)
    assert set(files) == {"popular.parquet", "answering.json", "rules.parquet"}
    assert load_answering(tmp_path) == Answering(popular, 5, 50, LeftOut("session", said))
    (tmp_path / "rules.parquet").unlink()
    with pytest.raises(SavedModelError, match=r"rules\.parquet"):
        load_answering(tmp_path)
