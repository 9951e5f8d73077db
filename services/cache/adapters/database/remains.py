"""What is known of an entry that cannot be read: what has to be set right when it goes."""

from __future__ import annotations

from typing import overload

from sutler.store import Transaction

from services.cache.adapters.database import blobs, rows
from services.cache.adapters.database.totals import Totals
from services.cache.entries import Entry, Kind, Unreadable


@overload
def known(tx: Transaction, total: Totals, found: Entry | Unreadable) -> Entry: ...


@overload
def known(tx: Transaction, total: Totals, found: Entry | Unreadable | None) -> Entry | None: ...


def known(tx: Transaction, total: Totals, found: Entry | Unreadable | None) -> Entry | None:
    """Returns an entry as it is, or, of one that cannot be read, its sizes, blob and tags; the rest is empty."""
    if not isinstance(found, Unreadable):
        return found
    place = (total.space, rows.stored_key(found.key))
    row = tx.one("SELECT size_bytes, stored_bytes, blob_id FROM entries WHERE space = ? AND key = ?", place)
    assert row is not None
    size, stored_size = (number if isinstance(number, int) else 0 for number in row[:2])
    blob = None if row[2] is None else blobs.numbered(tx, row[2])
    tags = tx.all("SELECT tag FROM entry_tags WHERE space = ? AND key = ?", place)
    return Entry(
        key=found.key,
        kind=Kind.BYTES,
        etag="",
        ttl=None,
        expire_time=None,
        life_time=0.0,
        size=size,
        stored_size=stored_size if row[2] is None else 0,
        checksum="",
        create_time=0.0,
        put_time=0.0,
        update_time=0.0,
        tags=tuple(tag for (tag,) in tags),
        blob=blob,
    )
