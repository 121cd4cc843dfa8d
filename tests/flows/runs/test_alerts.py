"""Somebody is woken: by webhook and mail, once, with night, cause and what to do; secrets stay secret."""

from __future__ import annotations

import contextlib
import email
import json
import os
import queue
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.cli import main
from flows.server.automations import broken, unbegun
from tasks.errors import ConfigurationError, StaleError
from tasks.settings.config import Config, load_alerts, load_config

ROOT = Path(__file__).parents[3]
TOKEN = "t0p-s3cret"
PATIENCE_SECONDS = 180.0


class Received:
    """What has come in, in order."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._new: queue.Queue[Any] = queue.Queue()

    def add(self, message: Any) -> None:
        self.all.append(message)
        self._new.put(message)

    def next(self, seconds: float = PATIENCE_SECONDS) -> Any:
        return self._new.get(timeout=seconds)


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A real HTTP server, its address in HOOK: path with query, and the JSON of every POST."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")
            received.add((self.path, json.loads(body)))

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{port}/in/{TOKEN}?key={TOKEN}")
        yield received


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A real SMTP server, its address in MAIL: every message with its subject and text."""
    received = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    received.add(email.message_from_bytes(text, policy=policy.default))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        ends = "from=rnnrec@example.org&to=ops@example.org"
        monkeypatch.setenv("MAIL", f"mailto://127.0.0.1:{port}?{ends}&mode=insecure")
        yield received


def text_of(message: Any) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def alerts(place: Path, **settings: object) -> str:
    """rnnrec.toml of the place with this section [alerts]."""
    path = place / "rnnrec.toml"
    kept = path.read_text().partition("\n[alerts]")[0] if path.exists() else ""
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    path.write_text("\n".join([kept, "[alerts]", *lines, ""]))
    return str(path)


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.slow
def test_a_failed_night_without_an_automation_wakes_by_webhook_and_mail_once(
    fresh: Any, web: Received, post: Received
) -> None:
    config = alerts(fresh.folder, webhook_env="HOOK", email_env="MAIL")
    shutil.rmtree(fresh.folder / "logs")
    assert ended("nightly", "--config", config, "--night", "2026-03-04") == 4
    [(path, told)] = web.all
    assert path == f"/in/{TOKEN}?key={TOKEN}"
    assert told["title"] == "rnnrec: nightly-2026-03-04 failed"
    for part in ("Night 2026-03-04 failed", "logs/*.ndjson", "Next: bring the logs to where [events] looks"):
        assert part in told["message"]
    assert f"Configuration {config} on {socket.gethostname()}." in told["message"]
    [letter] = post.all
    assert letter["Subject"] == "rnnrec: nightly-2026-03-04 failed"
    assert text_of(letter).split() == told["message"].split()


def test_what_fails_before_the_flow_begins_wakes_too(tmp_path: Path, web: Received) -> None:
    config = alerts(tmp_path, webhook_env="HOOK")
    Path(config).write_text(Path(config).read_text() + '[training]\nepochs = "many"\n')
    assert ended("nightly", "--config", config, "--night", "2026-03-04") == 2
    [(_, told)] = web.all
    assert "training.epochs" in told["message"]
    assert ended("nightly", "--config", config, "--night", "2026-03-04", "--dry-run") == 2
    assert len(web.all) == 1


def test_an_alert_that_fails_leaves_the_outcome_and_names_nobody_elses_secret(
    tmp_path: Path, post: Received, monkeypatch: pytest.MonkeyPatch, caplog: Any, capfd: Any
) -> None:
    with socket.socket() as free:  # a port nobody listens on
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{free.getsockname()[1]}/{TOKEN}")
    config = alerts(tmp_path, webhook_env="HOOK", email_env="MAIL", slack_env="NOT_SET")
    Path(config).write_text(Path(config).read_text() + "[training]\nepochs = 0\n")
    assert ended("nightly", "--config", config, "--night", "2026-03-04") == 2
    assert len(post.all) == 1
    assert "alerts.webhook_env was not told" in caplog.text
    assert "the environment variable NOT_SET; it is not set" in caplog.text
    assert caplog.text.count("alerts.slack_env") == 1
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())


def test_a_configuration_that_cannot_be_read_at_all_is_still_its_own_error(tmp_path: Path) -> None:
    assert ended("nightly", "--config", str(tmp_path / "nowhere.toml"), "--night", "2026-03-04") == 2


