"""What may be shown of addresses and of what came in their place, and whether there is a secret in it.

Settings are logged with every run and stand in messages, so an address in them has no password and no token:
secrets come from the environment. What is refused is not repeated.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

CREDENTIAL = re.compile(
    r"password|passwd|passphrase|secret|token|credential|(pass|passcode|pwd|pw|key|auth|authorization"
    r"|signature|sig|jwt|bearer)$"
)
Location = tuple[int | str, ...]  # keys of the sections down to a setting
HARMLESS = ("passfile", "sslkey")  # PostgreSQL's: names of files


def secret_in(address: str) -> str | None:
    """What kind of secret the address holds, in words that do not tell it; None when it holds none."""
    scheme, _, rest = address.partition("://")
    where, mark, asked = _split(rest)
    if scheme.startswith("sqlite"):
        where = ""  # a path: it has no users
    if ":" in where.rpartition("@")[0] or _has_odd_port(where):
        return "a password"
    names = (unquote(unquote(part)) for part in re.split(r"[?&;#]", mark + asked))
    found = [name for part in names for name in re.findall(r"([\w.-]+)\s*=", part) if _is_credential(name)]
    return f"a credential (its parameter {found[0]!r})" if found else None


def shown(address: str) -> str:
    """The address without user, password, query and fragment."""
    scheme, mark, rest = address.partition("://")
    where, _, _ = _split(rest)
    user, at, host = where.rpartition("@")
    if scheme.startswith("sqlite"):
        return f"{scheme}{mark}{where}"
    return f"{scheme}{mark}{'***@' if user or at else ''}{host}"


def without_users(text: str) -> str:
    """The text with *** for what could be a user and a password before a host."""
    return re.sub(r"[^\s'\"]*:[^\s'\"]*@", "***@", text)


def _split(rest: str) -> tuple[str, str, str]:
    """(where, the sign that begins the rest, what is asked there)."""
    found = re.search(r"[?;#]", rest)
    at = found.start() if found else len(rest)
    return rest[:at], rest[at : at + 1], rest[at + 1 :]


def _has_odd_port(where: str) -> bool:
    """What stands where a port should, and is none, may be a password with a sign in it."""
    host = re.sub(r"\[.*\]", "", where.partition("/")[0])  # IPv6 has colons of its own
    return re.search(r":(?!\d*(,|$))", host) is not None


def _is_credential(name: str) -> bool:
    return name.lower() not in HARMLESS and CREDENTIAL.search(name.lower()) is not None


def came(location: Location, value: object, guess: str = "") -> str:
    """What came, unless it may be a secret."""
    if _may_be_secret(location, value):
        return "what came is not shown, as it may hold a secret"
    return f"got {value!r}{guess}"


def _may_be_secret(location: Location, value: object) -> bool:
    return (
        location[:1] == ("alerts",)
        or location in (("registry",), ("registry", "tracking_uri"))
        or "://" in repr(value)
    )
