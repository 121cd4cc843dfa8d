"""What a comparison learns from and asks: the days before the holdout and the holdout, and the same inside.

days before the night                       | the night's day
fit ...                   | the day before  |
tuning learns             | tuning asks     |
the final models learn                      | the final models are asked, once
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import EmptyNightError
from tasks.models import judging
from tasks.models.material import COLUMNS
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.settings.days import start, window
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.ranking.visits import Frame


@dataclass(frozen=True)
class Part:
    """Sessions to learn from, oldest first, and one frame of predictions that all are asked.

    rows   (items, user_id, times), the last two where they are known
    """

    rows: pa.Table = field(repr=False)
    frame: Frame = field(repr=False)

    @property
    def carrying(self) -> frozenset[str]:
        """What the rows have beside items, by the words of the table of models."""
        return frozenset(
            name
            for name, column in COLUMNS.items()
            if column in self.rows.column_names and self.rows[column].null_count < len(self.rows)
        )

    def save(self, file: Path) -> None:
        """For a process of ours, which reads it once; nobody else's files are ever read so."""
        with file.open("wb") as stream:
            pickle.dump(self, stream, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def load(file: Path) -> Part:
        """What `save` wrote."""
        with file.open("rb") as stream:
            part: Part = pickle.load(stream)
        return part


def check(night: date, reads: Reads) -> None:
    """Raises EmptyNightError where the night was never run, so that its sessions are not there."""
    if not reads.sessions.pins.get(night):
        raise EmptyNightError(
            f"night {night}: expected its sessions in the warehouse; there are none of that day. Run the "
            "night "
            f"first, with `rnnrec nightly --night {night}`, or compare on one that was run: `rnnrec status`"
        )


def of_night(cfg: Config, night: date, reads: Reads) -> Part:
    """What a night's contestants learn from and are asked: the judge's own frame, as lists are made.

    Raises EmptyNightError where there is nothing to learn from, or to ask.
    """
    rows = splitting.train_sessions(cfg, night, reads, with_times=True)
    if len(rows) == 0:
        raise EmptyNightError(
            f"night {night}: expected sessions before that day, to learn from; found none in its window of "
            f"{cfg.sessions.window_days} days. Compare on a later night"
        )
    return Part(rows, judging.frame_of(cfg, night, reads))


def for_tuning(cfg: Config, night: date, reads: Reads, part: Part) -> Part | None:
    """The same inside the days before the night: the last one that has any is asked, those before it teach.

    None where only one day has sessions. Asked and ranked as lists are, too.
    """
    halves = inside(cfg, night, part.rows)
    return None if halves is None else Part(halves[0], judging.asked_as_lists(cfg, night, reads, *halves))


def inside(cfg: Config, night: date, rows: pa.Table) -> tuple[pa.Table, pa.Table] | None:
    """(what tuning learns, what it asks): cut where the last day before the night begins that has next items
    to ask; none where nothing comes before it."""
    from rnnrec_model.errors import DataError
    from rnnrec_model.session_tables import split_by_time

    begun = rows.append_column("start", pc.list_element(rows["times"], 0))
    for day in reversed(window(cfg, night)[:-1]):
        cut = pa.scalar(start(cfg, day), begun["start"].type).as_py()
        try:
            halves = [half.drop_columns(["start"]) for half in split_by_time(begun, cut)]
        except DataError:  # nothing on that day and later, or nothing before it
            continue
        before, after = (
            half.filter(pc.greater_equal(pc.list_value_length(half["items"]), 2)) for half in halves
        )
        if len(after):
            return (before, after) if len(before) else None
    return None
