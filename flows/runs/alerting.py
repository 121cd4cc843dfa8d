"""Waking somebody: where messages go to, and sending them from here.

On a server, `rnnrec deploy` hands these blocks to automations (flows/server/automations.py), which see what
no run can say of itself: that it was killed, or never began. A run on a server without them, such as the
temporary one of `rnnrec nightly` under cron, sends its message itself. An alert that fails changes no run's
outcome.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import SecretStr

from tasks.errors import ConfigurationError
from tasks.settings.config import load_alerts
from tasks.settings.sections import AlertsConfig

if TYPE_CHECKING:
    from prefect.blocks.abstract import NotificationBlock
    from rich.console import Console

log = logging.getLogger(__name__)

BROKEN = "rnnrec: tell of runs that failed or crashed"  # the automation that takes this over
WOKEN = "Alert: "
SHAPES = {
    "slack_env": ("https://hooks.slack.com/services/...", ("https", "http")),
    "webhook_env": ("https://host/path", ("https", "http")),
    "email_env": ("mailtos://user:password@smtp.host:587?from=...&to=...", ("mailto", "mailtos")),
}


def channels(alerts: AlertsConfig) -> dict[str, NotificationBlock]:
    """A block for each address, by the name it has on the server. Raises ConfigurationError."""
    return {
        f"rnnrec-{key.removesuffix('_env')}": _block(key, getattr(alerts, key))
        for key in SHAPES
        if getattr(alerts, key)
    }


def send(alerts: AlertsConfig, subject: str, body: str) -> dict[str, str]:
    """Send to all; what became of each: "" or the reason it did not arrive, without the address."""
    from prefect.blocks.core import Block

    named = {key: getattr(alerts, key) for key in SHAPES if getattr(alerts, key)}
    ways: dict[str, Callable[[], Any]] = {key: partial(_block, key, named[key]) for key in named}
    ways |= {name: partial(Block.load, name) for name in alerts.blocks}
    became = {name: _sent(block, subject, body) for name, block in ways.items()}
    return {name: why.removeprefix(f"alerts.{name}: ") for name, why in became.items()}


def wake(asked: Mapping[str, Any], subject: str, body: str, *, unless_server: bool = True) -> str:
    """Tell what happened to a run with these parameters, unless its server does.

    Returns what became of it, for whom; empty when [alerts] names nobody. Never raises.
    """
    try:
        alerts = load_alerts(asked.get("config") or "rnnrec.toml", asked.get("overrides"))
        if not alerts.anybody:
            return ""
        if unless_server and _server_tells():
            return "left to the server"
        became = send(alerts, subject, f"{body}\n{installation(asked.get('config') or 'rnnrec.toml')}")
    except Exception as error:  # of whatever kind: the run has ended, and its outcome stays
        log.warning("nobody was told, as [alerts] cannot be read: %s", type(error).__name__)
        return ""
    for name, reason in became.items():
        if reason:
            log.warning("alerts.%s was not told: %s", name, reason)
    return ", ".join(f"{name} {'could not be reached' if why else 'knows'}" for name, why in became.items())


def say(config: Path, console: Console, *, test: bool) -> None:
    """Print who is told of a failure and, for a test, tell them. Raises ConfigurationError unless all can."""
    alerts = load_alerts(config)
    if not alerts.anybody:
        raise ConfigurationError(f"{config}: nobody is told when a night fails; name somebody in [alerts]")
    if not test:
        console.print(
            f"{', '.join(channels(alerts) | dict.fromkeys(alerts.blocks))} are told.", highlight=False
        )
        return
    body = f"This is how you are told when a night fails.\n{installation(config)}"
    became = send(alerts, "rnnrec: a test", body)
    for name, why in became.items():
        console.print(f"alerts.{name}: {why or 'sent'}", highlight=False, markup=False)
    if any(became.values()):
        raise ConfigurationError("alerts: expected all of them to be told; see above which were not")


def installation(config: str | Path) -> str:
    """Which one it was, for whoever is told of several: configuration and machine."""
    return f"Configuration {Path(config).resolve()} on {socket.gethostname()}."


@contextmanager
def waking(config: Path, overrides: Mapping[str, Any], what: str) -> Iterator[None]:
    """An error on the way to the flow, where no run's hook sees it, wakes too; never twice for one error."""
    try:
        yield
    except Exception as error:
        if not any(note.startswith(WOKEN) for note in getattr(error, "__notes__", ())):
            asked = {"config": str(config), "overrides": overrides}
            wake(asked, f"rnnrec: {what} failed", str(error) or repr(error), unless_server=False)
        raise


def _server_tells() -> bool:
    """Has the server of this run an automation for it?"""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        return False
    try:
        with get_client(sync_client=True) as client:
            return any(one.enabled for one in client.read_automations_by_name(BROKEN))
    except Exception as error:  # no server, then no automation either
        log.info("the server does not say whether it tells of failures: %r", error)
        return False


def _block(key: str, variable: str) -> NotificationBlock:
    """Prefect's Slack block, the one of its own types that also takes any other address of Apprise.

    A type of ours would have to be installed where the server runs. Prefect's Custom Webhook shows its whole
    address in the server's log when the other side refuses.
    """
    from prefect.blocks.notifications import SlackWebhook

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it repeats parts of addresses
    address, (shape, schemes) = os.environ.get(variable, ""), SHAPES[key]
    wrong = ConfigurationError(
        f"alerts.{key}: expected an address such as {shape} in the environment variable {variable}; "
        f"{'what is there is another' if address else 'it is not set'}"
    )
    parts = urlsplit(address)
    if parts.scheme not in schemes or not parts.hostname:
        raise wrong
    written = {"webhook_env": _as_json, "email_env": _as_text}.get(key, str)(address)
    block = SlackWebhook(url=SecretStr(written), notify_type="failure")
    if not len(block._apprise_client):
        raise wrong
    return block


def _as_json(address: str) -> str:
    """An http address as Apprise's JSON channel writes it, query parameters marked to be passed on."""
    parts = urlsplit(address)
    query = "&".join(f"-{quote(key)}={quote(value)}" for key, value in parse_qsl(parts.query, True))
    return f"{parts.scheme.replace('http', 'json')}://{parts.netloc}{parts.path}?{query}"


def _as_text(address: str) -> str:
    """A mail address for plain text, in which line ends stay line ends."""
    return address if "format=" in address else f"{address}{'&' if '?' in address else '?'}format=text"


def _sent(make: Callable[[], Any], subject: str, body: str) -> str:
    try:
        block = make()
        with block.raise_on_failure():
            block.notify(body, subject)
    except ConfigurationError as error:
        return str(error)
    except Exception as error:  # its text may repeat the address
        return f"{type(error).__name__}; is the address right, and does the other side answer?"
    return ""
