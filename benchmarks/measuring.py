"""What every benchmark reports with its numbers: commit, machine, command, and where the raw JSON goes."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict[str, Any]:
    """Commit, command and machine of this run."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "commit": commit.strip(),
        "command": " ".join(["python", *(_without_folder(word) for word in sys.orig_argv[1:])]),
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_1_minute": os.getloadavg()[0],
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _without_folder(word: str) -> str:
    """An absolute path as its last part: results are published, a machine's folders are not."""
    return Path(word).name if Path(word).is_absolute() else word


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def matmul_flops_per_second(size: int = 2048, repeats: int = 5, device: str = "cpu") -> float:
    """Float32 rate of a size**3 product on this machine, now."""
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    return 2 * size**3 / median_seconds(lambda: left @ right, repeats, device)


def median_seconds(work: Callable[[], Any], repeats: int, device: str = "cpu") -> float:
    """Median wall-clock seconds of the work, after one run to warm up."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds[1:])[repeats // 2]


def write(name: str, results: Any) -> Path:
    """Keep the raw numbers with their circumstances as benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(), "results": results}, indent=1) + "\n")
    return path
