"""Each attempt works in a folder of its own; a dead one's checkpoints go to the next of its night."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

from tasks.errors import FencedError, ModelFailure
from tasks.models import workplace
from tasks.settings.config import Config

FRIDAY, SATURDAY = date(2026, 1, 2), date(2026, 1, 3)


def checkpoint(folder: Path, name: str = "model-fresh", words: str = "half a training") -> Path:
    file = folder / f"{name}-checkpoint" / "checkpoint.safetensors"
    file.parent.mkdir(exist_ok=True)
    file.write_text(words)
    return file


def die_after_a_checkpoint(cfg: Config, night: date, attempt: int, words: str = "half a training") -> Path:
    """A run that ends with an error, and leaves its folder."""
    with suppress(ModelFailure), workplace.workplace(cfg, night, attempt) as folder:
        checkpoint(folder, words=words)
        (folder / "champion").mkdir()
        raise ModelFailure("the loss is no number")
    return folder


def test_two_living_attempts_of_a_night_have_folders_of_their_own(config: Config) -> None:
    with workplace.workplace(config, FRIDAY, 1) as one:
        checkpoint(one)
        with workplace.workplace(config, FRIDAY, 2) as two:
            assert one != two
            assert (list(two.glob("*-checkpoint")), len(list(one.glob("*-checkpoint")))) == ([], 1)


def test_a_dead_attempts_checkpoint_is_taken_over_and_the_rest_of_it_goes(config: Config) -> None:
    dead = die_after_a_checkpoint(config, FRIDAY, 1)
    with workplace.workplace(config, FRIDAY, 2) as folder:
        assert (folder / "model-fresh-checkpoint" / "checkpoint.safetensors").read_text() == "half a training"
        assert not (folder / "champion").exists()
    assert not dead.exists()


def test_of_two_dead_attempts_the_newer_checkpoint_is_taken(config: Config) -> None:
    older = die_after_a_checkpoint(config, FRIDAY, 1, "older")
    kept = older.with_name("kept")
    older.rename(kept)
    newer = die_after_a_checkpoint(config, FRIDAY, 2, "newer")
    kept.rename(older)
    for path in (older, *older.rglob("*")):
        os.utime(path, (1, 1))
    with workplace.workplace(config, FRIDAY, 3) as folder:
        assert (folder / "model-fresh-checkpoint" / "checkpoint.safetensors").read_text() == "newer"
    assert not older.exists()
    assert not newer.exists()


def test_another_nights_checkpoint_is_left_to_that_night(config: Config) -> None:
    dead = die_after_a_checkpoint(config, FRIDAY, 1)
    with workplace.workplace(config, SATURDAY, 2) as folder:
        assert not list(folder.glob("*-checkpoint"))
    assert dead.exists()


def test_a_run_that_was_overtaken_leaves_nothing(config: Config) -> None:
    with suppress(FencedError), workplace.workplace(config, FRIDAY, 1) as folder:
        checkpoint(folder)
        raise FencedError("a newer run is at it")
    assert not folder.exists()


def test_folders_of_long_dead_runs_are_removed_and_those_of_living_and_young_ones_stay(
    config: Config,
) -> None:
    old, young = die_after_a_checkpoint(config, FRIDAY, 1), die_after_a_checkpoint(config, SATURDAY, 2)
    with workplace.workplace(config, date(2026, 1, 4), 3) as living:
        week_ago = time.time() - 7 * 86_400
        for folder in (old, living):
            for path in (folder, *folder.rglob("*")):
                os.utime(path, (week_ago, week_ago))
        assert workplace.remove_dead(config) == [old]
    assert (old.exists(), young.exists(), living.exists()) == (False, True, True)
