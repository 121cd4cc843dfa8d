"""The same predictions for everyone, from the sessions to the verdict and its rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rnnrec_model.models import MODELS
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.ranking.rules import Rules
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.errors import EmptyNightError, ModelFailure
from tasks.models import deciding, judging, recipes, scoring, training, verdicts
from tasks.models.training import Trained, TrainedModel
from tasks.models.verdicts import Rule, Verdict
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store import pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 2)
MORNING, EVENING = datetime(2026, 1, 2, 8), datetime(2026, 1, 1, 20)
NOWHERE = Store.in_folder(Path("/nowhere"))
NOTHING = pins.Reads(pins.Days(NOWHERE, "events", {}), pins.Days(NOWHERE, "sessions", {}))


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put these sessions where a night finds them: [user, items] of the training days and of the holdout."""

    def put(train: list[Any], holdout: list[Any]) -> None:
        for name, sessions in (("train_sessions", train), ("holdout_sessions", holdout)):
            items = pa.array([items for _, items in sessions], pa.list_(pa.int64()))
            times = pa.array([[MORNING] * len(one) for one in items], pa.list_(pa.timestamp("us")))
            rows = {"user_id": pa.array([user for user, _ in sessions]), "items": items, "times": times}
            monkeypatch.setattr(splitting, name, lambda *_, rows=rows: pa.table(rows))
        monkeypatch.setattr(splitting, "earlier_sessions", lambda *asked: had_before(asked[-1], {}))

    return put


def had_before(asked: pa.Table, sessions: dict[str, list[list[int]]]) -> pa.Table:
    """(items, times): what each user did before, the evening before; nothing where nobody says so."""
    items = [sessions.get(user) for user in asked["user_id"].to_pylist()]
    times = [None if one is None else [[EVENING] * len(each) for each in one] for one in items]
    return pa.table(
        {
            "items": pa.array(items, pa.list_(pa.list_(pa.int64()))),
            "times": pa.array(times, pa.list_(pa.list_(pa.timestamp("us")))),
        }
    )


def fitted(folder: Path, lists: list[list[int]], kind: str = "markov") -> Path:
    """A saved model of these sessions."""
    vocabulary = Vocabulary.build(pa.array(lists).flatten())
    sessions = Sessions.from_arrow(pa.array(lists), vocabulary)
    save(MODELS[kind].fit(MODELS[kind].settings(), sessions, vocabulary).scorer, folder)
    return folder


def trained(cfg: Config, failures: dict[str, ModelFailure] | None = None, **folders: Path) -> Trained:
    known = {name: recipes.saved(cfg, name, folder) for name, folder in folders.items()}
    models = {name: TrainedModel(folder, {}, 1, 1, 1, 0.0, (), "", 0) for name, folder in folders.items()}
    return Trained(known, models, failures or {})


def test_the_frame_has_every_next_item_of_the_day_whoever_knows_it(
    config: Config, days: Callable[..., None]
) -> None:
    days([("u", [1, 2, 3]), ("v", [2, 2])], [("u", [1, 2, 99]), ("w", [98, 1]), ("v", [7])])
    frame = judging.frame_of(config, NIGHT, NOTHING)
    ids = frame.vocabulary.ids.to_pylist()
    assert [ids[place] for place in frame.targets] == [2, 99, 1]
    assert dict(zip(ids, frame.vocabulary.counts.tolist(), strict=True)) == {1: 1, 2: 3, 3: 1, 98: 0, 99: 0}
    assert frame.slices["target new"].tolist() == [1], "99 came for the first time"
    assert frame.named["new users"].tolist() == [2], "w was never seen before"


