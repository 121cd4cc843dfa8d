"""Defaults that fit any size: what they were and what they are, on data from 30,000 to 2.5M events.

    python benchmarks/bench_defaults.py                        before and now: results/defaults.json
    python benchmarks/bench_defaults.py --data globo_1m_others ml1m_100k
    python benchmarks/bench_defaults.py --search trials.jsonl  other settings: results/defaults_search.json
        {"data": "globo_100k", "settings": {"units": 192, "epochs": 8}}    is a line of such a file

One thread, processor seconds of fitting alone. Every set is learnt from what came before and asked about what
came next; items that were not learnt are dropped. Of a long day about 8,000 sessions are asked about.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.models import find
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ASKED = 8_000  # sessions
LISTS = """
    select list(item_id order by timestamp, item_id) as items
    from read_parquet($file)
    where {rows}
    group by {session}
    order by min(timestamp), {session}
"""
NEWS = "cast(timestamp as date) between cast($first as date) and cast($last as date) and user_id % $every = 0"


@dataclass(frozen=True)
class Data:
    """Lists of items to learn from, oldest first, and lists to be asked about.

    last    only about the last item of each, the newest 200 before it hidden
    later   lists of the day after, to be asked about as well
    """

    train: pa.Table
    test: pa.Table
    last: bool = False
    later: pa.Table | None = None


def shop(folder: Path, train: str, test: str, every: int = 1) -> Data:
    """Files of clicks with session ids; every n-th session is learnt from."""
    query = LISTS.format(rows="session_id % $every = 0", session="session_id")
    return Data(_rows(query, file=folder / train, every=every), _rows(query, file=folder / test, every=1))


def first_week(folder: Path) -> Data:
    """The shop's first week, never used to choose a setting."""
    query, file = LISTS.format(rows="split = $part", session="session_id"), "rsc15_first_week_100k.parquet"
    return Data(_rows(query, file=folder / file, part="train"), _rows(query, file=folder / file, part="test"))


def frequent(data: Data, least: int) -> Data:
    """The same without items of fewer events."""
    counts = pc.value_counts(pc.list_flatten(data.train["items"]))
    kept = counts.field("values").filter(pc.greater_equal(counts.field("counts"), least))

    def known(table: pa.Table) -> pa.Table:
        lists = [[item for item in row if item in ids] for row in table["items"].to_pylist()]
        return pa.table({"items": [row for row in lists if len(row) > 1]})

    ids = set(kept.to_pylist())
    return Data(known(data.train), known(data.test))


def news(folder: Path, first: str, last: str, day: str, every: int) -> Data:
    """Days of news clicks, of every n-th user, and the sessions of all users on the day after."""
    query = LISTS.format(rows=NEWS, session="session_id")
    file = folder / "globo_clicks.parquet"
    learnt = _rows(query, file=file, first=first, last=last, every=every)
    return Data(learnt, _rows(query, file=file, first=day, last=day, every=1))


def others(folder: Path, first: str, last: str, every: int) -> Data:
    """Days of news clicks of nine in ten of every n-th user, and the last day of all of the tenth.

    Nothing that is asked is newer than what was learnt, as in a shop whose catalogue hardly moves; beside it
    what the next day brings, to all users.
    """
    query = LISTS.format(rows=NEWS + " and user_id % 10 {tenth} 3", session="session_id")
    file = folder / "globo_clicks.parquet"
    learnt = _rows(query.format(tenth="<>"), file=file, first=first, last=last, every=every)
    asked = _rows(query.format(tenth="="), file=file, first=last, last=last, every=1)
    day = str(date.fromisoformat(last) + timedelta(days=1))
    return Data(learnt, asked, later=news(folder, day, day, day, 1).test)


