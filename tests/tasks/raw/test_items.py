"""What [items] says of items: taken whole or refused with its row, and kept for the night."""

from __future__ import annotations

import gzip
import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import ConfigurationError, SourceError
from tasks.raw import ingestion, items, listed, preview
from tasks.raw.sources import Source
from tasks.settings.config import Config, load_config
from tasks.store import delta, duck, parquet, pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 3)
CSV = "sku,title,kind\n7,Kettle,kitchen\n8,,kitchen\n"
Make = Callable[..., Config]


@pytest.fixture
def cfg(make_config: Make, tmp_path: Path) -> Config:
    (tmp_path / "items.csv").write_text(CSV)
    return make_config(items={"source": "items.csv", "id": "sku", "name": "title", "category": "kind"})


def read(cfg: Config, item_type: str = "VARCHAR") -> list[tuple[Any, ...]]:
    with duck.reader() as con:
        known = items.read(con, cfg, item_type)
    assert known is not None
    return [(row["item_id"], row["name"], row["category"]) for row in known.rows.to_pylist()]


def write(cfg: Config, text: str | bytes, name: str = "items.csv") -> None:
    (cfg.base / name).write_bytes(text.encode() if isinstance(text, str) else text)


KNOWN = [("7", "Kettle", "kitchen"), ("8", None, "kitchen")]


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        CSV.replace(",", "\t"),
        CSV.replace(",", ";").replace("\n", "\r\n"),
        "\ufeff" + CSV,
        "kind,sku,colour,title\nkitchen,8,red,\nkitchen,7,blue,Kettle\n",
        "sku,title,kind\n7, Kettle ,kitchen\n\n8,  ,kitchen\n7,Kettle,kitchen\n",
        '"sku","title","kind"\n"8","","kitchen"\n"7","Kettle","kitchen"',
    ],
)
def test_delimited_files_are_the_same_items_by_id(cfg: Config, text: str) -> None:
    write(cfg, text)
    assert read(cfg) == KNOWN


def test_a_packed_file_and_a_glob_of_files_are_read(cfg: Config, make_config: Make) -> None:
    (cfg.base / "lists").mkdir()
    write(cfg, gzip.compress(b"sku\ttitle\tkind\n8\t\tkitchen\n"), "lists/b.tsv.gz")
    pq.write_table(
        pa.table({"sku": ["7"], "title": ["Kettle"], "kind": ["kitchen"]}), cfg.base / "lists/a.pq"
    )
    section = cfg.items.model_dump() | {"source": "lists/*"}
    assert read(make_config(items=section)) == KNOWN


KEY = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("ids", "item_type", "expected"),
    [
        (pa.array([10, 9], pa.int32()), "BIGINT", [9, 10]),
        (pa.array([10, 9], pa.int32()), "VARCHAR", ["10", "9"]),
        (pa.array(["b", "a"]).dictionary_encode(), "VARCHAR", ["a", "b"]),
        (pa.array([Decimal(12), Decimal(3)], pa.decimal128(5, 0)), "BIGINT", [3, 12]),
        (pa.array([KEY.bytes], pa.uuid()), "VARCHAR", [str(KEY)]),
    ],
)
def test_ids_are_of_the_events_type_and_in_its_order(
    cfg: Config, make_config: Make, ids: pa.Array, item_type: str, expected: list[Any]
) -> None:
    pq.write_table(pa.table({"sku": ids, "kind": ["x"] * len(ids)}), cfg.base / "items.parquet")
    section = {"source": "items.parquet", "id": "sku", "category": "kind"}
    assert read(make_config(items=section), item_type) == [(one, None, "x") for one in expected]


