"""Reproduce the literature's protocol on a public data set: one command, from its raw files to a table.

    python benchmarks/reproduce.py rsc15 --raw FOLDER
    python benchmarks/reproduce.py yoochoose64 --raw FOLDER --seeds 1 2 3
    python benchmarks/reproduce.py movielens --raw FOLDER --tune 16 --set training.device=cuda

FOLDER holds the raw files as their publisher names them, packed by gzip or not. They become session files
under --work, once; the recurrent model is trained with benchmarks/params/<data set>.toml, by the code of
`rnnrec evaluate`, beside the baselines; the numbers are printed and kept as JSON in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from measuring import write
from public_data import DATASETS, Prepared, prepare
from rich.console import Console
from rich.table import Table

from rnnrec_model import models
from tasks.errors import PipelineError
from tasks.models import recipes
from tasks.models.comparing import tuning
from tasks.models.comparing.jobs import size_of
from tasks.models.evaluation import Question, evaluate_files
from tasks.sessions.session_files import read_session_file
from tasks.settings.config import Config, load_config

HERE = Path(__file__).parent
OURS = "recurrent"
MODELS = tuple(models.names())
TRIALS = 16
WIDTH = 200  # of the table where no terminal says it


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; the pipeline's own errors become a message and an exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        results = reproduce(options)
    except PipelineError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    Console(width=None if sys.stdout.isatty() else WIDTH).print(_table(results))
    print(write(options.name or f"reproduce_{options.data_set}", results))


def reproduce(options: argparse.Namespace) -> dict[str, Any]:
    """Prepare, tune when asked, train and rank; everything there is to keep."""
    data_set = DATASETS[options.data_set]
    prepared = prepare(_config(options, {}), options.data_set, options.raw)
    settings, trials = _tuned(options, prepared) if options.tune else ({}, [])
    cfg = _config(options, settings)
    return {
        "data_set": options.data_set,
        "title": data_set.title,
        "protocol": data_set.protocol,
        "source": data_set.source,
        "tally": prepared.tally,
        "config": {"models": {OURS: cfg.model(OURS).as_dict()}, "training": cfg.training.as_dict()},
        "seeds": options.seeds,
        "trials": trials,
        "models": _ranked(options, prepared, settings),
    }


def _ranked(options: argparse.Namespace, prepared: Prepared, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every model on test: the baselines once, the recurrent model once for each seed."""
    baselines = [model for model in options.models if model != OURS]
    found: dict[str, Any] = {}
    if baselines:
        cfg = _config(options, settings)
        found |= _evaluate(cfg, options, prepared, "train", "test", baselines)["models"]
    if OURS in options.models:
        configs = [_config(options, {**settings, "training.seed": seed}) for seed in options.seeds]
        runs = [_evaluate(cfg, options, prepared, "train", "test", [OURS])["models"][OURS] for cfg in configs]
        found[OURS] = _over_seeds(runs)
    return found


def _tuned(options: argparse.Namespace, prepared: Prepared) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """(the best settings on valid, every trial, best first)."""
    metric = DATASETS[options.data_set].split.metric

    size = size_of(read_session_file(prepared.file("fit")))
    preset = recipes.configured(_config(options, {}), OURS).sized(size)
    fixed = {key.removeprefix(f"models.{OURS}.") for key in _given(options)}
    found = []
    for changes in islice(tuning.changes_of(preset, fixed), options.tune):
        settings = tuning.as_settings(preset, changes)
        ranked = _evaluate(_config(options, settings), options, prepared, "fit", "valid", [OURS])
        found.append({"settings": settings, metric: float(ranked["models"][OURS]["metrics"][metric])})
        logging.info("valid %s %.4f with %s", metric, found[-1][metric], settings or "the preset")
    found.sort(key=lambda trial: -trial[metric])
    return found[0]["settings"], found


def _evaluate(
    cfg: Config, options: argparse.Namespace, prepared: Prepared, train: str, test: str, models: Sequence[str]
) -> dict[str, Any]:
    protocol = DATASETS[options.data_set].split.evaluation
    return evaluate_files(
        cfg, Question(prepared.file(train), prepared.file(test), tuple(models), protocol=protocol)
    )


def _over_seeds(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds, its spread, and every run."""
    values = {name: [run["metrics"][name] for run in runs] for name in runs[0]["metrics"]}
    return {
        "metrics": {name: statistics.fmean(each) for name, each in values.items()},
        "spread": {name: statistics.stdev(each) if len(each) > 1 else 0.0 for name, each in values.items()},
        "predictions": runs[0]["predictions"],
        "runs": list(runs),
    }


def _config(options: argparse.Namespace, settings: Mapping[str, Any]) -> Config:
    """The preset, what the user set over it, what tuning set over that; session files lie under --work."""
    preset = options.params or HERE / "params" / f"{options.data_set}.toml"
    here = {"warehouse.root": str(options.work.resolve())}
    return load_config(preset, {**_given(options), **settings, **here})


def _given(options: argparse.Namespace) -> dict[str, str]:
    """What --set says: key to value."""
    return dict(pair.split("=", 1) for pair in options.settings)


def _table(results: dict[str, Any]) -> Table:
    """A row for each model, with the spread over seeds where there is one."""
    models = results["models"]
    metrics = list(next(iter(models.values()))["metrics"])
    table = Table("model", *metrics, "predictions", title=f"{results['data_set']}: {results['title']}")
    for name, one in sorted(models.items(), key=lambda pair: -pair[1]["metrics"][metrics[-1]]):
        spread = one.get("spread", {})
        cells = [
            f"{value:.4f}" + (f" ± {spread[metric]:.4f}" if spread.get(metric) else "")
            for metric, value in one["metrics"].items()
        ]
        table.add_row(name, *cells, f"{one['predictions']:,}")
    seeds = ", ".join(map(str, results["seeds"]))
    table.caption = f"{OURS}: mean and standard deviation over seeds {seeds}"
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_catalogue(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data_set", choices=DATASETS, metavar="DATA_SET", help="one of those below")
    parser.add_argument("--raw", type=Path, required=True, metavar="FOLDER", help="where its raw files lie")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("var/benchmarks"),
        metavar="FOLDER",
        help="where session files are made and kept (default: var/benchmarks)",
    )
    parser.add_argument(
        "--tune",
        type=_at_least_one,
        nargs="?",
        const=TRIALS,
        default=0,
        metavar="TRIALS",
        help=f"search settings on fit and valid first (default: {TRIALS} trials)",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], metavar="SEED", help="train once with each (default: 1)"
    )
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, metavar="MODEL", help=f"of {', '.join(MODELS)}"
    )
    parser.add_argument("--params", type=Path, metavar="FILE", help="another preset")
    parser.add_argument(
        "--set",
        dest="settings",
        type=_setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting of the preset; repeatable",
    )
    parser.add_argument("--name", help="of the result file (default: reproduce_<data set>)")
    return parser


def _catalogue() -> str:
    """What every data set is, and how it is split."""
    entries = []
    for name, data_set in DATASETS.items():
        files = " or ".join(", ".join(file.name for file in release) for release in data_set.releases)
        words = f"{data_set.protocol} Source: {data_set.source}."
        paragraph = textwrap.indent(textwrap.fill(words, 100), " " * 6)
        entries.append(f"  {name}: {data_set.title} ({files})\n{paragraph}")
    return "data sets:\n" + "\n".join(entries)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 trial or more; got {text}")
    return number


def _setting(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, as in training.epochs=3; got {text!r}")
    return text


if __name__ == "__main__":
    main()
