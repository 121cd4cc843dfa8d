"""A Prefect server on a socket that is bound already, in which writers on SQLite wait for each other.

    python -m flows.server.prefect_server SOCKET      the number of an inherited file descriptor

Prefect begins most transactions as readers. One that has read and then wants to write is refused by SQLite
at once, "database is locked", where another has written in between: no timeout helps, and the request is
answered with 503. The scheduler, the late runs, the events and every request write like that. A transaction
that begins as a writer waits for its turn instead.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

READER, WRITER = "BEGIN DEFERRED", "BEGIN IMMEDIATE"


def as_writers(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """SQLAlchemy's `before_cursor_execute`: a transaction that would begin as a reader begins as a writer."""
    return (WRITER if statement == READER else statement), parameters


def main(bound: int) -> None:
    import uvicorn
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "before_cursor_execute", as_writers, retval=True)
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(), log_level="error", lifespan="on", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=bound)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