def test_text_is_an_integer_where_the_events_have_integers(cfg: Config) -> None:
    write(cfg, "sku,title,kind\n10,a,\n-9,b,\n")
    assert read(cfg, "BIGINT") == [(-9, "b", None), (10, "a", None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"items\.csv: expected a header of column names; got an empty file"),
        ("sku,title,kind\n", r"items\.csv: expected a row for each item; got none"),
        ("sku,titel,kind\n7,a,b\n", r"column 'title' \(items\.name\); there are sku, titel, kind.*'titel'\?"),
        ("sku,title,title,kind\n7,a,a,b\n", r"expected one column 'title' \(items\.name\); got 2"),
        ("sku,title,kind\n,a,b\n", r"line 2: expected an item id; got ''"),
        ("sku,title,kind\n  ,a,b\n,,\n", r"line 2: expected an item id; got '  ' \(and 1 more\)"),
        ("sku,title,kind\n7 ,a,b\n", r"line 2: expected an item id without blanks around it.*got '7 '"),
        ("sku,title,kind\n7,a,b\n\t8,c,d\n", r"line 3: expected an item id without blanks around it"),
        ("sku,title,kind\n\u00a07,a,b\n", r"line 2: expected an item id without blanks around it"),
        ("sku,title,kind\n7,a\n", r"line 2: expected 3 fields as in the header; got: wrong number"),
        ('sku,title,kind\n7,"a,b\n8,c,d\n', r"line 2: expected 3 fields.*unclosed quote"),
        (b"sku,title,kind\n7,\xff,b\n", r"line 2: expected 3 fields.*invalid utf-8"),
        (f"sku,title,kind\n{'7' * 1025},a,b\n", r"expected an item id of at most 1024 characters"),
        (f"sku,title,kind\n7,{'a' * 1025},b\n", r"expected a name of at most 1024 characters"),
        (f"sku,title,kind\n7,a,{'b' * 1025}\n", r"expected a category of at most 1024 characters"),
        (
            CSV + "7,Pot,kitchen\n",
            r"line 4: expected item '7' as in items\.csv, line 2: name 'Kettle', .*'Pot'",
        ),
        (
            CSV + "8,,garden\n",
            r"line 4: expected item '8'.*category 'kitchen'; got name None, category 'garden'",
        ),
        ("\ufeffsku,title,kind\n7,a,b".encode("utf-16"), r"expected UTF-8; got UTF-16"),
        (b"\x1f\x8b not packed", r"items\.csv: cannot be read"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_place(cfg: Config, text: str | bytes, said: str) -> None:
    write(cfg, text)
    with pytest.raises(SourceError, match=said):
        read(cfg)


@pytest.mark.parametrize("came", ["seven", "7.0", "07", "+7", "9223372036854775808", "7e0"])
def test_what_is_no_integer_is_refused_where_the_events_have_integers(cfg: Config, came: str) -> None:
    write(cfg, f"sku,title,kind\n7,a,b\n{came},c,d\n")
    with pytest.raises(
        SourceError, match=r"items\.csv: line 3: expected an integer, as item ids of the events"
    ):
        read(cfg, "BIGINT")


def test_a_number_with_a_fraction_names_nothing(cfg: Config, make_config: Make) -> None:
    pq.write_table(pa.table({"sku": [7.0], "kind": ["x"]}), cfg.base / "items.parquet")
    section = {"source": "items.parquet", "id": "sku", "category": "kind"}
    with pytest.raises(SourceError, match=r"'sku' \(items\.id\) to be text or integers; got double"):
        read(make_config(items=section))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.csv", r"items\.source: expected at least one file in .*; no file there matches gone\.csv"),
        (
            "items.json",
            r"items\.json: cannot tell its format by its name; expected \.parquet, \.csv or \.tsv",
        ),
        ("pipe.csv", r"pipe\.csv: expected a file; got a pipe"),
        ("broken.parquet", r"broken\.parquet: cannot be read"),
    ],
)
def test_what_is_no_such_file_is_named(cfg: Config, make_config: Make, name: str, said: str) -> None:
    write(cfg, "{}", "items.json")
    write(cfg, "PAR1", "broken.parquet")
    os.mkfifo(cfg.base / "pipe.csv")
    with pytest.raises(SourceError, match=said):
        read(make_config(items=cfg.items.model_dump() | {"source": name}))


def test_a_file_that_changes_under_the_reader_is_refused(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = listed.READERS["csv"]

    def meanwhile(source: Source, *others: Any) -> Any:
        yield from whole(source, *others)
        source.path.write_text(CSV + "9,Pan,kitchen\n")

    monkeypatch.setitem(listed.READERS, "csv", meanwhile)
    with pytest.raises(SourceError, match=r"items\.csv: changed while it was read"):
        read(cfg)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('source = "https://u:pw@host/items.csv"\nname = "n"', r"items\.source: expected a local file"),
        ('source = " "\nname = "n"', r"items\.source: expected a file or glob"),
        ('source = "items.csv"', r"items\.name: expected a column here or in category"),
        ('category = "kind"', r"items\.source: expected the file that has the named columns"),
        ('source = "a.csv"\nname = "item_id"', r"items\.id: expected columns of their own"),
        ('[rules]\nnever_show = "s3://u:pw@host/never.csv"', r"rules\.never_show: expected a local file"),
        ('[rules]\nin_stock = " "', r"rules\.in_stock: expected a file or glob"),
        ("[rules]\nper_category = 2", r"rules\.per_category: expected items\.category to name a column"),
        ("[rules]\nper_category = -1", r"rules\.per_category: .*got -1"),
        ('soruce = "a.csv"', r"items\.soruce: unknown key.*did you mean 'source'"),
    ],
)
def test_wrong_settings_are_named_and_no_secret_is(tmp_path: Path, section: str, said: str) -> None:
    (tmp_path / "rnnrec.toml").write_text(f"[items]\n{section}\n")
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_config(tmp_path / "rnnrec.toml")
    assert "pw" not in str(caught.value)


# ------------------------------------------------------------------------------------------- in a night


def put_logs(cfg: Config) -> None:
    (cfg.base / "logs").mkdir(exist_ok=True)
    lines = [f"u{day},{item},2026-01-0{day}T12:0{item}:00\n" for day in (2, 3) for item in (7, 8)]
    (cfg.base / "logs/a.csv").write_text("user_id,item_id,timestamp\n" + "".join(lines))