def test_a_test_message_reaches_everybody_or_says_who_was_not_reached(
    tmp_path: Path, web: Received, post: Received, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    config = alerts(tmp_path, webhook_env="HOOK", email_env="MAIL")
    assert ended("alerts", "--config", config, "--test") == 0
    assert [one["title"] for _, one in web.all] == ["rnnrec: a test"]
    assert [one["Subject"] for one in post.all] == ["rnnrec: a test"]
    assert "alerts.webhook_env: sent" in capsys.readouterr().out
    monkeypatch.setenv("MAIL", "ftp://example.org/x")
    assert ended("alerts", "--config", config, "--test") == 2
    assert "expected an address such as mailtos://" in capsys.readouterr().out


def test_slack_is_sent_to_by_prefects_own_block(
    tmp_path: Path, web: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.slack import NotifySlack

    address = os.environ["HOOK"].partition("/in/")[0]
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{address}/services")
    monkeypatch.setenv(
        "SLACK", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    )
    config = alerts(tmp_path, slack_env="SLACK")
    assert ended("alerts", "--config", config, "--test") == 0
    [(path, told)] = web.all
    assert path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "rnnrec: a test" in json.dumps(told)


def test_nobody_to_tell_is_said_and_is_an_error_of_the_configuration(tmp_path: Path, capsys: Any) -> None:
    assert ended("alerts", "--config", alerts(tmp_path)) == 2
    assert "nobody is told" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "settings",
    [
        {"slack_env": f"https://hooks.slack.com/services/{TOKEN}"},
        {"webhook_env": 7, "email_env": TOKEN + "!"},
        {"webhook_url": f"https://{TOKEN}"},
        {"blocks": [f"slack-webhook/{TOKEN.upper()}"]},
        {"blocks": TOKEN},
    ],
)
def test_a_secret_in_the_place_of_a_name_is_refused_unrepeated(tmp_path: Path, settings: Any) -> None:
    for load in (load_config, load_alerts):
        with pytest.raises(ConfigurationError, match="alerts") as refused:
            load(alerts(tmp_path, **settings))
        assert TOKEN not in str(refused.value).lower()


def test_alerts_change_no_night() -> None:
    told = Config(alerts={"webhook_env": "HOOK"})
    assert told.digest() == Config().digest()
    assert told.as_dict()["alerts"]["webhook_env"] == "HOOK"


@pytest.mark.slow
def test_the_watch_fails_and_wakes_only_while_the_night_is_not_published(
    first_night: Any, web: Received, tmp_path: Path
) -> None:
    place, _ = first_night
    from flows.watch import watch

    config = Path(shutil.copy(place.config, tmp_path)).parent
    (config / "warehouse").symlink_to(place.root)
    path = alerts(config, webhook_env="HOOK")
    assert watch(path, "2026-03-03") == "Night 2026-03-03 is published."
    assert ended("watch", "--config", path, "--night", "2026-03-03") == 0
    assert web.all == []
    with pytest.raises(StaleError):
        watch(path, "2026-03-04")
    assert ended("watch", "--config", path, "--night", "2026-03-04") == 11
    by_flow, by_cron = [one for _, one in web.all]
    assert by_flow["title"] == "rnnrec: watch-2026-03-04 failed"
    assert "the newest that is: 2026-03-03" in by_flow["message"]
    assert "ask `rnnrec status`" in by_flow["message"]
    for told in (by_flow, by_cron):
        assert told["message"].lower().count("night 2026-03-04") == 1
        assert "ight 2026-03-04 is not published; it was expected by now, " in told["message"]


def test_a_watch_that_cannot_look_does_not_say_that_nothing_is_published(
    tmp_path: Path,
    prefect_server: str,  # noqa: ARG001
    web: Received,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from flows.watch import watch

    config = alerts(tmp_path, webhook_env="HOOK")
    with pytest.raises(ConfigurationError):
        watch(config, "2026-03-04", {"training.epochs": "many"})
    [(_, told)] = web.all
    assert told["message"].startswith("Night 2026-03-04 could not be looked for. ")
    assert "is not published" not in told["message"] + caplog.text


@pytest.mark.parametrize("template", [broken, unbegun])
def test_an_alert_of_the_server_names_the_installation_and_links_to_the_run_or_to_nothing(
    template: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.server.events.actions import SendNotification
    from prefect.server.schemas.responses import FlowRunResponse
    from prefect.server.utilities.user_templates import render_user_template_sync
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

    monkeypatch.setenv("RNNREC_HOME", '/srv/{{ a }} "shop"')
    [action] = template([uuid.uuid4()]).actions
    SendNotification.validate_template(action.body, "body")  # makes Prefect's filters known, too
    run = FlowRunResponse(id=uuid.uuid4(), flow_id=uuid.uuid4(), parameters={"config": "shop.toml"})

    def rendered(address: str | None) -> list[str]:
        with temporary_settings({PREFECT_UI_URL: address}, restore_defaults={PREFECT_API_URL}):
            return str(render_user_template_sync(action.body, {"flow_run": run})).splitlines()

    here = f'Configuration shop.toml, seen from /srv/{{{{ a }}}} "shop" on {socket.gethostname()}.'
    assert rendered(None)[-1] == here
    assert rendered("http://127.0.0.1:4321")[-2:] == [
        here,
        f"http://127.0.0.1:4321/runs/flow-run/{run.id}",
    ]


@contextlib.contextmanager
def a_server(place: Path, log: Path) -> Iterator[httpx.Client]:
    """`rnnrec server` in a folder that holds nothing but what `rnnrec init` has written, and its API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.cli", "server", "--port", str(port)]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=place, env=clean | {"OMP_NUM_THREADS": "1"}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "Prefect UI" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=60) as api:
                yield api
        finally:
            process.terminate()
            process.wait(timeout=60)


def asked(api: httpx.Client, path: str, **body: Any) -> Any:
    answer = api.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_outside_the_clone_tells_of_failed_crashed_unpublished_and_unbegun_runs(
    tmp_path: Path, web: Received, post: Received
) -> None:
    place, log = tmp_path / "place", tmp_path / "server.log"
    place.mkdir()
    assert ended("init", "--config", str(place / "shop.toml")) == 0
    settings = (place / "shop.toml").read_text()
    settings = settings.replace('webhook_env = ""', 'webhook_env = "HOOK"', 1)
    (place / "shop.toml").write_text(settings.replace('email_env = ""', 'email_env = "MAIL"', 1))
    with a_server(place, log) as api:
        said = log.read_text()
        for part in ("nightly/nightly", "watch/watch", "30 2 * * * UTC", "rnnrec-webhook, rnnrec-email"):
            assert part in said
        deployed = {one["name"]: one for one in asked(api, "/deployments/filter")}

        failing = deployed["nightly"]["id"]  # there are no logs
        asked(api, f"/deployments/{failing}/create_flow_run", parameters={"night": "2026-03-04"})
        told = web.next()[1]
        assert told["title"] == "rnnrec: nightly-2026-03-04 failed"
        assert "Next: bring the logs" in told["message"]
        page = str(api.base_url).removesuffix("/api/") + "/runs/flow-run/"
        assert (
            f"Configuration shop.toml, seen from {place} on {socket.gethostname()}.\n{page}"
            in told["message"]
        )
        assert post.next()["Subject"] == told["title"]

        watching = deployed["watch"]["id"]
        asked(api, f"/deployments/{watching}/create_flow_run", parameters={"night": "2026-03-04"})
        told = web.next()[1]
        assert told["title"] == "rnnrec: watch-2026-03-04 failed"
        assert "Night 2026-03-04 is not published" in told["message"]

        # what the automation for silent runs does to a zombie
        zombie = asked(api, "/flow_runs/", flow_id=deployed["nightly"]["flow_id"], name="nightly-2026-01-01")
        state = {"type": "CRASHED", "message": "No heartbeat: the process was killed."}
        asked(api, f"/flow_runs/{zombie['id']}/set_state", state=state)
        told = web.next()[1]
        assert told["title"] == "rnnrec: nightly-2026-01-01 crashed"
        assert "No heartbeat" in told["message"]

        unbegun_at_once(api)
        asked(api, "/work_pools/", name="nobody", type="process")
        idle = asked(
            api, "/deployments/", name="idle", flow_id=deployed["nightly"]["flow_id"], work_pool_name="nobody"
        )
        asked(api, f"/deployments/{idle['id']}/create_flow_run")
        told = web.next()[1]
        assert told["title"] == "rnnrec: a run of nightly has not begun"
        assert "Start one" in told["message"]
    assert len(web.all) == len(post.all) == 4
    assert TOKEN not in log.read_text()


def unbegun_at_once(api: httpx.Client) -> None:
    """The automation for runs that no worker takes, with the least patience that Prefect allows."""
    from flows.server.automations import UNBEGUN

    [there] = [one for one in asked(api, "/automations/filter") if one["name"] == UNBEGUN]
    changed = there | {"trigger": there["trigger"] | {"within": 10}}
    wanted = {key: changed[key] for key in ("name", "description", "enabled", "trigger", "actions")}
    api.put(f"/automations/{there['id']}", json=wanted).raise_for_status()
