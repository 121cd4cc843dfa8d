"""What users' lists were asked from when a day began: what the first items of its sessions are asked after.

    the days before        | the asked day
    [a] [a b]   [b c ......|...]   [d e]      the list of the night before was asked from b c, as far as it
                           |                  knew; d is the first item that it could foresee

The lists that readers had that day were made in the night before, so nothing of the day is read, also where a
visit had others that day before it: a list that knew of them was published nowhere. Each user is asked once,
by the first of the sessions that are asked; who comes six times a day counts once. A last session counts
however short it is, as lists are asked from it; so what came before is cut once more from the events. Of the
asked day sessions shorter than `sessions.min_length` are not looked at: whose day began with a visit of one
click is asked for the first item of the next visit, and not for that click. Whoever
had no list, for lack of an event in `recommendations.active_days` or in the window, is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.settings.days import local_day, start
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.vocabulary import Indices


@dataclass(frozen=True)
class Before:
    """Of each user who came back, what the list was asked from.

    sessions    (users,) places of their sessions, ascending
    last        (items, times): list columns of the last session, as far as it was known
    earlier     (items, times): lists of the sessions before it
    seen        list column of all that they had; None where the window is not left out
    """

    sessions: Indices
    last: tuple[pa.Array, pa.Array]
    earlier: tuple[pa.Array, pa.Array]
    seen: pa.Array | None


def before(cfg: Config, night: date, reads: Reads, rows: pa.Table) -> Before | None:
    """Whose first items are asked, and after what; None where nobody came back.

    rows   (user_id, times) of sessions of one day in the window of a night, oldest first
    """
    from rnnrec_model.earlier import last_and_before

    day = local_day(cfg, rows["times"][0][0].as_py())
    places = _first_of_each(rows["user_id"])
    users = rows["user_id"].take(pa.array(places))
    had = splitting.earlier_sessions(cfg, night, reads, _when(users, start(cfg, day)))
    had = had.append_column("user_id", users).append_column("place", pa.array(places))
    had = had.filter(pc.is_valid(had["items"]))
    since = start(cfg, day - timedelta(days=cfg.recommendations.active_days))
    had = had.filter(pc.greater_equal(_last_moments(had["times"]), pa.scalar(since, pa.timestamp("us"))))
    if had.num_rows == 0:
        return None
    (last, earlier), (times, earlier_times) = map(last_and_before, (had["items"], had["times"]))
    seen = None
    if cfg.recommendations.exclude == "window":
        seen = splitting.seen_before(cfg, night, reads, _when(had["user_id"], start(cfg, day)))
    return Before(had["place"].to_numpy(), (last, times), (earlier, earlier_times), seen)


def _first_of_each(users: pa.ChunkedArray) -> Indices:
    """Where each user comes first; nobody is no user."""
    codes = users.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found, first = np.unique(codes, return_index=True)
    return np.sort(first[found >= 0])


def _when(users: pa.Array | pa.ChunkedArray, moment: datetime) -> pa.Table:
    """(user_id, times): as if each user had begun a session then."""
    return pa.table(
        {"user_id": users, "times": pa.array([[moment]] * len(users), pa.list_(pa.timestamp("us")))}
    )


def _last_moments(sessions: pa.ChunkedArray) -> pa.Array:
    """When the last event of each list of sessions was."""
    from rnnrec_model.earlier import last_and_before

    last, _ = last_and_before(sessions)
    return last.flatten().take(pc.subtract(pc.cumulative_sum(last.value_lengths()), 1))
