"""Tables in an object store: who asks, how long for, and what is said when it does not answer or says no.

As for logs (`raw/remote.py`), the environment says where the store is and who asks: AWS_ENDPOINT_URL, a
region, keys or a profile. Nothing of it is a setting, as settings are kept with every night. Two libraries
ask: pyarrow for files, delta-rs for logs. Only the second can put an object that takes no other's place,
which is what a commit is.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

from pyarrow import fs

from tasks.errors import ConfigurationError, PipelineError, StoreError
from tasks.store.durable import COLOURS

SCHEME = "s3://"
TRIES = 5  # of one request, with growing pauses between them
CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
OF_A_STORE = re.compile(  # what it says itself, and no damaged file
    r"AWS Error|Generic S3 error|object store|operation lacked the necessary privileges"
)
LONGEST_SAID = 600
CURES = (  # what is said → what to look at
    ("INVALID_ACCESS_KEY|InvalidAccessKeyId|SIGNATURE_DOES_NOT_MATCH|SignatureDoesNotMatch", "the keys"),
    ("ACCESS_DENIED|AccessDenied|necessary privileges|status 403|HTTP code 403", "the keys and their rights"),
    ("NO_SUCH_BUCKET|NoSuchBucket|Bucket .* not found|HTTP code 404", "warehouse.root: is there the bucket?"),
    ("NotImplemented|status 501", "whether it knows If-None-Match: *, which a commit asks for"),
    (
        "NETWORK_CONNECTION|error sending request|tcp connect|timed out|dns",
        "AWS_ENDPOINT_URL and the network",
    ),
)


@cache
def files(address: str, endpoint: str) -> fs.FileSystem:
    """What sees the address as its root; made without asking the store. Raises ConfigurationError."""
    _check_plain(endpoint)
    seen = fs.S3FileSystem(
        endpoint_override=endpoint or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=ANSWER_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
        allow_delayed_open=True,  # small files are put with one request
    )
    return fs.SubTreeFileSystem(address.removeprefix(SCHEME), seen)


def options(endpoint: str) -> dict[str, str]:
    """What delta-rs is told beside the environment, which it reads itself."""
    asked = {
        "connect_timeout": f"{CONNECT_SECONDS}s",
        "timeout": f"{ANSWER_SECONDS}s",
        "max_retries": str(TRIES),
        "retry_timeout": f"{ANSWER_SECONDS}s",
        "aws_conditional_put": "etag",
    }
    if endpoint:
        asked["aws_endpoint_url"] = endpoint
    if endpoint.startswith("http://"):
        asked["aws_allow_http"] = "true"
    return asked


def endpoint() -> str:
    """Where the environment says that the store is; empty for AWS itself."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


@contextmanager
def asked(address: object) -> Iterator[None]:
    """What a store says that does not answer, or says no, as a StoreError that says what to look at."""
    try:
        yield
    except (PipelineError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:
        if not OF_A_STORE.search(str(error)):
            raise
        raise _refused(address, error) from error


def no_bucket(address: str, bucket: str) -> StoreError:
    """The error of a root whose bucket is not there."""
    return StoreError(
        f"{address}: expected a bucket that is there; got none named {bucket}; look at warehouse.root and "
        "AWS_ENDPOINT_URL: is it there under this name, in this store?"
    )


def _refused(address: object, error: BaseException) -> StoreError:
    """The error, in one line."""
    said = " ".join(COLOURS.sub("", str(error)).replace("↳", "").split())[:LONGEST_SAID]
    cures = [cure for pattern, cure in CURES if re.search(pattern, said)]
    look = cures[0] if cures else "AWS_ENDPOINT_URL, AWS_DEFAULT_REGION and keys, warehouse.root"
    look += "" if endpoint() else " (AWS_ENDPOINT_URL is not set: Amazon was asked)"
    return StoreError(
        f"{address}: expected an object store that answers and can be written; {said}; look at {look}; "
        "what was published stays as it is; then run it again"
    )


def _check_plain(endpoint: str) -> None:
    """Bytes and names go unencrypted only to this very machine, or where somebody says so."""
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"AWS_ENDPOINT_URL: expected an address that begins with https:// or http://; got {endpoint}"
        )
    if not endpoint.startswith("http://") or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true":
        return
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost" or (
        re.fullmatch(r"[\d.]+|.*:.*", host) and ipaddress.ip_address(host).is_loopback
    ):
        return
    raise ConfigurationError(
        f"AWS_ENDPOINT_URL: expected https:// for a store on another machine; got http://{host}; set "
        "AWS_ALLOW_HTTP=true if whoever is in between may read the tables"
    )
