"""What a run says: our progress at INFO, and no traceback for errors that already say what to do."""

from __future__ import annotations

import logging

from tasks.errors import PipelineError


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Cut the traceback of a PipelineError; everything passes."""
        if record.exc_info and isinstance(record.exc_info[1], PipelineError):
            record.exc_info, record.exc_text = None, None
        return True


def set_up() -> None:
    """Set the level of our loggers, and quieten those through which Prefect tells of a failure."""
    for name in ("flows", "tasks", "rnnrec_model"):
        logging.getLogger(name).setLevel(logging.INFO)
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _WithoutTraceback) for one in logger.filters):
            logger.addFilter(_WithoutTraceback())
