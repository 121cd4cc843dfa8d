"""`rnnrec forget`: who is asked for, and what is said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands import data
from flows.terminal.forgetting import lines
from tasks.errors import ConfigurationError, WarehouseError
from tasks.publishing import forgetting
from tasks.publishing.forgetting import Forgot


def test_ids_of_a_file_are_taken_by_the_line_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("u1\n\nzoë smith\nu1\n", encoding="utf-8")
    assert data._asked(["u0", "u1"], tmp_path / "ids.txt") == ["u0", "u1", "zoë smith"]


def test_a_file_with_a_byte_order_mark_and_line_ends_of_windows_names_the_same(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes("\ufeffu1\r\nzoë\u2028smith\r\n".encode())
    assert data._asked([], tmp_path / "ids.txt") == ["u1", "zoë\u2028smith"]


@pytest.mark.parametrize(("users", "text"), [([" "], None), ([], ""), ([], "\n\n")])
def test_nobody_is_no_user(tmp_path: Path, users: list[str], text: str | None) -> None:
    file = tmp_path / "ids.txt"
    file.write_text(text or "")
    with pytest.raises(ConfigurationError, match="expected"):
        data._asked(users, None if text is None else file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--file: .*gone\.txt"):
        data._asked([], tmp_path / "gone.txt")


def test_a_folder_without_tables_is_no_warehouse_and_is_not_made_one(tmp_path: Path) -> None:
    (tmp_path / "rnnrec.toml").write_text("")
    given = ["forget", "--user", "u1", "--config", str(tmp_path / "rnnrec.toml")]
    with pytest.raises(WarehouseError, match="it has no tables"):
        CliRunner().invoke(app, given, catch_exceptions=False)
    assert not (tmp_path / "warehouse").exists()


def test_it_says_what_went_and_what_is_held_until_when() -> None:
    done = Forgot(
        2, {"events": 1_200, "rejects": 3}, 4, 5, (6, 7_000), datetime(2026, 1, 3, 4), ("2026-01-02",)
    )
    assert list(lines(done, now=False, dry_run=False)) == [
        "2 user(s) forgotten. Lines of theirs in logs that come are not taken any more.",
        "events: 1,200 row(s) removed",
        "rejects: 3 line(s) of logs without a word now",
        "publications: 4 pin files without them",
        "5 file(s) and folder(s) deleted",
        "2026-01-02: under way, and ends without publishing: run it again",
        "6 file(s) with their rows, 7,000 bytes, are still on the disk for whoever reads them, until "
        "2026-01-03 04:00 UTC: the first night after it deletes them, or `rnnrec forget --now` at once.",
        "What else names them is not ours: the raw logs, copies, backups, logs of a Prefect server.",
    ]


def test_what_it_says_breaks_at_blanks_in_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rnnrec.toml").write_text("")
    (tmp_path / "warehouse/tables/events").mkdir(parents=True)
    done = Forgot(1, held=(6, 7_000), until=datetime(2026, 1, 3, 4), unknown=("nobody",))
    monkeypatch.setattr(forgetting, "forget", lambda *_, **__: done)
    given = ["forget", "--user", "nobody", "--config", str(tmp_path / "rnnrec.toml")]
    said = CliRunner().invoke(app, given, catch_exceptions=False).stdout
    assert max(map(len, said.splitlines())) <= 80
    assert said.split() == " ".join(lines(done, now=False, dry_run=False)).split()


def test_an_id_of_which_there_is_no_row_is_named_and_who_was_asked_for_before_is_counted_apart() -> None:
    users = tuple(f"no\x1bbody{n}" for n in range(7))
    said = list(lines(Forgot(9, before=2, unknown=users), now=False, dry_run=False))
    assert said[0].startswith("9 user(s), 2 of them asked for before, forgotten.")
    assert "\x1b" not in said[1]
    assert "and 2 more: was that the id?" in said[1]
    dry = list(lines(Forgot(1, unknown=("nobody",)), now=False, dry_run=True))
    assert dry[0].startswith("1 user(s) would be forgotten.")
    assert "was of 'nobody': was that the id? Lines of that id would be refused" in dry[1]


def test_with_nothing_to_do_it_says_so() -> None:
    [said] = lines(Forgot(0), now=True, dry_run=False)
    assert said.startswith("Nobody was asked for")