def films(folder: Path, every: int) -> Data:
    """All but the last two films of every n-th user; asked about the second last of all users."""
    query = """
        select list(item_id order by position) as items from read_parquet($file)
        where split in {splits} and user_id % $every = 0 group by user_id order by user_id
    """
    file = folder / "ml1m_sequences.parquet"
    learnt = _rows(query.format(splits="('train')"), file=file, every=every)
    return Data(learnt, _rows(query.format(splits="('train', 'valid')"), file=file, every=1), last=True)


EARLIER: dict[int, dict[str, Any]] = {  # from so many events on, until larger data had been measured
    0: {"embedding_dropout": 0.35, "hidden_dropout": 0.2, "epochs": 14},
    200_000: {"embedding_dropout": 0.2, "hidden_dropout": 0.1, "epochs": 10},
    800_000: {"embedding_dropout": 0.1, "hidden_dropout": 0.1, "epochs": 10},
}
OF_ALL = {
    "units": 100,
    "scale": 12.0,
    "negatives": 4096,
    "batch_events": 512,
    "learning_rate": 0.006,
    "schedule": "linear",
    "warmup": 0.0,
}
DATA: dict[str, Callable[[Path], Data]] = {
    "rsc15_30k": lambda folder: shop(folder, "rsc15_64_fit.parquet", "rsc15_64_valid.parquet", 3),
    "rsc15_64": lambda folder: shop(folder, "rsc15_64_fit.parquet", "rsc15_64_valid.parquet"),
    "rsc15_first_week": first_week,
    "globo_3_days": lambda folder: news(folder, "2017-10-04", "2017-10-06", "2017-10-07", 1),
    "rsc15_64_frequent": lambda folder: frequent(DATA["rsc15_64"](folder), 12),
    "globo_30k": lambda folder: news(folder, "2017-10-03", "2017-10-09", "2017-10-10", 45),
    "globo_100k": lambda folder: news(folder, "2017-10-03", "2017-10-09", "2017-10-10", 13),
    "globo_300k": lambda folder: news(folder, "2017-10-03", "2017-10-09", "2017-10-10", 4),
    "globo_1m": lambda folder: news(folder, "2017-10-05", "2017-10-09", "2017-10-10", 1),
    "globo_2.5m": lambda folder: news(folder, "2017-10-01", "2017-10-13", "2017-10-14", 1),
    "globo_30k_others": lambda folder: others(folder, "2017-10-03", "2017-10-09", 41),
    "globo_100k_others": lambda folder: others(folder, "2017-10-03", "2017-10-09", 13),
    "globo_300k_others": lambda folder: others(folder, "2017-10-03", "2017-10-09", 4),
    "globo_1m_others": lambda folder: others(folder, "2017-10-05", "2017-10-09", 1),
    "globo_2.5m_others": lambda folder: others(folder, "2017-10-01", "2017-10-13", 1),
    "globo_last_others": lambda folder: others(folder, "2017-10-01", "2017-10-15", 1),
    "ml1m_30k": lambda folder: films(folder, 33),
    "ml1m_100k": lambda folder: films(folder, 10),
    "ml1m_300k": lambda folder: films(folder, 3),
    "ml1m_1m": lambda folder: films(folder, 1),
}
COMPARED = ("globo_30k_others", "globo_100k_others", "rsc15_64", "globo_300k_others", "globo_1m_others")


