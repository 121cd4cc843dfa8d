"""Top-k for all users: its speed as a share of the plain product of the same size, in one run.

    python benchmarks/bench_topk.py                                   100k items, 128 dims, k = 50
    python benchmarks/bench_topk.py --items 1000000 --sessions 2048 --k 20 --exclude session

The representations are ready-made: what is measured is the product and the choice. Both take turns.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
from lookup_scorer import Lookup, in_turns, plain_product
from measuring import peak_memory_bytes, write

from rnnrec_model.ranking.topk import recommend
from rnnrec_model.sessions import Sessions

SESSION_LENGTH = 5
HIDDEN: dict[str, Callable[[Sessions], Sessions | None]] = {
    "nothing": lambda _: None,
    "last_item": lambda sessions: sessions.newest(1),
    "session": lambda sessions: sessions,
}


def measure(arguments: argparse.Namespace) -> dict:
    """Seconds of both, their ratio (median over rounds), and peak memory."""
    items, rows, chunk = arguments.items, arguments.sessions, arguments.chunk
    scorer = Lookup.random(rows, items, arguments.dims, arguments.device)
    seen = np.random.default_rng(1).integers(0, items, rows * SESSION_LENGTH)
    sessions = Sessions(seen, np.arange(rows + 1) * SESSION_LENGTH)
    hidden = HIDDEN[arguments.exclude](sessions)
    product, ours = in_turns(
        [
            lambda: plain_product(scorer, rows, chunk),
            lambda: recommend(scorer, sessions, arguments.k, hidden=hidden, chunk=chunk),
        ],
        arguments.rounds,
    )
    ratios = [plain / taken for plain, taken in zip(product, ours, strict=True)]
    return {
        "sizes": vars(arguments),
        "product_seconds": product,
        "topk_seconds": ours,
        "share_of_product": statistics.median(ratios),
        "share_of_product_best_times": min(product) / min(ours),
        "sessions_per_second": rows / statistics.median(ours),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def main() -> None:
    """Measure, print one line, keep the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--sessions", type=int, default=4096)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--chunk", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--exclude", choices=HIDDEN, default="nothing")
    result = measure(parser.parse_args())
    print(
        f"top-k: {result['share_of_product']:.2f} of the plain product (best times "
        f"{result['share_of_product_best_times']:.2f}), {result['sessions_per_second']:,.0f} sessions/s, "
        f"peak {result['peak_memory_bytes'] / 2**20:,.0f} MiB"
    )
    write("topk", result)


if __name__ == "__main__":
    main()
