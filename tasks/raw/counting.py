"""What a shop counts: lines of some types, and lines of which a condition holds. All others are left out.

The condition, `events.where`, is SQL over the source's own columns. What stands in it is looked at as a tree,
and only what computes a value of one line is let through: no query inside, no table, no function that looks
outside or says another thing each time. What remains is written anew from that tree, so that nothing else of
the text is ever run.

    a field of CSV, a key of NDJSON, a text of Parquet   is text, and a number where it is compared or
                                                         calculated with one; null where it is none
    any other column of Parquet                          is what it is
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from tasks.errors import ConfigurationError, SourceError
from tasks.raw import queried, sources
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.store import duck

Node = dict[str, Any]

MOST = 10
EVERY_LINE = "{'passes': true}"
VALUES = (  # classes of expressions that compute a value of one line
    *("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST"),
    *("FUNCTION", "TYPE", "COLLATE"),
)
NUMBERS = ("INTEGER", "DECIMAL", "DOUBLE", "FLOAT", "NUMERIC")
OF_NUMBERS = (
    *("+", "-", "*", "/", "//", "%", "**", "^", "abs", "round", "floor", "ceil", "ceiling", "trunc", "sqrt"),
    *("ln", "log", "log2", "log10", "exp", "pow", "power", "sign", "mod"),
)
MEMBERS = ("COMPARE_IN", "COMPARE_NOT_IN")
MACROS = ("if", "nullif", "split_part")  # the rest of those that DuckDB brings look into its catalogue


@dataclass(frozen=True)
class Condition:
    """A condition that may be run: the columns it names, with dots, and its tree with a place for each.

    as_numbers   which of these places stand beside a number
    """

    columns: tuple[str, ...]
    tree: str
    as_numbers: tuple[int, ...]

    def sql(self, texts: Iterable[str]) -> str:
        """The condition over columns c0, c1 ...; those of `texts` are numbers where these are meant."""
        return _sql(self, frozenset(texts))


def condition(cfg: Config) -> Condition:
    """events.where, looked at. Raises ConfigurationError where it is none, or more than one."""
    return _condition(cfg.events.where)


def check(cfg: Config, found: Sequence[Source]) -> None:
    """Raises ConfigurationError for a condition that cannot be run, SourceError for unknown columns."""
    asked = condition(cfg)
    keyed = [source for source in found if source.format == "ndjson" and asked.columns]
    for source in found:
        check_source(cfg, source)
    keys = {key for source in keyed for key in sources.keys_seen(source)}
    for name in asked.columns if keys else ():
        if all(sources.lacks(source, name, keys) for source in keyed):
            raise sources.unknown(keyed[0].name, name, "where", sorted(keys))
    if keys:
        _bind(keyed[0], asked)


def check_source(cfg: Config, source: Source) -> None:
    """What `check` asks of one file; of NDJSON, of which others may have the keys, that it can be read."""
    asked = condition(cfg)
    if not asked.columns:
        return
    if source.format == "ndjson":
        sources.keys_seen(source)
    elif known := sources.names(source):
        _check_names(source.told, asked, known)
        _bind(source, asked)


def check_keys(cfg: Config, source: Source) -> None:
    """Raises SourceError for NDJSON without the keys of the condition, asked where no line of it counts: a
    key may be a rare one, so a file in which lines count may lack it."""
    keys = sources.keys_seen(source)
    for name in condition(cfg).columns:
        if sources.lacks(source, name, keys):
            raise sources.unknown(source.name, name, "where", keys)


def types(cfg: Config) -> pa.Table:
    """(event_type, weight) of the types that count."""
    names, weights = list(cfg.events.types), list(cfg.events.types.values())
    return pa.table({"event_type": pa.array(names, pa.string()), "weight": pa.array(weights, pa.float64())})


def most(found: Iterable[Counter[str]]) -> dict[str, int]:
    """Why lines are left out → how many: the most frequent, and the others together."""
    every: Counter[str] = sum(found, Counter())
    first = sorted(every.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(lines for _, lines in first[MOST:])
    return dict(first[:MOST]) | ({f"{len(first) - MOST:,} others": rest} if rest else {})


def told(found: Iterable[Counter[str]]) -> str:
    """The same in words; empty where every line counts."""
    causes = [f"{lines:,} by {cause}" for cause, lines in most(found).items()]
    return f" (left out: {', '.join(causes)})" if causes else ""


def judge(con: duck.Connection, cfg: Config, source: Source) -> None:
    """Put the lines of `parsed` before DuckDB as `counted`: each with what the condition says of it.

    `verdict` is null where the condition cannot be worked out, else {passes}.
    """
    asked = condition(cfg)
    con.register("counted_types", types(cfg))
    if not asked.columns and not asked.tree:
        duck.extend(con, "counted", "parsed", {}, {"verdict": EVERY_LINE})
        return
    kinds = _kinds(source, asked)
    texts = [name for name, kind in kinds.items() if pa.types.is_string(kind)]
    told = {"verdict": f"try({{'passes': {asked.sql(texts)}}})"}
    duck.extend(con, "counted", "parsed", _references_to(source, asked), told)


def _references_to(source: Source, asked: Condition) -> dict[str, str]:
    form = "fields[{0} + 1]" if source.format == "ndjson" else "fields.c{0}"
    return {f"c{place}": form.format(place) for place in range(len(asked.columns))}


def _kinds(source: Source, asked: Condition) -> dict[str, pa.DataType]:
    if not source.is_columnar:
        return {f"c{place}": pa.string() for place in range(len(asked.columns))}
    schema = sources.schema(source)
    return {f"c{place}": schema.field(name).type for place, name in enumerate(asked.columns)}


def _check_names(where: str, asked: Condition, known: Sequence[str]) -> None:
    for name in asked.columns:
        if name not in known:
            raise sources.unknown(where, name, "where", known)


def _bind(source: Source, asked: Condition) -> None:
    """Would it run on a line of this source, and say yes or no?"""
    if not asked.tree:
        return
    kinds = _kinds(source, asked)
    texts = [name for name, kind in kinds.items() if pa.types.is_string(kind)]
    with duck.reader() as con:
        con.register("lines", pa.schema(list(kinds.items())).empty_table())
        problem = duck.problem(con, "lines", asked.sql(texts))
    if problem:
        raise SourceError(f"{source.name}: events.where: expected a condition on its lines; {problem}")


@cache
def _condition(text: str) -> Condition:
    if not text.strip():
        return Condition((), "", ())
    with duck.reader() as con:
        found = queried.parsed(con, f"select 1 where ({text}\n)")
        allowed = _functions(con)
    if found is None:
        raise _refused(text, queried.TOO_DEEP)
    if found["error"]:
        raise _refused(text, f"it cannot be read: {found['error_message']}")
    statements = found["statements"]
    root = statements[0]["node"].get("where_clause") if len(statements) == 1 else None
    if root is None:
        raise _refused(text, "it is no single condition")
    for node in _nodes(root):
        if node["class"] not in VALUES:
            raise _refused(
                text, f"{node['class'].lower().replace('_', ' ')} is nothing that one line can tell"
            )
        fickle = queried.asks_the_clock(node)
        if fickle or (node["class"] == "FUNCTION" and node["function_name"].lower() not in allowed):
            raise _refused(
                text,
                f"{node['function_name']} is no function of a line's values that says the same each time",
            )
    references = list(_references(root))
    if not references:
        raise _refused(text, "it names no column")
    columns = tuple(dict.fromkeys(".".join(node["column_names"]) for node in references))
    numbers = {id(node) for node in _numbers(root)}
    places = tuple(place for place, node in enumerate(references) if id(node) in numbers)
    return Condition(columns, json.dumps(root), places)


def _refused(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"events.where: expected one condition on a line's own columns, as in quantity > 0; {why}; "
        f"got {text[:200]!r}"
    )


def _functions(con: duck.Connection) -> frozenset[str]:
    return frozenset({name for (name,) in duck.query(con, "line_functions").fetchall()} | set(MACROS))


def _nodes(value: Any) -> Iterator[Node]:
    """Every expression in a tree, those around before those inside."""
    return (node for node in queried.nodes(value) if "class" in node)


def _references(root: Node) -> Iterator[Node]:
    return (node for node in list(_nodes(root)) if node["class"] == "COLUMN_REF")


def _numbers(root: Node) -> Iterator[Node]:
    """Columns that are compared or calculated with a number."""
    for node in _nodes(root):
        beside = _beside(node)
        if node["class"] == "FUNCTION" or any(map(_is_number, beside)):
            yield from (one for one in beside if one["class"] == "COLUMN_REF")


def _beside(node: Node) -> list[Node]:
    """Expressions that have to be of one kind."""
    if node["class"] == "COMPARISON":
        return [node["left"], node["right"]]
    if node["class"] == "BETWEEN":
        return [node["input"], node["lower"], node["upper"]]
    if node["type"] in MEMBERS:
        return list(node["children"])
    if node["class"] == "FUNCTION" and node["function_name"].lower() in OF_NUMBERS:
        return [one["expression"] for one in node["arguments"]]
    return []


def _is_number(node: Node) -> bool:
    if node["class"] == "CONSTANT":
        return node.get("literal", {}).get("kind") in NUMBERS
    return node["class"] == "FUNCTION" and node["function_name"].lower() in OF_NUMBERS


@cache
def _sql(asked: Condition, texts: frozenset[str]) -> str:
    root = json.loads(asked.tree)
    for place, node in enumerate(_references(root)):
        name = f"c{asked.columns.index('.'.join(node['column_names']))}"
        node["column_names"] = [name]
        if name in texts and place in asked.as_numbers:
            inside = dict(node)
            node.clear()
            node.update(_as_number(inside))
    return _written(root)


@cache
def _template() -> Mapping[str, Any]:
    with duck.reader() as con:
        [(told,)] = con.execute(
            "select json_serialize_sql('select 1 where try_cast(x as double)')"
        ).fetchall()
    found: Mapping[str, Any] = json.loads(told)
    return found


def _as_number(node: Node) -> Node:
    cast: Node = deepcopy(_template()["statements"][0]["node"]["where_clause"])
    return cast | {"child": node}


def _written(root: Node) -> str:
    whole = deepcopy(dict(_template()))
    whole["statements"][0]["node"]["where_clause"] = root
    with duck.reader() as con:
        [(text,)] = con.execute("select json_deserialize_sql($t::json)", {"t": json.dumps(whole)}).fetchall()
    return f"({str(text).partition(' WHERE ')[2]})"
