"""Every link between a published row and its raw logs, broken one at a time, is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
import traced_shop
from night_driver import FRIDAY, SATURDAY

from tasks.errors import EmptyNightError, NightError, RegistryError
from tasks.publishing import (
    carrying,
    lineage,
    publications,
    publishing,
    readers,
    rollback,
    vacuum,
    verification,
)
from tasks.publishing.publications import Publication
from tasks.raw import ingestion
from tasks.settings.config import Config
from tasks.store.store import Store


@pytest.fixture
def cfg(traced: Config, tmp_path: Path) -> Config:
    return traced_shop.moved(traced, tmp_path / "shop")


@pytest.fixture(scope="module")
def mended(traced: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A copy for whoever mends again what he breaks."""
    return traced_shop.moved(traced, tmp_path_factory.mktemp("mended") / "shop")


def of(cfg: Config, night: object = FRIDAY) -> Publication:
    return next(one for one in publications.read(Store.of(cfg)).rows if one.night == night)


def found(cfg: Config) -> dict[str, str]:
    """Night → its first broken link, or whole."""
    return {
        one.night.isoformat(): one.broken.name if one.broken else "whole" for one in verification.verify(cfg)
    }


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def artifact(cfg: Config, name: str) -> Path:
    [path] = (cfg.root / "mlartifacts").rglob(name)
    return path


WHOLE = {"2026-01-02": "whole", "2026-01-03": "whole"}


def test_nothing_is_broken_where_nothing_was_touched_and_every_link_was_looked_at(traced: Config) -> None:
    friday, saturday = verification.verify(traced)
    names = ["publication", "published tables", "what readers open", "model", "settings", "items", "sessions"]
    names += ["events", "raw files"]
    assert [link.name for link in saturday.links] == names
    assert {link.state for one in (friday, saturday) for link in one.links} == {"whole"}
    files = {link.name: link.files for link in saturday.links}
    assert files["published tables"] == len(of(traced).tables)
    assert (files["events"], files["sessions"], files["items"], files["raw files"]) == (4, 3, 1, 3)
    assert files["model"] == len(of(traced).model.files)  # type: ignore[union-attr]


def published_table(cfg: Config) -> Path:
    return Path(of(cfg).files(Store.of(cfg))["user_recommendations"][0])


def read_from(table: str) -> Callable[[Config], Path]:
    """The first file of Saturday's own day, which Friday has not read."""

    def path(cfg: Config) -> Path:
        reads = of(cfg, SATURDAY).reads
        assert reads is not None
        return cfg.root / reads[table][SATURDAY].files[0]

    return path


FRIDAY_BREAKS = {"2026-01-02": "published tables", "2026-01-03": "whole"}


def saturday_breaks(link: str) -> dict[str, str]:
    return {"2026-01-02": "whole", "2026-01-03": link}


def both_break(link: str) -> dict[str, str]:
    return {"2026-01-02": link, "2026-01-03": link}


