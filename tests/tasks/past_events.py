"""Events as partitions of before have them: without the columns that came later, which are null."""

from __future__ import annotations

import pyarrow as pa

from tasks.store import tables


def with_later_columns(events: pa.Table) -> pa.Table:
    """The events with a null in every column of the table that they lack, but for the partition's."""
    for column in tables.plain("events"):
        if column.name not in (*events.column_names, "event_day"):
            events = events.append_column(column, pa.nulls(len(events), column.type))
    return events
