"""How the literature splits a data set: four session files, train and test, and train again as fit and valid.

Hyper-parameters are chosen on fit and valid; then one model is trained on train and ranked on test. Both
protocols read the table `steps` (session_id, item_id, moment, place, part): place is the order in the raw
files and breaks ties of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from public_data import queries
from tasks.errors import SourceError
from tasks.store import duck

Boundary = Literal["end", "start", "published"]
PARTS = {"end": "parts_by_end", "start": "parts_by_start", "published": "parts_as_published"}


@dataclass(frozen=True, kw_only=True)
class LastDays:
    """The sessions of the last days are the test, those before are the training.

    days                days of the test, counted back from the newest event; of the validation likewise
    boundary            end: a session lies where its last event lies (Hidasi et al. 2015);
                        start: where its first event lies, and training ends at the cut (Hidasi & Czapp 2023);
                        published: as the publisher split the files, the validation by start
    calendar            days are dates, the newest one included, rather than spans of 24 hours
    train_days          train only on sessions that start in so many days before the cut; None takes all
    newest_one_of       train only on the newest 1/n of the training sessions
    collapse_repeats    an item seen several times in a row counts once
    until_stable        filter again until nothing changes, rather than once
    min_item_support    events that an item needs
    min_session_length  events that a session needs
    """

    evaluation: ClassVar[str] = "sessions"
    metric: ClassVar[str] = "mrr_at_20"

    days: int
    boundary: Boundary = "end"
    calendar: bool = False
    train_days: int | None = None
    newest_one_of: int = 1
    collapse_repeats: bool = False
    until_stable: bool = False
    min_item_support: int = 5
    min_session_length: int = 2

    def split(self, con: duck.Connection) -> Iterator[tuple[str, duck.Relation]]:
        """The session files by name, in order; each is to be written before the next is asked for."""
        if self.collapse_repeats:
            queries.keep(con, "steps", "without_repeats")
        filter_steps(con, self.min_item_support, self.min_session_length, self.until_stable)
        self._cut(con, "steps", self.boundary, "train", "test", recent=True)
        self._cut(con, "train", "start" if self.boundary == "published" else self.boundary, "fit", "valid")
        for name in ("train", "test", "fit", "valid"):
            queries.call(con, "whole", name)
            yield name, queries.run(con, "in_order")

    def cut(self, newest: datetime) -> datetime:
        """The first moment of the test period."""
        if self.calendar:
            midnight = newest.replace(hour=0, minute=0, second=0, microsecond=0)
            return midnight - timedelta(days=self.days - 1)
        return newest - timedelta(days=self.days)

    def _cut(
        self,
        con: duck.Connection,
        whole: str,
        boundary: Boundary,
        before: str,
        after: str,
        recent: bool = False,
    ) -> None:
        """Split the table `whole` into the tables `before` and `after`."""
        queries.call(con, "whole", whole)
        (newest,) = duck.row(queries.run(con, "newest"))
        if newest is None:
            raise SourceError(
                "expected sessions to split; none is left after filtering; are the raw files whole?"
            )
        cut = self.cut(newest)
        queries.keep(con, "parted", PARTS[boundary], **({} if boundary == "published" else {"cut": cut}))
        queries.keep(con, before, "long_enough", part="train", min_session_length=self.min_session_length)
        if recent:
            self._keep_recent(con, before, cut)
        queries.call(con, "known", before)
        queries.keep(con, after, "known_items", min_session_length=self.min_session_length)

    def _keep_recent(self, con: duck.Connection, train: str, cut: datetime) -> None:
        queries.call(con, "whole", train)
        if self.train_days is not None:
            queries.keep(con, train, "recent_sessions", since=cut - timedelta(days=self.train_days))
        if self.newest_one_of > 1:
            queries.keep(con, train, "newest_sessions", one_of=self.newest_one_of)


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """Of each user's sequence the last item is the test and the second last the validation.

    A test sequence holds all that came before its last item, the validation item included, as the input.

    min_item_support   events that an item needs, filtered until nothing changes
    min_user_events    events that a user needs
    """

    evaluation: ClassVar[str] = "leave-one-out"
    metric: ClassVar[str] = "ndcg_at_10"

    min_item_support: int = 5
    min_user_events: int = 5

    def split(self, con: duck.Connection) -> Iterator[tuple[str, duck.Relation]]:
        """The session files by name, in order; each is to be written before the next is asked for."""
        filter_steps(con, self.min_item_support, self.min_user_events, until_stable=True)
        for name, held_out in (("train", 2), ("test", 0), ("fit", 2), ("valid", 1)):
            yield name, queries.run(con, "sequences", held_out=held_out)


Protocol = LastDays | LeaveOneOut


def filter_steps(
    con: duck.Connection, min_item_support: int, min_session_length: int, until_stable: bool
) -> None:
    """Leave short sessions, then rare items, then short sessions again out of `steps`."""
    limits = {"min_item_support": min_item_support, "min_session_length": min_session_length}
    rows = duck.count(con, "steps")
    while True:
        before, rows = rows, queries.keep(con, "steps", "filtered", **limits)
        if rows == before or not until_stable:
            return
