"""Nine nights of the demo's shop: what is published each night, and what its lists meet the next day.

    python benchmarks/bench_nights.py /tmp/nine --name nights

What is run is whichever pipeline can be imported: with the folder of an older commit on PYTHONPATH, that
one's. Of each night: the state, the model's version, the share of `item_recommendations` that comes from
popularity for want of a model that knows the item, and, of the next day's events of users who had a list, the
share whose item stood in it, and the mean of 1 / rank (0 where it did not); and the share whose item stood
among as many of that night's popular items, everybody's list.
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
from measuring import write
from rich.console import Console

from flows import demo
from flows.server.temporary import have_a_server
from tasks.models import imports
from tasks.running import logs
from tasks.settings.config import Config

NIGHTS, LEAD, K = 9, 6, 10
FALLBACK = """
select avg((source = 'fallback')::int) from item_recommendations_history where night = $night
"""
REALIZED = """
with visits as (
    select user_id, item_id
    from read_json($log, format = 'newline_delimited', ignore_errors = true,
                   columns = {user_id: 'varchar', item_id: 'varchar', timestamp: 'varchar'})
    where user_id is not null and item_id is not null and try_cast(timestamp as timestamptz) is not null
),
listed as (select user_id, item_id, rank from user_recommendations_history where night = $night),
popular as (
    select item_id from popular_items_history
    where night = $night and rank <= (select max(rank) from listed)
)
select count(*), count(distinct v.user_id), avg((l.rank is not null)::int), avg(coalesce(1 / l.rank, 0)),
    avg((p.item_id is not null)::int)
from visits v left join listed l using (user_id, item_id) left join popular p using (item_id)
where v.user_id in (select user_id from listed)
"""


def run(folder: Path) -> list[dict[str, Any]]:
    """The nights, one after another as they come, and what is told of each."""
    days = [demo.FIRST_DAY + timedelta(days=n) for n in range(LEAD + NIGHTS + 1)]
    config = demo._shop(folder, days, Console())
    have_a_server(folder / "prefect", imports.ahead(Config()))
    from flows.nightly import nightly

    logs.set_up()
    nights = days[LEAD : LEAD + NIGHTS]
    for night in nights:
        nightly(str(config), night.isoformat(), {"training.threads": 1, "recommendations.k": K})
    with duckdb.connect(str(folder / "warehouse" / "serve.duckdb"), read_only=True) as con:
        told = []
        for night in nights:
            state, version, verdict = con.execute(
                "select state, model_version, verdict from publications where night = $night "
                "order by sequence desc limit 1", {"night": night},
            ).fetchone()  # fmt: skip
            (fallback,) = con.execute(FALLBACK, {"night": night}).fetchone()
            log = folder / "logs" / f"{night + timedelta(days=1)}.ndjson"
            events, visitors, hits, rank, popular = con.execute(
                REALIZED, {"night": night, "log": str(log)}
            ).fetchone()
            told.append(
                {
                    "night": night.isoformat(),
                    "state": state,
                    "model_version": version,
                    "reason": json.loads(verdict).get("reason"),
                    "fallback_share": fallback,
                    "events": events,
                    "visitors": visitors,
                    "hit_rate": hits,
                    "mrr": rank,
                    "popular_hit_rate": popular,
                }
            )
    return told


def main() -> None:
    """Run them and keep the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="an empty folder for the shop")
    parser.add_argument("--name", default="nights")
    asked = parser.parse_args()
    told = run(asked.folder)
    for one in told:
        print(one)
    write(asked.name, told)


if __name__ == "__main__":
    main()