def measure(data: Data, settings: Mapping[str, Any], kind: str = "recurrent") -> dict[str, Any]:
    """Sizes, processor seconds of fitting, metrics at 20."""
    model = find(kind)
    own = {one.name for one in fields(model.settings)}
    training = {"threads": 1} | {name: value for name, value in settings.items() if name not in own}
    vocabulary = Vocabulary.build(pc.list_flatten(data.train["items"]))
    sessions = Sessions.from_arrow(data.train["items"], vocabulary, min_length=2)
    fitting = Fitting(training=TrainingConfig(**training))
    began, clock = time.process_time(), time.perf_counter()
    fitted = model.fit(
        model.settings(**{k: v for k, v in settings.items() if k in own}), sessions, vocabulary, fitting
    )
    seconds, by_clock = time.process_time() - began, time.perf_counter() - clock
    found = evaluate(fitted.scorer, asked(data, vocabulary), cutoffs=(20,))
    later = {} if data.later is None else _of_the_day_after(fitted.scorer, data.later, vocabulary)
    return {
        "events": len(sessions.items),
        "sessions": len(sessions),
        "items": len(vocabulary),
        "processor_seconds": round(seconds, 1),
        "seconds": round(by_clock, 1),
        "predictions": found.predictions,
        "recall_at_20": round(found.metrics["recall_at_20"], 5),
        "mrr_at_20": round(found.metrics["mrr_at_20"], 5),
        **later,
        "sized": dict(fitted.sized),
        "losses": [round(one.loss, 4) for one in fitted.history],
    }


def _of_the_day_after(scorer: Scorer, later: pa.Table, vocabulary: Vocabulary) -> dict[str, float]:
    found = evaluate(scorer, _next_items(later, vocabulary), cutoffs=(20,)).metrics
    return {f"day_after_{name}": round(found[name], 5) for name in ("recall_at_20", "mrr_at_20")}


def _next_items(lists: pa.Table, vocabulary: Vocabulary) -> Predictions:
    known = Sessions.from_arrow(lists["items"], vocabulary, min_length=2)
    return Predictions.next_items(
        known.take(np.arange(0, len(known), max(1, len(known) // ASKED))), vocabulary
    )


def asked(data: Data, vocabulary: Vocabulary) -> Predictions:
    """What a set is asked, of the items that were learnt."""
    if not data.last:
        return _next_items(data.test, vocabulary)
    lists = [row.as_py() for row in data.test["items"].combine_chunks()]
    histories = Sessions.from_arrow(pa.array([one[:-1] for one in lists]), vocabulary, min_length=0)
    targets = vocabulary.encode(pa.array([one[-1] for one in lists]))
    return Predictions.last_items(histories, targets, vocabulary, 200)


def _rows(query: str, *, file: Path, **values: Any) -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(query, params={"file": str(file), **values}).to_arrow_table()


def before_and_now(folder: Path, names: list[str], seeds: list[int]) -> Iterator[dict[str, Any]]:
    """Both recipes on each set."""
    for name in names:
        data = DATA[name](folder)
        for called in ("now", "before"):
            for seed in seeds:
                settings = ({} if called == "now" else earlier(data)) | {"seed": seed}
                yield {"data": name, "settings": called, "seed": seed, **measure(data, settings)}


def earlier(data: Data) -> dict[str, Any]:
    """What the defaults were for so much data."""
    lengths = pc.list_value_length(data.train["items"])
    events = pc.sum(lengths.filter(pc.greater(lengths, 1))).as_py()
    return OF_ALL | EARLIER[max(least for least in EARLIER if least <= events)]


def searched(folder: Path, trials: Path) -> Iterator[dict[str, Any]]:
    """Every line of a file of trials."""
    for line in trials.read_text().splitlines():
        trial = json.loads(line)
        yield {**trial, **measure(DATA[trial["data"]](folder), trial["settings"])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(COMPARED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--name", help="of the result (default: defaults, or defaults_search)")
    parser.add_argument("--search", type=Path, help="lines of trials instead")
    options = parser.parse_args()
    if options.search:
        name, rows = "defaults_search", searched(options.folder, options.search)
    else:
        name, rows = "defaults", before_and_now(options.folder, options.data, options.seeds)
    found = []
    for row in rows:
        found.append(row)
        print(
            f"{row['data']:18} {row['settings']!s:10} {row['events']:>9,} events "
            f"{row['processor_seconds']:>7.1f} s  {row['recall_at_20']:.4f} / {row['mrr_at_20']:.4f}",
            flush=True,
        )
        write(options.name or name, found)


if __name__ == "__main__":
    main()
