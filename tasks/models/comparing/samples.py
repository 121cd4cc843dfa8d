"""Less of the same data: shares of the users, or of each user's history; the smaller lies in the larger.

What is asked stays the whole frame, so that numbers of all shares stand beside each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnrec_model import ragged
from rnnrec_model.vocabulary import Indices

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def of_users(rows: pa.Table, share: float, salt: str = "") -> pa.Table:
    """All sessions of the users whose id's hash is small; a session of nobody goes by its place.

    salt   another one draws other users: with the same one, a share of a share is the smaller of the two
    """
    users, codes = _users(rows)
    drawn = np.array([_hash(f"{salt}{user}") < share for user in users], dtype=bool)
    return rows.filter(pa.array(drawn[codes]))


def of_history(rows: pa.Table, share: float) -> pa.Table:
    """The newest share of each user's events, rounded up; rows are given oldest first.

    A session of which nothing is left is gone.
    """
    _, codes = _users(rows)
    lengths = np.asarray(rows["items"].combine_chunks().value_lengths().to_numpy(), dtype=np.int64)
    user = codes[ragged.owners(lengths)]
    total = np.bincount(user)[user]
    exact = Fraction(share).limit_denominator(10_000)
    kept = -(-total * exact.numerator // exact.denominator)  # rounded up
    return _only(rows, lengths, _from_the_end(user) < kept)


SAMPLES: dict[str, Callable[[pa.Table, float], pa.Table]] = {"users": of_users, "history": of_history}


def _users(rows: pa.Table) -> tuple[list[object], Indices]:
    """(users, (rows,) whose each session is); without users every session is somebody's own."""
    if "user_id" not in rows.column_names:
        return list(range(len(rows))), np.arange(len(rows))
    named = rows["user_id"].combine_chunks().dictionary_encode()
    codes = named.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    nobody = np.flatnonzero(codes < 0)
    users = [*named.dictionary.to_pylist(), *(f"session {place}" for place in nobody)]
    codes[nobody] = len(named.dictionary) + np.arange(len(nobody))
    return users, codes


def _hash(text: str) -> float:
    """From 0 to 1, the same on every machine."""
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32


def _from_the_end(owners: Indices) -> Indices:
    """(events,) how many events of the same owner come after each."""
    order = np.argsort(owners[::-1], kind="stable")
    counts = np.bincount(owners)
    places = ragged.places(np.zeros_like(counts), counts)
    found = np.empty_like(places)
    found[order] = places
    return found[::-1]


def _only(rows: pa.Table, lengths: Indices, kept: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows with these events alone, in their lists; empty ones dropped."""
    left = np.bincount(ragged.owners(lengths)[kept], minlength=len(lengths))
    begins = pa.array(ragged.offsets(left), pa.int32())
    for name in ("items", "times"):
        if name in rows.column_names and rows[name].null_count == 0:
            lists = rows[name].combine_chunks()
            made = pa.ListArray.from_arrays(begins, lists.flatten().filter(pa.array(kept)))
            rows = rows.set_column(rows.column_names.index(name), name, made)
    return rows.filter(pa.array(left > 0))
