"""Which blobs there are, and who refers to them.

References are not counted but looked up by index, so no crash or fault can make the count wrong.
"""

from __future__ import annotations

from dataclasses import replace

from sutler.store import Transaction
from sutler.store.sequences import draw

from services.cache.adapters.database.totals import Totals
from services.cache.changes import Draft
from services.cache.entries import Blob
from services.cache.faults import BlobGoneError

MAX_UNUSED_SECONDS = 30.0
"""A blob that was written longer ago must be written anew: the sweep takes orphans that are twice as old."""

_COLUMNS = "sha256, size_bytes, checksum, chunks, locator, id"


def find(tx: Transaction, tenant: str, backend: str, sha256: str) -> Blob | None:
    """Returns a blob that a tenant has in a backend."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM blobs WHERE tenant = ? AND backend = ? AND sha256 = ?", (tenant, backend, sha256)
    )
    return Blob(*row) if row else None


def adopt(tx: Transaction, tenant: str, backend: str, draft: Draft) -> Blob:
    """Returns the blob that a draft is to become, with its number.

    If the tenant has an equal one, its file is replaced by the newer one, which was just written and so is whole.

    Raises:
        BlobGoneError: If the draft has no file and there is no equal blob any more, or its file is so old that the
            sweep of orphans may have taken it.
    """
    known = find(tx, tenant, backend, draft.blob.sha256)
    if not draft.blob.locator:
        if known is None:
            raise BlobGoneError
        return known
    if tx.now - draft.written_time > MAX_UNUSED_SECONDS:
        raise BlobGoneError
    blob = draft.blob
    if known is not None:
        if known.locator != blob.locator:
            tx.execute("UPDATE blobs SET locator = ?, chunks = ? WHERE id = ?", (blob.locator, blob.chunks, known.id))
            _discard(tx, tenant, backend, known.locator)
        return replace(blob, id=known.id)
    number = draw(tx, "cache_blobs")
    tx.execute(
        "INSERT INTO blobs (id, tenant, backend, sha256, size_bytes, checksum, chunks, locator)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, tenant, backend, blob.sha256, blob.size, blob.checksum, blob.chunks, blob.locator),
    )
    return replace(blob, id=number)


def used_in(tx: Transaction, space: int, blob_id: int) -> bool:
    """Returns whether an entry of a cache refers to a blob."""
    return tx.one("SELECT 1 FROM entries WHERE blob_id = ? AND space = ? LIMIT 1", (blob_id, space)) is not None


def gained(totals: Totals, blob: Blob) -> None:
    """Counts a blob that the cache did not refer to before."""
    totals.blobs += 1
    totals.stored_bytes += blob.size


def released(tx: Transaction, totals: Totals, blob: Blob) -> None:
    """Lets a blob go if no entry refers to it any more, after one that did has gone."""
    if used_in(tx, totals.space, blob.id):
        return
    totals.blobs -= 1
    totals.stored_bytes -= blob.size
    if tx.one("SELECT 1 FROM entries WHERE blob_id = ? LIMIT 1", (blob.id,)) is None:
        row = tx.one("DELETE FROM blobs WHERE id = ? RETURNING backend, locator", (blob.id,))
        if row is not None:
            _discard(tx, totals.tenant, row[0], row[1])


def _discard(tx: Transaction, tenant: str, backend: str, locator: str) -> None:
    tx.execute(
        "INSERT INTO garbage (locator, tenant, backend, drop_time) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (locator) DO NOTHING",
        (locator, tenant, backend, tx.now),
    )
