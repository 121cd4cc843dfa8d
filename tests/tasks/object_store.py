"""An object store on loopback, moto's, in a process of its own: it can be killed, and told what to go wrong.

    python object_store.py          says its port, and serves until it is killed

delta-rs keeps all threads of a process waiting for some answers, so a server in a thread would never give
any. One write at a time, as moto looks at a name and takes it in two steps. Keys that begin with `stranger`
are nobody's. `/-/count` tells how many requests came, `/-/lose` has the next entry of a log taken, and not
answered, `/-/deny` has the next that may take no other's place refused as if it did. Of a
server's words, `careless` lets any object take another's place, `unable` says of what may not that it is not
implemented.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from tasks.settings.config import Config

BUCKET = "shop"
NOBODY = b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"

UNABLE = b"<Error><Code>NotImplemented</Code><Message>If-None-Match</Message></Error>"


@dataclass
class Served:
    """The server: at this port of this machine, with the bucket `shop`."""

    process: subprocess.Popen[str]
    port: int
    made: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def files(self) -> fs.FileSystem:
        """What sees all buckets."""
        return fs.S3FileSystem(
            endpoint_override=self.endpoint, allow_bucket_creation=True, access_key="a", secret_key="b",
            region="us-east-1",
        )  # fmt: skip

    def ask(self, what: str) -> int:
        with urllib.request.urlopen(f"{self.endpoint}/-/{what}", timeout=30) as answer:
            return int(answer.read() or 0)

    def root(self) -> str:
        """A place of its own in the bucket."""
        self.made += 1
        return f"s3://{BUCKET}/w{self.made}"

    def config(self, base: Path, root: str = "") -> Config:
        """A configuration whose tables lie in the bucket."""
        return Config(base=base, warehouse={"threads": 1, "memory_gb": 1.0, "root": root or self.root()})

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def served(*words: str) -> Iterator[Served]:
    """A server, and an environment that leads to it."""
    process = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as out, pytest.MonkeyPatch.context() as patched:
        found = Served(process, int(out.readline()))
        for name in [one for one in os.environ if one.startswith("AWS_")]:
            patched.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": found.endpoint,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patched.setenv(name, value)
        found.files.create_dir(BUCKET)
        try:
            yield found
        finally:
            found.end()


def serve() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            return

    app = DomainDispatcherApplication(create_backend_app)
    one_writer, told = threading.Lock(), {"count": 0, "lose": 0, "deny": 0}
    is_careless, is_unable = (word in sys.argv for word in ("careless", "unable"))

    def answer(env: Any, start: Any) -> Any:
        path, told["count"] = env["PATH_INFO"], told["count"] + 1
        if path.startswith("/-/"):
            told["lose"] += path == "/-/lose"
            told["deny"] += path == "/-/deny"
            start("200 OK", [])
            return [str(told["count"]).encode()]
        if "Credential=stranger" in env.get("HTTP_AUTHORIZATION", ""):
            env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
            start(
                "403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(NOBODY)))]
            )
            return [NOBODY]
        if env["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(env, start)
        with one_writer:
            if told["lose"] and env["REQUEST_METHOD"] == "PUT" and "_delta_log" in path:
                told["lose"] -= 1
                list(app(env, lambda *_: lambda _: None))
                start("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
            if told["deny"] and "HTTP_IF_NONE_MATCH" in env:
                told["deny"] -= 1
                env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
                start("412 Precondition Failed", [("Content-Length", "0")])
                return [b""]
            if is_unable and "HTTP_IF_NONE_MATCH" in env:
                env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
                start("501 Not Implemented", [("Content-Length", str(len(UNABLE)))])
                return [UNABLE]
            if is_careless:
                env.pop("HTTP_IF_NONE_MATCH", None)
            return app(env, start)

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve()
