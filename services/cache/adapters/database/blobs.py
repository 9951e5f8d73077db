"""Which blobs there are, and who refers to them.

References are not counted but looked up by index, so no crash or fault can make the count wrong.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sutler.store import Transaction
from sutler.store.sequences import draw

from services.cache.adapters.database.totals import Totals, change
from services.cache.caches import Compression
from services.cache.changes import Draft
from services.cache.entries import Blob
from services.cache.faults import BlobGoneError

MAX_UNUSED_SECONDS = 30.0
"""A blob that was written longer ago must be written anew: the sweep takes orphans that are twice as old."""

_COLUMNS = "sha256, size_bytes, checksum, chunks, locator, id, packing, stored_bytes"
_PACKINGS = {int(packing): packing for packing in Compression}


def find(tx: Transaction, tenant: str, backend: str, sha256: str) -> Blob | None:
    """Returns a blob that a tenant has in a backend."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM blobs WHERE tenant = ? AND backend = ? AND sha256 = ?", (tenant, backend, sha256)
    )
    return None if row is None else _blob(row)


def _blob(row: Sequence[Any]) -> Blob:
    sha256, size, checksum, chunks, locator, number, packing, stored = row
    return Blob(sha256, size, checksum, chunks, locator, number, _PACKINGS.get(packing, Compression.NONE), stored)


def numbered(tx: Transaction, blob_id: int) -> Blob | None:
    """Returns a blob by its number."""
    row = tx.one(f"SELECT {_COLUMNS} FROM blobs WHERE id = ?", (blob_id,))
    return None if row is None else _blob(row)


def adopt(tx: Transaction, totals: Totals, backend: str, draft: Draft) -> Blob:
    """Returns the blob that a draft is to become, with its number.

    If the tenant has an equal one, it is replaced by the newer one, which was just written and so is whole. That
    may be packed in another way: then every cache that refers to it counts anew.

    Raises:
        BlobGoneError: If the draft has no file and there is no equal blob any more, or its file is so old that the
            sweep of orphans may have taken it.
    """
    tenant = totals.tenant
    known = find(tx, tenant, backend, draft.blob.sha256)
    if not draft.blob.locator:
        if known is None:
            raise BlobGoneError
        return known
    if time.time() - draft.written_time > MAX_UNUSED_SECONDS:  # by the clock that dates files, as the sweep does
        raise BlobGoneError
    blob = draft.blob
    if known is not None:
        if known.locator != blob.locator:
            tx.execute(
                "UPDATE blobs SET size_bytes = ?, checksum = ?, chunks = ?, locator = ?, packing = ?, stored_bytes = ?"
                " WHERE id = ?",
                (blob.size, blob.checksum, blob.chunks, blob.locator, int(blob.packing), blob.stored_size, known.id),
            )
            _discard(tx, tenant, backend, known.locator)
            _recount(tx, totals, known, blob.stored_size)
        return replace(blob, id=known.id)
    number = draw(tx, "cache_blobs")
    tx.execute(
        "INSERT INTO blobs (id, tenant, backend, sha256, size_bytes, checksum, chunks, locator, packing, stored_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number, tenant, backend, blob.sha256, blob.size, blob.checksum, blob.chunks, blob.locator),
            *(int(blob.packing), blob.stored_size),
        ),
    )
    return replace(blob, id=number)


def _recount(tx: Transaction, totals: Totals, known: Blob, stored_size: int) -> None:
    more = stored_size - known.stored_size
    if not more:
        return
    change(
        tx,
        "UPDATE spaces SET stored_bytes = stored_bytes + ?"
        " WHERE space IN (SELECT space FROM entries WHERE blob_id = ?)",
        (more, known.id),
    )
    if used_in(tx, totals.space, known.id):
        totals.stored_bytes += more


def used_in(tx: Transaction, space: int, blob_id: int) -> bool:
    """Returns whether an entry of a cache refers to a blob."""
    return tx.one("SELECT 1 FROM entries WHERE blob_id = ? AND space = ? LIMIT 1", (blob_id, space)) is not None


def gained(totals: Totals, blob: Blob) -> None:
    """Counts a blob that the cache did not refer to before."""
    totals.blobs += 1
    totals.stored_bytes += blob.stored_size


def released(tx: Transaction, totals: Totals, blob: Blob) -> None:
    """Lets a blob go if no entry refers to it any more, after one that did has gone."""
    if used_in(tx, totals.space, blob.id):
        return
    totals.blobs -= 1
    totals.stored_bytes -= blob.stored_size
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
