"""Names of columns as keys of JSON objects: a name with dots is that very key, else leads through objects.

`user.id` is the key "user.id" where a line has one, else the key "id" of the object under "user".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pointers:
    """Where values stand in a line, as JSON pointers.

    values    of each name as the very key; behind them, where any name has dots, of each through objects
    objects   every object on the way, the line's own first
    names     keys of these that are looked at, of which none may stand twice in one object
    """

    values: list[str]
    objects: list[str]
    names: list[str]


def pointers(columns: Sequence[str]) -> Pointers:
    """Where these columns stand; a column "" is nowhere."""
    ways = [column.split(".") for column in columns]
    deep = any(len(way) > 1 for way in ways)
    values = [_pointer([column]) for column in columns] + [_pointer(way) for way in ways if deep]
    objects = {_pointer(way[:depth]): None for way in ways for depth in range(len(way))}
    names = {name: None for column, way in zip(columns, ways, strict=True) for name in (column, *way) if name}
    return Pointers(values, list(objects), list(names))


def seen(lines: Iterable[bytes]) -> list[str]:
    """The keys of all objects among these lines, those of objects inside with dots."""
    return sorted({key for line in lines for key in _keys(_parsed(line))})


def _pointer(way: Sequence[str]) -> str:
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in way)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _keys(value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        return
    for key, inside in value.items():
        yield key
        yield from (f"{key}.{name}" for name in _keys(inside))