KINDS: dict[str, tuple[Callable[[Config], Path], dict[str, str]]] = {
    "a published table": (published_table, FRIDAY_BREAKS),
    "events": (read_from("events"), saturday_breaks("events")),
    "sessions": (read_from("sessions"), saturday_breaks("sessions")),
    "items": (read_from("items"), saturday_breaks("items")),
    "a model's weights": (lambda cfg: artifact(cfg, "vocabulary.parquet"), both_break("model")),
    "a model's code": (lambda cfg: artifact(cfg, "pyfunc_model.py"), both_break("model")),
    "the list of a model's files": (lambda cfg: artifact(cfg, "model_files.json"), both_break("model")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_breaks_the_link_that_it_is_in(mended: Config, kind: str) -> None:
    named, expected = KINDS[kind]
    path = named(mended)
    flip(path)
    assert found(mended) == expected
    flip(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_breaks_the_link_that_it_was_in(mended: Config, kind: str) -> None:
    named, expected = KINDS[kind]
    path = named(mended)
    away = path.rename(path.with_name("away"))
    assert found(mended) == expected
    away.rename(path)


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_damaged_table_of_the_night_readers_see_is_named_itself_and_not_what_is_linked_to_it(
    cfg: Config, damage: Callable[[Path], None]
) -> None:
    [file] = of(cfg, SATURDAY).files(Store.of(cfg))["user_recommendations"]
    latest = cfg.root / "latest" / "user_recommendations.parquet"
    latest.unlink()
    latest.hardlink_to(file)  # as a night leaves it; the fixture is a copy
    damage(Path(file))
    [saturday] = verification.verify(cfg, SATURDAY)
    assert saturday.broken is not None
    assert saturday.broken.name == "published tables"
    assert file in saturday.broken.said
    assert "refresh" not in verification.told(saturday, 1, 1)


def test_the_message_names_the_file(mended: Config) -> None:
    flip(published_table(mended))
    [friday] = verification.verify(mended, FRIDAY)
    flip(published_table(mended))
    said = verification.told(friday, 1, 1)
    assert said.startswith("night 2026-01-02, publication 1: expected published tables as published; ")
    assert f"user_recommendations: the bytes of {published_table(mended)} have changed" in said


def test_of_several_broken_links_the_one_nearest_to_the_reader_is_named_first(mended: Config) -> None:
    both = [read_from(table)(mended) for table in ("events", "sessions")]
    for path in both:
        flip(path)
    assert found(mended) == saturday_breaks("sessions")
    for path in both:
        flip(path)


def test_a_raw_log_that_was_changed_breaks_the_nights_that_have_read_it(cfg: Config) -> None:
    flip(cfg.base / "logs/saturday.ndjson")
    assert found(cfg) == saturday_breaks("raw files")
    flip(cfg.base / "logs/friday.ndjson")
    assert found(cfg) == both_break("raw files")


SUNDAY = date(2026, 1, 4)


def run_sunday(cfg: Config) -> None:
    """One more night, which reads what is new or changed."""
    line = {"user_id": "ann", "item_id": "i1", "timestamp": "2026-01-04T09:00:00Z"}
    (cfg.base / "logs/sunday.ndjson").write_text(json.dumps(line) + "\n")
    traced_shop.night(cfg, SUNDAY, 3, of(cfg).model)
    readers.refresh(cfg, Store.of(cfg))


NOT_TAKEN = "logs/friday.ndjson: other bytes than the night has read, and nobody has taken these in"


def test_a_corrected_raw_log_is_damage_until_it_is_taken_in_and_told_with_who_has_done_so_from_then_on(
    cfg: Config,
) -> None:
    path = cfg.base / "logs/friday.ndjson"
    path.write_text(path.read_text().replace("i2", "i3"))
    assert found(cfg) == both_break("raw files")
    assert raw_link(cfg).said == NOT_TAKEN
    run_sunday(cfg)
    assert found(cfg) == WHOLE | {"2026-01-04": "whole"}
    told = "changed since, and taken in as they are now: logs/friday.ndjson (night 2026-01-04)"
    assert (raw_link(cfg).state, raw_link(cfg).said) == ("whole", told)
    flip(path)
    assert set(found(cfg).values()) == {"raw files"}


def test_a_corrected_raw_log_that_was_taken_in_by_no_published_night_is_told(cfg: Config) -> None:
    path = cfg.base / "logs/friday.ndjson"
    path.write_text(path.read_text().replace("i2", "i3"))
    ingestion.rebuild(cfg, Store.of(cfg), "again", 3)
    assert found(cfg) == WHOLE
    assert raw_link(cfg).said.endswith("logs/friday.ndjson (a rebuild, or a night that is not published)")


def test_another_list_of_items_is_told_with_the_night_that_has_read_it(cfg: Config) -> None:
    (cfg.base / "items.csv").write_text("id,title\ni1,A lamp\n")
    assert found(cfg) == both_break("raw files")
    run_sunday(cfg)
    assert found(cfg) == WHOLE | {"2026-01-04": "whole"}
    assert raw_link(cfg).said.endswith("items.csv (night 2026-01-04)")


def test_what_readers_were_taken_back_to_has_read_no_file_anew(cfg: Config) -> None:
    path = cfg.base / "logs/friday.ndjson"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"i2", b"i3"))
    run_sunday(cfg)
    rollback.rollback(cfg, FRIDAY)
    assert raw_link(cfg).said.endswith("logs/friday.ndjson (night 2026-01-04)")
    path.write_bytes(before)
    assert found(cfg) == WHOLE | {"2026-01-04": "raw files"}


def raw_link(cfg: Config) -> verification.Link:
    [friday] = verification.verify(cfg, FRIDAY)
    return friday.links[-1]


def test_a_raw_log_that_is_gone_may_be_archived_and_breaks_nothing(cfg: Config) -> None:
    (cfg.base / "logs/friday.ndjson").unlink()
    assert found(cfg) == WHOLE
    assert (raw_link(cfg).state, raw_link(cfg).said) == (
        "gone",
        "not there any more, archived or deleted: logs/friday.ndjson",
    )


@pytest.mark.parametrize("made", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_stands_in_a_raw_logs_place_and_is_no_file_is_no_archived_log(
    cfg: Config, made: Callable[[Path], None]
) -> None:
    (cfg.base / "logs/friday.ndjson").unlink()
    made(cfg.base / "logs/friday.ndjson")
    assert set(found(cfg).values()) == {"raw files"}
    broken = next(verification.verify(cfg)).broken
    assert broken is not None
    assert broken.said.startswith("logs/friday.ndjson: cannot be read: in its place is a folder, a pipe")


def test_a_raw_log_that_has_grown_still_begins_with_what_the_night_has_read(cfg: Config) -> None:
    with (cfg.base / "logs/friday.ndjson").open("a") as log:
        log.write("{}\n")
    assert found(cfg) == WHOLE
    assert (raw_link(cfg).state, raw_link(cfg).said) == ("whole", "grown since: logs/friday.ndjson")


def test_a_raw_log_that_was_cut_short_is_changed(cfg: Config) -> None:
    path = cfg.base / "logs/friday.ndjson"
    path.write_bytes(path.read_bytes()[:-1])
    assert raw_link(cfg).state == "broken"


def test_a_model_that_was_swapped_with_its_list_of_files_is_still_another_one(cfg: Config) -> None:
    swapped, listing = artifact(cfg, "vocabulary.parquet"), artifact(cfg, "model_files.json")
    listed = json.loads(listing.read_text())
    shutil.copyfile(artifact(cfg, "popular.parquet"), swapped)
    listed["artifacts/recommender/vocabulary.parquet"] = listed["artifacts/recommender/popular.parquet"]
    listing.write_text(json.dumps(listed, indent=1, sort_keys=True))
    assert found(cfg) == both_break("model")


def test_settings_that_were_changed_beside_the_model_are_named(cfg: Config) -> None:
    path = artifact(cfg, "config.json")
    path.write_text(path.read_text().replace('"window_days": 3', '"window_days": 4'))
    assert found(cfg) == both_break("settings")


@pytest.mark.parametrize("name", ["config.json", "inputs.json"])
@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'{"tables": {"events": 3}, "sources": {}}'])
def test_what_a_models_run_has_kept_and_cannot_be_read_is_named_and_other_links_are_looked_at(
    mended: Config, name: str, content: bytes
) -> None:
    path = artifact(mended, name)
    kept = path.read_bytes()
    path.write_bytes(content)
    shown = lineage.lineage(mended, SATURDAY)
    told = list(verification.verify(mended))
    path.write_bytes(kept)
    assert [(one.broken and one.broken.name, len(one.links)) for one in told] == [("settings", 9)] * 2
    said = told[0].broken.said if told[0].broken else ""
    assert name in said
    trouble = shown["model"]["trouble"]
    if not (name == "config.json" and content.startswith(b'{"t')):  # JSON, but not the run's settings
        assert said == trouble
        assert said.endswith("restore the file from a backup of mlartifacts/")


