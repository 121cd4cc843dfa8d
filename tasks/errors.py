"""What can go wrong in a night, and the exit code each kind ends with.

    PipelineError             1
    ├── ConfigurationError    2   rnnrec.toml or an override is wrong
    ├── NightError            3   the night is not a date, or lies where it cannot be run
    ├── SourceError           4   a source is missing, unreadable, or lacks a column
    ├── EmptyNightError       5   the sources have no usable event for the night
    ├── RegistryError         6   MLflow cannot be reached, or holds something we refuse to load
    ├── WarehouseError        7   a path cannot be written, or a table is not what we left there
    ├── AuditError            8   the staged tables break a rule: nothing was published
    ├── FencedError           9   a later run, of this night or a neighbouring one, overtook this one
    ├── ModelFailure         10   training or scoring failed (wraps rnnrec_model.errors.ModelError)
    └── StaleError           11   `rnnrec status --check`: readers see old or damaged files, or a run failed

Each message says what was expected, what came, and what to do next.
"""

from traceback import clear_frames


class PipelineError(Exception):
    """Anything a night refuses; `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigurationError(PipelineError):
    exit_code = 2


class NightError(PipelineError):
    exit_code = 3


class SourceError(PipelineError):
    exit_code = 4


class EmptyNightError(PipelineError):
    exit_code = 5


class RegistryError(PipelineError):
    exit_code = 6


class WarehouseError(PipelineError):
    exit_code = 7


class AuditError(PipelineError):
    exit_code = 8


class FencedError(PipelineError):
    exit_code = 9


class ModelFailure(PipelineError):
    exit_code = 10


class StaleError(PipelineError):
    exit_code = 11


def release(error: BaseException) -> None:
    """Let go of what the ended frames of a failure hold: connections that nobody can close any more.

    Prefect keeps errors until the process ends, which is too late for DuckDB to part from its own.
    """
    known: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in known:
        clear_frames(following.__traceback__)
        known.append(following)
        following = following.__cause__ or following.__context__
