"""A registry in a file that another process writes: it is waited for, and then named, but never repaired.

SQLite has one writer at a time. MLflow's sessions wait 20 seconds for it, and its look at the schema 5, which
no setting changes (MLflow 3.17): every connection is told otherwise as soon as MLflow has told it.
"""

from __future__ import annotations

import logging
import sqlite3
from functools import cache
from typing import Any

WAIT_SECONDS = 60.0
LOCKED = "database is locked"
SPEAKER = "mlflow.store.db.utils"  # logs a traceback of what it raises all the same


@cache
def wait_longer() -> None:
    """From now on connections to SQLite files wait WAIT_SECONDS for another writer, and log no traceback."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", _connected)
    event.listen(Engine, "after_cursor_execute", _executed)
    logging.getLogger(SPEAKER).addFilter(_is_not_of_a_lock)


def _connected(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):  # and not Prefect's, which are asynchronous
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * WAIT_SECONDS)}")


def _executed(_connection: object, cursor: Any, statement: str, *_: object) -> None:
    if statement.startswith("PRAGMA busy_timeout"):
        _connected(getattr(cursor, "connection", None), None)


def _is_not_of_a_lock(record: logging.LogRecord) -> bool:
    return LOCKED not in record.getMessage()
