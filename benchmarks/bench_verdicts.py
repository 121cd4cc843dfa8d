"""How often the judge errs: both of its questions, asked of nights whose truth is planted.

    python benchmarks/bench_verdicts.py --train rsc15_64_train.parquet --test rsc15_64_test.parquet
    python benchmarks/bench_verdicts.py --ranks ranks.npz --nights 20 --sessions 1000 --name verdicts_short

The decisions are the pipeline's own (tasks/models/deciding.py, [gate] by default). Nights are drawn:

    1. one recipe is fitted with several seeds to the training sessions, and each model ranks the test
       sessions: how ranks are spread, how many are misses, how long sessions are, and how far two fits of
       one recipe agree on one prediction, are those of real models on real clicks
    2. a night draws so many of these sessions with replacement, and deals the models' ranks among the
       contestants anew in each session: so all contestants are equally good in truth, and agree with
       `fresh` as two seeds do. There are fewer fits than four candidates and these two: the first and third
       of the candidates, and the second and fourth, have the same ranks in every session
    3. a contestant's own seed then makes it better or worse by a share drawn from a normal distribution,
       whose standard deviation is that of the models' means
    4. a planted gain of x % gives misses a hit, whose rank is drawn from the hits' ranks, until the mean has
       grown by x %; a loss makes hits misses. Which ones is drawn

The noise floor is what five fits would say of the seed (`rnnrec noise`), drawn for each night. Guards are
left out: they are counted, not drawn. For time, an interval's draws (--resamples, fewer than a night's 2,000)
are those of `comparing.paired`, made once for each number of sessions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from measuring import write

from rnnrec_model import ragged
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.models import find
from rnnrec_model.ranking import comparing
from rnnrec_model.ranking.evaluation import MISS, Evaluation, evaluate
from rnnrec_model.ranking.metrics import Values, mean_metrics, metric_values
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary
from tasks.models import deciding, noise
from tasks.models.deciding import Contest, Decision
from tasks.models.verdicts import FRESH, PUBLISHED
from tasks.settings.sections import GateConfig

METRIC, CUTOFF, SEEDS, NOISE_SEEDS = "mrr_at_20", 20, 3, 5
SESSIONS = """
select list(item_id order by timestamp, item_id) as items
from read_parquet($file) group by session_id having count(*) >= 2 order by min(timestamp), session_id
"""


@dataclass(frozen=True)
class World:
    """Several fits of one recipe on the same predictions.

    ranks      (models, predictions)
    offsets    (sessions + 1,) predictions of each session
    slices     named slice → (predictions,) mask
    seed_sd    standard deviation of the models' means, as a share of the mean
    """

    ranks: Indices
    offsets: Indices
    slices: Mapping[str, npt.NDArray[np.bool_]]
    seed_sd: float


@dataclass(frozen=True)
class Scenario:
    """What is planted: shares by which contestants differ from the published weights in truth.

    fresh        of tonight's training
    candidates   of each other recipe
    floor        has anybody measured the noise?
    """

    fresh: float = 0.0
    candidates: tuple[float, ...] = ()
    floor: bool = True


EQUALS = [Scenario(candidates=(0.0,) * number, floor=floor) for floor in (True, False) for number in (1, 4)]
SCENARIOS = [
    *EQUALS,
    *(Scenario(fresh=gain) for gain in (0.0, -0.01, -0.02, -0.05, -0.10, 0.05)),
    *(Scenario(candidates=(gain,)) for gain in (0.01, 0.02, 0.05, 0.10, -0.02)),
    *(Scenario(candidates=(gain, 0.0, 0.0, 0.0)) for gain in (0.02, 0.05)),
    Scenario(candidates=(0.02,), floor=False),
    Scenario(candidates=(0.05,), floor=False),
]


def world(ranks: Indices, session_of: Indices, slices: Mapping[str, Indices]) -> World:
    """From the models' ranks on one frame."""
    counts = np.bincount(session_of)
    means = np.array([metric_values(METRIC, one).mean() for one in ranks])
    masks = {name: np.isin(np.arange(ranks.shape[1]), rows) for name, rows in slices.items()}
    return World(ranks, ragged.offsets(counts[counts > 0]), masks, float(means.std(ddof=1) / means.mean()))


