"""The model of what a night costs: it finds costs that were put in, and docs/scale.md says what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bench_scale
import pytest
from bench_scale import Size

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text(encoding="utf-8"))["results"]


def night(text: str) -> dict[str, Any]:
    """Ingest that costs 1 s and 2 s a million events; recommend 3 s a billion pairs; a peak that is fixed."""
    size = Size.of(text)
    stages = {name: {"processor": 1.0, "peak_mb": 500} for name in bench_scale.SHOWN}
    stages["ingest"]["processor"] = 1 + 2 * size.events / 1e6
    stages["recommend"]["processor"] = 3 * size.came * size.items / 1e9
    whole = {"events": size.events, "users": size.users, "items": size.items}
    return whole | {"stages": stages, "warehouse_mb": 40 * size.events / 1e6}


def test_costs_that_were_put_in_are_found_and_another_size_is_foretold() -> None:
    model = bench_scale.fitted([night(text) for text in bench_scale.FIT])
    assert model["ingest"]["a night"] == pytest.approx(1, abs=0.01)
    assert model["ingest"]["a million events"] == pytest.approx(2, rel=0.01)
    assert model["recommend"]["a billion pairs of user and item"] == pytest.approx(3, rel=0.01)
    foretold, took = bench_scale.foretold(model, Size.of("500,40,300")), bench_scale.took(night("500,40,300"))
    assert bench_scale.seconds(foretold) == pytest.approx(bench_scale.seconds(took), rel=0.01)
    assert foretold[bench_scale.DISK] == pytest.approx(20_000, rel=0.01)


@pytest.mark.parametrize(
    ("left_out", "term"),
    [
        ({"1,.1,100", "57,5,20"}, "a billion pairs of user and item"),
        ({"57,5,20"}, "a million users, read once more"),
    ],
)
def test_sizes_that_cannot_tell_terms_apart_are_refused(left_out: set[str], term: str) -> None:
    """Items vary at one number of users alone: users times items are a sum of the two, and of a constant."""
    with pytest.raises(SystemExit, match=f"expected sizes that tell apart .*{term}; got"):
        bench_scale.fitted([night(text) for text in bench_scale.FIT if text not in left_out])


def test_users_who_come_are_those_that_at_least_one_session_is_of() -> None:
    assert Size.of("3,1,10").came == pytest.approx(1e6 * (1 - (1 - 1e-6) ** 1e6), rel=1e-4)
    assert Size.of("3000,1,10").came == pytest.approx(1e6)


def test_what_is_checked_took_no_part_in_the_fit() -> None:
    sizes = {role: {bench_scale._size(one) for one in RESULTS[role]} for role in ("fit", "check")}
    assert not sizes["fit"] & sizes["check"]
    assert RESULTS["model"] == bench_scale.fitted(RESULTS["fit"])


def test_the_page_has_the_tables_of_the_result() -> None:
    for table in bench_scale.tables(RESULTS):
        assert table in PAGE


def test_the_page_has_what_stages_read_and_write_and_it_is_foretold_but_where_the_audit_spills() -> None:
    told = json.loads((ROOT / "benchmarks" / "results" / "scale_traffic.json").read_text(encoding="utf-8"))[
        "results"
    ]
    assert told["model"] == bench_scale.traffic(told["nights"])
    assert bench_scale.moved_table(told["model"]) in PAGE
    [night] = told["check"]
    expected = bench_scale.foretold(told["model"], bench_scale._size(night))
    for name in ("ingest", "sessionize", "judge", "recommend"):
        for way in ("reads, MB", "writes, MB"):
            assert expected[f"{name} {way}"] == pytest.approx(night["stages"][name][way], rel=0.06, abs=0.2)
