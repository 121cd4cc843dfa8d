"""The environment in which Prefect, MLflow and torch are imported: quiet, local, with a home of their own.

Only what the user has not set is set. It has to happen before the first import of any of them.
"""

from __future__ import annotations

import os
from pathlib import Path

DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # its 20 s are too few under load
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,tasks,rnnrec_model",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # said before a run begins: for the terminal
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
    "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait cost a busy machine 20 times the speed
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

# What the servers that we start are told beside the above; each may be set in the environment instead.
SERVER = {
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # seconds; a writer on SQLite waits for its turn
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",  # seconds; 5 are too few on a busy machine
    "PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true",  # a request refused all the same says why in the log
}


def settle() -> None:
    """Set what is not set."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def prepare(home: Path) -> None:
    """The same, and `home` becomes Prefect's home unless a server or a home is given."""
    settle()
    if "PREFECT_API_URL" not in os.environ:
        os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
        Path(os.environ["PREFECT_HOME"]).mkdir(mode=0o700, parents=True, exist_ok=True)