def test_everybody_is_ranked_as_the_lists_that_readers_get(
    make_config: Callable[..., Config],
    days: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After 1 comes 1 twice, 2 once. Of the day's 1→1, 1→2, 1→2 the last is of v, who had 2 before."""
    days([("u", [1, 1, 1, 2, 3])], [("u", [1, 1, 2]), ("v", [1, 2])])
    monkeypatch.setattr(splitting, "seen_before", lambda *_: pa.array([[], [2]], pa.list_(pa.int64())))
    fresh = fitted(tmp_path / "fresh", [[1, 1, 1, 2, 3]])
    found = {}
    for exclude in ("nothing", "last_item", "session", "window"):
        cfg = make_config(recommendations={"exclude": exclude, "k": 1})
        verdict = judging.judge(cfg, NIGHT, NOTHING, trained(cfg, fresh=fresh), None)
        metrics = verdict.metrics["fresh"]
        found[exclude] = verdict.not_shown, metrics["mrr_at_5"], metrics["coverage_at_1"], metrics["answered"]
    third = pytest.approx(1 / 3)
    assert found == {
        "nothing": (0.0, pytest.approx((1 + 1 / 2 + 1 / 2) / 3), third, 1.0),  # lists 3, 3 after a last 2
        "last_item": (third, pytest.approx(2 / 3), third, 1.0),  # 1 takes no place above 2
        "session": (third, pytest.approx(2 / 3), third, 1.0),
        "window": (pytest.approx(2 / 3), third, third, 1.0),  # v's 2 can be shown to v no more
    }


def test_everybody_is_asked_as_the_lists_that_readers_get(
    make_config: Callable[..., Config],
    days: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By what was read most: after 1 alone 1 leads; after 3 3 and 1 it is 3, which came."""
    days([("u", [1, 2, 3, 3]), ("u", [3, 2])], [("u", [1, 3]), ("v", [1, 2])])
    monkeypatch.setattr(
        splitting, "earlier_sessions", lambda *asked: had_before(asked[-1], {"u": [[3], [3]]})
    )
    fresh = fitted(tmp_path / "fresh", [[1, 2, 3, 3], [3, 2]], "session_popularity")
    found = {}
    for context in ("last_session", "window"):
        cfg = make_config(
            recommendations={"exclude": "nothing", "k": 1, "context": context},
            evaluation={"first_items": False},
        )
        verdict = judging.judge(cfg, NIGHT, NOTHING, trained(cfg, fresh=fresh), None)
        assert (verdict.context, verdict.predictions) == (context, 2), "the frame is the same"
        found[context] = verdict.metrics["fresh"]["mrr_at_5"], verdict.metrics["fresh"]["coverage_at_1"]
    # 3 is read once of 2 and more popular than 2; then 2 comes third after 1 and 3
    assert found == {
        "last_session": (pytest.approx((1 / 2 + 1 / 3) / 2), pytest.approx(2 / 3)),
        "window": (pytest.approx((1 + 1 / 3) / 2), pytest.approx(2 / 3)),
    }


@pytest.mark.parametrize(
    ("fresh", "wide", "inside", "state", "refused"),
    [
        # after 1 the next visit begins with 5, and after 5 comes 6: who knows what
        ("12 13 14 56 56 57", "15 57 57 56", 1, "fresh", "is worse than fresh training on inside"),
        ("15 57 57 56", "12 12 15 56", 3, "fresh", "is worse than fresh training on first items"),
        ("12 56", "15 56", 1, "recipe_changed", ""),
        ("15 57 57 56", "15 56", 1, "recipe_changed", ""),
    ],
)
def test_neither_what_visits_begin_with_nor_what_is_inside_may_be_lost_for_the_other(
    fresh: str,
    wide: str,
    inside: int,
    state: str,
    refused: str,
    make_config: Callable[..., Config],
    days: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """40 users begin with 5, and 6 and 5 follow in turn; each was there the evening before, at 1 last."""
    users = [f"u{number}" for number in range(40)]
    days([(user, [2, 1]) for user in users], [(user, [5, *[6, 5] * inside][: 1 + inside]) for user in users])
    monkeypatch.setattr(
        splitting,
        "earlier_sessions",
        lambda *asked: had_before(asked[-1], {one: [[2], [1]] for one in users}),
    )
    cfg = make_config(
        evaluation={"first_items": True},
        models={"wide": {"kind": "sequential_rules"}},
        gate={
            "candidates": ["wide"],
            "must_beat": [],
            "guards": {"coverage": 1.0, "popularity": 100.0, "novelty": 1.0},
        },
    )
    kinds = {"fresh": ("markov", fresh), "wide": ("sequential_rules", wide)}
    back = [[6, 5]]  # both know that 5 comes after 6
    folders = {
        name: fitted(tmp_path / name, [*([int(one) for one in pair] for pair in pairs.split()), *back], kind)
        for name, (kind, pairs) in kinds.items()
    }
    verdict = judging.judge(cfg, NIGHT, NOTHING, trained(cfg, **folders), folders["fresh"], 7)
    better = next(rule for rule in verdict.rules if rule.rule == "better")
    assert better.passed, "over all predictions it is better each time"
    assert (verdict.state, verdict.predictions, verdict.first_items) == (state, 40 * (1 + inside), 40)
    assert refused in verdict.reason
    rows = {row["slice"] for row in judging_rows(verdict) if row["rule"] == "slice"}
    assert {"inside", "first items"} <= rows
    assert [verdict.by_target[part]["predictions"] for part in ("inside", "first items")] == [40 * inside, 40]


def judging_rows(verdict: Verdict) -> list[dict[str, Any]]:
    return verdicts.evaluation_rows(NIGHT, verdict).to_pylist()


def test_what_a_shop_does_not_show_takes_no_place_and_is_missed_by_all(
    make_config: Callable[..., Config],
    days: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days([("u", [1, 2, 1, 2, 1, 3])], [("u", [1, 3]), ("v", [1, 2]), ("w", [1, 3])])
    rules = Rules(
        pa.table(
            {"item_id": [2], "never_show": [True], "in_stock": pa.nulls(1, pa.bool_()), "category": [""]}
        ),
        0,
    )
    monkeypatch.setattr(scoring, "left_out", lambda *_: LeftOut("nothing", rules))
    fresh = fitted(tmp_path / "fresh", [[1, 2, 1, 2, 1, 3]])
    verdict = judging.judge(make_config(), NIGHT, NOTHING, trained(make_config(), fresh=fresh), None)
    assert verdict.not_shown == pytest.approx(1 / 3), "nobody can be shown 2"
    assert verdict.metrics["fresh"]["mrr_at_5"] == pytest.approx(2 / 3), "3 is first once 2 is out"
    assert verdict.predictions == 3, "and the frame is whole"


def test_what_a_model_does_not_know_is_its_miss_and_the_share_is_told(
    config: Config, days: Callable[..., None], tmp_path: Path
) -> None:
    days([("u", [1, 2, 3, 4])], [("u", [1, 2, 3, 4]), ("v", [1, 2, 99])])
    fresh = fitted(tmp_path / "fresh", [[1, 2, 3, 4]])
    published = fitted(tmp_path / "published", [[1, 2, 3]])
    verdict = judging.judge(config, NIGHT, NOTHING, trained(config, fresh=fresh), published, 7)
    assert (verdict.predictions, verdict.sessions, verdict.champion) == (5, 2, 7)
    assert verdict.metrics["fresh"]["recall_at_5"] == 0.8  # 1→2, 2→3, 3→4 and 1→2; nobody knows 99
    assert verdict.metrics["published"]["recall_at_5"] == 0.6  # 1→2, 2→3 and 1→2; never 3→4
    assert (verdict.metrics["fresh"]["answered"], verdict.metrics["published"]["answered"]) == (0.8, 0.6)
    assert verdict.slices["fresh"]["target new"]["recall_at_5"] == (0.0, 1)


def test_a_baseline_of_the_champions_recipe_is_fitted_once_and_told_twice(
    config: Config, days: Callable[..., None], tmp_path: Path
) -> None:
    days([("u", [1, 2, 3])], [("u", [1, 2, 3])])
    folder = fitted(tmp_path / "fresh", [[1, 2, 3]])
    known = {"fresh": recipes.saved(config, "fresh", folder), "markov": recipes.configured(config, "markov")}
    both = Trained(known, trained(config, fresh=folder).models, {})
    assert both.fitted_as("markov") == "fresh"
    verdict = judging.judge(config, NIGHT, NOTHING, both, folder, 7)
    assert verdict.metrics["markov"] == verdict.metrics["fresh"] == verdict.metrics["published"]
    assert len(set(verdict.recipes.values())) == 1
    assert set(verdict.kinds.values()) == set(verdict.names.values()) == {"markov"}
    assert verdict.model == "markov"


def test_a_contestant_that_cannot_be_asked_is_left_out_and_said(
    config: Config, days: Callable[..., None], tmp_path: Path
) -> None:
    days([("u", [1, 2, 3])], [("u", [1, 2, 3])])
    kinds = {"fresh": "markov", "wide": "popularity", "published": "markov"}
    folders = {name: fitted(tmp_path / name, [[1, 2, 3]], kind) for name, kind in kinds.items()}
    found = trained(config, **{name: folders[name] for name in ("fresh", "wide")})
    (folders["wide"] / "weights.safetensors").write_bytes(b"torn")
    verdict = judging.judge(config, NIGHT, NOTHING, found, folders["published"], 7)
    assert "had to be beaten" not in verdict.reason
    must_beat = config.model_copy(update={"gate": config.gate.model_copy(update={"must_beat": ("wide",)})})
    named = judging.judge(must_beat, NIGHT, NOTHING, found, folders["published"], 7)
    assert named.reason.endswith("; wide, which had to be beaten, could not be asked")
    assert (verdict.state, sorted(verdict.metrics)) == ("fresh", ["fresh", "published"])
    assert "judging wide" in verdict.failures["wide"]
    (folders["published"] / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelFailure, match="judging published"):
        judging.judge(config, NIGHT, NOTHING, found, folders["published"], 7)


def test_a_champions_recipe_that_could_not_be_fitted_keeps_the_weights_and_says_why(
    config: Config, days: Callable[..., None], tmp_path: Path
) -> None:
    days([("u", [1, 2, 3])], [("u", [1, 2, 3])])
    folder = fitted(tmp_path / "published", [[1, 2, 3]])
    failures = {"fresh": ModelFailure("training fresh: the loss is no number")}
    verdict = judging.judge(config, NIGHT, NOTHING, trained(config, failures, markov=folder), folder, 7)
    assert (verdict.state, verdict.chosen) == ("weights_kept", "published")
    assert verdict.reason.endswith("could not be fitted anew: training fresh: the loss is no number")
    assert verdict.alarm == "training fresh: the loss is no number"


@pytest.mark.parametrize(
    ("holdout", "said"),
    [([("u", [98, 99])], "none that any model knows"), ([("u", [1])], "two items or more")],
)
def test_a_holdout_by_which_nobody_can_be_judged_is_an_empty_night(
    holdout: list[Any], said: str, config: Config, days: Callable[..., None], tmp_path: Path
) -> None:
    days([("u", [1, 2])], holdout)
    with pytest.raises(EmptyNightError, match=said):
        judging.judge(config, NIGHT, NOTHING, trained(config, markov=fitted(tmp_path / "m", [[1, 2]])), None)


def test_a_champion_whose_kind_is_gone_is_told_with_what_to_do(config: Config, tmp_path: Path) -> None:
    folder = fitted(tmp_path / "published", [[1, 2, 3]])
    told = (folder / "config.json").read_text().replace('"markov"', '"followers"')
    (folder / "config.json").write_text(told)
    with pytest.raises(
        ModelFailure, match=r"expected one of .*install the package.*rnnrec rollback.*model_name"
    ):
        training.contestants(config, folder)


RULE = Rule(
    question=1, rule="healthy", ours="fresh", against="published", metric="mrr_at_5", value=0.25,
    difference=-0.05, low=-0.1, high=0.01, allowed=-0.02, predictions=8, passed=True,
)  # fmt: skip


def test_evaluation_rows_are_metrics_then_slices_and_rules_in_the_tables_order() -> None:
    metrics = {"popularity": {"mrr_at_5": 0.1}, "fresh": {"recall_at_5": 0.5, "mrr_at_5": 0.25}}
    slices = {"fresh": {"new users": {"mrr_at_5": (0.0, 2)}}}
    verdict = Verdict("fresh", "fresh", "because", metrics, 8, 3, rules=(RULE,), slices=slices)
    rows = verdicts.evaluation_rows(NIGHT, verdict)
    nothing = dict.fromkeys(("low", "high", "question", "allowed", "passed"))
    plain = {"against": "", "rule": "", "night": NIGHT, **nothing}
    assert rows.to_pylist() == [
        plain | {"model": "fresh", "metric": "mrr_at_5", "slice": "all", "value": 0.25, "predictions": 8},
        plain | {"model": "fresh", "metric": "mrr_at_5", "slice": "new users", "value": 0, "predictions": 2},
        plain | {"model": "fresh", "metric": "recall_at_5", "slice": "all", "value": 0.5, "predictions": 8},
        {
            "model": "fresh", "against": "published", "metric": "mrr_at_5", "slice": "all", "value": -0.05,
            "low": -0.1, "high": 0.01, "rule": "healthy", "question": 1, "allowed": -0.02, "passed": True,
            "predictions": 8, "night": NIGHT,
        },
        plain | {"model": "popularity", "metric": "mrr_at_5", "slice": "all", "value": 0.1, "predictions": 8},
    ]  # fmt: skip


def test_a_verdict_is_told_as_plain_values_without_its_slices() -> None:
    verdict = Verdict("fresh", "fresh", "because", {}, 8, 3, rules=(RULE,), slices={"fresh": {}})
    told = verdict.as_dict()
    assert told["rules"][0]["high"] == 0.01
    assert "slices" not in told
    assert (
        verdicts.said(RULE) == "mrr_at_5 0.2500 against 0.3000, -0.1000 to +0.0100 where -0.0200 is asked for"
    )


def test_a_verdict_tells_every_contestant_apart_for_new_and_for_repeated_targets(
    config: Config, days: Callable[..., None], tmp_path: Path
) -> None:
    """Of u's next items 2 and 3 are new and the last 2 is repeated; after 3 Markov saw nothing but 1."""
    days([("u", [1, 2, 3, 1])], [("u", [1, 2, 3, 2])])
    fresh = fitted(tmp_path / "fresh", [[1, 2, 3, 1]])
    verdict = judging.judge(config, NIGHT, NOTHING, trained(config, fresh=fresh), fresh, 7)
    told = verdict.as_dict()["by_target"]
    assert {part: found["predictions"] for part, found in told.items()} == {
        "new targets": 2,
        "repeated targets": 1,
    }
    assert told["new targets"]["metrics"]["fresh"]["mrr_at_20"] == 1.0  # 1→2, 2→3
    assert told["repeated targets"]["metrics"]["published"]["mrr_at_20"] < 1.0
    page = pages_of(config, verdict)
    assert "| mrr_at_20 | new targets (2) | repeated targets (1) |" in page
    assert "| fresh (markov) | 1.000 | " in page


def pages_of(cfg: Config, verdict: Verdict) -> str:
    from tasks.publishing import pages

    return pages.page(cfg, NIGHT, verdict=verdict, model_version=1, counts={}, durations={}, tables={})


def test_of_nobodys_sessions_each_is_drawn_for_itself_when_candidates_are_chosen() -> None:
    users = pa.array(["ann", None, "bob", None, "ann", *[None] * 400])
    frame: Any = SimpleNamespace(
        histories=SimpleNamespace(users=users), session_of=np.repeat(np.arange(len(users)), 2)
    )
    drawn = judging._choosing(frame, NIGHT)
    assert (drawn[0::2] == drawn[1::2]).all(), "a session's predictions stay together"
    [ann] = deciding.for_choosing(["ann"], NIGHT)
    assert drawn[0] == drawn[8] == ann
    assert 50 < drawn[10::2].sum() < 150, "about a quarter of the 400"
