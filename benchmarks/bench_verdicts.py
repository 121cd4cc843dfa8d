"""How often the judge errs: both of its questions, asked of nights whose truth is planted, and of seasons.

    python -m benchmarks.bench_verdicts                 fits what is missing, then every cell that is missing
    python -m benchmarks.bench_verdicts --tables        what was found so far, as the tables of README.md

The decisions are the pipeline's own: `deciding.decide` over a whole contest, with [gate] by default, models
of `gate.must_beat`, guards and named slices, and of several candidates (with what has to be beaten there
always are) the one that is chosen by a quarter of the users. A night is drawn:

    1. six fits of one recipe and five other models rank the same real sessions (verdict_ranks.py)
    2. these are dealt to users, of whom most have one session, so that the sessions of a user begin with the
       same item. A night draws users with replacement, each with all sessions
    3. the fits are dealt among the contestants anew for each user, no two of them the same one: so in truth
       they are equally good, and agree as two seeds do. Or candidates agree as other kinds of models do: they
       have the ranks of KINDS, lifted to the mean of the fits by what is planted
    4. a contestant's own seed makes it better or worse by a share drawn from a normal distribution, whose
       standard deviation is that of the fits' means, less what the chance of these users makes of it
    5. a planted gain of x % gives misses a hit, whose rank is drawn from the hits' ranks, until the mean has
       grown by x %; a loss makes hits misses. Which ones is drawn

Where the noise was measured, five fits were, on another such night, as `rnnrec noise` does it. A season is so
many nights, each of which publishes what it decided; a decay takes its share from the fits of one recipe
each night. The intervals are those of `comparing.paired`, whose draws come from a seed: for as many users
they are the same each night, and are made once; some nights are decided both ways, and verdicts that differ
are counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import comb
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks import measuring, verdict_ranks
from benchmarks.verdict_ranks import CUTOFF, Ranked
from rnnrec_model import ragged
from rnnrec_model.ranking import comparing
from rnnrec_model.ranking.evaluation import MISS, Evaluation
from rnnrec_model.ranking.metrics import Values, mean_metrics, metric_values
from rnnrec_model.vocabulary import Indices
from tasks.models import deciding, noise
from tasks.models.deciding import Contest, Decision
from tasks.models.verdicts import FRESH, PUBLISHED
from tasks.settings.sections import GateConfig

METRIC, NOISE_SEEDS, RESAMPLES, SEED = f"mrr_at_{CUTOFF}", 5, 2000, 1
ONE_MORE = 0.4  # of the users who had a session so far have another: 1.67 a user
KINDS = ("vsknn", "sequential_rules", "markov", "session_popularity")
SIZES = (3_000, 1_000, 10_000)
NIGHTS, SEASONS = 200, 200
CHECKED = {1_000: 40, 3_000: 20, 10_000: 10}  # sessions → nights decided both ways
DECIDERS = (deciding, comparing)  # whose code the rates are of
STATED = 0.025  # of nights change the recipe falsely, at most: what an interval of 95 % leaves below itself

Agreement = Literal["seeds", "kinds"]


@dataclass(frozen=True)
class World:
    """Models' ranks on users' predictions, which stand one user after another.

    fits       (seeds, predictions) of one recipe
    others     model → (predictions,)
    guards     model, or number of the fit as text → guard's metric → value
    offsets    (users + 1,) where each user's predictions begin
    sessions   sessions of a user, on average
    slices     named slice → (predictions,) mask
    mean       of the fits' metric
    seed_sd    standard deviation of the fits' means beyond what the chance of users makes of it, as a share
    """

    fits: Indices
    others: Mapping[str, Indices]
    guards: Mapping[str, Mapping[str, float]]
    offsets: Indices
    sessions: float
    slices: Mapping[str, npt.NDArray[np.bool_]]
    mean: float
    seed_sd: float


@dataclass(frozen=True)
class Scenario:
    """What is planted: shares by which contestants differ from the published weights in truth.

    fresh        of tonight's training
    candidates   of each other recipe
    agree        do they agree with `fresh` as two seeds of a recipe, or as other kinds of models?
    floor        has anybody measured the noise?
    markov       of Markov, which has to be beaten; None leaves it where it is, far below
    """

    fresh: float = 0.0
    candidates: tuple[float, ...] = ()
    agree: Agreement = "seeds"
    floor: bool = False
    markov: float | None = None

    @property
    def fits(self) -> int:
        """So many of one recipe are dealt among the contestants, so that no two have the same."""
        return 2 + (len(self.candidates) if self.agree == "seeds" else 0)


@dataclass(frozen=True)
class Season:
    """So many nights one after another; `decay` is what the champion's recipe loses each night."""

    candidates: tuple[float, ...] = ()
    agree: Agreement = "seeds"
    floor: bool = False
    nights: int = 30
    decay: float = 0.0
    sessions: int = 3_000


