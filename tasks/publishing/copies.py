"""Copies of published files on this machine's disk, where tables lie in an object store.

Views name them, so they are what readers are given: each is held against what its publication pins, by its
bytes where it is shown or all are asked for, else by its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from tasks.publishing.publications import Publication
from tasks.store.pins import Pin
from tasks.store.store import Store


def mend(store: Store, shown: Publication | None, history: Sequence[Publication], *, wholly: bool) -> None:
    """Fetch anew the copies that are not what was published; those that are not there yet are no matter.

    wholly   every byte of every copy is read, not of those of the shown night alone
    """
    if store.on_disk:
        return
    for one in history if shown is None or shown in history else [*history, shown]:
        for pin in _pins(one, one == shown):
            if _other_size(store, pin) or ((wholly or one == shown) and _other_bytes(store, pin)):
                with suppress(FileNotFoundError):  # whose file is gone is told of it elsewhere
                    for file in pin.files:
                        store.fetched(store.at(file), anew=True)


def damaged(store: Store, one: Publication, *, is_shown: bool) -> str:
    """The first copies that have other bytes than were published, with what to do; empty where none have."""
    if store.on_disk:
        return ""
    for pin in _pins(one, is_shown):
        if _other_bytes(store, pin):
            named = ", ".join(str(store.here(store.at(file))) for file in pin.files)
            return f"{named}: its bytes are not those that were published; run `rnnrec refresh`"
    return ""


def _pins(one: Publication, is_shown: bool) -> Iterator[Pin]:
    """Of whose files views name copies."""
    yield from one.tables.values()
    if is_shown:
        yield from (one.reads or {}).get("items", {}).values()


def _other_size(store: Store, pin: Pin) -> bool:
    copies = {store.at(file): store.here(store.at(file)) for file in pin.files}
    return any(
        copy.is_file() and copy.stat().st_size != store.facts(file).size for file, copy in copies.items()
    )


def _other_bytes(store: Store, pin: Pin) -> bool:
    copies = [store.here(store.at(file)) for file in pin.files]
    if not any(copy.is_file() for copy in copies):
        return False
    try:
        return store.digest(copies) != pin.digest
    except OSError:  # one of several is not there, or the disk cannot read it
        return True
