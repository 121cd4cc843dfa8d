"""What the model learns from, is judged by, and is asked about: the window split by time.

    day D-window+1 ... day D-1 | day D
    train                      | holdout      sessions belong to the day they start on;
                                              what train sessions do on day D is cut off

Every table has a total order, so that the same events give the same rows in the same places. What is read are
the files that the run has pinned, not what the tables hold by now.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.sessions import cutting, limits
from tasks.settings.config import Config
from tasks.settings.days import start, window
from tasks.store import duck, parquet, pins


def train_sessions(cfg: Config, night: date, reads: pins.Reads, with_times: bool = False) -> pa.Table:
    """(session_id, user_id, items, times): sessions that start before the night, cut off where it begins.

    Those that are learnt from, by `limits.learnt`.
    with_times   without, times are null, and cost nothing
    """
    cut, least = start(cfg, night), cfg.sessions.min_length
    rows = _sessions(cfg, reads, "train_sessions", cut=cut, min_length=least, with_times=with_times)
    return limits.learnt(cfg, rows)


def holdout_sessions(cfg: Config, night: date, reads: pins.Reads, with_times: bool = False) -> pa.Table:
    """(session_id, user_id, items, times): sessions of the night's day, at most evaluation.max_sessions."""
    most = cfg.evaluation.max_sessions
    return _sessions(cfg, reads, "holdout_sessions", night=night, max_sessions=most, with_times=with_times)


def all_sessions(cfg: Config, reads: pins.Reads, with_times: bool = False) -> pa.Table:
    """(session_id, user_id, items, times): every session of the window that is learnt from."""
    return limits.learnt(cfg, _sessions(cfg, reads, "all_sessions", with_times=with_times))


def usual_predictions(cfg: Config, night: date, reads: pins.Reads) -> float:
    """How many next items a day of the window before the night has, their median; 0 without any."""
    usual: float = _sessions(cfg, reads, "usual_predictions", night=night)["predictions"][0].as_py()
    return usual


def active_users(reads: pins.Reads) -> pa.Table:
    """(user_id, items, times): the last session of every user seen in the last recommendations.active_days.

    A last session counts however short it is: one click today says more than ten last week. It is whole, also
    when it began in the lead-in and went on into the window.
    """
    return _derived(reads, cutting.ACTIVE_USERS)


def put_seen_items(cfg: Config, night: date, reads: pins.Reads, file: Path) -> None:
    """(user_id, items): the window's distinct items of the same users, in the same order, as active_users.

    Into a file of as many row groups, since together they may be more than fits.
    """
    with duck.connect(cfg) as con, file.open("wb") as sink:
        cutting.view_events(con, cfg, reads.events, window(cfg, night), reads.derived)
        rows = duck.batches(duck.query(con, "seen_items", since=cutting.active_since(cfg, night)))
        parquet.write(sink, rows, rows.schema, group=cutting.LISTS)


def seen_before(cfg: Config, night: date, reads: pins.Reads, sessions: pa.Table) -> pa.Array:
    """(sessions,) list column: the window's distinct items that each one's user had before it began.

    sessions   (user_id, times): the first time is when a session began
    """
    with duck.connect(cfg) as con:
        cutting.ask_about(con, sessions)
        cutting.view_events(con, cfg, reads.events, window(cfg, night), reads.derived)
        return duck.arrow(duck.query(con, "seen_before"))["items"].combine_chunks()


def earlier_sessions(cfg: Config, night: date, reads: pins.Reads, sessions: pa.Table) -> pa.Table:
    """(items, times), a row for each session: lists of what its user did in the window before it began.

    sessions   (user_id, times): the first time is when a session began
    Each list holds sessions that start in the window, oldest first, however short, without what came later;
    null where there is none. They are cut once more from the events, as the table of sessions lacks the
    shortest.
    """
    with duck.connect(cfg) as con:
        cutting.ask_about(con, sessions)
        duck.view_files(con, reads.store, "read_events", reads.events.files(), "events")
        duck.keep(con, "events_to_cut", "events_of_asked")
        cutting.cut(con, cfg, list(reads.events.pins))
        return duck.arrow(cutting.earlier(con, sessions, window(cfg, night)[0]))


def earlier_of_active(reads: pins.Reads) -> pa.Table:
    """As `earlier_sessions`, of the sessions of active_users, in the same order; where it was worked out."""
    return _derived(reads, cutting.EARLIER_SESSIONS)


def popular_items(reads: pins.Reads) -> pa.Table:
    """(rank, item_id, score): every item of the window, most events first; score is their number."""
    return _derived(reads, cutting.POPULAR_ITEMS)


def derived(reads: pins.Reads, name: str) -> Path:
    """A file of what the run's sessionize worked out, or that lies beside it."""
    return folder(reads) / f"{name}.parquet"


def folder(reads: pins.Reads) -> Path:
    """The attempt's own, which goes when its night is over."""
    assert reads.derived is not None, "only a run's own reads hold what its sessionize worked out"
    return reads.derived


def _derived(reads: pins.Reads, name: str) -> pa.Table:
    return parquet.read([derived(reads, name)])


def _sessions(cfg: Config, reads: pins.Reads, query: str, /, **params: Any) -> pa.Table:
    with duck.connect(cfg) as con:
        duck.view_files(con, reads.store, "window_sessions", reads.sessions.files())
        return duck.arrow(duck.query(con, query, **params))