def fitted(train: Path, test: Path) -> dict[str, Any]:
    """Ranks of the recipe's fits on the test sessions, as `world` takes them."""
    before, rows = (_lists(path) for path in (train, test))
    known = Vocabulary.build(before.flatten())
    both = Vocabulary.build(pa.concat_arrays([before.flatten(), rows.flatten()]))
    counts = np.append(known.counts, 0)[known.encode(both.ids)]
    vocabulary = Vocabulary(both.ids, counts)
    frame = Predictions.next_items(Sessions.from_arrow(rows, vocabulary), vocabulary)
    sessions, kind = Sessions.from_arrow(before, known, min_length=2), find("recurrent")
    found = []
    for seed in range(1, SEEDS + 1):
        training = TrainingConfig(seed=seed, device="cpu", threads=1)
        model = kind.fit(kind.settings(), sessions, known, Fitting(training=training)).scorer
        found.append(evaluate(model, frame, (CUTOFF,)).ranks)
        print(f"seed {seed}: {metric_values(METRIC, found[-1]).mean():.4f}", flush=True)
    return {"ranks": np.array(found), "session_of": frame.session_of, **frame.named}


def _lists(path: Path) -> pa.ListArray:
    with duckdb.connect() as con:
        rows = con.sql(SESSIONS, params={"file": str(path)}).to_arrow_table()
    return rows["items"].combine_chunks()


def night(world: World, sessions: int, shares: Sequence[float], rng: np.random.Generator) -> Contest:
    """Contestants `published`, `fresh`, c1, c2 ... of one night, each better by its share in truth."""
    drawn = rng.integers(0, len(world.offsets) - 1, sessions)
    lengths = np.diff(world.offsets)[drawn]
    places, session_of = ragged.places(world.offsets[drawn], lengths), ragged.owners(lengths)
    names = [PUBLISHED, FRESH, *(f"c{number}" for number in range(1, len(shares) - 1))]
    dealt = _dealt(len(world.ranks), sessions, len(names), rng)[session_of]
    evaluations = {}
    for place, (name, share) in enumerate(zip(names, shares, strict=True)):
        ranks = planted(world.ranks[dealt[:, place], places], share + rng.normal(0, world.seed_sd), rng)
        metrics = mean_metrics(ranks, (CUTOFF,))
        evaluations[name] = Evaluation(name, metrics, len(ranks), 0.0, ranks, session_of, {})
    return Contest(
        evaluations=evaluations,
        recipes={PUBLISHED: "old", FRESH: "old"} | {name: name for name in names[2:]},
        clusters=session_of,
        choosing=(rng.permutation(sessions) < _choosing(sessions))[session_of],
        slices={name: np.flatnonzero(mask[places]) for name, mask in world.slices.items()},
    )


def _choosing(sessions: int) -> int:
    """So many of them are kept for choosing one of several candidates."""
    return int(sessions * deciding.CHOOSING_SHARE)


def _dealt(models: int, sessions: int, contestants: int, rng: np.random.Generator) -> Indices:
    """(sessions, contestants) whose ranks each has in each session: nobody those of `fresh`, the second."""
    order = rng.permuted(np.tile(np.arange(models), (sessions, 1)), axis=1)
    columns = [1, 0, *(1 + place % (models - 1) for place in range(1, contestants - 1))]
    return order[:, columns]


def planted(ranks: Indices, share: float, rng: np.random.Generator) -> Indices:
    """Ranks whose mean reciprocal is expected to be higher by this share."""
    hits = ranks <= CUTOFF
    if share < 0:
        return np.where(hits & (rng.random(len(ranks)) < -share), MISS, ranks)
    chance = share * hits.sum() / max((~hits).sum(), 1)
    given = ~hits & (rng.random(len(ranks)) < chance)
    return np.where(given, rng.choice(ranks[hits], len(ranks)), ranks)