@pytest.fixture
def shop(cfg: Config, make_config: Make) -> Config:
    put_logs(cfg)
    return make_config(events={"sources": ["logs/*.csv"]}, items=cfg.items.model_dump())


def ingest(cfg: Config) -> ingestion.Ingested:
    store = Store.of(cfg)
    return ingestion.ingest(cfg, store, NIGHT, "run", delta.next_attempt(store, NIGHT))


def test_a_night_keeps_what_it_knew_of_items_and_what_the_file_was(shop: Config) -> None:
    found = ingest(shop)
    assert found.items is not None
    unruled = {"never_show": False, "in_stock": None, "night": NIGHT}
    assert parquet.read(found.items.files()).to_pylist() == [
        {"item_id": "7", "name": "Kettle", "category": "kitchen"} | unruled,
        {"item_id": "8", "name": None, "category": "kitchen"} | unruled,
    ]
    digest = hashlib.sha256(CSV.encode()).hexdigest()
    assert found.sources["items.csv"] == pins.RawFile(digest, len(CSV), 3)
    assert set(found.sources) == {"items.csv", "logs/a.csv"}
    reads = pins.Reads(found.events, found.events, None, found.items)
    assert reads.by_table()["items"] == found.items.pins
    assert pins.newest(shop, Store.of(shop), NIGHT).items == found.items


def test_the_lists_of_the_rules_stand_beside_names_and_categories(shop: Config, make_config: Make) -> None:
    write(shop, "item_id\n8\n9\n9\n", "never.csv")
    write(shop, "item_id\n7\n", "stock.csv")
    rules = {"never_show": "never.csv", "in_stock": "stock.csv"}
    events = {"sources": ["logs/*.csv"]}
    with_both = ingest(make_config(events=events, items=shop.items.model_dump(), rules=rules))
    assert with_both.items is not None
    assert [tuple(row.values())[:5] for row in parquet.read(with_both.items.files()).to_pylist()] == [
        ("7", "Kettle", "kitchen", False, True),
        ("8", None, "kitchen", True, False),
        ("9", None, None, True, False),
    ]
    assert {"items.csv", "never.csv", "stock.csv"} < set(with_both.sources)
    alone = ingest(make_config(events=events, rules={"never_show": "never.csv"}))
    assert alone.items is not None
    assert [tuple(row.values())[:5] for row in parquet.read(alone.items.files()).to_pylist()] == [
        ("8", None, None, True, None),
        ("9", None, None, True, None),
    ]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"never_show": "gone.csv"}, r"rules\.never_show: expected at least one file"),
        ({"in_stock": "empty.csv"}, r"empty\.csv: expected a row for each item; got none"),
        ({"in_stock": "items.csv"}, r"items\.csv: expected a column 'item_id' \(rules\.id\); there are sku"),
        (
            {"never_show": "all.csv"},
            r"all\.csv: expected a list of ids, .*; got a table with a column 'Stock'",
        ),
    ],
)
def test_a_rule_that_cannot_be_read_stops_the_night_and_the_look(
    shop: Config, make_config: Make, rules: dict[str, str], said: str
) -> None:
    write(shop, "item_id\n", "empty.csv")
    write(shop, "item_id,Stock\n7,0\n8,5\n", "all.csv")
    cfg = make_config(events={"sources": ["logs/*.csv"]}, rules=rules)
    with pytest.raises(SourceError, match=said):
        ingest(cfg)
    with pytest.raises(SourceError, match=said):
        preview.look(cfg, NIGHT)


def test_a_later_run_of_the_night_with_another_list_leaves_this_ones_files(shop: Config) -> None:
    first = ingest(shop)
    write(shop, "sku,title,kind\n7,Pot,kitchen\n")
    second = ingest(shop)
    assert first.items is not None
    assert second.items is not None
    assert [parquet.read(one.items.files())["name"].to_pylist() for one in (first, second) if one.items] == [
        ["Kettle", None],
        ["Pot"],
    ]


def test_a_night_without_a_list_keeps_none(shop: Config, make_config: Make) -> None:
    found = ingest(make_config(events={"sources": ["logs/*.csv"]}))
    assert (found.items, found.known, set(found.sources)) == (None, 0, {"logs/a.csv"})
    assert pins.newest(shop, Store.of(shop), NIGHT).items is None


def test_a_wrong_list_stops_the_night_before_it_writes(shop: Config) -> None:
    write(shop, "sku,title,kind\n,a,b\n")
    with pytest.raises(SourceError, match="expected an item id"):
        ingest(shop)
    assert delta.version(Store.of(shop), "events") is None


def test_a_look_reads_the_list_whole_and_writes_nothing(shop: Config) -> None:
    assert preview.look(shop, NIGHT).known == 2
    write(shop, CSV + "9,\n")
    with pytest.raises(SourceError, match=r"items\.csv: line 4"):
        preview.look(shop, None)
    assert not shop.root.exists()
