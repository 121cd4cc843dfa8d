"""What sessions begin with, asked beside what is asked inside them: one frame.

A user's list is asked for after the last session, and what it is for comes first in the next one, which
nobody asks inside sessions. So the first item of a session is a prediction like every other, where its user
had a list to ask from:

    session        c d e
    targets        c d e     read before them   a b|, c, cd      a b: what the list was asked from, and over

Its place is before the session's others, and it is of the same session and user, by which intervals are
drawn. What is read before it, what a list leaves out there, and its rank are those of a frame of its own
(`Predictions.last_items`): a first item repeats where it stands in what its list was asked from. It counts in
the slices that are of users and targets; short and long sessions, positions and lengths are of what is asked
inside. Two more slices hold each of the two questions:

    first items, inside
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnrec_model.earlier import Earlier
from rnnrec_model.errors import DataError
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

Value = TypeVar("Value", bound=np.generic)

FIRST, INSIDE = "first items", "inside"
OF_SESSIONS = ("short sessions", "long sessions", "length ")  # how names of slices of whole sessions begin


def first_items(
    inside: Predictions,
    sessions: Indices,
    last: pa.Array | pa.ChunkedArray,
    times: pa.Array | pa.ChunkedArray | None = None,
) -> Predictions:
    """The first items of some of a frame's sessions, each after what its user's list was asked from.

    sessions   (first,) places of these sessions
    last       (first,) list column of the ids of a session that was over then
    times      (first,) list column, as long in each row, of when they were
    Raises DataError where an id is not in the frame's vocabulary: what a list leaves out is told by them.
    """
    asked, users = inside.histories, inside.histories.users
    histories = Sessions.from_arrow(
        last,
        inside.vocabulary,
        min_length=0,
        users=None if users is None else users.take(pa.array(sessions)),
        times=times,
    )
    given = pc.sum(pc.list_value_length(last)).as_py() or 0
    if len(histories.items) < given:
        raise DataError(
            f"first_items: expected a vocabulary with all {given} items that were read; it has "
            f"{len(histories.items)} of them"
        )
    targets = asked.items[asked.offsets[sessions]]
    return Predictions.last_items(histories.over(), targets, inside.vocabulary, hidden=0)


@dataclass(frozen=True)
class Visits:
    """One frame of what is asked inside sessions and of what some of them begin with.

    inside      a prediction at every next item; its histories are the sessions
    first       a prediction after what each user's list was asked from: the target is a session's first item
    sessions    (first,) whose first items these are: places in the histories of `inside`, ascending
    Raises DataError where these do not fit.
    """

    inside: Predictions
    first: Predictions
    sessions: Indices

    def __post_init__(self) -> None:
        begun = self.inside.histories
        if len(self.first) != len(self.sessions) or (np.diff(self.sessions) <= 0).any():
            raise DataError("visits: expected one first item of each of some sessions, in their order")
        if not np.array_equal(begun.items[begun.offsets[self.sessions]], self.first.targets):
            raise DataError("visits: expected the sessions' first items as targets, in one vocabulary")

    def __len__(self) -> int:
        return len(self.inside) + len(self.first)

    @property
    def vocabulary(self) -> Vocabulary:
        """Whose indices stand here."""
        return self.inside.vocabulary

    @property
    def histories(self) -> Sessions:
        """The sessions; `session_of` is of them."""
        return self.inside.histories

    @property
    def left_out(self) -> LeftOut:
        """What lists leave out."""
        return self.inside.left_out

    @property
    def seen(self) -> pa.ListArray | None:
        """What else each session's user had before it; None where the window is not left out."""
        return self.inside.seen

    @property
    def earlier(self) -> Earlier | None:
        """What each session's user did before it; None where lists are asked from the session alone."""
        return self.inside.earlier

    @property
    def parts(self) -> tuple[tuple[Indices, Predictions], ...]:
        """(places of its predictions in this frame, frame) of what is scored in one go."""
        return (self._places[: len(self.inside)], self.inside), (self._places[len(self.inside) :], self.first)

    @property
    def targets(self) -> Indices:
        """(predictions,) the items that came."""
        return self._joined(self.inside.targets, self.first.targets)

    @cached_property
    def session_of(self) -> Indices:
        """(predictions,) position of the session, ascending."""
        return self._joined(self.inside.session_of, self.sessions)

    @property
    def steps(self) -> Indices:
        """(predictions,) how many events of the session came before the target."""
        return self._joined(self.inside.steps, np.zeros_like(self.sessions))

    @cached_property
    def not_shown(self) -> npt.NDArray[np.bool_]:
        """(predictions,) is the target something that no list can have there? It is a miss of everybody."""
        return self._joined(self.inside.not_shown, self.first.not_shown)

    @cached_property
    def named(self) -> dict[str, Indices]:
        """The slices a judge asks about, first of them the two questions apart."""
        return self._questions | self._both(self.inside.named, self.first.named)

    @cached_property
    def slices(self) -> dict[str, Indices]:
        """Names of slices, and the predictions in each; those of `named` are among them."""
        return self._questions | self._both(self.inside.slices, self.first.slices)

    @property
    def _questions(self) -> dict[str, Indices]:
        (inside, _), (first, _) = self.parts
        return {INSIDE: inside, FIRST: first}

    @cached_property
    def _places(self) -> Indices:
        """(predictions,) where each prediction inside, and then each first one, stands in this frame."""
        session = np.append(self.inside.session_of, self.sessions)
        step = np.append(self.inside.steps, np.zeros_like(self.sessions))
        places = np.empty(len(session), dtype=np.int64)
        places[np.lexsort((step, session))] = np.arange(len(session))
        return places

    def _joined(self, inside: npt.NDArray[Value], first: npt.NDArray[Value]) -> npt.NDArray[Value]:
        joined = np.empty(len(self), dtype=inside.dtype)
        joined[self._places] = np.append(inside, first)
        return joined

    def _both(self, inside: Mapping[str, Indices], first: Mapping[str, Indices]) -> dict[str, Indices]:
        """Each slice with its predictions of both; those of whole sessions are of what is asked inside."""
        (at_inside, _), (at_first, _) = self.parts
        found = {name: at_inside[rows] for name, rows in inside.items()}
        for name, rows in first.items():
            if not name.startswith(OF_SESSIONS):
                found[name] = np.sort(np.append(found.get(name, rows[:0]), at_first[rows]))
        return found


Frame = Predictions | Visits
