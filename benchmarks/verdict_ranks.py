"""What `bench_verdicts.py` draws nights from: ranks of real models on the same real sessions, kept on disk.

    python -m benchmarks.verdict_ranks --fits 1    the next that is missing, and no more

One recipe, the default network with fewer negatives and epochs, is fitted with seeds 1, 2, ... to the
training sessions, every other model of OTHERS once, and each ranks all test sessions. One file each is kept,
so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnrec_model import ragged
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.models import find
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.guards import guard_metrics
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

CUTOFF, SEEDS = 20, 6
RECIPE = "recurrent"
LIGHTER: dict[str, Any] = {"negatives": 512, "epochs": 5}  # than by default, for time
OTHERS = ("popularity", "markov", "vsknn", "sequential_rules", "session_popularity")
DATA = Path("..") / "shared" / "data"
CACHE = Path(tempfile.gettempdir()) / "rnnrec_verdicts"
SESSIONS = """
select list(item_id order by timestamp, item_id) as items
from read_parquet($file) group by session_id having count(*) >= 2 order by min(timestamp), session_id
"""


@dataclass(frozen=True)
class Ranked:
    """Models on the same predictions, those of one session after another.

    fits      (seeds, predictions) ranks by fits of one recipe
    others    other models → (predictions,) ranks
    guards    model or seed, as text → guard's metric → value of its lists after all sessions
    offsets   (sessions + 1,) where each session's predictions begin
    first     (sessions,) the item that each session begins with, as a number
    slices    named slice → (predictions,) mask
    """

    fits: Indices
    others: Mapping[str, Indices]
    guards: Mapping[str, Mapping[str, float]]
    offsets: Indices
    first: Indices
    slices: Mapping[str, npt.NDArray[np.bool_]]


class Shop:
    """Training and test sessions, in the vocabularies that a night gives to models and to the frame."""

    def __init__(self, data: Path) -> None:
        self.before, self.rows = (_lists(data / f"rsc15_64_{part}.parquet") for part in ("train", "test"))

    @cached_property
    def known(self) -> Vocabulary:
        """What the training sessions know."""
        return Vocabulary.build(self.before.flatten())

    @cached_property
    def frame(self) -> Predictions:
        """Every next item of the test sessions, as tasks/models/judging.py makes it; users are not known."""
        both = Vocabulary.build(pa.concat_arrays([self.before.flatten(), self.rows.flatten()]))
        counts = np.append(self.known.counts, 0)[self.known.encode(both.ids)]
        vocabulary = Vocabulary(both.ids, counts)
        return Predictions.next_items(Sessions.from_arrow(self.rows, vocabulary), vocabulary)

    def rank(self, name: str, seed: int) -> dict[str, npt.NDArray[np.generic]]:
        """Fit one model and ask it: its ranks, and the guards of its lists."""
        kind, training = find(name), TrainingConfig(seed=seed, device="cpu", threads=1, **LIGHTER)
        sessions = Sessions.from_arrow(self.before, self.known, min_length=2)
        fitted = kind.fit(kind.settings(), sessions, self.known, Fitting(training=training)).scorer
        found = evaluate(fitted, self.frame, (CUTOFF,))
        print(f"{name}, seed {seed}: {found.metrics}", flush=True)
        guards = guard_metrics(fitted, self.frame, CUTOFF)
        return {"ranks": found.ranks, **{key: np.float64(value) for key, value in guards.items()}}


def _lists(path: Path) -> pa.ListArray:
    with duckdb.connect() as con:
        rows = con.sql(SESSIONS, params={"file": str(path)}).to_arrow_table()
    return rows["items"].combine_chunks()


def wanted(seeds: int) -> Iterator[tuple[str, int]]:
    """(model, seed) of all that are ranked."""
    yield from ((name, 1) for name in OTHERS)
    yield from ((RECIPE, seed) for seed in range(1, seeds + 1))


def ranked(data: Path, cache: Path, most: int | None = None, seeds: int = SEEDS) -> Ranked:
    """All of them; fits what is missing in the cache, at most so many."""
    cache.mkdir(parents=True, exist_ok=True)
    shop, fitted = Shop(data), 0
    for name, seed in wanted(seeds):
        if not _file(cache, name, seed).exists() and fitted != most:
            _keep(_file(cache, name, seed), shop.rank(name, seed))
            fitted += 1
    return _read(shop, cache, seeds)


def _read(shop: Shop, cache: Path, seeds: int) -> Ranked:
    found = {
        (name, seed): dict(np.load(_file(cache, name, seed)))
        for name, seed in wanted(seeds)
        if _file(cache, name, seed).exists()
    }
    counts = np.bincount(shop.frame.session_of)
    assert counts.all(), "each session has something to predict"
    histories = shop.frame.histories
    return Ranked(
        fits=np.array([one["ranks"] for (name, _), one in found.items() if name == RECIPE]),
        others={name: one["ranks"] for (name, _), one in found.items() if name != RECIPE},
        guards={
            str(seed) if name == RECIPE else name: {key: float(one[key]) for key in one if key != "ranks"}
            for (name, seed), one in found.items()
        },
        offsets=ragged.offsets(counts),
        first=histories.items[histories.offsets[:-1]],
        slices={name: np.isin(np.arange(len(shop.frame)), rows) for name, rows in shop.frame.named.items()},
    )


def _keep(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Whole or not at all."""
    np.savez(path.with_suffix(".part.npz"), **arrays)
    path.with_suffix(".part.npz").replace(path)


def _file(cache: Path, name: str, seed: int) -> Path:
    return cache / f"{name}_{seed}.npz"


def main() -> None:
    """Fit some of what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of rsc15_64_{train,test}.parquet")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--fits", type=int, help="stop after so many; without it, all that are missing")
    asked = parser.parse_args()
    have = ranked(asked.data, asked.cache, asked.fits)
    print(f"{len(have.fits)} fits of {RECIPE}, and {', '.join(have.others)}")


if __name__ == "__main__":
    main()
