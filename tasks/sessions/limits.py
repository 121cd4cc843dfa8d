"""Which of the window's sessions are learnt from: the newest of each user, without items that are rare.

The tables keep all of them: what is the newest, and what is rare, depends on the window, and a session is the
same whichever night looks at it. Only training asks: no session that is judged or asked from is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.settings.config import Config

PER_USER, PER_ITEM = "sessions_per_user", "sessions_per_item"


def learnt(cfg: Config, rows: pa.Table) -> pa.Table:
    """The sessions that are learnt from, of (user_id, items, times and more), the oldest first."""
    return of_items(cfg, of_users(cfg, rows))


def left_out(cfg: Config, rows: pa.Table) -> Mapping[str, int]:
    """How many events each of the two rules leaves out; nothing where it leaves out none."""
    newest = of_users(cfg, rows)
    lost = {
        PER_USER: events(rows) - events(newest),
        PER_ITEM: events(newest) - events(of_items(cfg, newest)),
    }
    return {rule: count for rule, count in lost.items() if count}


def events(rows: pa.Table) -> int:
    """In all sessions together."""
    return int(pc.sum(pc.list_value_length(rows["items"])).as_py() or 0)


def of_users(cfg: Config, rows: pa.Table) -> pa.Table:
    """The newest sessions of each user; who is nobody has all."""
    most = cfg.sessions.sessions_per_user
    if not most or not rows.num_rows:
        return rows
    known = rows["user_id"].is_valid().to_numpy()
    users = _codes(rows["user_id"])
    newest_first = np.argsort(users[::-1], kind="stable")
    ordered = users[::-1][newest_first]
    begins = np.append(True, ordered[1:] != ordered[:-1])
    place = np.arange(len(users)) - np.maximum.accumulate(np.where(begins, np.arange(len(users)), 0))
    from_newest = np.empty(len(users), dtype=np.int64)
    from_newest[len(users) - 1 - newest_first] = place
    return rows.filter(pa.array((from_newest < most) | ~known))


def of_items(cfg: Config, rows: pa.Table) -> pa.Table:
    """Without items of too few sessions, and without sessions that are too short then."""
    least = cfg.sessions.sessions_per_item
    if least < 2 or not rows.num_rows:
        return rows
    lists = rows["items"].combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    items, owner = _codes(lists.flatten()), np.repeat(np.arange(len(lists)), lengths)
    pairs = np.unique(owner * (items.max(initial=0) + 1) + items)
    support = np.bincount(pairs % (items.max(initial=0) + 1))
    kept = support[items] >= least if len(items) else np.zeros(0, bool)
    bounds = np.append(0, np.bincount(owner[kept], minlength=len(lists)).cumsum()).astype(np.int32)
    for name in ("items", "times"):
        column = rows[name].combine_chunks()
        if column.null_count < len(column):
            values = column.flatten().filter(pa.array(kept))
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, pa.ListArray.from_arrays(pa.array(bounds), values))
    return rows.filter(pc.greater_equal(pc.list_value_length(rows["items"]), cfg.sessions.min_length))


def _codes(values: pa.Array | pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Equal numbers for equal values, from 0; -1 for null."""
    encoded = values.dictionary_encode()
    indices = encoded.combine_chunks().indices if isinstance(encoded, pa.ChunkedArray) else encoded.indices
    return np.asarray(pc.fill_null(indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
