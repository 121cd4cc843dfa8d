"""Models on session files, outside any night."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import Settings
from tasks.errors import ConfigurationError
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.settings.config import Config

app = typer.Typer()


@app.command()
def evaluate(
    train: Annotated[Path, typer.Option(help="Sessions to train on: Parquet, or CSV or TSV with a header.")],
    test: Annotated[Path, typer.Option(help="Sessions to rank.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Settings; defaults without.")] = None,
    settings: Settings = None,
    models: Annotated[
        str, typer.Option(help="Comma-separated names of models: \\[models.<name>], or a kind.")
    ] = "recurrent,markov,popularity",
    out: Annotated[Path | None, typer.Option("--json", help="Write the numbers here.")] = None,
    protocol: Annotated[str, typer.Option(help="sessions | leave-one-out")] = "sessions",
    split_column: Annotated[str, typer.Option(help="Take rows by this column's value, see below.")] = "",
    train_split: Annotated[str, typer.Option(help="Its values for training, comma-separated.")] = "train",
    test_split: Annotated[str, typer.Option(help="Its values for testing; default: see below.")] = "",
    mask_last: Annotated[
        int, typer.Option(min=0, help="leave-one-out: hide the items of so many newest events; see below.")
    ] = 200,
    ranks: Annotated[
        Path | None, typer.Option(help="Write the rank of every prediction here, as Parquet.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="Ranks of an earlier evaluation: tell differences with intervals.")
    ] = None,
) -> None:
    """Train on session files and rank others, by the protocols of the literature.

    sessions: every next item of every test session, all items ranked; items
    unknown to training are dropped.
    leave-one-out: only the last item of each test sequence; items of the
    --mask-last newest events before it leave the ranking, 200 as where SASRec's
    and LRURec's numbers were published. The columns of hiding_all hide the
    whole history, which is easier: never set the two side by side. An item that
    training does not know is a miss.
    Columns: session_id, item_id, timestamp; or user_id, item_id, position.
    Models that go by hours know them where timestamp is no number. With
    --split-column, the default test rows are those marked `test` (sessions) or
    all rows (leave-one-out, whose history is the input).
    """
    from flows.terminal.showing import beside_line, evaluation_tables
    from tasks.models.evaluation import Question, evaluate_files
    from tasks.settings.config import load_config

    logs.set_up()
    _require_other_files({"--json": out, "--ranks": ranks}, [train, test, beside])
    overrides = options.overrides(settings)
    cfg = load_config(config, overrides, for_a_night=False) if config else _defaults(overrides)
    question = Question(
        train,
        test,
        options.listed(models),
        protocol,
        split_column,
        options.listed(train_split),
        options.listed(test_split),
        mask_last,
        ranks,
        beside,
    )
    found = evaluate_files(cfg, question)
    console = Console()
    for table in evaluation_tables(found, console.width):
        console.print(table)
    for one in found.get("beside", ()):
        console.print(beside_line(one), highlight=False)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n")


def _require_other_files(written: Mapping[str, Path | None], read: Iterable[Path | None]) -> None:
    """Before hours of training: what is written is a file, and none that is read."""
    others = [one for one in read if one is not None]
    for option, file in written.items():
        if file is None:
            continue
        if file.is_dir():
            raise ConfigurationError(f"{option}: expected a file to write; {file} is a folder")
        if any(_is_same(file, one) for one in others):
            raise ConfigurationError(
                f"{option}: expected a file of its own; {file} is read or written by this command besides"
            )
        others.append(file)


def _is_same(one: Path, other: Path) -> bool:
    """By whatever name: a link, hard or symbolic, or another spelling."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _defaults(overrides: dict[str, Any]) -> Config:
    """The default configuration, without a file."""
    from tasks.settings.config import load_config

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "defaults.toml"
        empty.touch()
        return load_config(empty, overrides, for_a_night=False)
