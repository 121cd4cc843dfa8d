"""What `show`, `diff`, `lineage` and `verify` say, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Column, Table

from flows.terminal.escaping import escaped
from tasks.models.verdicts import in_brackets

if TYPE_CHECKING:
    from tasks.publishing.differences import Difference, Side
    from tasks.publishing.lineage import Lineage, Read
    from tasks.publishing.tracing import Session, Trace
    from tasks.publishing.verification import Verified

SHOWN_FILES = 10
SHOWN_STEPS = 20
DIGITS = 16  # of a digest
METRICS = ("recall_at_20", "mrr_at_20", "ndcg_at_20")
RIGHT = ("rows", "bytes", "lines", "Delta version", "rank", "score", "events", "times", "users")  # numbers


def verified_line(one: Verified) -> str:
    """A night and its links: whole, or where it is broken, and what is to be known of the others."""
    files = sum(link.files for link in one.links)
    if one.broken:
        return escaped(f"{one.night}  BROKEN at {one.broken.name}: {one.broken.said}")
    told = [f"{link.name}: {link.said}" for link in one.links if link.said]
    missing = [link.name for link in one.links if link.state == "not kept" and not link.said]
    if missing:
        told.append(f"not kept then: {', '.join(missing)}")
    return escaped("; ".join([f"{one.night}  whole, {files:,} files", *told]))


def trace(found: Trace) -> Iterator[RenderableType]:
    """What somebody got, from which model, and what the night knew of them."""
    yield from _about(found)
    if found["list"]:
        yield _table(
            ("rank", "item", "name", "score", "source"),
            [
                (
                    str(row["rank"]),
                    str(row["item_id"]),
                    row["name"] or "",
                    f"{row['score']:.4g}",
                    row["source"],
                )
                for row in found["list"]
            ],
        )
    if found["kind"] == "user" and found["list"] and found["context"] == "window":
        asked = sum(session["is_asked"] for session in found["sessions"])
        yield f"\nAsked from {asked:,} session(s), joined: the newest of these."
    for session in found["sessions"]:
        yield from _session(session)
    if found["followers"]:
        yield "\nCame next in the sessions of the night:"
        yield _table(
            ("item", "name", "times"),
            [(str(row["item_id"]), row["name"] or "", f"{row['times']:,}") for row in found["followers"]],
        )
    if found["sources"]:
        yield f"\nIts {sum(found['sources'].values()):,} event(s) that the night has read stand in:"
        files = list(found["sources"].items())
        yield _table(("raw file", "events"), [(name, f"{events:,}") for name, events in files[:SHOWN_FILES]])
        yield from _more(len(files) - SHOWN_FILES, "raw files")
    if not found["settings_today"]:
        yield "The configuration file has changed since that night: sessions are cut as it says today."


def _about(found: Trace) -> Iterator[RenderableType]:
    night = f"{found['night']}, {found['state'].replace('_', ' ')}, publication {found['sequence']}"
    if found["tables_of"] != found["night"]:
        night += f": the tables of {found['tables_of']}"
    model = found["model"]
    yield _facts(
        night=night,
        model=f"{_version(model)}, run {model['run_id']}" if model else "not kept",
        **({"name": escaped(found["name"])} if found["name"] else {}),
    )
    yield escaped(found["sentence"])
    if found["users"] is not None:
        yield f"It is in the lists of {found['users']:,} user(s)."


def _version(model: Mapping[str, Any]) -> str:
    return f"version {model['version']} of {model['name']}{in_brackets(model['made_by'])}"


def _session(session: Session) -> Iterator[RenderableType]:
    kept = "" if session["is_kept"] else "; too short for the table of sessions, or cut otherwise then"
    yield "\n" + escaped(f"Session {session['session_id']} of {session['user_id']}{kept}")
    steps = session["steps"]
    if len(steps) > SHOWN_STEPS:
        yield f"{len(steps) - SHOWN_STEPS:,} items before these; --json has all"
    files = {step["source_file"] for step in steps}
    yield _table(
        ("time, UTC", "item", "name"),
        [
            (step["time"].rstrip("Z").replace("T", " "), str(step["item_id"]), step["name"] or "")
            for step in steps[-SHOWN_STEPS:]
        ],
    )
    if files != {None}:
        yield escaped(f"from {', '.join(sorted(filter(None, files)))}")


def difference(found: Difference) -> Iterator[RenderableType]:
    """Two nights beside each other, then what moved."""
    first, second = found["first"], found["second"]
    yield _sides(first, second)
    if first["content_digest"] == second["content_digest"]:
        yield "Both nights show the same tables."
        return
    names = (first["night"], second["night"])
    if found["metrics"]:
        measured = [
            (f"{row['contestant']} {row['metric']}", _real(row["before"]), _real(row["after"]))
            for row in found["metrics"]
            if row["metric"] in METRICS
        ]
        yield _table(("metric", *names), measured, right=names)
    rows = [(name, *map(_count, pair)) for name, pair in found["rows"].items()]
    yield _table(("rows of", *names), rows, right=names)
    yield from _lists(found)
    yield from _moved(found, names)


def _sides(first: Side, second: Side) -> Table:
    keys = (
        "state", "tables_of", "model_version", "model", "run_id", "recipe", "config_digest", "data_digest"
    )  # fmt: skip
    rows = [
        (key.replace("_", " "), *(str(side[key] or "-")[:DIGITS] for side in (first, second)))  # type: ignore[literal-required]
        for key in keys
    ]
    return _table(("night", first["night"], second["night"]), rows)


def _lists(found: Difference) -> Iterator[RenderableType]:
    users, overlap = found["users"], found["overlap"]
    yield (
        f"Users with a list: {users['stayed']:,} in both nights, {users['went']:,} went, "
        f"{users['came']:,} came."
    )
    if overlap["mean"] is not None:
        yield (
            f"Of the lists of those in both, {overlap['mean']:.1%} of the items stayed; "
            f"{overlap['same']:,} list(s) are the same in every place."
        )
        rows = [(share, f"{count:,}") for share, count in overlap["distribution"].items()]
        yield _table(("of a list stayed", "users"), rows)


def _moved(found: Difference, names: Sequence[str]) -> Iterator[RenderableType]:
    if found["items"]:
        yield "Items by the number of lists that they are in:"
        rows = [
            (*_item(row), f"{row['lists_before']:,}", f"{row['lists_after']:,}", f"{row['change']:+,}")
            for row in found["items"]
        ]
        yield _table(("item", "name", *names, "change"), rows, right=(*names, "change"))
    if found["turned"]:
        yield "Items that came into, and left, the lists of users of both nights:"
        turned = [(*_item(row), f"{row['entered']:,}", f"{row['left_lists']:,}") for row in found["turned"]]
        yield _table(("item", "name", "came into", "left"), turned, right=("came into", "left"))
    if found["popular"]:
        yield "Ranks among the popular items:"
        ranks = [
            (*_item(row), _count(row["rank_before"]), _count(row["rank_after"])) for row in found["popular"]
        ]
        yield _table(("item", "name", *names), ranks, right=names)


def _item(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["item_id"]), row["name"] or ""


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _real(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def origin(found: Lineage) -> Iterator[RenderableType]:
    """A publication, then each thing it was made from, in the order in which one goes back."""
    yield _facts(
        night=_night(found),
        published=f"{found['published_at']}, publication {found['sequence']}, run {found['attempt']}",
        content=found["content_digest"],
    )
    if found["rewritten"]:
        yield found["rewritten"]
    yield _table(
        ("published table", "rows", "Delta version", "sha256"),
        [
            (name, f"{pin['rows']:,}", str(pin["version"]), pin["digest"][:DIGITS])
            for name, pin in found["tables"].items()
        ],
    )
    yield from _model(found)
    yield f"\nRead by the run of {found['tables_of']}"
    yield from _read(found["reads"])
    code = found["code"] or {}
    yield _facts(
        code=f"rnnrec {code.get('version') or '?'}, commit {code.get('commit') or 'not known'}",
        library=code.get("model_library") or "not kept",
        settings=f"{found['config_digest']}\n{_today(found['config_today'])}",
        events=found["data_digest"],
    )


def _night(found: Lineage) -> str:
    carried = (
        f"; the tables are those of {found['tables_of']}" if found["tables_of"] != found["night"] else ""
    )
    return f"{found['night']}, {found['state'].replace('_', ' ')}{carried}"


def _today(same: bool) -> str:
    return (
        "the configuration file says the same today" if same else "the configuration file has changed since"
    )


def _model(found: Lineage) -> Iterator[RenderableType]:
    model = found["model"]
    if model is None:
        yield "model: not kept by the version of rnnrec that published this night"
        return
    yield _facts(
        model=f"{_version(model)}, {len(model['files'])} files",
        run=model["run_id"],
        trained=f"for {model['trained_for'] or 'a night that is not known'}",
        library=model["code_digest"] or "not kept",
        settings=model["config_digest"] or "not kept",
        **({"registry": model["trouble"]} if model["trouble"] else {}),
    )
    if model["trained_for"] != found["tables_of"]:
        yield f"\nRead by the run that trained it, of {model['trained_for'] or 'a night that is not known'}"
        yield from _read(model["learnt"])


def _read(read: Read) -> Iterator[RenderableType]:
    tables, sources = read["tables"], read["sources"]
    if tables is None:
        yield "which days were read was not kept"
    else:
        yield _table(
            ("table", "days", "rows", "Delta version"),
            [(name, *_days(days)) for name, days in tables.items()],
        )
    if sources is None:
        yield "which raw files were read was not kept"
    else:
        yield _table(
            ("raw file", "bytes", "lines", "sha256"),
            [
                (name, f"{one['bytes']:,}", f"{one['lines']:,}", one["sha256"][:DIGITS])
                for name, one in list(sources.items())[:SHOWN_FILES]
            ],
        )
        yield from _more(len(sources) - SHOWN_FILES, "raw files")


def _days(days: Mapping[str, Any]) -> tuple[str, str, str]:
    versions = sorted({pin["version"] for pin in days.values()})
    span = f"{min(days)} to {max(days)}" if days else "-"
    return span, f"{sum(pin['rows'] for pin in days.values()):,}", ", ".join(map(str, versions))


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"and {count:,} more {what if count > 1 else what.removesuffix('s')}; --json names all"


def _facts(**told: str) -> Table:
    """Names and what is to be said of them; nothing is cut, and a digest has a line of its own."""
    table = Table(Column(), Column(overflow="fold"), show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, text in told.items():
        table.add_row(name, escaped(text, keep="\n"))
    return table


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """Nothing is cut; numbers stand on the right."""
    heads = [
        Column(name, overflow="fold", justify="right" if name in (*RIGHT, *right) else "left")
        for name in columns
    ]
    table = Table(*heads, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*map(escaped, row))
    return table
