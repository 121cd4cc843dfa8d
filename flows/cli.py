"""rnnrec: a thin door to the flows. Heavy imports wait inside the commands, so that --help is quick."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.server.surroundings import settle
from tasks.errors import ConfigurationError, PipelineError, StaleError, WarehouseError, release
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.settings.config import Config

app = typer.Typer(
    name="rnnrec",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Every night: raw event logs in, recommendations out, published only when they earned it.",
)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only how it ended.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say every epoch, rule and state.")]
LogFormat = Annotated[
    logs.Form | None, typer.Option(help="text, or json: an object a line.", envvar=logs.FORM)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a setting; repeatable.")
]
DEFAULT = Path("rnnrec.toml")


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


def _wakes(command: Callable[..., None]) -> Callable[..., None]:
    """What ends a command before its flow begins is told to whom [alerts] names, as its flow's failure is."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        if given.get("dry_run"):
            return command(**given)
        from flows.runs.alerting import waking

        overrides = dict(one.partition("=")[::2] for one in given.get("settings") or ())
        with waking(given["config"], overrides, command.__name__):
            return command(**given)

    return run


@app.command()
@_wakes
def nightly(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10; yesterday when not given.")
    ] = None,
    settings: Settings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: LogFormat = None,
) -> None:
    """Run one night. A second run of the same night publishes nothing new."""
    logs.speak(quiet, verbose, log_format)
    overrides = _overrides(settings)
    cfg = _ready(config, overrides)
    if dry_run:
        _describe(cfg, night)
        return
    with _before_prefect(cfg):
        from flows.nightly import nightly as flow

        logs.set_up()
        _say(flow(str(config), night, overrides))