def decisions(
    world: World, scenario: Scenario, sessions: int, nights: int, seed: int
) -> Iterator[tuple[Decision, bool]]:
    """(what was decided, was fresh training healthy) of each night."""
    shares = [0.0, scenario.fresh, *scenario.candidates]
    gate = GateConfig(candidates=tuple(f"c{number}" for number in range(1, len(shares) - 1)) or ("none",))
    rng = np.random.default_rng([seed, sessions, *np.frombuffer(repr(scenario).encode(), np.uint8)])
    for _ in range(nights):
        contest = night(world, sessions, shares, rng)
        if scenario.floor:
            mean = contest.evaluations[PUBLISHED].metrics[METRIC]
            values = mean * (1 + rng.normal(0, world.seed_sd, NOISE_SEEDS))
            contest = replace(contest, noise=noise.within(NOISE_SEEDS) * float(values.std(ddof=1)))
        decision = deciding.decide(gate, replace(contest, slices={}))
        if decision.state == "recipe_changed":  # slices can only speak against it
            decision = deciding.decide(gate, contest)
        yield decision, all(rule.passed for rule in decision.rules if rule.question == 1)


def draw_once(sizes: Sequence[int], resamples: int) -> None:
    """Let `comparing.paired` use the same draws for each of these numbers of clusters, made once."""
    slowly = comparing._differences
    comparing.paired.__kwdefaults__["resamples"] = resamples  # type: ignore[index]

    @cache
    def weights(clusters: int) -> Values:
        drawn = np.random.Generator(np.random.PCG64(0)).integers(0, clusters, (resamples, clusters))
        return np.array([np.bincount(one, minlength=clusters) for one in drawn], dtype=np.float64)

    def quickly(gains: Values, counts: Values, times: int, generator: np.random.Generator) -> Values:
        if len(counts) not in sizes:
            return slowly(gains, counts, times, generator)
        sums = weights(len(counts)) @ np.stack([gains, counts], axis=1)
        return np.asarray(sums[:, 0] / sums[:, 1])

    comparing._differences = quickly


def rates(world: World, scenario: Scenario, sessions: int, nights: int, seed: int) -> dict[str, Any]:
    """How many nights kept fresh training, and how many changed the recipe, to which candidate."""
    found = list(decisions(world, scenario, sessions, nights, seed))
    return {
        "fresh": scenario.fresh,
        "candidates": list(scenario.candidates),
        "floor": scenario.floor,
        "sessions": sessions,
        "nights": nights,
        "healthy": sum(healthy for _, healthy in found),
        "changed": sum(decision.state == "recipe_changed" for decision, _ in found),
        "changed_to_the_first": sum(decision.chosen == "c1" for decision, _ in found),
    }


def main() -> None:
    """Fit or read the ranks, plant, decide, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, help="sessions: session_id, item_id, timestamp")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--ranks", type=Path, help="what was fitted; written where --train is given")
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="verdicts")
    asked = parser.parse_args()
    if asked.train:
        told = fitted(asked.train, asked.test)
        if asked.ranks:
            np.savez(asked.ranks, **told)
    else:
        told = dict(np.load(asked.ranks))
    true = world(told.pop("ranks"), told.pop("session_of"), told)
    rows = []
    for sessions in asked.sessions:
        draw_once((sessions, sessions - _choosing(sessions)), asked.resamples)
        for scenario in SCENARIOS:
            rows.append(rates(true, scenario, sessions, asked.nights, asked.seed))
            print(rows[-1], flush=True)
    ranks = true.ranks
    found: dict[str, Any] = {
        "gate": GateConfig().model_dump(mode="json"),
        "resamples": asked.resamples,
        "predictions": ranks.shape[1],
        "sessions": len(true.offsets) - 1,
        "seed_sd": true.seed_sd,
        "mean": float(metric_values(METRIC, ranks.ravel()).mean()),
        "misses": float((ranks > CUTOFF).mean()),
        "correlation": float(np.corrcoef([metric_values(METRIC, one) for one in ranks])[0, 1:].mean()),
        "rates": rows,
    }
    write(asked.name, found)


if __name__ == "__main__":
    main()
