"""Whose a session is, as rows of a table of users: one row each, and a last one for everybody else.

A network may have such a table (`network.py`). Of each lane it then reads the row of its user beside the rows
of its items. Nobody's row is zeros and stays so: a session without a user, or of one who is not known, is
scored without what a user adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.errors import DataError
from rnnrec_model.fitting.optimizers import Rows
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

USER_ROWS = "user_rows"
USER_IDS = IDS, TEXT, ENDS = "user_ids", "user_text", "user_ends"  # integers; or strings, one after another


@dataclass(frozen=True)
class Users:
    """Who is known, by id; their rows stand in this order.

    known   their ids with their numbers of sessions, or None: nobody is known
    """

    known: Vocabulary | None

    def __len__(self) -> int:
        """Known users; the row after theirs is nobody's."""
        return 0 if self.known is None else len(self.known)

    @staticmethod
    def of(sessions: Sessions) -> Users:
        """Everybody who has a session. Raises DataError for ids that are neither integers nor strings."""
        named = None if sessions.users is None else sessions.users.drop_null()
        return Users(None if named is None or len(named) == 0 else Vocabulary.build(named))

    def rows(self, sessions: Sessions) -> Indices:
        """(sessions,) the row of each session's user."""
        rows = np.full(len(sessions), len(self))
        if self.known is None or sessions.users is None:
            return rows
        named = np.flatnonzero(sessions.users.is_valid())
        ids = sessions.users.drop_null()
        if len(ids) and pa.types.is_integer(ids.type) == pa.types.is_integer(self.known.ids.type):
            found = self.known.encode(ids)
            rows[named] = np.where(found < 0, len(self), found)
        return rows

    def by_event(self, sessions: Sessions, device: torch.device) -> Tensor:
        """(events,) the row of each event's user."""
        return torch.as_tensor(self.rows(sessions)[ragged.owners(sessions.lengths)], device=device)

    def arrays(self) -> dict[str, Tensor]:
        """The ids as arrays, to be saved."""
        if self.known is None:
            return {IDS: torch.empty(0, dtype=torch.int64)}
        if pa.types.is_integer(self.known.ids.type):
            return {IDS: torch.tensor(self.known.ids.to_numpy())}
        ids = self.known.ids.cast(pa.large_binary())
        text = b"".join(ids.to_pylist())
        ends = np.cumsum([len(one) for one in ids.to_pylist()])
        return {TEXT: torch.tensor(np.frombuffer(text, dtype=np.uint8)), ENDS: torch.tensor(ends)}

    @staticmethod
    def from_arrays(arrays: dict[str, Tensor]) -> Users:
        """What `arrays` gave. Raises DataError for anything else."""
        if arrays.keys() == {IDS} and arrays[IDS].dtype == torch.int64 and arrays[IDS].ndim == 1:
            ids: pa.Array = pa.array(arrays[IDS].numpy())
        elif arrays.keys() == {TEXT, ENDS}:
            ids = _texts(arrays[TEXT], arrays[ENDS])
        else:
            raise DataError(
                f"expected {IDS}, or {TEXT} and {ENDS}; got {', '.join(sorted(arrays)) or 'none'}"
            )
        found = Users(Vocabulary(ids, np.zeros(len(ids), dtype=np.int64)) if len(ids) else None)
        if found.known is not None and not Vocabulary.build(ids).ids.equals(ids):
            raise DataError("users: expected sorted, distinct ids; the file is damaged")
        return found


@dataclass(frozen=True)
class LaneUsers:
    """The users of a rectangle's lanes, each with the row that stands for them in this step.

    at      (lanes,) rows of the table
    rows    (lanes, width) what stands there, as a leaf of the step's gradients
    nobody  the last row of the table, which is never learnt
    """

    at: Tensor
    rows: Tensor
    nobody: int

    def beside(self, inputs: Tensor) -> Tensor:
        """(steps, lanes, width) inputs → the same with each lane's user behind them."""
        return torch.cat((inputs, self.rows.expand(len(inputs), -1, -1)), dim=-1)

    def changed(self, gradient: Tensor) -> Rows:
        """What to update: lanes of one user have the sum of their gradients each. No host round trip."""
        first = (self.at[:, None] == self.at).int().argmax(dim=1)  # the first lane of the same user
        summed = torch.zeros_like(gradient).index_add_(0, first, gradient)[first]
        return Rows(self.at, self.rows.detach(), summed * (self.at != self.nobody)[:, None])


def lane_users(table: Tensor, by_event: Tensor, starts: Tensor, lengths: Tensor) -> LaneUsers:
    """Of lanes that start at these events; an empty lane is the first one's, as its cells are."""
    at = by_event[torch.where(lengths > 0, starts, starts[:1])]
    return LaneUsers(at, table.index_select(0, at), len(table) - 1)


def _texts(text: Tensor, ends: Tensor) -> pa.Array:
    where = np.concatenate(([0], ends.numpy()))
    if text.dtype != torch.uint8 or ends.dtype != torch.int64 or (np.diff(where) < 0).any():
        raise DataError(f"users: expected {TEXT} as bytes and {ENDS} that never fall; the file is damaged")
    if where[-1] != len(text):
        raise DataError(f"users: expected {ENDS} up to {len(text)}, the bytes of {TEXT}; got {where[-1]}")
    buffers = [None, pa.py_buffer(where.astype(np.int64)), pa.py_buffer(text.numpy())]
    try:
        return pa.LargeStringArray.from_buffers(len(ends), buffers[1], buffers[2]).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise DataError(f"users: expected text in UTF-8; {error}") from None
