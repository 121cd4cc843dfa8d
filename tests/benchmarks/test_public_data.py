"""Each public data set's raw format, in a small hand-written sample, becomes what its protocol says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from public_data import DATASETS, Prepared, prepare
from public_data.protocols import LastDays

from tasks.errors import SourceError
from tasks.settings.config import Config, load_config
from tasks.settings.sections import RecommendationsConfig
from tasks.store import duck

PARAMS = Path(__file__).parents[2] / "benchmarks" / "params"
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
NOON = int(datetime(2019, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)

RETAILROCKET = "timestamp,visitorid,event,itemid,transactionid"
DIGINETICA = "sessionId;userId;itemId;timeframe;eventdate"
COVEO = "session_id_hash,event_type,product_action,product_sku_hash,server_timestamp_epoch_ms,hashed_url"
REES46 = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"

Sessions = dict[str, list[int | str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def sessions(prepared: Prepared, name: str) -> Sessions:
    """Session id to items, in the file's order."""
    found: Sessions = {}
    table = pq.read_table(prepared.file(name))
    owner = table.column_names[0]
    for row in table.select([owner, "item_id"]).to_pylist():
        found.setdefault(str(row[owner]), []).append(row["item_id"])
    return found


def write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def click(session: int, day: int, clock: str, item: int) -> str:
    return f"{session},2014-09-{day:02}T{clock}.000Z,{item},0"


def clicks(session: int, day: int, *items: int, hour: int = 10) -> list[str]:
    """A YooChoose session with a click a minute."""
    return [click(session, day, f"{hour:02}:{minute:02}:00", item) for minute, item in enumerate(items)]


YOOCHOOSE = [
    *clicks(1, 26, 7, 8, 9),
    *clicks(2, 27, 7, 8, 9, hour=9),
    *clicks(3, 27, 7, 8, 9, 66, hour=9),  # 66 has one click only
    *clicks(4, 27, 7),  # a session of one click
    *clicks(5, 28, 8, 9, 7),  # the last day of training
    *clicks(6, 29, 9, 8, hour=12),  # starts and ends in the last 24 hours
    click(7, 28, "11:59:59", 7),  # starts before the last 24 hours, and ends in them
    click(7, 28, "12:30:00", 8),
    *clicks(8, 29, 7, 66, hour=11),  # 66 is unknown to training: too short without it
    click(9, 29, "12:01:00", 55),  # the newest click, of a session and an item that are filtered out
]


def test_rsc15_tests_on_sessions_that_end_in_the_last_day(config: Config, folder: Path) -> None:
    write(folder / "yoochoose-clicks.dat", YOOCHOOSE)
    prepared = prepare(config, "rsc15", folder)
    # The newest click that survives the filter is 12:01 on the 29th, so the cut is 12:01 on the 28th.
    assert sessions(prepared, "train") == {"1": [7, 8, 9], "2": [7, 8, 9], "3": [7, 8, 9], "5": [8, 9, 7]}
    assert sessions(prepared, "test") == {"7": [7, 8], "6": [9, 8]}


def test_rsc15_is_tuned_on_the_last_day_of_training(config: Config, folder: Path) -> None:
    write(folder / "yoochoose-clicks.dat", YOOCHOOSE)
    prepared = prepare(config, "rsc15", folder)
    assert sessions(prepared, "fit") == {"1": [7, 8, 9], "2": [7, 8, 9], "3": [7, 8, 9]}
    assert sessions(prepared, "valid") == {"5": [8, 9, 7]}
    assert prepared.tally["fit"] == {"events": 9, "sessions": 3, "items": 3}


