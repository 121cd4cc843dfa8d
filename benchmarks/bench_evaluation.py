"""Evaluation with full ranking: its speed as a share of the plain product of the same size, in one run.

    python benchmarks/bench_evaluation.py                             37k items, 100 dims
    python benchmarks/bench_evaluation.py --items 1000000 --sessions 1024

The representations are ready-made: what is measured is the product and the count. Both take turns.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
from lookup_scorer import Lookup, in_turns, plain_product
from measuring import peak_memory_bytes, write

from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions

SESSION_LENGTH = 5


def measure(arguments: argparse.Namespace) -> dict:
    """Seconds of both, their ratio (median over rounds), and peak memory."""
    items, rows = arguments.items, arguments.sessions * (SESSION_LENGTH - 1)
    scorer = Lookup.random(rows, items, arguments.dims, arguments.device)
    log = np.random.default_rng(1).integers(0, items, arguments.sessions * SESSION_LENGTH)
    sessions = Sessions(log, np.arange(arguments.sessions + 1) * SESSION_LENGTH)
    product, ours = in_turns(
        [
            lambda: plain_product(scorer, rows, 1024),
            lambda: evaluate(scorer, Predictions.next_items(sessions, scorer.vocabulary)),
        ],
        arguments.rounds,
    )
    ratios = [plain / taken for plain, taken in zip(product, ours, strict=True)]
    return {
        "sizes": vars(arguments),
        "product_seconds": product,
        "evaluation_seconds": ours,
        "share_of_product": statistics.median(ratios),
        "share_of_product_best_times": min(product) / min(ours),
        "predictions_per_second": rows / statistics.median(ours),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def main() -> None:
    """Measure, print one line, keep the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=37_483)
    parser.add_argument("--dims", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    result = measure(parser.parse_args())
    print(
        f"evaluation: {result['share_of_product']:.2f} of the plain product (best times "
        f"{result['share_of_product_best_times']:.2f}), "
        f"{result['predictions_per_second']:,.0f} predictions/s, "
        f"peak {result['peak_memory_bytes'] / 2**20:,.0f} MiB"
    )
    write("evaluation", result)


if __name__ == "__main__":
    main()
