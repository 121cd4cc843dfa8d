"""What can go wrong in a night: of each kind the exit code, what to do next, and its rung stand on its class.

Each message says what was expected, what came, and what to do next. A run's last words, and the tables of
docs/runbook.md, take `remedy` and `rung` from here.
"""

from traceback import clear_frames
from typing import ClassVar, Literal

Rung = Literal["weights_kept", "carried_forward", "nothing moved"]
CRASHED = "run the night again: it finishes what is missing, and readers never saw half a night"


class PipelineError(Exception):
    """Anything a night refuses.

    exit_code   what the command line ends with
    remedy      what to do next
    rung        how far down the ladder such a night comes, where something was published before: what is
                published for it all the same, or that nothing moves
    published   the state of what this run has published all the same; empty for nothing
    readers     what readers are shown then, in words
    """

    exit_code = 1
    remedy = "do what the message says"
    rung: ClassVar[Rung] = "nothing moved"
    published: str = ""
    readers: str = ""


class ConfigurationError(PipelineError):
    """rnnrec.toml or an override is wrong."""

    exit_code = 2
    remedy = "correct rnnrec.toml or the override"


class NightError(PipelineError):
    """The night is not a date, or lies where it cannot be run."""

    exit_code = 3
    remedy = "give a day that is over, written YYYY-MM-DD"


class SourceError(PipelineError):
    """A source is missing, unreadable, or lacks a column."""

    exit_code = 4
    remedy = "bring the logs to where [events] looks for them, or correct [events]"
    rung = "carried_forward"


class EmptyNightError(PipelineError):
    """The sources have no usable event for the night."""

    exit_code = 5
    remedy = "check that the day's logs have arrived and are complete"
    rung = "carried_forward"


class RegistryError(PipelineError):
    """MLflow cannot be reached, or holds something we refuse to load."""

    exit_code = 6
    remedy = "bring the registry back, or correct [registry]"


class WarehouseError(PipelineError):
    """A path cannot be written, or a table is not what we left there."""

    exit_code = 7
    remedy = "check the disk and permissions of the warehouse"


class StoreError(PipelineError):
    """The object store in which the tables lie does not answer, or says no."""

    exit_code = 14
    remedy = "bring the object store back, or correct warehouse.root and AWS_*; then run the night again"


class AuditError(PipelineError):
    """The staged tables break a rule: nothing was published."""

    exit_code = 8
    remedy = "look at the rows that the check names; the staged tables broke a rule"
    rung = "carried_forward"


class FencedError(PipelineError):
    """A later run, of this night or a neighbouring one, or an erasure overtook this one."""

    exit_code = 9
    remedy = (
        "nothing if a newer run of this night has published; if users were forgotten meanwhile, run this "
        "night again; if a neighbouring night was quicker, once that one has ended"
    )


class ModelFailure(PipelineError):
    """Training or scoring failed; wraps rnnrec_model.errors.ModelError."""

    exit_code = 10
    remedy = "look at the training log; change [training] or [models]"
    rung = "weights_kept"


class StaleError(PipelineError):
    """What `rnnrec status --check` finds: readers see old or damaged files, or a run failed."""

    exit_code = 11
    remedy = "ask `rnnrec status`; if no run of this night goes on, run it again"


class BrokenChainError(PipelineError):
    """What `rnnrec verify` finds: something between a published row and its raw logs is gone or changed."""

    exit_code = 12
    remedy = "restore what the message names from a backup, or run the night again"


class CheckError(PipelineError):
    """The night's data breaks a check: nothing was learnt from it."""

    exit_code = 13
    remedy = "bring what the check says is missing, or say that the day is right by the setting it names"
    rung = "carried_forward"


class EngineError(PipelineError):
    """The cluster of [engine] cannot be had, differs from this machine, or gave a piece of work up."""

    exit_code = 15
    remedy = "mend what the message names of the cluster, or run the night with --set engine.kind=local"


def exit_code(error: BaseException) -> int:
    """What the command line ends with: its class's, or a WarehouseError's where the disk said no."""
    if isinstance(error, PipelineError):
        return error.exit_code
    return WarehouseError.exit_code if isinstance(error, OSError) else PipelineError.exit_code


def remedy(name: str) -> str:
    """What to do next after an error of the class with this name; of one that is not ours: run it again."""
    known = {kind.__name__: kind.remedy for kind in PipelineError.__subclasses__()}
    return known.get(name, CRASHED)


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
