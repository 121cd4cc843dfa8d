"""The gate, and the same predictions for everyone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rnnrec_model.config import NoSettings
from rnnrec_model.models import MODELS
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.errors import EmptyNightError
from tasks.models import judging
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store import pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 2)
NOWHERE = Store.in_folder(Path("/nowhere"))
NOTHING = pins.Reads(pins.Days(NOWHERE, "events", {}), pins.Days(NOWHERE, "sessions", {}))

GATE = [
    # challenger, champion, popularity, min_improvement → crowned
    (0.30, None, 0.20, 0.0, True),
    (0.20, None, 0.20, 0.0, False),  # popularity has to be beaten, not met
    (0.30, 0.30, 0.20, 0.0, False),  # an equal is not better
    (0.29, 0.30, 0.20, 0.0, False),
    (0.32, 0.30, 0.20, 0.05, False),
    (0.36, 0.30, 0.20, 0.05, True),
    (0.36, 0.30, 0.40, 0.05, False),
    (float("nan"), None, 0.20, 0.0, False),
]


@pytest.mark.parametrize(("challenger", "champion", "popularity", "least", "crowned"), GATE)
def test_the_gate(
    challenger: float,
    champion: float | None,
    popularity: float,
    least: float,
    crowned: bool,
    make_config: Callable[..., Config],
) -> None:
    cfg = make_config(gate={"metric": "mrr_at_20", "min_improvement": least})
    metrics = {"challenger": {"mrr_at_20": challenger}, "popularity": {"mrr_at_20": popularity}}
    if champion is not None:
        metrics["champion"] = {"mrr_at_20": champion}
    decision, reason = judging.decide(cfg, metrics)
    assert decision is crowned
    assert "mrr_at_20" in reason


def scorer(lists: list[list[int]], known: list[int]) -> Any:
    vocabulary = Vocabulary.build(pa.array(known))
    return (
        MODELS["markov"]
        .fit(NoSettings(), Sessions.from_arrow(pa.array(lists), vocabulary), vocabulary)
        .scorer
    )


def holdout(monkeypatch: pytest.MonkeyPatch, lists: list[list[int]]) -> None:
    items = pa.array(lists, pa.list_(pa.int64()))
    monkeypatch.setattr(
        splitting,
        "holdout_sessions",
        lambda *_: pa.table({"items": items, "user_id": ["u"] * len(items), "times": items}),
    )


def test_a_target_the_champion_does_not_know_is_a_miss_of_the_champion(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdout(monkeypatch, [[1, 2, 3, 4], [1, 2, 99]])  # nobody knows 99: it is left out for everyone
    scorers = {
        "challenger": scorer([[1, 2, 3, 4]], [1, 2, 3, 4]),
        "champion": scorer([[1, 2, 3]], [1, 2, 3]),
        "popularity": scorer([[4, 3]], [1, 2, 3, 4]),
    }
    verdict = judging._verdict(config, NIGHT, NOTHING, scorers, champion_version=7)
    assert (verdict.predictions, verdict.sessions, verdict.champion) == (4, 2, 7)
    assert verdict.metrics["challenger"]["recall_at_5"] == 1.0
    assert verdict.metrics["champion"]["recall_at_5"] == 0.75  # 1→2, 2→3 and 1→2, but never 3→4


def test_a_holdout_without_known_items_is_an_empty_night(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdout(monkeypatch, [[98, 99]])
    with pytest.raises(EmptyNightError, match="two items known before it"):
        judging._verdict(config, NIGHT, NOTHING, {"challenger": scorer([[1, 2]], [1, 2])}, None)


def test_evaluation_rows_are_in_the_tables_order() -> None:
    metrics = {"popularity": {"mrr_at_5": 0.1}, "challenger": {"recall_at_5": 0.5, "mrr_at_5": 0.25}}
    rows = judging.evaluation_rows(NIGHT, judging.Verdict(True, "because", metrics, 8, 3))
    assert rows.to_pylist()[0] == {
        "model": "challenger", "metric": "mrr_at_5", "slice": "all", "value": 0.25, "predictions": 8,
        "night": NIGHT,
    }  # fmt: skip
    assert rows.column("model").to_pylist() == ["challenger", "challenger", "popularity"]
