"""The last nights at a glance, from the publications alone: what readers got, how old it is, why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from tasks import publish
from tasks.config import Config
from tasks.days import start
from tasks.publish import Row


class Night(TypedDict):
    """One night's newest publication.

    age_hours   since the last event it could know of: the end of the night's day
    shown       whether readers of the latest night are shown this one
    """

    night: str
    state: str
    model_version: int
    attempt: int
    rows: dict[str, int]
    published_at: str
    age_hours: float
    seconds: float
    durations: dict[str, float]
    shown: bool
    verdict: dict[str, Any]
    content_digest: str


def recent(cfg: Config, n: int = 10, now: datetime | None = None) -> list[Night]:
    """The newest n nights, newest first; plain values only.

    now   with a zone; the clock's time when not given
    """
    rows = publish.publications(cfg)
    shown = publish.latest(rows)
    newest = {row["night"]: row for row in rows}
    moment = now or datetime.now(UTC)
    return [_night(cfg, newest[night], shown, moment) for night in sorted(newest, reverse=True)[:n]]


def _night(cfg: Config, row: Row, shown: Row | None, now: datetime) -> Night:
    end = start(cfg, row["night"] + timedelta(days=1))
    durations = json.loads(row["durations"])
    return Night(
        night=row["night"].isoformat(),
        state=row["state"],
        model_version=row["model_version"],
        attempt=row["attempt"],
        rows={name: pin["rows"] for name, pin in json.loads(row["tables"]).items()},
        published_at=row["published_at"].isoformat(timespec="seconds") + "Z",
        age_hours=round((now.astimezone(UTC).replace(tzinfo=None) - end).total_seconds() / 3600, 1),
        seconds=round(sum(durations.values()), 3),
        durations=durations,
        shown=shown is not None and row["sequence"] == shown["sequence"],
        verdict=json.loads(row["verdict"]),
        content_digest=row["content_digest"],
    )
