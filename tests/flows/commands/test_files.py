"""`rnnrec files`: what became of the lines of each raw file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.terminal import books as told
from tasks.errors import EmptyNightError
from tasks.raw import books, forgotten, ingestion, manifest
from tasks.raw.accounting import Account
from tasks.raw.books import Books
from tasks.settings.config import Config, load_config
from tasks.store.store import Store

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
SETTINGS = "[warehouse]\nthreads = 1\nmemory_gb = 1.0\n[events]\nmax_reject_share = 1.0\n"


def log(cfg: Config, name: str, *lines: tuple[str, str, date] | str) -> None:
    path = cfg.base / "logs" / f"{name}.ndjson"
    path.parent.mkdir(exist_ok=True)
    every = (
        one
        if isinstance(one, str)
        else json.dumps({"user_id": one[0], "item_id": one[1], "timestamp": f"{one[2]}T10:00:00Z"})
        for one in lines
    )
    path.write_text("".join(f"{line}\n" for line in every))


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    """Two nights: Monday's has a line that is refused and one that comes twice."""
    (tmp_path / "rnnrec.toml").write_text(SETTINGS)
    cfg = load_config(tmp_path / "rnnrec.toml")
    log(cfg, "monday", ("ann", "i", MONDAY), ("zoe", "i", MONDAY), ("ann", "i", MONDAY), "{broken")
    ingestion.ingest(cfg, Store.of(cfg), MONDAY, "run1", 1)
    log(cfg, "tuesday", ("ann", "i", TUESDAY), ("zoe", "j", TUESDAY))
    ingestion.ingest(cfg, Store.of(cfg), TUESDAY, "run2", 2)
    return cfg


def said(cfg: Config, *words: str) -> str:
    given = ["files", "--config", str(cfg.base / "rnnrec.toml"), *words]
    return CliRunner().invoke(app, given, catch_exceptions=False).stdout


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip(" ─")]


def test_each_file_has_a_row_and_all_of_them_one(cfg: Config) -> None:
    text = said(cfg)
    assert rows(text)[:4] == [
        ["raw", "file", "lines", "accepted", "rejected", "duplicates", "outside"],
        ["logs/monday.ndjson", "4", "2", "1", "1", "0"],
        ["logs/tuesday.ndjson", "2", "2", "0", "0", "0"],
        ["all", "2", "file(s)", "6", "4", "1", "1", "0"],
    ]
    assert " ".join(text.split()).endswith(
        "The sums agree: of each file, lines = accepted + rejected + duplicates + outside; no line is "
        "left_out or too_late or forgotten."
    )
    assert max(map(len, text.splitlines())) <= 80


def test_of_one_night_there_are_the_files_that_it_was_the_last_to_read(cfg: Config) -> None:
    assert [row[0] for row in rows(said(cfg, "--night", "2026-01-06"))[:3]] == [
        "raw",
        "logs/tuesday.ndjson",
        "all",
    ]
    with pytest.raises(EmptyNightError, match="there are nights from 2026-01-05 to 2026-01-06"):
        said(cfg, "--night", "2026-01-07")


def test_a_warehouse_without_nights_has_no_books(tmp_path: Path) -> None:
    (tmp_path / "rnnrec.toml").write_text(SETTINGS)
    with pytest.raises(EmptyNightError, match="there is none yet; run a night"):
        said(load_config(tmp_path / "rnnrec.toml"))


def test_a_program_gets_all_of_it(cfg: Config) -> None:
    found = json.loads(said(cfg, "--json"))
    assert found["adds_up"] is True
    assert found["total"] == {
        "lines": 6, "accepted": 4, "rejected": 1, "duplicates": 1, "outside": 0, "left_out": 0, "too_late": 0,
        "forgotten": 0,
    }  # fmt: skip
    first = found["files"][0]
    assert (first["file"], first["night"], first["lines"], first["adds_up"]) == (
        "logs/monday.ndjson",
        "2026-01-05",
        4,
        True,
    )
    assert first["days"]["2026-01-05"]["accepted"] == 2


def test_after_an_erasure_it_says_which_files_count_forgotten_lines_as_before(cfg: Config) -> None:
    store = Store.of(cfg)
    forgotten.add(store, ["zoe"], "erasure")
    assert "2 of these file(s) were read before users were forgotten" in " ".join(said(cfg).split())
    log(cfg, "monday", ("ann", "i", MONDAY), ("zoe", "i", MONDAY), ("ann", "k", MONDAY))
    ingestion.ingest(cfg, store, TUESDAY, "run9", 9)
    found = json.loads(said(cfg, "--json"))
    assert [(one["forgotten"], one["read_before_an_erasure"]) for one in found["files"]] == [
        (1, False),
        (0, True),
    ]
    assert "1 of these file(s) were read before" in " ".join(said(cfg).split())


def known(cfg: Config, accounts: Sequence[Account]) -> Books:
    one = manifest.read(Store.of(cfg))["logs/monday.ndjson"]
    name = "logs/shop/europe/a-rather-long-folder/2026-01-05-{}.ndjson.zst"
    return Books(None, {name.format(n): replace(one, account=of) for n, of in enumerate(accounts)}, 0)


def printed(found: Books) -> str:
    from rich.console import Console

    console = Console(width=max(80, told.width(found)))
    with console.capture() as text:
        console.print(told.table(found), markup=False)
    return text.get()


def test_numbers_are_whole_and_long_names_go_on_below(cfg: Config) -> None:
    text = printed(known(cfg, [Account(4_000_012, 3_900_001, 100_000, 1, 2, 3, 2, 3)] * 2))
    assert max(map(len, text.splitlines())) <= 80
    for number in ("4,000,012", "8,000,024", "3,900,001", "7,800,002", "200,000"):
        assert number in text


def test_what_is_wider_than_the_terminal_is_not_cut(cfg: Config) -> None:
    many = 123_456_789_012
    text = printed(known(cfg, [Account(7 * many, *[many] * 7)]))
    assert text.count(f"{many:,}") == 14
    assert "…" not in text


def test_a_file_whose_parts_do_not_add_up_is_named(cfg: Config) -> None:
    found = known(cfg, [Account(lines=5, accepted=4)])
    (line,) = told.lines(found)
    assert line.startswith("Expected as many lines as in all parts; got others in logs/shop/europe/")
    assert found.as_dict()["adds_up"] is False


def test_names_from_outside_steer_no_terminal(cfg: Config) -> None:
    one = manifest.read(Store.of(cfg))["logs/monday.ndjson"]
    text = printed(Books(None, {"logs/\x1b[31m[bold]": one}, 0))
    assert "\x1b" not in text
    assert "[bold]" in text


def test_the_books_are_read_from_the_table_alone(cfg: Config) -> None:
    for log_file in (cfg.base / "logs").iterdir():
        log_file.unlink()
    found: dict[str, Any] = books.read(Store.of(cfg)).as_dict()
    assert found["total"]["lines"] == 6
