"""What commands share: the options that several of them take, and the settings that come of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.errors import ConfigurationError, WarehouseError
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.settings.config import Config

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Everything that is known, as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only how it ended.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say every epoch, rule and state.")]
LogFormat = Annotated[
    logs.Form | None, typer.Option(help="text, or json: an object a line.", envvar=logs.FORM)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a setting; repeatable.")
]
DEFAULT = Path("rnnrec.toml")


def wakes(command: Callable[..., None]) -> Callable[..., None]:
    """What ends a command before its flow begins is told to whom [alerts] names, as its flow's failure is."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        if given.get("dry_run"):
            return command(**given)
        from flows.runs.alerting import waking

        asked = dict(one.partition("=")[::2] for one in given.get("settings") or ())
        with waking(given["config"], asked, command.__name__):
            return command(**given)

    return run


def overrides(settings: Sequence[str] | None) -> dict[str, Any]:
    """What --set says, as in {"training.epochs": "3"}. Raises ConfigurationError."""
    pairs = [setting.partition("=") for setting in settings or ()]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        came = "an address" if "://" in wrong[0] else repr(wrong[0])  # which may hold a secret
        raise ConfigurationError(f"--set: expected KEY=VALUE, as in training.epochs=3; got {came}")
    return {key.strip(): value.strip() for key, _, value in pairs}


def listed(names: str) -> tuple[str, ...]:
    """Names with commas between them. Raises ConfigurationError where one is missing."""
    found = tuple(name.strip() for name in names.split(",")) if names.strip() else ()
    if "" in found:
        raise ConfigurationError(f"expected names with commas between them; got {names!r}")
    return found


def configured(config: Path, changes: dict[str, Any] | None = None) -> Config:
    """The configuration as a night takes it. Raises ConfigurationError."""
    from tasks.settings.config import load_config

    return load_config(config, changes)


def with_tables(config: Path) -> Config:
    """The configuration of a warehouse that has tables and can be written.

    Raises ConfigurationError where its days were cut in another zone, WarehouseError where there is none.
    """
    from pyarrow.fs import FileType

    from tasks.raw import settled
    from tasks.store.root import make_root
    from tasks.store.store import Store

    cfg = configured(config)
    store = Store.of(cfg)
    if not store.listed(store.at("tables"), FileType.Directory):
        raise WarehouseError(f"{cfg.address}: expected a warehouse; it has no tables; check warehouse.root")
    settled.compare(cfg, store, {})
    make_root(cfg)
    return cfg


def with_nights(config: Path) -> Config:
    """The configuration of a warehouse that can be written and in which nights were published.

    Raises ConfigurationError where its days were cut in another zone: what readers are told of their age, and
    which days a night has read, would be wrong.
    """
    from tasks.publishing import wholeness
    from tasks.raw import settled
    from tasks.store.root import make_root
    from tasks.store.store import Store

    cfg = configured(config)
    if not wholeness.read(Store.of(cfg)).rows:
        raise WarehouseError(
            f"{cfg.address}: expected published nights; there are none; check warehouse.root, or run a night"
        )
    settled.compare(cfg, Store.of(cfg), {})
    make_root(cfg)
    return cfg
