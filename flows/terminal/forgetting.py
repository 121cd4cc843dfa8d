"""What an erasure did, and what is left of whom until when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from flows.terminal.escaping import escaped
from tasks.settings.words import some

if TYPE_CHECKING:
    from tasks.publishing.forgetting import Forgot


def lines(done: Forgot, *, now: bool, dry_run: bool) -> Iterator[str]:
    """A sentence on who was forgotten, a line for each kind of thing, and what is still there."""
    if not done.users:
        yield "Nobody was asked for, and nothing is left of anybody who was."
        return
    would = "would be " if dry_run else ""
    before = f", {done.before} of them asked for before," if done.before else ""
    lines_of = "would not be taken any more" if dry_run else "are not taken any more"
    yield f"{done.users} user(s){before} {would}forgotten. Lines of theirs in logs that come {lines_of}."
    if done.unknown:
        yield _unknown(done.unknown, dry_run=dry_run)
    for name, rows in done.removed.items():
        what = "line(s) of logs without a word now" if name == "rejects" else "row(s) removed"
        yield f"{name}: {rows:,} {what}"
    if done.publications:
        yield f"publications: {done.publications:,} pin files without them"
    if done.deleted:
        yield f"{done.deleted:,} file(s) and folder(s) deleted"
    if done.running:
        yield f"{', '.join(done.running)}: under way, and ends without publishing: run it again"
    if done.open:
        yield "Not all its tables were there yet: `rnnrec forget` again once it has ended, or the next night."
    if done.since:
        nights = ", ".join(done.since)
        yield f"{nights}: began meanwhile: `rnnrec forget` again once it has ended, or the next night."
    if done.held[0] and done.until is not None:
        yield _held(done, now=now)
    yield "What else names them is not ours: the raw logs, copies, backups, logs of a Prefect server."


def _unknown(users: Sequence[str], *, dry_run: bool) -> str:
    named = some([repr(escaped(user)) for user in users])
    refused = "would be" if dry_run else "are"
    return (
        f"No row of events, sessions or lists was of {named}: was that the id? Lines of that id "
        f"{refused} refused from now on all the same."
    )


def _held(done: Forgot, *, now: bool) -> str:
    count, size = done.held
    kept = f"{count:,} file(s) with their rows, {size:,} bytes, are still on the disk"
    if now:
        return f"{kept}: runs under way read them; once they have ended, `rnnrec forget --now` deletes them."
    return (
        f"{kept} for whoever reads them, until {done.until:%Y-%m-%d %H:%M} UTC: the first night after it "
        "deletes them, or `rnnrec forget --now` at once."
    )
