"""The parts of a file's lines add up, or the night stops by the file's name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.errors import SourceError
from tasks.raw import accounting
from tasks.raw.accounting import Account
from tasks.store import sql

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def test_repetitions_are_what_was_accepted_and_not_written() -> None:
    found = {"accepted": 7, "rejected": 2, "outside": 1}
    assert accounting.close(10, found, written=4) == Account(
        lines=10, accepted=4, duplicates=3, rejected=2, outside=1
    )


def test_the_sum_of_files_adds_every_part() -> None:
    files = [Account(lines=3, accepted=2, too_late=1), Account(lines=4, accepted=1, forgotten=3)]
    assert accounting.total(files) == Account(lines=7, accepted=3, too_late=1, forgotten=3)


@pytest.mark.parametrize(
    "wrong", [Account(lines=3, accepted=2), Account(lines=1, accepted=2, duplicates=-1)], ids=["lost", "more"]
)
def test_a_file_whose_parts_do_not_add_up_is_named(wrong: Account) -> None:
    with pytest.raises(SourceError, match=r"^logs/b: expected \d lines in all parts; got"):
        accounting.check({"logs/a": Account(lines=1, outside=1), "logs/b": wrong})


def test_rare_parts_are_told_where_there_are_any() -> None:
    assert accounting.told(Account(lines=2, accepted=1, left_out=1)) == {
        "lines": 2, "accepted": 1, "rejected": 0, "duplicates": 0, "outside": 0, "left_out": 1,
    }  # fmt: skip


def test_every_part_is_documented_and_every_part_of_the_query_is_one() -> None:
    section = PAGE.partition("\n## Every line\n")[2].partition("\n## ")[0]
    table = section.partition("\n\n|")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)) == accounting.PARTS
    sorted_into = set(re.findall(r"(?:then|else) '(\w+)'", sql.load("sorted_lines")))
    assert sorted_into - {"kept"} < set(accounting.PARTS)  # what is kept was of a part when it was taken
