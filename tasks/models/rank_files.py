"""Ranks of an evaluation as a file, so that another one of another day can be paired with it.

session | one column a model: the rank of what came, 1 is best; what could not be ranked as it is kept
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from rnnrec_model.ranking.evaluation import Evaluation

SESSION = "session"


def write(path: Path, found: Mapping[str, Evaluation]) -> None:
    """One row a prediction, in the order of the frame."""
    sessions = next(iter(found.values())).session_of
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {SESSION: sessions} | {name: one.ranks for name, one in found.items()}
    parquet.write_table(pa.table(columns), path, compression="zstd")


def read(path: Path) -> dict[str, Evaluation]:
    """What was written, by model. Raises ConfigurationError where it is no such file."""
    from rnnrec_model.ranking.evaluation import Evaluation

    try:
        table = parquet.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        sessions = columns.pop(SESSION)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise ConfigurationError(
            f"--beside: expected ranks that --ranks has written; got {path}: {error}"
        ) from None
    return {
        name: Evaluation(name, {}, len(ranks), 0.0, ranks, sessions, {}) for name, ranks in columns.items()
    }


def beside(
    ours: Mapping[str, Evaluation], theirs: Mapping[str, Evaluation], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Each of ours with each of theirs: differences of means with paired intervals, users or sessions drawn.

    Raises DataError where they were not asked the same.
    """
    from rnnrec_model.ranking.comparing import paired

    return [
        {"model": name, "beside": other, "metric": metric}
        | asdict(paired(one, against, metric, one.session_of))
        for name, one in ours.items()
        for other, against in theirs.items()
        for metric in metrics
    ]
