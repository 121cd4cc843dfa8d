"""`rnnrec compare` on research files, by their published protocols: the same course, another frame.

    python benchmarks/bench_comparison.py rsc15_64 --data FOLDER                  every kind, untuned
    python benchmarks/bench_comparison.py rsc15_64 --data FOLDER --trials 8       tuned on fit and valid
    python benchmarks/bench_comparison.py globo --data FOLDER --users 0.1         two days and the next
    python benchmarks/bench_comparison.py ml1m --data FOLDER --models recurrent,fpmc,markov
        --curve users,history --shares 10,20,50,100 --set training.epochs=5       where do the lines cross?

FOLDER holds the files of the README; nothing of them is copied. What is done lies below --work, so that the
same command goes on after a stop. The numbers become benchmarks/results/comparison_<name>.json, the figures
SVG beside it, and the page is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import measuring
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.session_tables import last_apart
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.models import judging
from tasks.models.comparing import conclusion, course
from tasks.models.comparing.course import Question
from tasks.models.comparing.page import COST, CURVE
from tasks.models.comparing.parts import Part
from tasks.models.comparing.samples import of_users
from tasks.models.comparing.tuning import Budget
from tasks.models.evaluation import MASK_LAST
from tasks.sessions.session_files import read_session_file
from tasks.settings.config import load_config

FIRST_DAY, DAYS = datetime(2017, 10, 10), 2  # of globo: learnt from; the day after them is asked
THINNED = "thinned before "  # so that shares of what is left are drawn anew
PROTOCOLS = {
    "rsc15_64": "The public split of YooChoose 1/64: every next item of the test sessions; items unknown to "
    "training are dropped first, then sessions shorter than 2; nothing leaves the ranking. Tuned on fit "
    "and valid.",
    "globo": "News clicks of two days, asked the sessions that start on the next; what is not known is a "
    "miss.",
    "ml1m": "MovieLens-1M, leave-one-out: the last film of each user, ranked without the "
    f"{MASK_LAST} newest films of the history. Tuned on the second last.",
}
METRICS = {"rsc15_64": "recall_at_20", "globo": "recall_at_20", "ml1m": "recall_at_10"}
Parts = tuple[Part, Part]


def rsc15_64(folder: Path, users: float) -> Parts:  # noqa: ARG001  whose sessions they are is not known
    """(train and test, fit and valid) as they are published."""
    read = {
        name: read_session_file(folder / f"rsc15_64_{name}.parquet")
        for name in ("train", "test", "fit", "valid")
    }
    return _known_steps(read["train"], read["test"]), _known_steps(read["fit"], read["valid"])


def globo(folder: Path, users: float) -> Parts:
    """Two days and the next; inside the one day and the other. Sessions and users are those given."""
    rows = of_users(_sessions(folder / "globo_clicks.parquet", FIRST_DAY, DAYS + 1), users, THINNED)
    days = [FIRST_DAY + timedelta(days=number) for number in range(DAYS + 1)]
    day = pc.floor_temporal(rows["start"], unit="day")
    first, second, third = (
        rows.filter(pc.equal(day, pa.scalar(one, day.type))).drop_columns(["start"]) for one in days
    )
    both = pa.concat_tables([first, second]).combine_chunks()
    return _all_steps(both, third), _all_steps(first, second)


def ml1m(folder: Path, users: float) -> Parts:
    """All but the last two films of each user, asked the last one; inside, asked the second last."""
    sequences = of_users(read_session_file(folder / "ml1m_sequences.parquet"), users, THINNED)
    known, _ = last_apart(sequences)
    train, _ = last_apart(known)
    return _last(train, sequences), _last(train, known)


SETS: dict[str, Callable[[Path, float], Parts]] = {"rsc15_64": rsc15_64, "globo": globo, "ml1m": ml1m}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that was found, after it is kept."""
    name = options.name or options.data_set
    given = dict(pair.split("=", 1) for pair in options.settings)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    (work / "defaults.toml").touch()
    cfg = load_config(work / "defaults.toml", given | {"recommendations.k": 20}, for_a_night=False)
    question = Question.of(
        cfg,
        models=tuple(_listed(options.models)),
        metric=METRICS[options.data_set],
        budget=Budget(options.trials),
        curves=tuple(_listed(options.curve)),
        shares=tuple(float(one) / 100 for one in _listed(options.shares)),
        seeds=options.seeds,
    )
    final, valid = SETS[options.data_set](options.data, options.users)
    notes = [
        PROTOCOLS[options.data_set],
        *(f"`{key} = {value}` for all" for key, value in sorted(given.items())),
    ]
    if options.users < 1:
        notes.append(f"Of {100 * options.users:g} % of the users, by the hash of their id")
    inputs = {"rows": _digest(final), "tuning": _digest(valid)}
    plan = course.plan(cfg, question, {"title": options.data_set, "notes": notes}, inputs, name, work / name)
    if (before := conclusion.concluded(plan)) is None:
        shutil.rmtree(plan.target, ignore_errors=True)
        with course.opened(plan):
            plan = course.supplied(plan, final, valid)
            before = conclusion.conclude(
                plan, course.measure_all(plan, lambda told: logging.info("%s", told))
            )
    measuring.write(f"comparison_{name}", dict(before.found))
    for figure in (COST, *(CURVE.format(axis=axis) for axis in question.curves)):
        shutil.copy(before.folder / figure, measuring.RESULTS / f"comparison_{name}_{figure}")
    print((before.folder / conclusion.PAGE).read_text(encoding="utf-8"))
    return dict(before.found)


