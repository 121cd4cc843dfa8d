"""rnnrec: a thin door to the flows. Heavy imports wait inside the commands, so that --help is quick.

The commands lie in flows/commands/, one file a subject; a new one is one function there.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import (
    beginning,
    comparing,
    data,
    evaluation,
    health,
    judging,
    lineage,
    nights,
    readers,
    scheduling,
    sessions,
)
from flows.server.surroundings import settle
from flows.terminal.escaping import escaped
from tasks.errors import PipelineError, exit_code, release
from tasks.running import ending, logs

app = typer.Typer(
    name="rnnrec",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Every night: raw event logs in, recommendations out, published only when they earned it.",
)
for subject in (
    nights,
    health,
    data,
    judging,
    lineage,
    readers,
    comparing,
    evaluation,
    beginning,
    scheduling,
    sessions,
):
    app.add_typer(subject.app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"rnnrec {version('rnnrec')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Every night: raw event logs in, recommendations out, published only when they earned it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: whatever fails becomes a message, once and last, and an exit code.

    arguments   none: those of this process, which has nothing else to do and ends at once
    """
    settle()
    with contextlib.nullcontext() if arguments else ending.at_once():
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        with logs.at_the_door():
            app(args=None if arguments is None else list(arguments), prog_name="rnnrec")
    except PipelineError as error:
        _fail(error, f"{error}\n{error.readers}." if error.readers else str(error))
    except OSError as error:
        sentence = f"{error}; is the disk full, or the folder not ours? Readers still have the night before."
        _fail(error, sentence)
    except Exception as error:
        traceback.print_exc()
        _fail(error, f"{error!r}: a fault in rnnrec; please report the lines above.")


def _fail(error: BaseException, sentence: str) -> None:
    code = exit_code(error)
    release(error)
    if logs.CONSOLE.form == "json":
        print(logs.as_json("ERROR", "rnnrec", sentence, exit_code=code), file=sys.stderr)
    else:
        console = Console(stderr=True, soft_wrap=True)
        console.print(escaped(sentence, keep="\n"), style="red", markup=False, highlight=False)
    sys.exit(code)


if __name__ == "__main__":
    main()
