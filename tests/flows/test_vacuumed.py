"""After a vacuum each kept night is whole to every command, and each that went says that it did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from flows.cli import main

D2, D3, D4, D5 = NIGHTS = [date(2026, 3, day) for day in (2, 3, 4, 5)]
COUNTING = {"gate.candidates": ["markov"], "gate.must_beat": [], "evaluation.baselines": []}


def rnnrec(place: Any, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """(exit code, all that it said, in one line)."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([arguments[0], "-c", place.config, *arguments[1:]])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, " ".join(f"{said.out} {said.err}".split())


def asked(one: date, other: date) -> dict[str, list[str]]:
    """Command → its arguments, for a night and a kept one beside it."""
    return {
        "verify": ["--night", str(one)],
        "lineage": ["--night", str(one)],
        "diff": [str(one), str(other)],
        "rollback": ["--night", str(one)],
    }


@pytest.mark.slow
def test_after_a_vacuum_every_kept_night_is_whole_and_every_other_says_that_it_was_given_up(
    fresh: Any, run_night: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for night in NIGHTS:
        assert run_night(fresh, night, overrides=COUNTING)["published"]
    users = {night: _somebody(fresh, night) for night in NIGHTS}
    code, said = rnnrec(fresh, capsys, "vacuum", "--keep", "2", "--grace-hours", "0")
    assert code == 0, said
    assert "2 given up" in said

    for gone in (D2, D3):
        for command, arguments in (
            asked(gone, D5) | {"show": ["--user", users[gone], "--night", str(gone)]}
        ).items():
            code, said = rnnrec(fresh, capsys, command, *arguments)
            assert (command, code) == (command, 3), said
            assert f"night {gone}: expected a night that is kept; `rnnrec vacuum` gave it up at" in said, (
                command
            )
        code, said = rnnrec(fresh, capsys, "why", "--night", str(gone))
        assert code == 0, said
        assert "gave it up at" in said
        assert "mrr_at_20" in said

    assert rnnrec(fresh, capsys, "verify")[0] == 0
    for kept in (D4, D5):
        other = D5 if kept == D4 else D4
        for command, arguments in (
            asked(kept, other) | {"show": ["--user", users[kept], "--night", str(kept)]}
        ).items():
            code, said = rnnrec(fresh, capsys, command, *arguments)
            assert (command, code) == (command, 0), said
    assert rnnrec(fresh, capsys, "verify")[0] == 0
    assert rnnrec(fresh, capsys, "status", "--check", "--max-age", "9999d")[0] == 0
    rnnrec(fresh, capsys, "rollback", "--night", str(D5))
    for kept in (D4, D5):  # the night that D4's realized quality is of was given up
        again = run_night(fresh, kept, overrides=COUNTING)
        assert not again["published"], again["sentence"]


def _somebody(place: Any, night: date) -> str:
    """A user with a list of that night."""
    import duckdb

    with duckdb.connect(str(place.root / "serve.duckdb"), read_only=True) as con:
        found = con.execute(
            "select min(user_id) from user_recommendations_history where night = ?", [night]
        ).fetchone()
    assert found is not None
    return str(found[0])