def _known_steps(train: pa.Table, test: pa.Table) -> Part:
    vocabulary = Vocabulary.build(pc.list_flatten(train["items"]))
    return Part(train, Predictions.next_items(Sessions.from_arrow(test["items"], vocabulary, 2), vocabulary))


def _all_steps(train: pa.Table, test: pa.Table) -> Part:
    asked = test.filter(pc.greater_equal(pc.list_value_length(test["items"]), 2)).combine_chunks()
    return Part(train, judging.next_items(train, asked))


def _last(train: pa.Table, sequences: pa.Table) -> Part:
    vocabulary = Vocabulary.build(pc.list_flatten(train["items"]))
    before, last = last_apart(sequences)
    histories = Sessions.from_arrow(before["items"], vocabulary, min_length=0, users=before["user_id"])
    return Part(train, Predictions.last_items(histories, vocabulary.encode(last), vocabulary, MASK_LAST))


def _sessions(path: Path, first: datetime, days: int) -> pa.Table:
    """(start, user_id, items), oldest first, of sessions that start on these days."""
    columns = ["user_id", "session_id", "item_id", "timestamp", "session_start"]
    clicks = pq.read_table(path, columns=columns)
    starts = clicks["session_start"].cast(pa.timestamp("us"))
    low, high = (pa.scalar(moment, pa.timestamp("us")) for moment in (first, first + timedelta(days=days)))
    clicks = clicks.filter(pc.and_(pc.greater_equal(starts, low), pc.less(starts, high)))
    clicks = clicks.sort_by(
        [(name, "ascending") for name in ("session_start", "session_id", "timestamp", "item_id")]
    )
    keys = ["session_start", "session_id", "user_id"]
    lists = clicks.group_by(keys, use_threads=False).aggregate([("item_id", "list")])
    users = lists["user_id"].cast(pa.string())
    return pa.table(
        {"start": lists["session_start"], "user_id": users, "items": lists["item_id_list"]}
    ).combine_chunks()


def _digest(part: Part) -> str:
    """Of what is learnt from and what is asked."""
    flat = part.rows["items"].combine_chunks().flatten()
    total = hashlib.sha256(flat.cast(pa.string()).to_pandas().str.cat(sep="\n").encode())
    for one in (part.frame.targets, part.frame.session_of, part.frame.steps):
        total.update(one.tobytes())
    return total.hexdigest()


def _listed(text: str) -> list[str]:
    return [one for one in text.split(",") if one]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_set", choices=SETS)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the files")
    parser.add_argument("--models", default="", help="with commas; every kind if not given")
    parser.add_argument("--trials", type=int, default=1, help="of each kind; 1 tunes nothing")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each seeded kind: 1, or 3 and more")
    parser.add_argument("--curve", default="", help="users, history, or both")
    parser.add_argument("--shares", default="10,20,50,100", help="of the data, in percent")
    parser.add_argument("--users", type=float, default=1.0, help="take this share of the users for all of it")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, default=Path("var/benchmarks"))
    parser.add_argument("--name", help="of the result (default: the data set)")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
