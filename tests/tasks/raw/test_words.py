"""An id is found in a raw line however it is written, and no line is too wild to be looked at."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.raw.forgotten import NOBODY_SAID, Forgotten, One, digest
from tasks.raw.words import plain

IDS = ["u042", "zoë", "auth0|5f7c0003", "a/b", "x=1", "Ann O'Neil", "ann,b", "u#1", "a:b;c", 'the "one"',
       "DOMAIN\\ann", "aGVs/bG8=", "anna@x.de", "50%", "😀", "ann 😀", "(ann)", "9f1c-77 [2]", " ann",
       "/".join("abcdefghij")]  # fmt: skip
WILD = st.text(st.characters(), max_size=60)
TWISTED = st.lists(
    st.sampled_from(
        [
            "\\",
            '"',
            "\\u",
            "\\ud83d",
            "\\ude00",
            "\\u00e",
            "'",
            "|",
            ",",
            "\n",
            "\0",
            "ann",
            " ",
            "\ud83d",
            "{",
        ]
    ),
    max_size=30,
).map("".join)


def without(user: str) -> Forgotten:
    return Forgotten((One(digest("salt", user), "salt", 1, datetime(2026, 1, 1)),))


def as_csv(user: str, delimiter: str, quoting: int) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting).writerow([user, "i1", "", "2026-01-01 10:00"])
    return out.getvalue()


def as_parquet(user: str) -> str:
    query = "select cast({'user': $user, 'item': null, 'timestamp': '2026'} as varchar)"
    with duckdb.connect() as con:
        [(said,)] = con.execute(query, {"user": user}).fetchall()
    return str(said)


def writings(user: str) -> list[str]:
    """The id in refused lines as each format has it."""
    asked = {"item_id": None, "user_id": user, "x": 1}
    lines = [
        json.dumps(asked),
        json.dumps(asked, ensure_ascii=False),
        json.dumps({**asked, "friends": [user]}),
    ]
    lines += [json.dumps(asked).replace("/", "\\/"), json.dumps(asked)[:-4], as_parquet(user)]
    return lines + [
        as_csv(user, mark, quoting) for mark in ",;\t|" for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    ]


@pytest.mark.parametrize("user", IDS)
def test_an_id_is_found_however_a_format_writes_it(user: str) -> None:
    for line in writings(user):
        assert without(user).redacted(line) == NOBODY_SAID, line


@pytest.mark.parametrize("user", IDS)
def test_lines_of_others_stay_as_they_are(user: str) -> None:
    for line in writings("bob-7"):
        assert without(user).redacted(line) == line


@given(
    user=st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
    around=st.text(st.sampled_from("{}[],:|; \nx😀"), max_size=20),
)
@settings(max_examples=80, deadline=None)
def test_any_id_in_quotes_of_json_is_found_in_any_ruin_of_a_line(user: str, around: str) -> None:
    for quoted in (json.dumps(user), json.dumps(user, ensure_ascii=False)):
        assert without(user).redacted(f"{around}{quoted}{around}") == NOBODY_SAID


@given(text=WILD | TWISTED, user=WILD | TWISTED)
@settings(max_examples=150, deadline=None)
def test_no_line_is_too_wild_and_what_was_redacted_stays_so(text: str, user: str) -> None:
    who = without(user)
    said = who.redacted(text)
    assert said in (text, NOBODY_SAID)
    assert who.redacted(said) == said


def test_an_escaped_emoji_is_one_character_and_half_of_one_stays_half() -> None:
    assert plain(r'"thanks \ud83d\ude00"') == '"thanks 😀"'
    assert plain(r"cut \ud83d") == "cut \ud83d"
    assert plain(r"cut \ud83d\u") == "cut \ud83du"
