"""Texts that may be an id in a raw line, of whatever format and however broken.

A line that was refused may be no JSON, have fields too many, or be cut. So no parser is asked: a word is what
stands between characters that part fields in any of the formats, a few such words in a row may be one id
(`auth0|5f7c`, `a/b`, `Ann O'Neil`), and quoted texts and fields are taken whole. Escapes are looked through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain, compress

SPAN = 12  # parts, words and what stands between them, that one id may be of where no quotes hold it
PART = re.compile(r"""[^\s",;:{}\[\]()<>=&|'\\/?#]+|.""", re.DOTALL)
QUOTED = re.compile(r""" "((?:[^"\\]|\\.|"")*)" | '((?:[^'\\]|\\.)*)' """, re.DOTALL | re.VERBOSE)
ROW = re.compile(r"\{'user': (.*?), 'item': ", re.DOTALL)  # a row of Parquet, as parsed_parquet.sql says it
ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.", re.DOTALL)
EDGES = frozenset('",;{}')  # with which no id begins or ends where no quotes hold it
DELIMITERS = (",", ";", "\t", "|")


def words(text: str) -> set[str]:
    """Every text in it that may be an id; a lone half of a surrogate pair stays one. Raises nothing."""
    found: set[str] = set()
    for said in {text, plain(text)}:
        found.update(_spans(said))
        found.update(field.strip('"') for mark in DELIMITERS for field in said.strip("\r\n").split(mark))
    for quoted in filter(None, chain(ROW.findall(text), *QUOTED.findall(text))):
        found |= {quoted, plain(quoted), quoted.replace('""', '"')}
    return found | {one.strip() for one in found}


def plain(text: str) -> str:
    r"""The text with its escapes looked through: \u00eb, \/ and \" of JSON, a \' of DuckDB."""
    return ESCAPES.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    try:
        return str(json.loads(f'"{found[0]}"', strict=False))
    except ValueError:
        return found[0][1:]


def _spans(text: str) -> Iterator[str]:
    parts = PART.findall(text)
    inner = [part not in EDGES and not part.isspace() for part in parts]
    for start in compress(range(len(parts)), inner):
        for end in range(start + 1, min(start + SPAN, len(parts)) + 1):
            if inner[end - 1]:
                yield "".join(parts[start:end])