AGREE: tuple[Agreement, ...] = ("seeds", "kinds")
GAINS = (0.01, 0.02, 0.05)
LOSSES = (-0.01, -0.02, -0.05)
EQUALS = [
    Scenario(candidates=(0.0,) * number, agree=agree, floor=floor)
    for number in (1, 4) for agree in AGREE for floor in (False, True)
]  # fmt: skip
PLANTED = [
    *(Scenario(fresh=share) for share in (*LOSSES, *GAINS)),
    *(Scenario(candidates=(share,), agree=agree) for share in (*LOSSES, *GAINS) for agree in AGREE),
    *(Scenario(candidates=(share, 0.0, 0.0, 0.0), agree=agree) for share in GAINS for agree in AGREE),
    Scenario(markov=0.0),
]
MEASURED = [replace(one, floor=True) for one in PLANTED]
MONTHS = [
    Season(candidates=(0.0,)),
    Season(nights=14, decay=0.01),
    Season(candidates=(0.0,), nights=14, decay=0.01),
    Season(candidates=(0.0,) * 4),
    Season(candidates=(0.0,), floor=True),
    Season(candidates=(0.0,), agree="kinds"),
]
Cell = tuple[Scenario, int, int] | Season  # a scenario, sessions a night, so many nights


def cells() -> Iterator[Cell]:
    """All that is drawn, in the order of worth: a run that is stopped has the first of it."""
    yield from ((one, sessions, equal_nights(one, sessions)) for sessions in SIZES for one in EQUALS)
    yield from ((one, sessions, NIGHTS) for sessions in SIZES[:2] for one in PLANTED)
    yield from MONTHS[:3]
    yield from ((one, sessions, NIGHTS) for sessions in SIZES[:2] for one in MEASURED)
    yield from ((one, SIZES[2], NIGHTS) for one in (*PLANTED, *MEASURED))
    yield from MONTHS[3:]


def equal_nights(scenario: Scenario, sessions: int) -> int:
    """More of what is cheap: a rate is held against another."""
    return NIGHTS if scenario.floor or sessions == SIZES[2] else 3 * NIGHTS


# ------------------------------------------------------------------------------------------------- the world


def world(ranked: Ranked) -> World:
    """Sessions are dealt to users: in the order of the items they begin with, the next one or few to each."""
    rng = np.random.default_rng(SEED)
    order = np.lexsort((rng.random(len(ranked.first)), ranked.first))
    is_new = rng.random(len(order)) >= ONE_MORE
    user_of = is_new.cumsum() - is_new[0]
    lengths = np.diff(ranked.offsets)[order]
    places = ragged.places(ranked.offsets[:-1][order], lengths)
    newcomers = rng.random(user_of[-1] + 1) < 0.5
    owners = np.repeat(user_of, lengths)
    fits = ranked.fits[:, places]
    mean, deviation, by_chance = spread(fits, owners)
    return World(
        fits=fits,
        others={name: one[places] for name, one in ranked.others.items()},
        guards=ranked.guards,
        offsets=ragged.offsets(np.bincount(owners)),
        sessions=len(order) / int(user_of[-1] + 1),
        slices={name: mask[places] for name, mask in ranked.slices.items()}
        | {"new users": newcomers[owners]},
        mean=mean,
        seed_sd=max(deviation**2 - by_chance**2, 0.0) ** 0.5,
    )


