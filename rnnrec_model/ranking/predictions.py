"""What everybody is asked: the same positions of the same sessions, with the same targets.

A prediction is an item that came, and the events that are read before it. All models are ranked on one frame
of predictions, written in one vocabulary, and each gives one rank a prediction, in its place: so two models
pair, prediction by prediction and session by session, whatever each of them knows.

    sessions    a b c d | c e
    targets       b c d |   e     read before them   a, ab, abc | c

A model with another vocabulary reads what it knows of a history and passes over the rest. It cannot be asked
for a target that it does not know, nor after a history of which it knows nothing: misses, in their place.

    without b     - c d |   e     read before them   -, a, ac   | c

Readers get lists that leave something out (left_out.py). A frame that is told so (`leaving_out`) is ranked
like these: what a list leaves out takes no place above the target, and a target that it leaves out is a miss
of everybody, in its place. A quota of a category is a pass over a list: it takes no item out of a ranking.

Lists may be asked from what their user did before the session, too. A frame that is told so (`after`) is read
like these: earlier sessions stand before each history, with their ends marked; targets, slices and what is
left out stay what they are.

Slices of a frame have names. Those of `named` are the ones a judge asks about, each of them where it has a
prediction, and "new users" where the frame was told who is known (`knowing`):

    short sessions, long sessions     of at most 4 events, and of more
    new users                         of users who are not among the known ones
    tail items                        the target is rarer than the items that make up 80 % of all events
    new targets, repeated targets     the target does not, or does, stand among what is read before it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnrec_model import ragged
from rnnrec_model.earlier import Earlier
from rnnrec_model.errors import DataError
from rnnrec_model.ranking.left_out import NOTHING, Exclude, LeftOut
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

NEVER = np.iinfo(np.int64).max
UNKNOWN = -1  # the index of an item that is not in the vocabulary
POSITIONS = {"1": 1, "2": 2, "3-4": 3, "5-9": 5, "10+": 10}
LENGTHS = {"0-1": 0, "2": 2, "3-4": 3, "5-9": 5, "10+": 10}
COUNTS = {"0": 0, "1-9": 1, "10-99": 10, "100-999": 100, "1000+": 1000}
NEWNESS = {"new": 0, "known": 1}
SHORT = 4  # the most events of a short session
HEAD = 0.8  # the share of all events that the items outside the tail make up


@dataclass(frozen=True)
class Spans:
    """Rows of items that lie in one flat array, where they may overlap: the beginnings of a session do.

    items     (events,) item indices, UNKNOWN where an item is not in the vocabulary
    starts    (rows,) where each row begins
    lengths   (rows,) how many items it has
    """

    items: Indices
    starts: Indices
    lengths: Indices

    def between(self, start: int, stop: int) -> tuple[Indices, Indices]:
        """(n,) rows, counted from `start`, and (n,) their known items."""
        lengths = self.lengths[start:stop]
        items = self.items[ragged.places(self.starts[start:stop], lengths)]
        known = items != UNKNOWN
        return ragged.owners(lengths)[known], items[known]


@dataclass(frozen=True)
class Asked:
    """What one model is asked of a frame, in its own indices.

    places     (rows,) the predictions that it can answer, ascending
    histories  what it reads: a row at every step, or one after each history
    targets    (rows,) the items that came
    hidden     (rows) items that leave the ranking of each row; of two spans both
    refused    items that leave every ranking
    steps      (rows,) the steps that are asked, of all that the histories have; None: all of them
    """

    places: Indices
    histories: Sessions
    targets: Indices
    hidden: tuple[Spans, ...]
    refused: Indices
    steps: Indices | None = None


@dataclass(frozen=True)
class Predictions:
    """One frame of predictions; made by `next_items` or `last_items`.

    vocabulary   whose indices stand here
    histories    the sessions that are read
    targets      (predictions,) the items that came; UNKNOWN where the vocabulary has not got them
    session_of   (predictions,) position of the history, ascending
    steps        (predictions,) how many of its events are read before the target
    every_step   are targets the histories' own items, or is there one after each whole history?
    hidden       so many of a history's newest events leave the ranking with their items; None for all.
                 A target that is among them is ranked all the same
    new_users    (sessions,) whether each history is of a user who was not known; None where nobody said
    left_out     what lists leave out
    seen         (sessions,) list column of the ids of what else each user had before; None where the window
                 is not left out
    earlier      what each user did before; None where lists are asked from the session alone
    """

    vocabulary: Vocabulary
    histories: Sessions
    targets: Indices
    session_of: Indices
    steps: Indices
    every_step: bool
    hidden: int | None = 0
    new_users: npt.NDArray[np.bool_] | None = None
    left_out: LeftOut = NOTHING
    seen: pa.ListArray | None = None
    earlier: Earlier | None = None

    def __post_init__(self) -> None:
        _require_known(self.vocabulary, self.histories.items)
        _require_known(self.vocabulary, self.targets[self.targets != UNKNOWN])

    def __len__(self) -> int:
        return len(self.targets)

    @staticmethod
    def next_items(sessions: Sessions, vocabulary: Vocabulary) -> Predictions:
        """The next item at every position of every session; nothing leaves the ranking.

        Raises DataError when an item is not in the vocabulary.
        """
        owners, steps = _places(sessions)
        asked = steps > 0
        return Predictions(
            vocabulary, sessions, sessions.items[asked], owners[asked], steps[asked], every_step=True
        )

    @staticmethod
    def last_items(
        histories: Sessions, targets: Indices, vocabulary: Vocabulary, hidden: int | None = None
    ) -> Predictions:
        """One target after each whole history, by default ranked without the history's other items.

        targets   (histories,) item indices, UNKNOWN where the item is not in the vocabulary
        Raises DataError when there is not one target a history, or an item is not in the vocabulary.
        """
        if len(targets) != len(histories):
            raise DataError(f"targets: expected one per history, {len(histories)}; got {len(targets)}")
        numbers = np.arange(len(histories))
        return Predictions(vocabulary, histories, targets, numbers, histories.lengths, False, hidden)

    def asked_of(self, vocabulary: Vocabulary) -> Asked:
        """The part that a model with this vocabulary can answer, in its indices."""
        index = self._indices_in(vocabulary)
        known, steps = self.histories.known(index), None
        joined = known if self.earlier is None else known.after(self.earlier.sessions(vocabulary))
        if not self.every_step:
            places, histories, targets = self._ends_asked(index, joined)
        elif self.earlier is None:
            places, histories, targets = self._steps_asked(index, known)
        else:
            places, histories, targets, steps = self._later_steps_asked(index, known, joined)
        hidden = tuple(self._hidden(places, index, vocabulary))
        refused = np.flatnonzero(~self.left_out.may_be_shown(vocabulary.ids))
        return Asked(places, histories, targets, hidden, refused, steps)

    def knowing(self, users: pa.Array | pa.ChunkedArray) -> Predictions:
        """The same frame, told which users are known: those of the training sessions.

        A history whose own user is not given is nobody's, known or new. Raises DataError without users.
        """
        own = self.histories.users
        if own is None:
            raise DataError("knowing: expected sessions with users; got none; carry them into the frame")
        known = pc.is_in(own, value_set=pc.unique(users).cast(own.type))
        strangers = pc.and_(pc.is_valid(own), pc.invert(known))
        return replace(self, new_users=strangers.to_numpy(zero_copy_only=False))

    def leaving_out(self, left_out: LeftOut, seen: pa.Array | pa.ChunkedArray | None = None) -> Predictions:
        """The same frame, ranked as lists are that leave this out.

        seen   (sessions,) list column of the ids of what else each user had before
        Raises DataError where the window is left out and `seen` is not given, or not of each session.
        """
        if left_out.exclude != "window":
            return replace(self, left_out=left_out, seen=None)
        if seen is None or len(seen) != len(self.histories):
            given = "none" if seen is None else f"{len(seen)}"
            raise DataError(
                f"leaving_out: expected what each user had before, {len(self.histories)} lists, as the "
                f"window is left out; got {given}"
            )
        return replace(self, left_out=left_out, seen=_whole(seen))

    def after(self, earlier: Earlier) -> Predictions:
        """The same frame, each history read behind what its user did before.

        Raises DataError where that is not given of each history.
        """
        if len(earlier) != len(self.histories):
            raise DataError(
                f"after: expected what was before each history, {len(self.histories)}; got {len(earlier)}"
            )
        return replace(self, earlier=earlier)

    @property
    def parts(self) -> tuple[tuple[Indices, Predictions], ...]:
        """(places of its predictions in this frame, frame) of what is scored in one go: all of it."""
        return ((np.arange(len(self)), self),)

    @cached_property
    def not_shown(self) -> npt.NDArray[np.bool_]:
        """(predictions,) is the target something that no list can have there? It is a miss of everybody."""
        refused: npt.NDArray[np.bool_] = ~self.left_out.may_be_shown(self.vocabulary.ids)
        own_past = OWN_PAST[self.left_out.exclude](self)
        return np.asarray(own_past | np.append(refused, False)[self.targets])

    @cached_property
    def named(self) -> dict[str, Indices]:
        """The slices a judge asks about, each with its predictions; none without any."""
        short = self.histories.lengths[self.session_of] <= SHORT
        masks = {
            "short sessions": short,
            "long sessions": ~short,
            "new users": np.False_ if self.new_users is None else self.new_users[self.session_of],
            "tail items": self._target_events < _head(self.vocabulary.counts),
            "new targets": ~self._repeated,
            "repeated targets": self._repeated,
        }
        return {name: np.flatnonzero(mask) for name, mask in masks.items() if mask.any()}

    @cached_property
    def slices(self) -> dict[str, Indices]:
        """Names of slices, and the predictions in each: by position, session length, popularity of target.

        Those of `named` are among them. "target new" is an item that never came in training.
        """
        counts = self._target_events
        lengths = self.histories.lengths[self.session_of]
        positions = _buckets("position", self.steps, POSITIONS) if self.every_step else {}
        return {
            **positions,
            **_buckets("length", lengths, LENGTHS),
            **_buckets("target events", counts, COUNTS),
            **_buckets("target", np.minimum(counts, 1), NEWNESS),
            **self.named,
        }

    @property
    def _target_events(self) -> Indices:
        """(predictions,) training events of each target."""
        return np.append(self.vocabulary.counts, 0)[self.targets]  # UNKNOWN is the one appended

    @cached_property
    def _repeated(self) -> npt.NDArray[np.bool_]:
        """(predictions,) does the target stand among the events that are read before it?"""
        items = len(self.vocabulary)
        events = ragged.owners(self.histories.lengths) * items + self.histories.items
        pairs, first = np.unique(np.append(events, NEVER), return_index=True)
        wanted = self.session_of * items + self.targets
        at = np.searchsorted(
            pairs, wanted
        )  # pairs are of a session and an item; first, where each came first
        came: npt.NDArray[np.bool_] = (pairs[at] == wanted) & (self.targets != UNKNOWN)
        return came & (first[at] - self.histories.offsets[self.session_of] < self.steps)

    @property
    def _just_seen(self) -> npt.NDArray[np.bool_]:
        """(predictions,) is the target the very item that was read last before it?"""
        at = self.histories.offsets[self.session_of] + self.steps - 1
        same = np.append(self.histories.items, NEVER)[at] == self.targets
        return np.asarray(same & (self.steps > 0))

    @property
    def _seen_before(self) -> npt.NDArray[np.bool_]:
        """(predictions,) did the user have the target before the session?"""
        assert self.seen is not None, "leaving_out asks for it"
        items = len(self.vocabulary)
        had = self.vocabulary.encode(self.seen.flatten())
        pairs = ragged.owners(_lengths(self.seen)) * items + had
        wanted = self.session_of * items + self.targets
        return np.asarray(np.isin(wanted, pairs[had != UNKNOWN]) & (self.targets != UNKNOWN))

    def _hidden(self, places: Indices, index: Indices, vocabulary: Vocabulary) -> Iterator[Spans]:
        """What leaves the ranking of these predictions; nothing where nothing is hidden or left out."""
        own = index[self.histories.items]
        session, steps = self.session_of[places], self.steps[places]
        starts = self.histories.offsets[session]
        counts = [steps if self.hidden is None else np.minimum(steps, self.hidden)]
        counts.append(READ_AGAIN[self.left_out.exclude](steps))
        newest = np.max(counts, axis=0)
        if newest.any():
            yield Spans(own, starts + steps - newest, newest)
        if self.seen is not None:
            lengths = _lengths(self.seen)
            had = vocabulary.encode(self.seen.flatten())
            yield Spans(had, ragged.offsets(lengths)[session], lengths[session])

    def _indices_in(self, vocabulary: Vocabulary) -> Indices:
        """(items + 1,) the other vocabulary's index of each item of ours, UNKNOWN in the last place."""
        ours = self.vocabulary.ids
        same = ours is vocabulary.ids or ours.equals(vocabulary.ids)
        return np.append(np.arange(len(ours)) if same else vocabulary.encode(ours), UNKNOWN)

    def _steps_asked(self, index: Indices, histories: Sessions) -> tuple[Indices, Sessions, Indices]:
        """Known targets after something known: the very steps of the sessions without what is unknown."""
        is_step = _places(histories)[1] > 0
        answerable = np.zeros(len(self.histories.items), dtype=bool)
        answerable[index[self.histories.items] != UNKNOWN] = is_step
        places = np.flatnonzero(answerable[_places(self.histories)[1] > 0])
        long_enough = np.flatnonzero(histories.lengths >= 2)
        return places, histories.take(long_enough), histories.items[is_step]

    def _later_steps_asked(
        self, index: Indices, own: Sessions, joined: Sessions
    ) -> tuple[Indices, Sessions, Indices, Indices]:
        """As `_steps_asked`, where more was read before; and which of the joined sessions' steps these are.

        own, joined   the histories without what is unknown, alone and behind what was before
        """
        is_known = index[self.histories.items] != UNKNOWN
        is_asked = _places(self.histories)[1] > 0
        rows, at = ragged.owners(own.lengths), ragged.places(joined.offsets[1:] - own.lengths, own.lengths)
        answered = is_asked[is_known] & (at > joined.offsets[rows])
        answerable = np.zeros(len(is_known), dtype=bool)
        answerable[is_known] = answered
        wanted, place = np.unique(rows[answered], return_inverse=True)
        histories = joined.take(wanted)
        step = at[answered] - joined.offsets[rows[answered]]  # items before it
        steps = histories.offsets[place] - place + step - 1  # a session has one step less than items
        return np.flatnonzero(answerable[is_asked]), histories, own.items[answered], steps

    def _ends_asked(self, index: Indices, histories: Sessions) -> tuple[Indices, Sessions, Indices]:
        targets = index[self.targets]
        places = np.flatnonzero((targets != UNKNOWN) & (histories.lengths > 0))
        return places, histories.take(places), targets[places]


