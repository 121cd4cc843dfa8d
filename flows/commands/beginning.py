"""First steps: a configuration, and a demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.options import DEFAULT, ConfigPath
from tasks.errors import ConfigurationError

app = typer.Typer()


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where logs, tables and models of the demo go.")] = Path(
        "demo"
    ),
) -> None:
    """Three consecutive nights of the real pipeline on the logs of a small generated shop."""
    from flows.demo import run
    from flows.server.given import missed
    from tasks.running import stopping

    with stopping.watched(), missed():
        run(folder, Console())


@app.command()
def init(
    config: ConfigPath = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a configuration file with every key and what it means, and prefect.yaml beside it."""
    from flows.template import prefect_yaml, rnnrec_toml

    if config.exists() and not force:
        raise ConfigurationError(f"{config}: already there; --force overwrites it")
    config.write_text(rnnrec_toml(), encoding="utf-8")
    Console(soft_wrap=True).print(f"wrote {config}", highlight=False)
    deployments = config.parent / "prefect.yaml"
    if deployments.exists() and not force:
        Console(soft_wrap=True).print(f"left {deployments} as it is; --force overwrites it", highlight=False)
        return
    deployments.write_text(prefect_yaml(config.name), encoding="utf-8")
    Console(soft_wrap=True).print(f"wrote {deployments}", highlight=False)