def test_a_registry_that_is_gone_is_a_broken_link_and_is_not_made_anew(cfg: Config) -> None:
    (cfg.root / "mlflow.db").unlink()
    assert found(cfg) == both_break("model")
    assert not (cfg.root / "mlflow.db").exists()


def test_a_registry_that_does_not_answer_says_nothing_of_its_models(cfg: Config) -> None:
    (cfg.root / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(RegistryError):
        list(verification.verify(cfg))


def other_rows(cfg: Config) -> None:
    with duckdb.connect(str(cfg.root / "serve.duckdb")) as con:
        con.execute("update publications set state = 'fresh' where sequence = 2")


def other_shown(cfg: Config) -> None:
    with duckdb.connect(str(cfg.root / "serve.duckdb")) as con:
        con.execute("update shown set sequence = 1")


def other_view(cfg: Config) -> None:
    with duckdb.connect(str(cfg.root / "serve.duckdb")) as con:
        con.execute("create or replace view popular_items as select 1 as rank, 'i9' as item_id")


def cut_short(cfg: Config) -> None:
    path = cfg.root / "serve.duckdb"
    path.write_bytes(path.read_bytes()[:-4096])


def other_latest(cfg: Config) -> None:
    path = cfg.root / "latest" / "popular_items.parquet"
    content = path.read_bytes()
    path.unlink()  # else the published file, which has this name too, would change with it
    path.write_bytes(content)
    flip(path)


@pytest.mark.slow
@pytest.mark.parametrize("change", [other_rows, other_shown, other_view, cut_short, other_latest])
def test_what_readers_open_is_held_against_the_publication(
    cfg: Config, change: Callable[[Config], None]
) -> None:
    change(cfg)
    assert found(cfg) == saturday_breaks("what readers open")
    if change is not other_latest:
        readers.refresh(cfg, Store.of(cfg))
        assert found(cfg) == WHOLE


@pytest.mark.slow
def test_a_night_that_readers_were_taken_back_to_is_whole_and_so_is_the_withdrawn_one(cfg: Config) -> None:
    rollback.rollback(cfg, FRIDAY)
    assert found(cfg) == WHOLE
    flip(published_table(cfg))
    assert found(cfg) == FRIDAY_BREAKS


def rewritten(cfg: Config, **values: object) -> None:
    """Saturday once more, with something else in its row."""
    store = Store.of(cfg)
    row = replace(of(cfg, SATURDAY), sequence=3, attempt=9, **values)  # type: ignore[arg-type]
    publishing.append_row(store, row, "run9", publications.read(store).version)
    readers.refresh(cfg, store)


@pytest.mark.parametrize("column", ["content_digest", "data_digest"])
def test_a_row_whose_digests_are_not_those_of_its_parts_is_named(cfg: Config, column: str) -> None:
    rewritten(cfg, **{column: "0" * 64})
    assert found(cfg) == saturday_breaks("publication")


def test_a_night_of_its_own_training_has_the_settings_of_its_models_run(cfg: Config) -> None:
    rewritten(cfg, state="fresh", config_digest="0" * 64)
    assert found(cfg) == saturday_breaks("settings")


def test_settings_that_decide_nothing_may_be_others_than_those_of_its_models_run(cfg: Config) -> None:
    rewritten(cfg, state="fresh", config_digest="0" * 64, deciding_digest=cfg.deciding_digest())
    assert found(cfg) == WHOLE


def test_settings_that_decide_are_those_of_its_models_run(cfg: Config) -> None:
    rewritten(cfg, state="fresh", deciding_digest="0" * 64)
    assert found(cfg) == saturday_breaks("settings")


def test_of_a_row_of_before_what_was_not_kept_is_told_and_breaks_nothing(cfg: Config) -> None:
    rewritten(cfg, reads=None, model=None, sources=None, code=None)
    assert found(cfg) == WHOLE
    [saturday] = verification.verify(cfg, SATURDAY)
    states = {link.name: link.state for link in saturday.links}
    assert [name for name, state in states.items() if state == "not kept"] == [
        "model", "settings", "items", "sessions", "events", "raw files",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_night_that_a_vacuum_gave_up_is_not_looked_at(cfg: Config) -> None:
    vacuum.vacuum(cfg, 1, timedelta(0))
    if published_table(cfg).exists():  # it goes once no reader can hold it
        flip(published_table(cfg))
    assert found(cfg) == {"2026-01-03": "whole"}
    with pytest.raises(NightError, match=r"night 2026-01-02: .*`rnnrec vacuum` gave it up"):
        list(verification.verify(cfg, FRIDAY))


@pytest.mark.slow
def test_a_night_that_shows_on_what_readers_saw_is_whole_as_long_as_that_is(cfg: Config) -> None:
    failed = carrying.Failed(
        date(2026, 1, 4), 3, "run3", publications.naive(), {}, EmptyNightError("no event of 2026-01-04")
    )
    assert carrying.carry_forward(Store.of(cfg), failed) is not None
    readers.refresh(cfg, Store.of(cfg))
    assert found(cfg) == WHOLE | {"2026-01-04": "whole"}
    flip(Path(of(cfg, SATURDAY).files(Store.of(cfg))["popular_items"][0]))
    assert found(cfg) == {
        "2026-01-02": "whole", "2026-01-03": "published tables", "2026-01-04": "published tables",
    }  # fmt: skip


def test_a_night_that_is_not_published_is_refused_with_those_that_are(traced: Config) -> None:
    with pytest.raises(NightError, match=r"there are 2026-01-02 to 2026-01-03 \(2\)"):
        list(verification.verify(traced, date(2026, 2, 1)))
