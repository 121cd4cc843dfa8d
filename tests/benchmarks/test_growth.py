"""The growth benchmark measures what it says: whole generated sessions, from disk."""

import numpy as np
import pytest
from bench_growth import ITEM_COUNT, ONE_IN, generate, measure, plot

from rnnrec_model.sessions import Sessions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growth")
    generate(folder, 40_000)
    return folder


def test_the_generated_log_lies_on_disk_and_holds_known_items_only(folder):
    sessions = Sessions.open(folder)
    assert isinstance(sessions.items, np.memmap)
    assert sessions.lengths.min() >= 2
    assert 0 <= sessions.items.min() <= sessions.items.max() < ITEM_COUNT


def test_it_trains_on_every_event_and_answers_one_session_in_fifty(folder, tmp_path):
    found = measure(folder)
    assert (found["events"], found["sessions"]) == (len(Sessions.open(folder).items), 10_000)
    assert found["sessions_answered"] == 10_000 // ONE_IN
    assert found["own_memory_mb"] > 0
    plot([found, found], tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").read_text().startswith("<?xml")
