"""The Java that Spark's driver runs in, one a process: what it writes is a record of the log a line.

It would go to this process's stderr, between lines that other programs read as JSON.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import SparkConf

KEPT = 40  # lines, of which the error of one that ends at once is told
SECONDS = 5.0  # that its last lines may take
MOMENT = 1.0  # seconds until one that was killed is known to be dead
# how lines begin that are no reason for its end: of any Java, and of the script that starts Spark's
CHATTER = re.compile(r"WARNING|NOTE|Picked up|.*spark-class: line ")
AN_ERROR = re.compile(r"[Ee]rror|[Ee]xception|memory")

RUNNING: list[Any] = []  # gateways; at most one
SAID: deque[str] = deque(maxlen=KEPT)  # its last lines
log = logging.getLogger(__name__)


def gateway(conf: SparkConf) -> Any:
    """py4j's way to it; starts it where there is none. Raises ChildProcessError with its own last words."""
    if not RUNNING:
        RUNNING[:] = [_started(conf)]
    return RUNNING[0]


def has_ended(within: float = 0.0) -> bool:
    """Was it started, and is no more? One that is just being killed may need some seconds until it is."""
    try:
        return any(one.proc is not None and one.proc.wait(within) is not None for one in RUNNING)
    except subprocess.TimeoutExpired:
        return False


def end() -> str:
    """Of one that has ended: how, and its last words, where they tell of an error."""
    code = next(one.proc.returncode for one in RUNNING)
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return "; ".join([how, *[line for line in reasons() if AN_ERROR.search(line)][-1:]])


def forget() -> None:
    """One that has ended, with all that pyspark keeps of it, which would ask it for ever."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    RUNNING.clear()
    SparkContext._gateway = SparkContext._jvm = None
    SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None


def _started(conf: SparkConf) -> Any:
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    SAID.clear()
    heard, beginning = os.pipe()
    hearing = threading.Thread(target=_hear, args=(heard,), name="java", daemon=True)
    hearing.start()
    try:
        return launch_gateway(conf, {"stdout": beginning, "stderr": beginning})
    except PySparkException as error:
        os.close(beginning)
        beginning = -1
        hearing.join(SECONDS)
        raise ChildProcessError("\n".join([str(error), *reasons()])) from error
    finally:
        if beginning >= 0:
            os.close(beginning)


def reasons() -> list[str]:
    """The last lines of the one that was started last, without any Java's chatter."""
    return [line for line in SAID if not CHATTER.match(line)]


def _hear(heard: int) -> None:
    """Until all who write there have ended."""
    with open(heard, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            SAID.append(line.rstrip())
            log.debug("Spark's Java: %s", line.rstrip())