def spread(fits: Indices, owners: Indices) -> tuple[float, float, float]:
    """Mean of the fits' metric, and how far their means deviate: as it is, and by the chance of users alone.

    The last two are shares of the mean. Were all fits as good, they would differ on these users all the same.
    """
    values = np.array([metric_values(METRIC, one) for one in fits])
    means = values.mean(axis=1)
    apart = [np.bincount(owners, weights=one) for one in values - values.mean(axis=0)]
    variance = np.mean([(one**2).sum() for one in apart]) / values.shape[1] ** 2
    by_chance = (variance * len(values) / (len(values) - 1)) ** 0.5
    return float(means.mean()), float(means.std(ddof=1) / means.mean()), float(by_chance / means.mean())


def told(true: World) -> dict[str, Any]:
    """What nights are drawn from, in numbers."""
    values = np.array([metric_values(METRIC, one) for one in true.fits])
    owners = ragged.owners(np.diff(true.offsets))
    _, deviation, by_chance = spread(true.fits, owners)
    others = {name: metric_values(METRIC, ranks) for name, ranks in true.others.items()}
    difference = values[0] - values[1]
    by_user = np.bincount(owners, weights=difference)
    return {
        "predictions": true.fits.shape[1],
        "users": len(true.offsets) - 1,
        "sessions_a_user": true.sessions,
        "fits": len(true.fits),
        "mean": true.mean,
        "means_sd": deviation,
        "means_sd_by_chance_of_users": by_chance,
        "seed_sd": true.seed_sd,
        "misses": float((true.fits > CUTOFF).mean()),
        "correlation": float(np.corrcoef(values)[0, 1:].mean()),
        "means": {name: float(one.mean()) for name, one in others.items()},
        "correlations": {name: float(np.corrcoef(values[0], one)[0, 1]) for name, one in others.items()},
        "variance_by_user": float((by_user**2).sum() / (difference**2).sum()),
        "guards": true.guards,
    }


# ------------------------------------------------------------------------------------------------- one night


def users_of(true: World, sessions: int) -> int:
    """So many users have that many sessions, on average."""
    return round(sessions / true.sessions)


def choosing_users(users: int) -> int:
    """So many of them only choose one of several candidates."""
    return int(users * deciding.CHOOSING_SHARE)


@dataclass(frozen=True)
class Day:
    """Users who came: places of their predictions, whose each is, and (users, fits) in which order dealt."""

    places: Indices
    owners: Indices
    dealt: Indices

    @classmethod
    def drawn(cls, true: World, sessions: int, rng: np.random.Generator) -> Day:
        """With replacement."""
        users = users_of(true, sessions)
        drawn = rng.integers(0, len(true.offsets) - 1, users)
        lengths = np.diff(true.offsets)[drawn]
        order = rng.permuted(np.tile(np.arange(len(true.fits)), (users, 1)), axis=1)
        return cls(ragged.places(true.offsets[drawn], lengths), ragged.owners(lengths), order)

    def ranks(self, true: World, contestant: int) -> Indices:
        """(predictions,) of the fits that were dealt to one contestant."""
        found: Indices = true.fits[self.dealt[self.owners, contestant], self.places]
        return found