@app.command()
@_wakes
def backfill(
    first: Annotated[str, typer.Option("--from", help="The first day.")],
    last: Annotated[str, typer.Option("--to", help="The last day.")],
    config: ConfigPath = DEFAULT,
    settings: Settings = None,
    promote: Annotated[bool, typer.Option("--promote", help="Let winners become the champion.")] = False,
    move_latest: Annotated[bool, typer.Option("--move-latest", help="Show these nights to readers.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: LogFormat = None,
) -> None:
    """Run past nights; neither the champion nor readers who see a night already move unless asked."""
    logs.speak(quiet, verbose, log_format)
    overrides = _overrides(settings)
    cfg = _ready(config, overrides)
    with _before_prefect(cfg):
        from flows.backfill import backfill as flow

        logs.set_up()
        for one in flow(first, last, str(config), overrides, promote, move_latest):
            _say(one)


@app.command()
def check(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10; without it, the logs alone.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Look at settings, logs, columns and days, and say what is wrong before a night does; write nothing."""
    _describe(_ready(config, _overrides(settings)), night, any_night=True)


@app.command()
def status(
    config: ConfigPath = DEFAULT,
    nights: Annotated[int, typer.Option(min=1, help="How many nights to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that is known, as JSON.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit code 11 unless readers see what is fresh."),
    ] = False,
    max_age: Annotated[
        str, typer.Option(help="How long ago it may have been published, as 26h, 90m or 2d.")
    ] = "26h",
) -> None:
    """The last nights: what readers see, what failed, what runs."""
    from tasks.publishing import status as state

    cfg = _ready(config, {})
    found, health = state.recent(cfg, nights), state.health(cfg, state.age(max_age))
    if as_json:
        print(json.dumps({**asdict(health), "nights": found}, indent=2))
    elif not check:
        from flows.terminal.showing import status_table

        console = Console()
        console.print(f"{cfg.root}", highlight=False, markup=False)
        console.print(status_table(found))
        for sentence in filter(None, map(state.told, found)):
            if sentence not in health.sentence:
                console.print(sentence, highlight=False, markup=False)
        console.print(health.sentence, highlight=False, markup=False, style=None if health.healthy else "red")
    if check and not health.healthy:
        raise StaleError(health.sentence)
    if check and not as_json:
        Console().print(health.sentence, highlight=False, markup=False)


@app.command()
@_wakes
def watch(
    config: ConfigPath = DEFAULT,
    night: Annotated[str | None, typer.Option(help="The day; yesterday when not given.")] = None,
) -> None:
    """Exit code 11, and an alert, unless the night is published: for cron, where no server watches."""
    from tasks.publishing import status
    from tasks.settings import nights

    cfg = _ready(config, {})
    Console().print(status.published(cfg, nights.resolve(cfg, night)), highlight=False)


@app.command()
def alerts(
    config: ConfigPath = DEFAULT,
    test: Annotated[bool, typer.Option("--test", help="Send each of them a message, from here.")] = False,
) -> None:
    """Who is told when a night fails; without anybody, or one who cannot be reached, exit code 2."""
    from flows.runs.alerting import say

    say(config, Console(soft_wrap=True), test=test)


@app.command()
def refresh(config: ConfigPath = DEFAULT) -> None:
    """Rebuild serve.duckdb and latest/ from the publications, as after a move or a restored backup."""
    from tasks.publishing import readers

    served = readers.refresh(_with_nights(config))
    shown = f"readers see {served.night}" if served.night else "none is shown to readers of the latest night"
    Console(soft_wrap=True).print(f"Rebuilt from {served.nights} published night(s); {shown}.")


@app.command()
def rollback(
    night: Annotated[str, typer.Option(help="The published day to go back to, as 2017-10-10.")],
    config: ConfigPath = DEFAULT,
) -> None:
    """Show an earlier night again and make its model the champion; both go back together."""
    from tasks.publishing.rollback import rollback as work
    from tasks.settings import nights

    done = work(_with_nights(config), nights.parse(night))
    seen = "again" if done.moved else "as before"
    Console(soft_wrap=True).print(
        f"Readers see night {done.night} {seen} (publication {done.sequence}); the champion is its model, "
        f"version {done.model_version}. The next night is judged against it, and will move readers.",
        highlight=False,
    )


@app.command()
def evaluate(
    train: Annotated[Path, typer.Option(help="Sessions to train on: Parquet, or TSV with a header.")],
    test: Annotated[Path, typer.Option(help="Sessions to rank.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Settings; defaults without.")] = None,
    settings: Settings = None,
    models: Annotated[
        str, typer.Option(help="Comma-separated: gru or a baseline.")
    ] = "gru,markov,popularity",
    out: Annotated[Path | None, typer.Option("--json", help="Write the numbers here.")] = None,
    protocol: Annotated[str, typer.Option(help="sessions | leave-one-out")] = "sessions",
    split_column: Annotated[str, typer.Option(help="Take rows by this column's value, see below.")] = "",
    train_split: Annotated[str, typer.Option(help="Its values for training, comma-separated.")] = "train",
    test_split: Annotated[str, typer.Option(help="Its values for testing; default: see below.")] = "",
) -> None:
    """Train on session files and rank others, by the protocols of the literature.

    sessions: every next item of every test session, all items ranked; items unknown to training are dropped.
    leave-one-out: only the last item of each test sequence; items of the newest 200 events before it leave
    the ranking, then those of all (hiding_all). An item that training does not know is a miss.
    Columns: session_id, item_id, timestamp; or user_id, item_id, position. With --split-column, the default
    test rows are those marked `test` (sessions) or all rows (leave-one-out, whose history is the input).
    """
    from flows.terminal.showing import evaluation_table
    from tasks.models.evaluation import Question, evaluate_files
    from tasks.settings.config import load_config

    logs.set_up()
    overrides = _overrides(settings)
    cfg = load_config(config, overrides, for_a_night=False) if config else _defaults(overrides)
    question = Question(
        train, test, _listed(models), protocol, split_column, _listed(train_split), _listed(test_split)
    )
    found = evaluate_files(cfg, question)
    Console().print(evaluation_table(found))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where logs, tables and models of the demo go.")] = Path(
        "demo"
    ),
) -> None:
    """Three consecutive nights of the real pipeline on the logs of a small generated shop."""
    from flows.demo import run
    from tasks.running import stopping

    with stopping.watched():
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


@app.command()
def deploy() -> None:
    """Deploy what prefect.yaml says, with automations for silent runs and alerts; say what is due when."""
    from flows.server.local import deploy as work

    work()


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port of the Prefect server on loopback.")] = 4200,
) -> None:
    """Start server, process pool and worker on loopback, and deploy; Ctrl-C stops all of them."""
    from flows.server.local import serve as work
    from tasks.running import stopping

    with stopping.watched(grace=9.0):  # it stops its worker and its server first
        work(port)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: whatever fails becomes a message, once and last, and an exit code."""
    settle()
    try:
        with logs.at_the_door():
            app(args=None if arguments is None else list(arguments), prog_name="rnnrec")
    except PipelineError as error:
        _fail(error, str(error), error.exit_code)
    except OSError as error:
        sentence = f"{error}; is the disk full, or the folder not ours? Readers still have the night before."
        _fail(error, sentence, WarehouseError.exit_code)
    except Exception as error:
        traceback.print_exc()
        _fail(error, f"{error!r}: a fault in rnnrec; please report the lines above.", PipelineError.exit_code)


def _fail(error: BaseException, sentence: str, code: int) -> None:
    release(error)
    if logs.CONSOLE.form == "json":
        print(logs.as_json("ERROR", "rnnrec", sentence, exit_code=code), file=sys.stderr)
    else:
        console = Console(stderr=True, soft_wrap=True)
        console.print(sentence, style="red", markup=False, highlight=False)
    sys.exit(code)


def _overrides(settings: Sequence[str] | None) -> dict[str, Any]:
    pairs = [setting.partition("=") for setting in settings or ()]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        came = "an address" if "://" in wrong[0] else repr(wrong[0])  # which may hold a secret
        raise ConfigurationError(f"--set: expected KEY=VALUE, as in training.epochs=3; got {came}")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _defaults(overrides: dict[str, Any]) -> Config:
    """The default configuration, without a file."""
    import tempfile

    from tasks.settings.config import load_config

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "defaults.toml"
        empty.touch()
        return load_config(empty, overrides, for_a_night=False)


def _ready(config: Path, overrides: dict[str, Any]) -> Config:
    from tasks.settings.config import load_config

    return load_config(config, overrides)


def _with_nights(config: Path) -> Config:
    """The configuration of a warehouse that can be written and in which nights were published."""
    from tasks.errors import WarehouseError
    from tasks.publishing import wholeness
    from tasks.store.root import make_root

    cfg = _ready(config, {})
    if not wholeness.read(cfg):
        raise WarehouseError(
            f"{cfg.root}: expected published nights; there are none; check warehouse.root, or run a night"
        )
    make_root(cfg)
    return cfg


def _describe(cfg: Config, night: str | None, *, any_night: bool = False) -> None:
    from flows.terminal.plan import describe

    for part in describe(cfg, night, any_night=any_night):
        Console().print(part, highlight=False, markup=False)


@contextmanager
def _before_prefect(cfg: Config) -> Iterator[None]:
    """A writable folder, a server, and an end within seconds when a signal asks for it."""
    from flows.server.temporary import have_a_server
    from tasks.running import stopping
    from tasks.store.root import make_root

    with stopping.watched():
        make_root(cfg)
        have_a_server(cfg.root / "prefect")
        yield


def _say(result: dict[str, Any]) -> None:
    if logs.CONSOLE.form == "json":
        print(json.dumps(result))
    else:
        Console(soft_wrap=True).print(result["sentence"], highlight=False, markup=False)


if __name__ == "__main__":
    main()