READ_AGAIN: dict[Exclude, Callable[[Indices], Indices]] = {  # how many of the items just read are left out
    "nothing": np.zeros_like,
    "last_item": lambda steps: np.minimum(steps, 1),
    "session": lambda steps: steps,
    "window": lambda steps: steps,
}
OWN_PAST: dict[Exclude, Callable[[Predictions], npt.NDArray[np.bool_]]] = {  # is the target left out by it?
    "nothing": lambda frame: np.zeros(len(frame), dtype=bool),
    "last_item": lambda frame: frame._just_seen,
    "session": lambda frame: frame._repeated,
    "window": lambda frame: frame._repeated | frame._seen_before,
}


def _places(sessions: Sessions) -> tuple[Indices, Indices]:
    """(events,) position of each event's session, and how many of its events come before."""
    rows = ragged.owners(sessions.lengths)
    return rows, np.arange(len(rows)) - sessions.offsets[rows]


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.ListArray:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _lengths(lists: pa.ListArray) -> Indices:
    return np.asarray(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _head(counts: Indices) -> int:
    """The fewest events of an item in the head: the most frequent, until they make up HEAD of all events."""
    descending = np.sort(counts)[::-1]
    reached = np.searchsorted(descending.cumsum(), HEAD * counts.sum())
    return int(descending[reached])


def _buckets(name: str, values: Indices, lowest: dict[str, int]) -> dict[str, Indices]:
    """Places of the values of each label, the last whose lowest value is not above; no label without any."""
    chosen = np.searchsorted(list(lowest.values()), values, side="right") - 1
    places = {f"{name} {label}": np.flatnonzero(chosen == number) for number, label in enumerate(lowest)}
    return {label: rows for label, rows in places.items() if len(rows)}


def _require_known(vocabulary: Vocabulary, items: Indices) -> None:
    if len(items) and not 0 <= items.min() <= items.max() < len(vocabulary):
        raise DataError(
            f"items: expected indices from 0 to {len(vocabulary) - 1}; got {items.min()} to {items.max()}; "
            "drop the items that are not in the vocabulary (Sessions.from_arrow does)"
        )
