"""One day of a table: how it is given, what its folder and its fence are called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from tasks.errors import WarehouseError
from tasks.store import tables


def only_day(name: str, partition: Mapping[str, date]) -> date | None:
    """The day of a table with partitions, None for one without. Raises WarehouseError for anything else."""
    column = tables.table(name).partition
    if list(partition) != ([column] if column else []):
        expected = f"one day of {column}" if column else "no partition"
        raise WarehouseError(f"table {name}: expected {expected}; got {dict(partition)}")
    for day in partition.values():
        day_text(day)
    return partition[column] if column else None


def path(name: str, partition: Mapping[str, date]) -> str:
    """`table`, or `table/column=day`: below tables/ its folder, and in the log the name of its fence."""
    return "/".join((name, *(f"{column}={day_text(day)}" for column, day in partition.items())))


def day_text(day: date) -> str:
    """A day as text; only real dates pass, since a string in a filter could select other partitions."""
    if not isinstance(day, date) or isinstance(day, datetime):
        raise WarehouseError(f"partition: expected a datetime.date; got {day!r}")
    return day.isoformat()
