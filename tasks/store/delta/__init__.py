"""Delta tables with Parquet files of our own: stage what nobody sees, then replace a partition in one commit.

A table is a folder of Parquet files and a log; only files that the log names are part of it. So a run first
writes and fsyncs its files under names of its own, and a crash up to then changes nothing. The commit is one
new log entry. It is fenced: each run takes a number from `next_attempt` that only grows, every commit writes
that number into the log, and a run that finds a number at least as high as its own was overtaken and stops.
The only room that imports deltalake. What was committed is deleted by `rnnrec vacuum` alone.
"""

from tasks.store.delta.commits import (
    Moved,
    Notes,
    append,
    commit,
    commit_days,
    drop_days,
    mark,
    move_fences,
    replace_partition,
    rewrite,
)
from tasks.store.delta.creating import check_creates_only
from tasks.store.delta.fences import FORGET, check_fence, highest, mark_of, marks, writer
from tasks.store.delta.logs import RESTORE, note
from tasks.store.delta.numbers import next_attempt
from tasks.store.delta.reading import PARTS_KEPT, Part, files, files_by_day, parts, rows, schema, version
from tasks.store.delta.staging import ERASURE, Staged, stage
from tasks.store.delta.stale import clean_stale
from tasks.store.delta.tombstones import left, on_disk

__all__ = [
    "ERASURE",
    "FORGET",
    "PARTS_KEPT",
    "RESTORE",
    "Moved",
    "Notes",
    "Part",
    "Staged",
    "append",
    "check_creates_only",
    "check_fence",
    "clean_stale",
    "commit",
    "commit_days",
    "drop_days",
    "files",
    "files_by_day",
    "highest",
    "left",
    "mark",
    "mark_of",
    "marks",
    "move_fences",
    "next_attempt",
    "note",
    "on_disk",
    "parts",
    "replace_partition",
    "rewrite",
    "rows",
    "schema",
    "stage",
    "version",
    "writer",
]