def night(
    true: World, scenario: Scenario, sessions: int, rng: np.random.Generator, floor: float, published: float
) -> Contest:
    """A contest in which everybody differs by what is planted, and by the chance of an own seed.

    published   share by which the published weights differ, their own seed's among it
    """
    day = Day.drawn(true, sessions, rng)
    ranks = {PUBLISHED: planted(day.ranks(true, 0), published, rng)}
    ranks[FRESH] = planted(day.ranks(true, 1), scenario.fresh + seed_share(true, rng), rng)
    guards = {name: true.guards[str(number)] for name, number in zip((PUBLISHED, FRESH), (1, 2), strict=True)}
    for number, share in enumerate(scenario.candidates):
        name, level = f"c{number + 1}", share + seed_share(true, rng)
        if scenario.agree == "seeds":
            ranks[name] = planted(day.ranks(true, number + 2), level, rng)
            guards[name] = true.guards[str(number + 3)]
        else:
            ranks[name] = lifted(true, KINDS[number], day, level, rng)
            guards[name] = true.guards[KINDS[0]]  # which nobody refuses: they hide no false change
    for name in GateConfig().must_beat:
        moved = name == "markov" and scenario.markov is not None
        ranks[name] = (
            lifted(true, name, day, scenario.markov or 0.0, rng) if moved else true.others[name][day.places]
        )
        guards[name] = true.guards[name]
    chooses = rng.permutation(users_of(true, sessions)) < choosing_users(users_of(true, sessions))
    return Contest(
        evaluations={
            name: Evaluation(name, mean_metrics(one, (CUTOFF,)), len(one), 0.0, one, day.owners, {})
            for name, one in ranks.items()
        },
        recipes={name: "own" if name in (PUBLISHED, FRESH) else name for name in ranks},
        clusters=day.owners,
        choosing=chooses[day.owners],
        slices={name: np.flatnonzero(mask[day.places]) for name, mask in true.slices.items()},
        guards=guards,
        noise=floor,
    )


def seed_share(true: World, rng: np.random.Generator) -> float:
    """What the chance of a seed makes of a fit."""
    return float(rng.normal(0, true.seed_sd))


def planted(ranks: Indices, share: float, rng: np.random.Generator) -> Indices:
    """Ranks whose mean reciprocal is expected to be higher by this share."""
    hits = ranks <= CUTOFF
    found = ranks.copy()
    if share < 0:
        found[hits & (rng.random(len(ranks)) < -share)] = MISS
        return found
    chance = share * hits.sum() / max((~hits).sum(), 1)
    given = ~hits & (rng.random(len(ranks)) < chance)
    found[given] = rng.choice(ranks[hits], int(given.sum()))
    return found


def lifted(true: World, name: str, day: Day, share: float, rng: np.random.Generator) -> Indices:
    """Another kind's ranks, so much better than the fits in truth."""
    own = metric_values(METRIC, true.others[name]).mean()
    return planted(true.others[name][day.places], true.mean * (1 + share) / own - 1, rng)


def measured_floor(true: World, sessions: int, rng: np.random.Generator) -> float:
    """What `rnnrec noise` would have found on another night."""
    day = Day.drawn(true, sessions, rng)
    values = [
        metric_values(METRIC, day.ranks(true, number)).mean() * (1 + seed_share(true, rng))
        for number in range(NOISE_SEEDS)
    ]
    return noise.within(NOISE_SEEDS) * float(np.std(values, ddof=1))


def decide(gate: GateConfig, contest: Contest) -> Decision:
    """As the pipeline does. Slices can only speak against a recipe: they are asked where it would win."""
    decision = deciding.decide(gate, replace(contest, slices={}))
    return deciding.decide(gate, contest) if decision.state == "recipe_changed" else decision


def gate_of(candidates: Sequence[float]) -> GateConfig:
    """[gate] by default, with so many candidates; without one, the champion's recipe is the only one."""
    named = tuple(f"c{number + 1}" for number in range(len(candidates)))
    return GateConfig(candidates=named) if named else GateConfig()


# -------------------------------------------------------------------------------------------- the same draws