def test_session_files_keep_milliseconds_and_the_raw_order_of_ties(config: Config, folder: Path) -> None:
    tied = [f"10,2014-09-29T12:00:00.125Z,{item},S" for item in (9, 7, 8)]
    write(folder / "yoochoose-clicks.dat", [*tied, *YOOCHOOSE])
    table = pq.read_table(prepare(config, "rsc15", folder).file("test"))
    assert table.column_names == ["session_id", "item_id", "timestamp"]
    assert str(table.schema.field("timestamp").type) == "timestamp[ms]"
    rows = [row for row in table.to_pylist() if row["session_id"] == 10]
    assert [row["item_id"] for row in rows] == [9, 7, 8]
    assert {row["timestamp"].microsecond for row in rows} == {125_000}


def test_yoochoose_trains_on_the_newest_quarter_of_the_training_sessions(
    config: Config, folder: Path
) -> None:
    older = [line for session in (11, 12, 13) for line in clicks(session, 20, 7, 8)]
    write(folder / "yoochoose-clicks.dat", [*older, *YOOCHOOSE])
    prepared = prepare(config, "yoochoose", folder)
    # Seven training sessions; a quarter, rounded up, is two: the 28th's, and of the 27th's, which end at the
    # same time, the one of the lower id.
    assert sessions(prepared, "train") == {"2": [7, 8, 9], "5": [8, 9, 7]}
    assert sessions(prepared, "test") == {"7": [7, 8], "6": [9, 8]}


