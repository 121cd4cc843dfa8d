"""Every public data set we know: its raw files as published, the query that reads them, and its protocol.

Where the literature disagrees with itself, the protocol is that of the source named beside it; `protocol`
says in words what the settings of `split` do, and what to know before comparing with published numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from public_data.protocols import LastDays, LeaveOneOut, Protocol
from public_data.raw import Delimited, JsonLines, RawFile


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """How one data set becomes session files.

    title        its official name: what to ask its publisher for
    releases     raw files of each release; the first one that lies in the folder is taken
    query        sql/<query>.sql turns `raw` into (session_id, item_id, moment)
    gap_minutes  inactivity that ends a session, where sessions are not given
    split        the protocol's settings
    protocol     the protocol in words
    source       who used it
    """

    title: str
    releases: tuple[tuple[RawFile, ...], ...]
    query: str
    gap_minutes: int | None = None
    split: Protocol
    protocol: str
    source: str


YOOCHOOSE_CLICKS = RawFile(
    "yoochoose-clicks.dat",
    Delimited(
        {"session_id": "BIGINT", "timestamp": "TIMESTAMP", "item_id": "BIGINT", "category": "VARCHAR"},
        header=False,
        quote="",
    ),
)

RETAILROCKET_EVENTS = RawFile(
    "events.csv",
    Delimited(
        {
            "timestamp": "BIGINT",
            "visitorid": "BIGINT",
            "event": "VARCHAR",
            "itemid": "BIGINT",
            "transactionid": "VARCHAR",
        }
    ),
)

DIGINETICA_VIEWS = RawFile(
    "train-item-views.csv",
    Delimited(
        {
            "sessionId": "BIGINT",
            "userId": "VARCHAR",
            "itemId": "BIGINT",
            "timeframe": "BIGINT",
            "eventdate": "DATE",
        },
        delimiter=";",
    ),
)

COVEO_BROWSING = RawFile(
    "browsing_train.csv",
    Delimited(
        {
            "session_id_hash": "VARCHAR",
            "event_type": "VARCHAR",
            "product_action": "VARCHAR",
            "product_sku_hash": "VARCHAR",
            "server_timestamp_epoch_ms": "BIGINT",
            "hashed_url": "VARCHAR",
        }
    ),
)

REES46_MONTH = Delimited(
    {
        "event_time": "TIMESTAMP",
        "event_type": "VARCHAR",
        "product_id": "BIGINT",
        "category_id": "VARCHAR",
        "category_code": "VARCHAR",
        "brand": "VARCHAR",
        "price": "VARCHAR",
        "user_id": "BIGINT",
        "user_session": "VARCHAR",
    }
)

OTTO_SESSIONS = JsonLines(
    {"session": "BIGINT", "events": "STRUCT(aid BIGINT, ts BIGINT, type VARCHAR)[]"},
)

MOVIELENS_RATINGS = {"userId": "BIGINT", "movieId": "BIGINT", "rating": "DOUBLE", "timestamp": "BIGINT"}

YOOCHOOSE = "RecSys Challenge 2015 (YooChoose)"
HIDASI = "Hidasi et al. 2015, Session-based Recommendations with Recurrent Neural Networks (1511.06939)"
FRACTIONS = "Tan et al. 2016 (1606.08117) and Li et al. 2017 (NARM, 1711.04725), after Hidasi et al. 2015"
THIRD_PARTY = "Hidasi & Czapp 2023, The Effect of Third Party Implementations on Reproducibility (2307.14956)"


def _fraction(one_of: int) -> DataSet:
    return DataSet(
        title=YOOCHOOSE,
        releases=((YOOCHOOSE_CLICKS,),),
        query="raw_rsc15",
        split=LastDays(days=1, newest_one_of=one_of),
        protocol=(
            f"As rsc15, but trained on the newest 1/{one_of} of the training sessions, by their last "
            "click. Test clicks on items unknown to that fraction are dropped; NARM and its followers "
            "keep those that the full training knows, and count a fraction of prefixes rather than of "
            "sessions."
        ),
        source=FRACTIONS,
    )


DATASETS: dict[str, DataSet] = {
    "rsc15": DataSet(
        title=YOOCHOOSE,
        releases=((YOOCHOOSE_CLICKS,),),
        query="raw_rsc15",
        split=LastDays(days=1),
        protocol=(
            "Sessions of 2 clicks and more, items of 5 clicks and more, filtered once; sessions whose "
            "last click lies in the last 24 hours are the test; test clicks on items unknown to training "
            "are dropped."
        ),
        source=HIDASI,
    ),
    "yoochoose": _fraction(4),
    "yoochoose64": _fraction(64),
    "retailrocket": DataSet(
        title="Retailrocket recommender system dataset",
        releases=((RETAILROCKET_EVENTS,),),
        query="raw_retailrocket",
        gap_minutes=30,
        split=LastDays(days=2, train_days=25),
        protocol=(
            "Views only, a visitor's history cut at pauses over 30 minutes; filtered as rsc15; the last 2"
            " days are the test, sessions that start in the 25 days before them the training. The source "
            "averages five such windows; this is the newest one."
        ),
        source="Ludewig & Jannach 2018, Evaluation of Session-based Recommendation Algorithms (1803.09587)",
    ),
    "diginetica": DataSet(
        title="CIKM Cup 2016 Track 2 (Diginetica)",
        releases=((DIGINETICA_VIEWS,),),
        query="raw_diginetica",
        split=LastDays(days=7, boundary="start", calendar=True),
        protocol=(
            "Item views in the given sessions; filtered as rsc15; sessions of the last 7 dates are the "
            "test. The date before them, which the sources' strict comparisons leave out of both, "
            "is trained on."
        ),
        source="Li et al. 2017 (NARM, 1711.04725), Liu et al. 2018 (STAMP), Wu et al. 2019 (SR-GNN)",
    ),
    "coveo": DataSet(
        title="Coveo data challenge, SIGIR eCom 2021",
        releases=((COVEO_BROWSING,),),
        query="raw_coveo",
        split=LastDays(days=1, boundary="start", collapse_repeats=True, until_stable=True),
        protocol=(
            "Views of product pages in the given sessions; an item repeated in a row counts once; "
            "filtered until nothing changes; sessions that start in the last 24 hours are the test."
        ),
        source=THIRD_PARTY,
    ),
    "rees46": DataSet(
        title="eCommerce behavior data from multi category store (REES46)",
        releases=((RawFile("2019-Oct.csv", REES46_MONTH), RawFile("2019-Nov.csv", REES46_MONTH)),),
        query="raw_rees46",
        gap_minutes=60,
        split=LastDays(days=1, boundary="start", collapse_repeats=True, until_stable=True),
        protocol=(
            "Views of October and November 2019, a user's history cut at pauses over an hour; then as coveo."
        ),
        source=THIRD_PARTY,
    ),
    "otto": DataSet(
        title="OTTO Recommender Systems Dataset",
        releases=(
            (
                RawFile("otto-recsys-train.jsonl", OTTO_SESSIONS, part="train"),
                RawFile("otto-recsys-test.jsonl", OTTO_SESSIONS, part="test"),
            ),
        ),
        query="raw_otto",
        split=LastDays(days=7, boundary="published", min_item_support=1),
        protocol=(
            "Clicks only, split as published: four weeks and the whole sessions of the week after; "
            "sessions of 2 clicks and more, no minimum of clicks for items. Tuned on the last 7 days of "
            "training."
        ),
        source="Wilm et al. 2023, Scaling Session-Based Transformer Recommendations (TRON, 2307.14906)",
    ),
    "movielens": DataSet(
        title="MovieLens 1M, 20M or 25M (GroupLens)",
        releases=(
            (RawFile("ratings.dat", Delimited(MOVIELENS_RATINGS, delimiter="::", header=False, quote="")),),
            (RawFile("ratings.csv", Delimited(MOVIELENS_RATINGS)),),
        ),
        query="raw_movielens",
        split=LeaveOneOut(),
        protocol=(
            "Every rating is an interaction; users and items of 5 and more, filtered until nothing "
            "changes; by time, ties by item; the last item is the test, the second last the validation; "
            "what a user has seen leaves the ranking. All items are ranked, where both sources sample."
        ),
        source="Kang & McAuley 2018 (SASRec, 1808.09781), Sun et al. 2019 (BERT4Rec, 1904.06690)",
    ),
}