@cache
def weights(clusters: int) -> npt.NDArray[np.float32]:
    """(clusters, draws) how often `comparing.paired` draws each, which is the same for as many clusters."""
    generator = np.random.Generator(np.random.PCG64(0))
    found = np.empty((clusters, RESAMPLES), dtype=np.float32)
    at_once = max(1, comparing.DRAWS_AT_ONCE // clusters)
    for start in range(0, RESAMPLES, at_once):
        stop = min(start + at_once, RESAMPLES)
        drawn = generator.integers(0, clusters, (stop - start, clusters))
        found[:, start:stop] = np.stack([np.bincount(one, minlength=clusters) for one in drawn], axis=1)
    return found


class Drawn:
    """`comparing` of one contest: everybody's draws at once, by one product for each set of users.

    A slice has as many users as it has, and goes to the function itself; but for one on which a recipe is not
    worse at all, whose interval does not lie below that.
    """

    def __init__(self, contest: Contest) -> None:
        self.contest, self.slowly, self.few = contest, comparing.paired, comparing.enough
        self.names = list(contest.evaluations)
        self.values = {name: metric_values(METRIC, one.ranks) for name, one in contest.evaluations.items()}
        ones = np.ones(len(contest.clusters))
        sums = np.stack([np.bincount(contest.clusters, one) for one in (*self.values.values(), ones)])
        chooses = np.zeros(sums.shape[1], dtype=bool)
        chooses[contest.clusters[contest.choosing]] = True
        self.deciding = ~contest.choosing
        self.sums = {"all": sums, "deciding": sums[:, ~chooses]}  # (contestants and a count, users)
        self.draws: dict[str, Values] = {}

    def enough(self, clusters: Indices, rows: comparing.Rows | None = None) -> bool:
        """Of all users, and of those who decide, there are."""
        return self._part(rows) is not None or self.few(clusters, rows)

    def paired(
        self, ours: Evaluation, theirs: Evaluation, metric: str, clusters: Indices, **how: Any
    ) -> comparing.Paired:
        """As the function gives it."""
        part = self._part(how.get("rows"))
        if part is None or set(how) - {"rows"} or clusters is not self.contest.clusters:
            return self._of_slice(ours, theirs, metric, clusters, **how)
        sums = self.sums[part]
        if part not in self.draws:
            above = np.concatenate([sums[:-1] - sums[0], sums[-1:]])  # small, so that halves of words do
            drawn = above.astype(np.float32) @ weights(sums.shape[1])
            self.draws[part] = (drawn[:-1] / drawn[-1]).astype(np.float64)
        one, other = (self.names.index(each.name) for each in (ours, theirs))
        low, high = np.quantile(self.draws[part][one] - self.draws[part][other], [0.025, 0.975])
        totals = sums.sum(axis=1)
        mine, their = totals[one] / totals[-1], totals[other] / totals[-1]
        return comparing.Paired(mine, their, mine - their, low, high, int(totals[-1]), sums.shape[1])

    def _part(self, rows: comparing.Rows | None) -> str | None:
        if rows is None:
            return "all"
        mask = rows.dtype == np.bool_ and np.array_equal(rows, self.deciding)
        return "deciding" if mask else None

    def _of_slice(
        self, ours: Evaluation, theirs: Evaluation, metric: str, clusters: Indices, **how: Any
    ) -> comparing.Paired:
        mine, their = (float(self.values[each.name][how["rows"]].mean()) for each in (ours, theirs))
        if mine < their or metric != METRIC:
            return self.slowly(ours, theirs, metric, clusters, **how)
        return comparing.Paired(mine, their, mine - their, 0.0, mine - their, len(how["rows"]), 1)


@contextmanager
def drawn_once(contest: Contest) -> Iterator[None]:
    """Let the deciding code compare by these draws."""
    kept, quickly = (comparing.paired, comparing.enough), Drawn(contest)
    comparing.paired, comparing.enough = quickly.paired, quickly.enough  # type: ignore[assignment]
    try:
        yield
    finally:
        comparing.paired, comparing.enough = kept


def differing(true: World, sessions: int, nights: int) -> int:
    """In how many nights is a rule's outcome another one when every interval is drawn anew?"""
    found = 0
    for scenario in (EQUALS[0], EQUALS[-1]):
        rng = generator("both ways", scenario, sessions)
        for _ in range(nights // 2):
            contest = night(true, scenario, sessions, rng, 0.0, 0.0)
            gate = gate_of(scenario.candidates)
            slowly = deciding.decide(gate, contest)
            with drawn_once(contest):
                found += [one.passed for one in deciding.decide(gate, contest).rules] != [
                    one.passed for one in slowly.rules
                ]
    return found


# ---------------------------------------------------------------------------------------- nights and seasons


def generator(*what: object) -> np.random.Generator:
    """One for each cell, whatever ran before it."""
    return np.random.default_rng([SEED, *np.frombuffer(repr(what).encode(), np.uint8)])


def rates(true: World, scenario: Scenario, sessions: int, nights: int) -> dict[str, Any]:
    """How many nights kept fresh training, how many changed the recipe, to which, and what spoke against."""
    rng, gate = generator(scenario, sessions), gate_of(scenario.candidates)
    chosen: Counter[str] = Counter()
    against: Counter[str] = Counter()
    healthy = 0
    for _ in range(nights):
        floor = measured_floor(true, sessions, rng) if scenario.floor else 0.0
        contest = night(true, scenario, sessions, rng, floor, seed_share(true, rng))
        with drawn_once(contest):
            decision = decide(gate, contest)
        healthy += is_healthy(decision)
        if decision.state == "recipe_changed":
            chosen[decision.chosen] += 1
        else:
            against[refused_by(decision)] += 1
    return {
        **asdict(scenario), "sessions": sessions, "nights": nights, "fits": len(true.fits),
        "healthy": healthy, "changed": chosen.total(), "changed_to": dict(chosen), "against": dict(against),
    }  # fmt: skip


def is_healthy(decision: Decision) -> bool:
    """Was question 1 answered with yes?"""
    return deciding.passed([rule for rule in decision.rules if rule.question == 1])


def refused_by(decision: Decision) -> str:
    """The rule that keeps another recipe out."""
    rule = deciding.refusal([rule for rule in decision.rules if rule.question == 2])
    if rule is None:
        return "nobody asked"
    return f"{rule.rule} {rule.slice}" if rule.rule == "slice" else rule.rule


def month(true: World, season: Season, rng: np.random.Generator) -> list[str]:
    """What each night did: fresh, weights_kept, recipe_changed. Recipes change places as they are crowned."""
    levels = [0.0, *season.candidates]  # the champion's recipe first
    decaying, done = 0, []
    floor = measured_floor(true, season.sessions, rng) if season.floor else 0.0
    published = seed_share(true, rng)
    for past in range(season.nights):
        truth = list(levels)
        if decaying is not None:
            truth[decaying] = (1 - season.decay) ** (past + 1) - 1
        scenario = Scenario(truth[0], tuple(truth[1:]), season.agree, season.floor)
        contest = night(true, scenario, season.sessions, rng, floor, published)
        with drawn_once(contest):
            decision = decide(gate_of(scenario.candidates), contest)
        done.append(decision.state)
        if decision.state == "fresh":
            published = truth[0] + seed_share(true, rng)
        elif decision.state == "recipe_changed" and decision.chosen not in scenario_names(scenario):
            return done  # to what had to be beaten
        elif decision.state == "recipe_changed":
            place = int(decision.chosen[1:])
            published = truth[place] + seed_share(true, rng)
            levels[0], levels[place] = levels[place], levels[0]
            decaying = place if decaying == 0 else 0 if decaying == place else decaying
            floor = measured_floor(true, season.sessions, rng) if season.floor else 0.0
    return done


def scenario_names(scenario: Scenario) -> list[str]:
    """Names of its candidates."""
    return [f"c{number + 1}" for number in range(len(scenario.candidates))]


def months(true: World, season: Season, seasons: int) -> dict[str, Any]:
    """Of so many: how often recipes changed and fresh training was refused, and in which night first."""
    rng = generator(season)
    found = [month(true, season, rng) for _ in range(seasons)]
    return {
        **asdict(season), "seasons": seasons,
        "changes": [one.count("recipe_changed") for one in found],
        "refused": [one.count("weights_kept") for one in found],
        "first_change": [first(one, "recipe_changed") for one in found],
        "first_refused": [first(one, "weights_kept") for one in found],
    }  # fmt: skip


def first(states: Sequence[str], state: str) -> int | None:
    """The number of the first night that did so, from 1."""
    return states.index(state) + 1 if state in states else None


# ------------------------------------------------------------------------------------------------ the tables


def interval(count: int, nights: int) -> tuple[float, float]:
    """Of a share, 95 % (Clopper and Pearson 1934): where a binomial would give as much or more in 2.5 %."""

    def at_most(share: float) -> float:
        return sum(comb(nights, one) * share**one * (1 - share) ** (nights - one) for one in range(count + 1))

    def at_least(share: float) -> float:
        return 1 - sum(comb(nights, one) * share**one * (1 - share) ** (nights - one) for one in range(count))

    low = 0.0 if count == 0 else _where(lambda share: at_least(share) < 0.025)
    return low, 1.0 if count == nights else _where(lambda share: at_most(share) > 0.025)


def _where(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return low


def rate(count: int, nights: int) -> str:
    """A share with its interval, in percent."""
    low, high = interval(count, nights)
    return f"{100 * count / nights:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def tables(results: Mapping[str, Any]) -> str:
    """What was found, as Markdown."""
    found = {key_of(one): one for one in results["rates"]}
    lines = []
    for scenario in [Scenario(), Scenario(floor=True), *EQUALS, *PLANTED, *MEASURED]:
        is_plain = scenario == Scenario(floor=scenario.floor)  # drawn with a candidate that is as good
        drawn = replace(scenario, candidates=(0.0,)) if is_plain else scenario
        nights = [found.get(key_of({**asdict(drawn), "sessions": sessions})) for sessions in sorted(SIZES)]
        for counted, judge in counted_of(scenario).items():
            row = [rate(one[counted], one["nights"]) if one else "-" for one in nights]
            lines.append(f"| {' | '.join([judge, *label(scenario), *row])} | `verdicts` |")
    lines += [f"| {' | '.join(of_season(one))} | `verdicts` |" for one in results["seasons"]]
    return "\n".join(lines)


def counted_of(scenario: Scenario) -> dict[str, str]:
    """What is told of its nights, and as what."""
    told = {"healthy": "keeps fresh training", "changed": "changes the recipe"}
    if scenario.markov is not None:
        return told
    return {"changed": told["changed"]} if scenario.candidates else {"healthy": told["healthy"]}


def of_season(one: Mapping[str, Any]) -> list[str]:
    """The cells of a season: what it is, who changed and who was refused, how often, and when first."""
    changed, refused = ([any_of > 0 for any_of in one[what]] for what in ("changes", "refused"))
    return [
        f"{one['nights']} nights, {100 * one['decay']:.0f} % lost in each" if one["decay"] else "a month",
        str(len(one["candidates"])),
        one["agree"],
        "yes" if one["floor"] else "no",
        rate(sum(changed), one["seasons"]),
        f"{np.mean(one['changes']):.2f}",
        rate(sum(refused), one["seasons"]),
        middle(one["first_refused"]),
        middle(one["first_change"]),
    ]


def middle(nights: Sequence[int | None]) -> str:
    """The night by which half of the seasons had it; a dash where they had not."""
    ordered = sorted(one or 10**6 for one in nights)
    found = ordered[(len(ordered) - 1) // 2]
    return str(found) if found < 10**6 else "-"


def label(scenario: Scenario) -> list[str]:
    """What was planted: how many candidates, how they agree, how much better the first is, is noise known."""
    number = "Markov" if scenario.markov is not None else str(len(scenario.candidates) or "-")
    share = scenario.fresh or (scenario.candidates[0] if scenario.candidates else scenario.markov or 0.0)
    told = f"{100 * share:+.0f} %" if share else "equal"
    return [number, scenario.agree, told, "yes" if scenario.floor else "no"]


# --------------------------------------------------------------------------------------------------- the run


def key_of(one: Mapping[str, Any]) -> str:
    """What makes a cell, of a result or of what is asked."""
    names = ("fresh", "candidates", "agree", "floor", "markov", "nights", "decay", "sessions")
    season = "decay" in one
    return json.dumps([one.get(name) for name in names if season or name != "nights"])


def judged_by() -> str:
    """Digest of the code that decides: cells of other code are made again."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in DECIDERS)
    return hashlib.sha256(code).hexdigest()[:12]


def run(true: World, results: dict[str, Any], keep: Callable[[], None]) -> None:
    """Every cell that is missing, kept as soon as it is known."""
    for sessions, nights in CHECKED.items():
        if str(sessions) not in results["checked"]:
            differ = differing(true, sessions, nights)
            results["checked"][str(sessions)] = {"nights": nights, "differ": differ}
            keep()
    done = {key_of(one) for kind in ("rates", "seasons") for one in results[kind]}
    for cell in cells():
        scenario = (
            Scenario(candidates=cell.candidates, agree=cell.agree) if isinstance(cell, Season) else cell[0]
        )
        if key_of(told_of(cell)) in done or scenario.fits > len(true.fits):
            continue
        kind = "seasons" if isinstance(cell, Season) else "rates"
        results[kind].append(months(true, cell, SEASONS) if isinstance(cell, Season) else rates(true, *cell))
        print(results[kind][-1], flush=True)
        keep()


def told_of(cell: Cell) -> dict[str, Any]:
    """What its result will begin with."""
    return asdict(cell) if isinstance(cell, Season) else {**asdict(cell[0]), "sessions": cell[1]}


def main() -> None:
    """Fit or read the ranks, plant, decide, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=verdict_ranks.DATA, help="folder of rsc15_64_*.parquet")
    parser.add_argument("--cache", type=Path, default=verdict_ranks.CACHE, help="where ranks are kept")
    parser.add_argument("--fits", type=int, default=verdict_ranks.SEEDS, help="of the recipe; at least 5")
    parser.add_argument("--name", default="verdicts")
    parser.add_argument("--tables", action="store_true", help="print what was found")
    asked = parser.parse_args()
    path = measuring.RESULTS / f"{asked.name}.json"
    before = json.loads(path.read_text())["results"] if path.exists() else {}
    if asked.tables:
        print(tables(before))
        return
    true = world(verdict_ranks.ranked(asked.data, asked.cache, seeds=asked.fits))
    results: dict[str, Any] = {
        "gate": GateConfig().model_dump(mode="json"),
        "resamples": RESAMPLES,
        "stated": STATED,
        "floor": noise.within(NOISE_SEEDS),
        "judged_by": judged_by(),
        "world": told(true),
        "checked": {},
        "rates": [],
        "seasons": [],
    }
    if before.get("judged_by") == results["judged_by"] and before["world"] == results["world"]:
        results |= {kind: before[kind] for kind in ("checked", "rates", "seasons")}
    run(true, results, lambda: measuring.write(asked.name, results) and None)


if __name__ == "__main__":
    main()
