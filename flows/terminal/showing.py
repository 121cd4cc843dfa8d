"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

if TYPE_CHECKING:
    from tasks.publishing.status import Night
    from tasks.publishing.vacuum import Vacuumed

FRAME = 3  # a column's two blanks and its line
# in a narrow table
STATES = {"recipe_changed": "changed", "weights_kept": "kept", "carried_forward": "carried"}
MEASURES = {
    "predictions": "{:,}",
    "unknown_targets": "{:,}",
    "unknown_histories": "{:,}",
    "training_seconds": "{:.1f}",
    "events_per_second": "{:,.0f}",
    "evaluation_seconds": "{:.1f}",
    "predictions_per_second": "{:,.0f}",
}


def evaluation_tables(found: dict[str, Any], width: int) -> list[Table]:
    """One column a model, one row a number; as many tables as it takes for each to be read in this width."""
    columns = {name: _told(one) for name, one in found["models"].items()}
    labels = list(next(iter(columns.values())))
    title = f"{found['train']} → {found['test']}, {found['protocol']}, seed {found['seed']}"
    tables: list[Table] = []
    for names in _abreast(columns, width - max(map(len, labels)) - FRAME - 1):
        table = Table("", title=title if not tables else None)
        for name in names:
            table.add_column(name, justify="right")
        for label in labels:
            table.add_row(label, *(columns[name][label] for name in names))
        tables.append(table)
    tables[-1].caption = f"{found['items']:,} items; peak memory {found['peak_memory_gb']:.2f} GB"
    return tables


def _told(one: Mapping[str, Any]) -> dict[str, str]:
    """A model's numbers by their labels."""
    metrics = {metric: f"{value:.4f}" for metric, value in one["metrics"].items()}
    return metrics | {
        key.replace("_", " "): form.format(one[key]) for key, form in MEASURES.items() if key in one
    }


def _abreast(columns: Mapping[str, Mapping[str, str]], room: int) -> list[list[str]]:
    """The columns, as many side by side as there is room for; one at least."""
    groups: list[list[str]] = []
    left = 0
    for name, cells in columns.items():
        wide = max(map(len, (name, *cells.values()))) + FRAME
        if not groups or wide > left:
            groups.append([])
            left = room
        groups[-1].append(name)
        left -= wide
    return groups


def beside_line(one: Mapping[str, Any]) -> str:
    """A model beside one of an earlier evaluation."""
    return (
        f"{one['model']} - {one['beside']} of before, {one['metric']}: {one['difference']:+.4f} "
        f"({one['low']:+.4f} to {one['high']:+.4f})"
    )


def status_table(nights: Sequence[Night]) -> Table:
    """The last nights, newest first, in 80 columns."""
    table = Table(
        "night",
        "run",
        "model",
        Column("user\nrows", justify="right"),
        Column("item\nrows", justify="right"),
        "published\nUTC",
        Column("took", justify="right"),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=None if nights else "nothing has been published yet",
    )
    for one in nights:
        table.add_row(*_status_cells(one))
    return table


def _status_cells(one: Night) -> tuple[str, ...]:
    night = f"{one['night']} ←" if one["shown"] else one["night"]
    run = _run_state(one)
    if one["published_at"] is None:
        return (night, run, *["-"] * 5)
    names = ("user_recommendations", "item_recommendations")
    rows = [_amount(one["rows"].get(name, 0)) for name in names]
    state = str(one["state"])
    model = f"{one['model_version']} {STATES.get(state, state)}"
    if one["model"]:
        model += f"\n{one['model']}"
    return (night, run, model, *rows, one["published_at"][5:16].replace("T", " "), _took(one["seconds"] or 0))


def _run_state(one: Night) -> str:
    """What became of the night's newest run; a publication from before runs were recorded counts as done.

    Of a night that a vacuum gave up nothing is there any more to be called done.
    """
    run = one["run"] or {"state": "done"}
    if run["state"] == "done" and one["withdrawn"] is not None:
        return "withdrawn"
    if run["state"] == "done" and one["given_up"]:
        return "given up"
    return f"failed, {run['exit_code']}" if run["state"] == "failed" else str(run["state"])


def _amount(rows: int) -> str:
    return f"{rows:,}" if rows < 1_000_000 else f"{rows / 1e6:,.1f}M"


def _took(seconds: float) -> str:
    """12 s, 3m05s, 2h10m."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def vacuum_lines(done: Vacuumed, grace_hours: float, *, dry_run: bool) -> list[str]:
    """What a vacuum did, or would do: a line for each kind of thing, and a sentence at the end."""
    would = "would be " if dry_run else ""
    given_up = f", and {len(done.given_up)} {would}given up" if done.given_up else ""
    lines = [f"{len(done.kept)} night(s) are kept, from {done.kept[0]} to {done.kept[-1]}{given_up}."]
    lines += [f"{name}: {count:,} day(s) {would}taken out" for name, count in done.days.items()]
    lines += [
        f"{what}: {count:,} {would}deleted, {size:,} bytes" for what, (count, size) in done.gone.items()
    ]
    lines.append(f"{done.size:,} bytes {would}freed.")
    if done.waiting:
        lines.append(f"{done.waiting:,} bytes more wait for {_waited_for(done.running, grace_hours)}.")
    return lines


def _waited_for(running: Sequence[str], grace_hours: float) -> str:
    """Who may hold what is left, and when to look again."""
    readers = f"readers who may hold them: run it again in {grace_hours:g} h"
    if not running:
        return readers
    runs = (
        f"what is under way and may have read them, of {', '.join(running)}: run it again once it has ended"
    )
    return f"{readers}; and for {runs}" if grace_hours else runs
