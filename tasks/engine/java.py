"""The Java that Spark's driver runs in, one a process: what it writes is a record of the log a line.

It would go to this process's stderr, between lines that other programs read as JSON.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from tasks.errors import EngineError

if TYPE_CHECKING:
    from pyspark import SparkConf

KEPT = 40  # lines, of which the error of one that ends at once is told
SECONDS = 5.0  # that its last lines may take

RUNNING: list[Any] = []  # gateways; at most one
log = logging.getLogger(__name__)


def gateway(conf: SparkConf) -> Any:
    """py4j's way to it, which is started where there is none. Raises EngineError with its own last words."""
    if not any(one.proc is None or one.proc.poll() is None for one in RUNNING):
        RUNNING[:] = [_started(conf)]
    return RUNNING[0]


def _started(conf: SparkConf) -> Any:
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    said: deque[str] = deque(maxlen=KEPT)
    end, beginning = os.pipe()
    hearing = threading.Thread(target=_hear, args=(end, said), name="java", daemon=True)
    hearing.start()
    try:
        return launch_gateway(conf, {"stdout": beginning, "stderr": beginning})
    except PySparkException as error:
        os.close(beginning)
        beginning = -1
        hearing.join(SECONDS)
        raise EngineError("\n".join([str(error), *said])) from error
    finally:
        if beginning >= 0:
            os.close(beginning)


def _hear(end: int, said: deque[str]) -> None:
    """Until all who write there have ended."""
    with open(end, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            said.append(line.rstrip())
            log.debug("Spark's Java: %s", line.rstrip())
