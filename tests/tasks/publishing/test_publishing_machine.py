"""Runs, deaths, sleepers and rollbacks in any order, against a small model of what must be true."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import night_driver as driver
import pytest
from forked_nights import ASLEEP, Ending, Nights, champion, model_of
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tasks.publishing import publications, wholeness
from tasks.settings.config import Config
from tasks.store.store import Store

MEMORY = Path("/dev/shm")  # where there is such a disk, nothing waits for an fsync


# ------------------------------------------------------------------------------------- what must be true


@dataclass(frozen=True)
class Row:
    """A publication: `users` is its content, `night` the one that its tables are of; a vacuum may end it."""

    said: date
    night: date
    users: int
    moves: bool
    ended: bool = False


@dataclass(frozen=True)
class Expected:
    """All publications, and what each work makes of them."""

    rows: tuple[Row, ...] = ()

    @property
    def shown(self) -> Row | None:
        return next((row for row in reversed(self.rows) if row.moves), None)

    @property
    def nights(self) -> dict[date, Row]:
        return {row.night: row for row in self.rows if row.said == row.night and not row.ended}

    def newest(self, night: date) -> Row | None:
        return self.nights.get(night)

    def moves(self, night: date, users: int) -> bool:
        moving = [row for row in self.rows if row.moves]
        given = [place for place, row in enumerate(moving) if (row.night, row.users) == (night, users)]
        if given and any(row.night < night for row in moving[given[-1] :]):
            return False  # readers were taken back from it
        return self.shown is None or night >= self.shown.night  # no night that they do not see is in the way

    def night(self, night: date, users: int) -> Expected:
        newest, moves = self.newest(night), self.moves(night, users)
        is_seen = self.shown is not None and (self.shown.night, self.shown.users) == (night, users)
        if newest is not None and newest.users == users and (is_seen or not moves):
            return self
        return Expected((*self.rows, Row(night, night, users, moves)))

    def empty(self, night: date) -> Expected:
        shown = self.shown
        if shown is None or self.newest(night) or shown.said >= night:
            return self
        return Expected((*self.rows, replace(shown, said=night)))

    def rollback(self, night: date) -> Expected:
        newest = self.newest(night)
        if newest is None or newest is self.shown:
            return self
        return Expected((*self.rows, replace(newest, moves=True)))

    def vacuum(self, keep: int) -> Expected:
        kept = [self.nights[night] for night in sorted(self.nights)[-keep:]]
        if (shown := self.shown) is not None:
            made = [
                row for row in self.rows if row.said == row.night == shown.night and row.users == shown.users
            ]
            kept += [shown, made[-1]]
        is_kept = [any(row is one for one in kept) for row in self.rows]
        return Expected(
            tuple(
                row if stays else replace(row, ended=True)
                for row, stays in zip(self.rows, is_kept, strict=True)
            )
        )

    def heal(self) -> Expected:
        return self

    refresh = heal


# ------------------------------------------------------------------------------------------ the machine

days = st.sampled_from([date(2026, 1, day) for day in (2, 3, 4, 5)])
work = st.one_of(
    st.tuples(st.just("night"), days, st.integers(3, 5)),
    st.tuples(st.sampled_from(["empty", "rollback"]), days),
    st.tuples(st.just("vacuum"), st.integers(1, 2)),
    st.tuples(st.sampled_from(["heal", "refresh"])),
)
steps = st.integers(1, 150)


@dataclass
class Sleeper:
    """A process that sleeps.

    numbered    has it taken its number, by which those that begin later fence it?
    landed      is what it does done, but for what readers open?
    idle        had it nothing to publish, so that nobody can tell whether it has landed?
    overtaken   has one come to its end that fences it?
    met         or has one begun that may?
    """

    pid: int
    work: tuple[Any, ...]
    numbered: bool
    landed: bool
    idle: bool
    overtaken: bool = False
    met: bool = False


class Publishing(RuleBasedStateMachine):
    processes: ClassVar[Nights]
    sleeping = Bundle("sleeping")

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="rnnrec-", dir=MEMORY if MEMORY.is_dir() else None))
        self.cfg, self.expected, self.seen = Config(base=self.base), Expected(), set[Any]()
        self.sleepers: list[Sleeper] = []

    @rule(work=work)
    def is_done(self, work: tuple[Any, ...]) -> None:
        ending = self.processes.do(work[0], self.base, *work[1:])
        self.ended(work, ending)

    @rule(work=work, step=steps)
    def dies(self, work: tuple[Any, ...], step: int) -> None:
        ending = self.processes.do(work[0], self.base, *work[1:], step=step)
        if ending.code == -signal.SIGKILL:
            self.broke_off(work)
        else:
            self.ended(work, ending)

    @rule(target=sleeping, work=work, step=steps)
    def falls_asleep(self, work: tuple[Any, ...], step: int) -> Any:
        before, number, idle = self.expected, self.highest_number(), self.after(work) == self.expected
        ending = self.processes.do(work[0], self.base, *work[1:], step=step, number=signal.SIGSTOP)
        if ending.code != ASLEEP:
            self.ended(work, ending)
            return multiple()
        self.broke_off(work)
        numbered = self.highest_number() > number
        sleeper = Sleeper(ending.pid, work, numbered, self.expected != before, idle)
        self.sleepers.append(sleeper)
        return sleeper

    @rule(sleeper=consumes(sleeping))
    def wakes(self, sleeper: Sleeper) -> None:
        self.sleepers.remove(sleeper)
        code = self.processes.wake(sleeper.pid).code
        after, told = self.after(sleeper.work), self.told(publications.read(Store.of(self.cfg)).rows)
        if code == 9:
            assert sleeper.overtaken or sleeper.met
        elif code == 3:
            assert sleeper.work[0] == "rollback"
            assert after == self.expected
        else:
            assert code == 0
            changes = after != self.expected and not sleeper.landed and not sleeper.overtaken
            assert sleeper.landed or sleeper.idle or not sleeper.overtaken or after == self.expected
            assert told == (after if changes else self.expected).rows or sleeper.idle
            assert told in (after.rows, self.expected.rows)
            self.expected = after if told == after.rows else self.expected
            self.is_settled(sleeper.work)

    @rule(sleeper=consumes(sleeping))
    def dies_asleep(self, sleeper: Sleeper) -> None:
        self.sleepers.remove(sleeper)
        assert self.processes.wake(sleeper.pid, signal.SIGKILL).code == -signal.SIGKILL

    @invariant()
    def publications_are_as_expected_and_their_files_whole(self) -> None:
        rows, store = publications.read(Store.of(self.cfg)).rows, Store.of(self.cfg)
        assert self.told(rows) == self.expected.rows
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert [wholeness.changed(store, row) for row in rows if row.retired_at is None] == [
            "" for row in self.expected.rows if not row.ended
        ]

    @invariant()
    def readers_see_a_whole_night(self) -> None:
        if not (self.base / "warehouse" / "serve.duckdb").exists():
            assert not self.seen
            return
        told = driver.whole_night(self.cfg)
        seen = {tuple(told[:2]), tuple(told[2:])}
        assert seen <= self.seen | {self.shown()}
        self.seen = seen

    def ended(self, work: tuple[Any, ...], ending: Ending) -> None:
        """Nobody has fenced it: it has done what it is to do."""
        if ending.code == 7:  # of two vacuums one is refused
            assert work[0] == "vacuum"
            assert "vacuum" in {one.work[0] for one in self.sleepers}
            return
        nothing_to_show = work[0] == "rollback" and self.expected.newest(work[1]) is None
        assert ending.code == (3 if nothing_to_show else 0)
        if not nothing_to_show:
            before, self.expected = self.expected, self.after(work)
            self.overtakes(work, surely=work[0] != "empty" or self.expected != before)
            self.is_settled(work)

    def broke_off(self, work: tuple[Any, ...]) -> None:
        """Nothing of it has happened, or all."""
        after, told = self.after(work), self.told(publications.read(Store.of(self.cfg)).rows)
        assert told in (self.expected.rows, after.rows)
        self.expected = after if told == after.rows else self.expected
        self.overtakes(work, surely=False)

    def is_settled(self, work: tuple[Any, ...]) -> None:
        """After what came to its end: readers see what is shown, and the alias is its model's."""
        shown = self.expected.shown
        if shown is None or (work[0] == "empty" and shown.said != work[1]):
            return
        assert driver.whole_night(self.cfg) == [*self.shown(), *self.shown()]
        self.seen = {self.shown()}
        if work[0] != "refresh":
            about_to = {model_of(*one.work[1:]) for one in self.sleepers if one.work[0] == "night"}
            about_to |= {
                self.model_of_goal(one.work[1]) for one in self.sleepers if one.work[0] == "rollback"
            }
            assert champion(self.base) in {model_of(shown.night, shown.users)} | about_to

    def overtakes(self, work: tuple[Any, ...], surely: bool) -> None:
        """Those that sleep and have an older number may be fenced by it: of its night, by a rollback all."""
        for one in self.sleepers:
            same = work[0] in ("rollback", "vacuum") or (len(work) > 1 and work[1:2] == one.work[1:2])
            if one.numbered and same:
                one.met = True
                one.overtaken |= surely and work[0] != "vacuum"

    def after(self, work: tuple[Any, ...]) -> Expected:
        made: Callable[..., Expected] = getattr(self.expected, work[0])
        return made(*work[1:])

    def model_of_goal(self, night: date) -> int | None:
        newest = self.expected.newest(night)
        return None if newest is None else model_of(night, newest.users)

    def shown(self) -> tuple[str, int]:
        shown = self.expected.shown
        assert shown is not None
        return (str(shown.night), shown.users)

    def highest_number(self) -> int:
        return max((int(file.stem) for file in (self.cfg.root / "attempts").glob("*")), default=0)

    @staticmethod
    def told(rows: Any) -> tuple[Row, ...]:
        return tuple(
            Row(
                one.night,
                one.data_night,
                one.rows["user_recommendations"] // driver.K,
                one.moves_latest,
                one.retired_at is not None,
            )
            for one in rows
        )

    def teardown(self) -> None:
        for one in self.sleepers:
            self.processes.wake(one.pid, signal.SIGKILL)
        shutil.rmtree(self.base)


@pytest.fixture(scope="module")
def machine() -> Iterator[type[Publishing]]:
    Publishing.processes = Nights()
    yield Publishing
    Publishing.processes.close()


def interleave(machine: type[Publishing], examples: int, count: int, phases: tuple[Phase, ...]) -> None:
    told = settings(
        max_examples=examples,
        stateful_step_count=count,
        phases=phases,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=told)


def test_whatever_comes_in_which_order_readers_see_what_the_model_says(machine: type[Publishing]) -> None:
    interleave(machine, 2, 8, (Phase.explicit, Phase.reuse, Phase.generate))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_comes_in_which_order_readers_see_what_the_model_says_at_length(
    machine: type[Publishing],
) -> None:
    interleave(machine, 20 if driver.THOROUGH else 6, 25, tuple(Phase))