def test_yoochoose64_is_the_newest_64th(config: Config, folder: Path) -> None:
    # Two days of 64 sessions each: one is left to train on, which leaves nothing to tune on.
    lines = [line for number in range(64) for line in clicks(number, 20 + number // 60, 7, 8)]
    write(folder / "yoochoose-clicks.dat", [*lines, *clicks(99, 25, 7, 8)])
    with pytest.raises(SourceError, match="found none in fit"):
        prepare(config, "yoochoose64", folder)


def test_retailrocket_cuts_views_at_thirty_minutes_and_takes_the_newest_window(
    config: Config, folder: Path
) -> None:
    def views(visitor: int, start: int, *items: int) -> list[str]:
        return [f"{start + place * MINUTE},{visitor},view,{item}," for place, item in enumerate(items)]

    lines = [
        RETAILROCKET,
        *views(1, NOON - 40 * DAY, 7, 8),  # before the 25 days of training
        *views(2, NOON - 20 * DAY, 7, 8),
        f"{NOON - 20 * DAY + 2 * MINUTE},2,addtocart,8,",  # not a view
        *views(2, NOON - 20 * DAY + 31 * MINUTE, 8),  # 30 minutes after the last view: still the same session
        *views(2, NOON - 20 * DAY + 62 * MINUTE, 7, 8),  # 31 minutes: another session
        *views(3, NOON - 3 * DAY, 8, 7),
        f"{NOON - 3 * DAY + 5 * MINUTE},3,transaction,7,401",
        *views(4, NOON - DAY, 8, 7),
        *views(5, NOON, 7, 8),
    ]
    write(folder / "events.csv", lines)
    prepared = prepare(config, "retailrocket", folder)
    assert sessions(prepared, "train") == {"2_0": [7, 8, 8], "2_1": [7, 8], "3_0": [8, 7]}
    assert sessions(prepared, "test") == {"4_0": [8, 7], "5_0": [7, 8]}
    assert sessions(prepared, "valid") == {"3_0": [8, 7]}


def test_diginetica_tests_on_the_last_seven_dates_and_orders_views_by_timeframe(
    config: Config, folder: Path
) -> None:
    def views(session: int, date: str, *items: int) -> list[str]:
        # The file is not in time order: the later view is written first.
        return [f"{session};NA;{item};{place * 1000};{date}" for place, item in reversed([*enumerate(items)])]

    lines = [
        DIGINETICA,
        *views(1, "2016-05-10", 7, 8, 9),
        *views(2, "2016-05-20", 7, 8, 9),
        *views(3, "2016-05-25", 8, 9),  # the date before the last seven
        *views(4, "2016-05-26", 9, 7, 8),  # the first of the last seven
        *views(5, "2016-06-01", 7, 8, 9, 7),
    ]
    write(folder / "train-item-views.csv", lines)
    prepared = prepare(config, "diginetica", folder)
    assert sessions(prepared, "train") == {"1": [7, 8, 9], "2": [7, 8, 9], "3": [8, 9]}
    assert sessions(prepared, "test") == {"4": [9, 7, 8], "5": [7, 8, 9, 7]}
    assert (list(sessions(prepared, "fit")), list(sessions(prepared, "valid"))) == (["1"], ["2", "3"])


def test_coveo_counts_an_item_seen_twice_in_a_row_once(config: Config, folder: Path) -> None:
    def pages(session: str, start: int, *items: str) -> list[str]:
        return [
            f"{session},event_product,detail,{item},{start + place * MINUTE},url"
            for place, item in enumerate(items)
        ]

    lines = [
        COVEO,
        *pages("s1", NOON - 4 * DAY, "a", "a", "b", "a"),
        f"s1,pageview,,,{NOON - 4 * DAY},url",  # no product page
        *pages("s2", NOON - 4 * DAY + MINUTE, "a", "b"),
        f"s2,event_product,add,b,{NOON - 4 * DAY + 3 * MINUTE},url",  # not a view
        *pages("s3", NOON - 2 * DAY, "b", "a", "b"),
        *pages("s4", NOON - DAY + MINUTE - 1, "a", "b"),  # starts just before the cut: its end is dropped
        *pages("s5", NOON, "b", "a"),
        *pages("s6", NOON - DAY // 2, "a", "a"),  # one view, once repeats are collapsed
    ]
    write(folder / "browsing_train.csv", lines)
    prepared = prepare(config, "coveo", folder)
    assert sessions(prepared, "train") == {"s1": ["a", "b", "a"], "s2": ["a", "b"], "s3": ["b", "a", "b"]}
    assert sessions(prepared, "test") == {"s5": ["b", "a"]}
    assert sessions(prepared, "valid") == {"s3": ["b", "a", "b"]}


def test_coveo_is_filtered_until_nothing_changes(config: Config, folder: Path) -> None:
    def pages(session: str, start: int, *items: str) -> list[str]:
        return [
            f"{session},event_product,detail,{item},{start + place},url" for place, item in enumerate(items)
        ]

    lines = [
        COVEO,
        *(line for day in (5, 4, 3, 2, 0) for line in pages(f"s{day}", NOON - day * DAY, "a", "b")),
        # c has five views; one of them goes with the rare item x beside it, which leaves four: c goes too.
        *(line for day in (5, 4, 3, 2) for line in pages(f"t{day}", NOON - day * DAY, "a", "c", "b")),
        *pages("u", NOON - 3 * DAY, "c", "x"),
    ]
    write(folder / "browsing_train.csv", lines)
    prepared = prepare(config, "coveo", folder)
    assert sessions(prepared, "train")["t5"] == ["a", "b"]
    assert "u" not in sessions(prepared, "train")


def test_rees46_joins_its_months_and_cuts_views_at_an_hour(config: Config, folder: Path) -> None:
    def views(user: int, day: str, *times_items: tuple[str, int]) -> list[str]:
        return [
            f"{day} {clock} UTC,view,{item},2053013555631882655,electronics.smartphone,,489.07,{user},"
            "4d3b30da-a5e4-49df-b1a8-ba5943f1dd33"
            for clock, item in times_items
        ]

    october = [
        REES46,
        *views(1, "2019-10-30", ("10:00:00", 7), ("11:00:00", 8), ("12:00:01", 7), ("12:01:00", 8)),
        "2019-10-30 12:02:00 UTC,cart,8,2053013555631882655,,apple,489.07,1,",
        *views(3, "2019-10-31", ("23:50:00", 8)),
    ]
    november = [
        REES46,
        *views(3, "2019-11-01", ("00:10:00", 7), ("00:20:00", 8)),
        *views(2, "2019-11-02", ("10:00:00", 7), ("10:01:00", 8)),
        *views(4, "2019-11-04", ("10:00:00", 8), ("10:01:00", 7)),
    ]
    write(folder / "2019-Oct.csv", october)
    with gzip.open(folder / "2019-Nov.csv.gz", "wt") as packed:
        packed.write("\n".join(november) + "\n")
    prepared = prepare(config, "rees46", folder)
    assert sessions(prepared, "train") == {"1_0": [7, 8], "1_1": [7, 8], "3_0": [8, 7, 8], "2_0": [7, 8]}
    assert sessions(prepared, "test") == {"4_0": [8, 7]}


def test_otto_takes_clicks_in_the_published_split(config: Config, folder: Path) -> None:
    def session(number: int, start: int, *events: tuple[int, str]) -> str:
        steps = [{"aid": aid, "ts": start + place, "type": kind} for place, (aid, kind) in enumerate(events)]
        return json.dumps({"session": number, "events": steps})

    train = [
        session(1, NOON - 20 * DAY, (7, "clicks"), (7, "carts"), (8, "clicks")),
        session(2, NOON - 20 * DAY, (7, "clicks"), (8, "orders")),  # one click
        session(3, NOON - 2 * DAY, (8, "clicks"), (7, "clicks")),
    ]
    test = [
        session(4, NOON, (8, "clicks"), (9, "clicks"), (7, "clicks")),  # 9 is unknown to training
        session(5, NOON, (9, "clicks"), (7, "clicks")),
    ]
    write(folder / "otto-recsys-train.jsonl", train)
    write(folder / "otto-recsys-test.jsonl", test)
    prepared = prepare(config, "otto", folder)
    assert sessions(prepared, "train") == {"1": [7, 8], "3": [8, 7]}
    assert sessions(prepared, "test") == {"4": [8, 7]}
    assert (sessions(prepared, "fit"), sessions(prepared, "valid")) == ({"1": [7, 8]}, {"3": [8, 7]})


RATINGS = [
    (user, item, 978300000 + place)
    for user in (1, 2, 3, 4, 5)
    for place, item in enumerate((10, 20, 30, 40, 50))
] + [(6, 10, 978300000), (1, 99, 978300001)]  # a user with one rating; an item with one


def ratings_dat(folder: Path) -> None:
    write(folder / "ratings.dat", [f"{user}::{item}::5::{moment}" for user, item, moment in RATINGS])


def ratings_csv(folder: Path) -> None:
    header = "userId,movieId,rating,timestamp"
    write(
        folder / "ratings.csv", [header, *(f"{user},{item},3.5,{moment}" for user, item, moment in RATINGS)]
    )


@pytest.mark.parametrize("release", [ratings_dat, ratings_csv])
def test_movielens_leaves_the_last_item_out_and_keeps_the_second_last_for_validation(
    release: Callable[[Path], None], config: Config, folder: Path
) -> None:
    release(folder)
    prepared = prepare(config, "movielens", folder)
    kept = {"train": 3, "fit": 3, "valid": 4, "test": 5}
    for name, length in kept.items():
        items = [10, 20, 30, 40, 50][:length]
        assert sessions(prepared, name) == {"1": items, "2": items, "3": items, "4": items, "5": items}
    assert pq.read_schema(prepared.file("test")).names == ["user_id", "item_id", "position"]


def test_movielens_orders_ties_of_time_by_item(config: Config, folder: Path) -> None:
    write(
        folder / "ratings.dat",
        [f"{user}::{item}::5::978300000" for user in range(5) for item in (5, 4, 3, 2, 1)],
    )
    assert sessions(prepare(config, "movielens", folder), "test")["0"] == [1, 2, 3, 4, 5]


def test_prepared_files_are_kept_until_the_raw_files_change(config: Config, folder: Path) -> None:
    write(folder / "yoochoose-clicks.dat", YOOCHOOSE)
    first = prepare(config, "rsc15", folder)
    made_at = first.file("train").stat().st_mtime_ns
    again = prepare(config, "rsc15", folder)
    assert again == first
    assert again.file("train").stat().st_mtime_ns == made_at
    write(folder / "yoochoose-clicks.dat", [*clicks(12, 26, 7, 8), *YOOCHOOSE])
    assert prepare(config, "rsc15", folder).folder != first.folder


def test_a_missing_raw_file_is_named_with_the_data_set_to_get_it_from(config: Config, folder: Path) -> None:
    write(folder / "2019-Oct.csv", [REES46])
    with pytest.raises(
        SourceError, match=r"2019-Oct.csv and 2019-Nov.csv \(or .gz\); got 2019-Oct.csv; get eC"
    ):
        prepare(config, "rees46", folder)


@pytest.mark.parametrize(
    ("name", "file", "first_line", "told"),
    [
        (
            "rsc15",
            "yoochoose-clicks.dat",
            "session;time;item",
            "expected a first line, without a header, of ses",
        ),
        (
            "retailrocket",
            "events.csv",
            "timestamp,visitorid,itemid",
            "expected a header of timestamp,visitorid,e",
        ),
        (
            "diginetica",
            "train-item-views.csv",
            "queryId;itemId",
            "expected a header of sessionId;userId;itemId",
        ),
        (
            "coveo",
            "browsing_train.csv",
            "session_id_hash,query_vector",
            "expected a header of session_id_hash,e",
        ),
        (
            "movielens",
            "ratings.csv",
            "userId,movieId,tag,timestamp",
            "expected a header of userId,movieId,rat",
        ),
        ("movielens", "ratings.dat", "1,2,3,4", "of userId::movieId::rating::timestamp; got '1,2,3,4'"),
    ],
)
def test_other_columns_are_refused_with_what_was_expected(
    name: str, file: str, first_line: str, told: str, config: Config, folder: Path
) -> None:
    write(folder / file, [first_line])
    with pytest.raises(SourceError) as refused:
        prepare(config, name, folder)
    assert told in str(refused.value)
    assert f"get {file} of {DATASETS[name].title}" in str(refused.value)


def test_otto_without_its_keys_is_refused(config: Config, folder: Path) -> None:
    write(folder / "otto-recsys-train.jsonl", ['{"id": 1, "events": []}'])
    write(folder / "otto-recsys-test.jsonl", ['{"session": 1, "events": []}'])
    with pytest.raises(SourceError, match="expected a JSON object with session, events a line"):
        prepare(config, "otto", folder)


def test_columns_may_be_spelt_as_in_another_release(config: Config, folder: Path) -> None:
    views = [f"{session};NA;7;{session};2016-05-{session:02}" for session in range(1, 29) for _ in range(2)]
    write(folder / "train-item-views.csv", ["session_id;user_id;item_id;timeframe;eventdate", *views])
    assert len(sessions(prepare(config, "diginetica", folder), "test")) == 7


@pytest.mark.parametrize(
    ("name", "file", "header", "bad"),
    [
        ("rsc15", "yoochoose-clicks.dat", click(1, 1, "10:00:00", 7), "2,2014-04-07T10:54:09.868Z"),
        ("rsc15", "yoochoose-clicks.dat", click(1, 1, "10:00:00", 7), "2,yesterday,7,0"),
        ("retailrocket", "events.csv", RETAILROCKET, "1433221332117,one,view,7,"),
        ("diginetica", "train-item-views.csv", DIGINETICA, "1;NA;7;soon;2016-05-09"),
        ("coveo", "browsing_train.csv", COVEO, "s1,event_product,detail,a,1550885210881"),
        ("movielens", "ratings.dat", "1::2::5::978300000", "1::2::5"),
    ],
)
def test_a_malformed_line_is_refused_by_its_number(
    name: str, file: str, header: str, bad: str, config: Config, folder: Path
) -> None:
    write(folder / file, [header, bad])
    with pytest.raises(SourceError) as refused:
        prepare(config, name, folder)
    assert "CSV Error on Line: 2" in str(refused.value)
    assert bad in str(refused.value)
    assert f"get {DATASETS[name].title} again" in str(refused.value)


def test_a_malformed_line_of_the_second_month_is_refused(config: Config, folder: Path) -> None:
    write(folder / "2019-Oct.csv", [REES46])
    write(folder / "2019-Nov.csv", [REES46, "2019-11-01 00:00:00 UTC,view,seven,2,,,1.0,1,s"])
    with pytest.raises(SourceError, match=r"2019-Nov.csv: .* Line: 2; Original Line: 2019-11-01"):
        prepare(config, "rees46", folder)


def test_a_line_that_is_not_json_is_refused_by_its_number(config: Config, folder: Path) -> None:
    whole = '{"session": 1, "events": []}'
    write(folder / "otto-recsys-train.jsonl", [whole, '{"session": 2, "events": [', whole])
    write(folder / "otto-recsys-test.jsonl", [whole])
    with pytest.raises(SourceError, match=r"otto-recsys-train.jsonl: .* line 2: .*session"):
        prepare(config, "otto", folder)


@pytest.mark.parametrize(
    ("name", "files", "lines"),
    [
        ("rsc15", ["yoochoose-clicks.dat"], [click(1, 1, "10:00:00", 7), "1,,7,0"]),
        (
            "otto",
            ["otto-recsys-train.jsonl", "otto-recsys-test.jsonl"],
            ['{"session": 1, "events": [{"aid": 7, "ts": 1, "type": "clicks"}]}', '{"session": 2}'],
        ),
    ],
)
def test_a_line_without_item_or_time_is_refused(
    name: str, files: list[str], lines: list[str], config: Config, folder: Path
) -> None:
    for file in files:
        write(folder / file, lines)
    with pytest.raises(SourceError, match=r"in every line; \d lack one"):
        prepare(config, name, folder)


def test_a_failed_preparation_leaves_nothing_behind(config: Config, folder: Path) -> None:
    write(folder / "yoochoose-clicks.dat", clicks(1, 1, 7, 8))
    with pytest.raises(SourceError, match="none is left after filtering"):
        prepare(config, "rsc15", folder)
    assert list((config.root / "rsc15").iterdir()) == []


@pytest.mark.data
def test_the_cut_for_tuning_is_the_one_of_the_public_rsc15_64_split(
    config: Config, real_data: Callable[[str], Path]
) -> None:
    train = real_data("rsc15_64_train.parquet").resolve()
    with duck.connect(config, reads=[train]) as con:
        con.read_parquet(str(train)).create_view("published")
        con.execute(
            'create temp table steps as select session_id, item_id, "timestamp" as moment, '
            "row_number() over () as place, cast(null as varchar) as part from published"
        )
        split = {
            name: len(steps.fetchall()) for name, steps in LastDays(days=1, min_item_support=1).split(con)
        }
    assert split["train"] == 93_880
    assert split["test"] == 5_668


def test_every_preset_loads_and_has_a_data_set_and_the_other_way_round() -> None:
    presets = {path.stem: load_config(path) for path in PARAMS.glob("*.toml")}
    assert set(presets) == set(DATASETS)
    named = {"rsc15", "yoochoose", "retailrocket", "diginetica", "coveo", "rees46", "otto", "movielens"}
    assert named <= set(presets)


def test_presets_hold_model_and_training_settings_and_the_exclusion_that_fits_them_only() -> None:
    for path in PARAMS.glob("*.toml"):
        preset = load_config(path)
        films = RecommendationsConfig(exclude="session")
        plain = Config(recommendations=films) if preset.training.exclude_seen else Config()
        for section in (
            "events",
            "sessions",
            "evaluation",
            "gate",
            "recommendations",
            "warehouse",
            "registry",
        ):
            assert getattr(preset, section) == getattr(plain, section), f"{path.name}: [{section}]"
