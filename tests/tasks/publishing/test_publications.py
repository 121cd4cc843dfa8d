"""A publication is its row and the row is the publication, whichever version of ours wrote it."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import NightError
from tasks.publishing import publications
from tasks.publishing.publications import Publication, Publications
from tasks.store import delta, pins, tables
from tasks.store.store import Store

FRIDAY, SATURDAY, SUNDAY = (date(2026, 1, day) for day in (2, 3, 4))
ROW: dict[str, Any] = {  # as it lies in the table
    "sequence": 7,
    "night": FRIDAY,
    "attempt": 12,
    "moves_latest": True,
    "state": "weights_kept",
    "model_version": 3,
    "config_digest": "c0",
    "data_digest": "d0",
    "content_digest": "e0",
    "tables": '{"evaluations": {"digest": "ab", "files": ["tables/evaluations/x.parquet"], "rows": 9,'
    ' "version": 4}}',
    "started_at": datetime(2026, 1, 3, 1, 30),
    "published_at": datetime(2026, 1, 3, 1, 40, 0, 5),
    "durations": '{"train": 2.5, "ingest": 1.0}',
    "verdict": '{"crowned": false, "a word of an older version": [1, null]}',
    "report": "# A night",
    "reads": '{"events": {"2026-01-02": {"digest": "cd", "files": ["e1", "e2"], "rows": 5, "version": 1}},'
    ' "sessions": {}}',
    "model": '{"files": {"weights.safetensors": "5ha"}, "name": "rnnrec", "run_id": "r", "version": 3}',
    "sources": '{"logs/a.ndjson": {"bytes": 120, "lines": 3, "sha256": "f0"}}',
    "code": '{"version": "0.1.0", "commit": null, "model_library": "c0de"}',
    "carried_from": None,
    "rolled_back": '{"by": "ann@shop", "reason": "", "from_night": "2026-01-03", "from_sequence": 6}',
    "retired_at": datetime(2026, 2, 3, 4, 5),
    "deciding_digest": "s0",
    "rewritten": '{"at": "2026-02-01T00:00:00", "content_digest": "e9", "data_digest": "d9"}',
    "counts": '{"sessionize": {"sessions": 9, "left_out_by_repeats": 2}}',
}
LATER = (
    "reads",
    "model",
    "sources",
    "code",
    "carried_from",
    "rolled_back",
    "retired_at",
    "deciding_digest",
    "rewritten",
    "counts",
)


def test_every_column_of_the_table_is_a_field_and_no_other_is() -> None:
    assert {one.name for one in fields(Publication)} == set(tables.TABLES["publications"].columns)


def test_a_row_is_parsed_into_what_it_means() -> None:
    one = Publication.from_row(ROW)
    assert (one.sequence, one.night, one.state, one.started_at.hour) == (7, FRIDAY, "weights_kept", 1)
    assert one.tables == {"evaluations": pins.Pin(4, 9, "ab", ("tables/evaluations/x.parquet",))}
    assert one.rows == {"evaluations": 9}
    assert (dict(one.durations), one.verdict["crowned"]) == ({"train": 2.5, "ingest": 1.0}, False)
    assert one.reads == {"events": {FRIDAY: pins.Pin(1, 5, "cd", ("e1", "e2"))}, "sessions": {}}
    assert one.model == pins.Model("rnnrec", 3, "r", {"weights.safetensors": "5ha"})
    assert one.sources == {"logs/a.ndjson": pins.RawFile("f0", 120, 3)}
    assert one.code == {"version": "0.1.0", "commit": None, "model_library": "c0de"}
    assert one.counts == {"sessionize": {"sessions": 9, "left_out_by_repeats": 2}}
    assert one.files(Store.in_folder(Path("/w")))["evaluations"] == ["/w/tables/evaluations/x.parquet"]


def test_a_row_written_again_has_the_very_same_text() -> None:
    assert Publication.from_row(ROW).as_row() == ROW


@pytest.mark.parametrize("blank", [dict.fromkeys(LATER), {}])
def test_a_row_of_an_older_version_lacks_what_was_not_kept_then(blank: dict[str, Any]) -> None:
    old = {name: value for name, value in ROW.items() if name not in LATER} | blank
    one = Publication.from_row(old)
    assert (one.reads, one.model, one.sources, one.code) == (None, None, None, None)
    assert (one.night, one.as_row()) == (FRIDAY, ROW | dict.fromkeys(LATER))


def test_a_row_of_before_that_says_champion_kept_its_weights() -> None:
    one = Publication.from_row(ROW | {"state": "champion"})
    assert one.state == "weights_kept"
    assert one.as_row() == ROW


def test_a_column_of_a_newer_version_is_passed_over() -> None:
    assert Publication.from_row(ROW | {"weather": "fine"}) == Publication.from_row(ROW)


texts, counts = st.text(max_size=5), st.integers(0, 2**31 - 1)
days = st.dates(date(1970, 1, 1), date(2200, 1, 1))
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))
pinned = st.builds(pins.Pin, counts, counts, texts, st.lists(texts, max_size=2).map(tuple))
numbers = st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | counts | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


@given(
    st.builds(
        Publication,
        night=days,
        attempt=counts,
        state=st.sampled_from(get_args(publications.State)),
        model_version=counts,
        config_digest=texts,
        data_digest=texts,
        started_at=times,
        durations=st.dictionaries(texts, numbers, max_size=3),
        verdict=st.dictionaries(texts, json_values, max_size=3),
        report=texts,
        reads=st.none() | st.dictionaries(texts, st.dictionaries(days, pinned, max_size=2), max_size=2),
        model=st.none()
        | st.builds(pins.Model, texts, counts, texts, st.dictionaries(texts, texts, max_size=2)),
        sources=st.none()
        | st.dictionaries(texts, st.builds(pins.RawFile, texts, counts, counts), max_size=2),
        code=st.none() | st.dictionaries(texts, st.none() | texts, max_size=2),
        counts=st.none() | st.dictionaries(texts, st.dictionaries(texts, counts, max_size=2), max_size=2),
        sequence=counts,
        tables=st.dictionaries(texts, pinned, max_size=3),
        content_digest=texts,
        moves_latest=st.booleans(),
        published_at=times,
        carried_from=st.none() | days,
        rolled_back=st.none() | st.dictionaries(texts, json_values, max_size=3),
        retired_at=st.none() | times,
        deciding_digest=st.none() | texts,
        rewritten=st.none() | st.dictionaries(texts, texts),
    )
)
def test_a_publication_comes_back_from_the_table_as_it_was_written(one: Publication) -> None:
    types = tables.TABLES["publications"].columns
    row = one.as_row()
    [stored] = pa.table({name: pa.array([row[name]], kind) for name, kind in types.items()}).to_pylist()
    assert Publication.from_row(stored) == one
    assert Publication.from_row(stored).as_row() == row
    assert all(json.loads(row[name]) is not None for name in publications.JSON if row[name] is not None)


def published(*rows: tuple[date, bool]) -> Publications:
    """Publications of these nights, in order; the flag is whether one moves readers."""
    return Publications(
        3,
        tuple(
            Publication.from_row(
                ROW | {"retired_at": None, "sequence": place, "night": night, "moves_latest": moves}
            )
            for place, (night, moves) in enumerate(rows, 1)
        ),
    )


def test_of_no_publication_nothing_is_shown_and_any_night_would_be() -> None:
    none = Publications(None, ())
    assert (none.shown, none.highest, none.nights, none.newest_of(FRIDAY)) == (None, 0, {}, None)
    assert none.why_readers_stay(FRIDAY, TONIGHTS) == ""


def test_a_night_s_newest_publication_counts_and_the_last_that_moved_readers_is_shown() -> None:
    found = published((FRIDAY, True), (SATURDAY, True), (FRIDAY, False))
    assert {night: one.sequence for night, one in found.nights.items()} == {FRIDAY: 3, SATURDAY: 2}
    assert found.shown is not None
    assert (found.shown.sequence, found.highest) == (2, 3)


TONIGHTS = publications.Inputs("d1", "c0")
BEFORE = publications.Inputs("d0", "c0")


def test_an_older_night_moves_readers_only_where_they_are_shown_it() -> None:
    found = published((FRIDAY, True), (SATURDAY, True))
    stay = [found.why_readers_stay(night, TONIGHTS) for night in (FRIDAY, SATURDAY, SUNDAY)]
    assert stay == ["2026-01-03, a later night, is shown", "", ""]
    taken_back = published((FRIDAY, True), (SATURDAY, True), (FRIDAY, True))
    assert [taken_back.why_readers_stay(night, TONIGHTS) for night in (FRIDAY, SATURDAY)] == ["", ""]
    between = published((FRIDAY, True), (SUNDAY, True), (FRIDAY, True))
    assert between.why_readers_stay(SATURDAY, TONIGHTS) == ""


def test_a_night_that_a_vacuum_gave_up_does_not_come_back_as_carried_forward() -> None:
    """Saturday was carried forward first, and published when its logs had come; then both were given up."""
    gone = {"retired_at": datetime(2026, 1, 9, 4, 0)}
    rows = (
        ROW | {"sequence": 1, "night": FRIDAY, "retired_at": None},
        ROW | {"sequence": 2, "night": SATURDAY, "carried_from": FRIDAY, "state": "carried_forward"} | gone,
        ROW | {"sequence": 3, "night": SATURDAY} | gone,
    )
    found = Publications(1, tuple(map(Publication.from_row, rows)))
    assert found.carried == {}
    with pytest.raises(NightError, match=r"2026-01-03: .* `rnnrec vacuum` gave it up at 2026-01-09 04:00"):
        found.there(SATURDAY)


@pytest.mark.parametrize(
    ("then", "withdrawn"),
    [
        ([], False),
        ([(FRIDAY, False)], False),  # a backfill, which moved nobody
        ([(FRIDAY, True)], True),
        ([(FRIDAY, True), (SATURDAY, False)], True),  # run again, and shown to nobody
        ([(FRIDAY, True), (SATURDAY, True)], False),  # undone
        ([(FRIDAY, True), (SATURDAY, True), (FRIDAY, True)], True),
    ],
)
def test_what_readers_were_taken_back_from_is_withdrawn_until_that_is_undone(
    then: list[tuple[date, bool]], withdrawn: bool
) -> None:
    found = published((FRIDAY, True), (SATURDAY, True), *then)
    assert ("taken back from it to 2026-01-02" in found.why_readers_stay(SATURDAY, BEFORE)) == withdrawn
    assert "taken back" not in found.why_readers_stay(SATURDAY, TONIGHTS)


@pytest.mark.parametrize(
    ("data", "config", "deciding", "withdrawn"),
    [
        ("d0", "c0", "s0", True),
        ("d0", "c1", "s0", True),  # with other threads, say, which change nothing of what comes out
        ("d0", "c0", "s1", False),
        ("d1", "c0", "s0", False),
        ("d0", "c0", None, True),  # of before they were told apart: every setting counts
        ("d0", "c1", None, False),
    ],
)
def test_a_withdrawn_night_is_known_again_by_its_data_and_the_settings_that_decide(
    data: str, config: str, deciding: str | None, withdrawn: bool
) -> None:
    found = published((FRIDAY, True), (SATURDAY, True), (FRIDAY, True))
    inputs = publications.Inputs(data, config, deciding)
    assert ("taken back" in found.why_readers_stay(SATURDAY, inputs)) == withdrawn


def test_each_publication_is_read_and_parsed_once_however_often_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, parsed = Store.in_folder(tmp_path), []
    as_written = Publication.from_row
    monkeypatch.setattr(
        Publication, "from_row", staticmethod(lambda row: parsed.append(row) or as_written(row))
    )
    for sequence in (1, 2):
        append_row(store, ROW | {"sequence": sequence})
        assert [one.sequence for one in publications.read(store).rows] == list(range(1, sequence + 1))
        publications.read(store)
    assert [row["sequence"] for row in parsed] == [1, 2]


def append_row(store: Store, row: dict[str, Any]) -> None:
    types = tables.TABLES["publications"].columns
    rows = pa.table({name: pa.array([row[name]], kind) for name, kind in types.items()})
    staged = delta.stage(store, "publications", rows, {}, "r")
    delta.append(store, staged, {"sequence": row["sequence"]}, "r")
