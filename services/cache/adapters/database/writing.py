"""Applies the decisions of a change to the tables, in its transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson
from sutler.errors import Exhausted, SutlerError
from sutler.store import Transaction

from services.cache.adapters.database import blobs, feed, leases, remains, rows, totals
from services.cache.adapters.database.totals import Totals
from services.cache.caches import Cache, Usage
from services.cache.changes import Decision, Grant, Leave, Release, Remove, Renew, Row, Store
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.leases import Lease
from services.cache.results import Changed, Result
from services.cache.telling import Cause, Scope, shortens

PURGE = 200
"""How many expired entries a put removes at most to make room."""

_STORED = (
    "space, key, tenant, kind, etag, ttl, expire_time, purge_time, life_time, size_bytes, stored_bytes, checksum,"
    " create_time, put_time, update_time, used_time, hit_count, access_time, listed_bytes, blob_id, content_type,"
    " data_type, tags, metadata, packing, signature, value"
)
_PUT = (
    f"INSERT INTO entries ({_STORED}) VALUES ({', '.join('?' * (_STORED.count(',') + 1))})"
    " ON CONFLICT (space, key) DO UPDATE SET "
    + ", ".join(
        # What a key has earned by being used often stays when its value is replaced.
        f"{name} = CASE WHEN entries.{name} > excluded.{name} THEN entries.{name} ELSE excluded.{name} END"
        if name == "used_time"
        else f"{name} = excluded.{name}"
        for name in _STORED.split(", ")[3:]
    )
)
_LISTED_OVERHEAD = 250


@dataclass(frozen=True, slots=True)
class _View:
    """What a decision looks at. See :class:`services.cache.changes.View`."""

    entry: Entry | Unreadable | None
    usage: Usage
    now: float
    tx: Transaction
    cache: Cache
    lease: Lease | None

    def blob(self, sha256: str) -> Blob | None:
        found = blobs.find(self.tx, self.cache.tenant, self.cache.rules.blob_backend, sha256)
        return found if found is not None and blobs.used_in(self.tx, self.cache.space, found.id) else None


def change(tx: Transaction, cache: Cache, changes: list[Row]) -> Changed:
    """Makes changes in order; one that refuses changes nothing.

    Raises:
        CacheMovedError: If the cache is not what the caller knows.
        BlobGoneError: If a draft's blob is not there any more.
    """
    rows.check_cache(tx, cache)
    total = totals.load(tx, cache.tenant, cache.space)
    before, version = total.kept, total.version
    results: list[Result] = []
    for row in changes:
        found = rows.held(tx, cache.space, row.key, value=row.with_value)
        try:
            decision = _decide(tx, cache, total, row, found)
        except SutlerError as refusal:
            results.append(refusal)
        else:
            results.append(_apply(tx, cache, total, row, found, decision))
    if total.kept != before:
        total.save(tx)
    return Changed(results, total.usage, (version, total.version), total.lost_leases)


def _decide(tx: Transaction, cache: Cache, total: Totals, row: Row, found: Entry | Unreadable | None) -> Decision:
    lease = leases.find(tx, total, row.key) if row.with_lease else None
    try:
        return row.decide(_View(found, total.usage, tx.now, tx, cache, lease))
    except Exhausted:
        # What has expired but was not swept yet must not take room from what is put.
        if not purge(tx, total, PURGE, keep=row.key):
            raise
        return row.decide(_View(found, total.usage, tx.now, tx, cache, lease))


def _apply(
    tx: Transaction, cache: Cache, total: Totals, row: Row, found: Entry | Unreadable | None, decision: Decision
) -> Entry | Lease | None:
    match decision:
        case Leave(entry):
            return entry
        case Grant(lease):
            leases.grant(tx, total, lease)
            return lease
        case Release():
            leases.end(tx, total, row.key)
            return None
        case Remove(entry):
            remove(tx, total, entry)
            leases.end(tx, total, row.key)
            feed.tell(tx, total, Scope.KEY, row.key, Cause.DELETE)
            return None
        case Renew(entry):
            _renew(tx, cache, total, entry)
            if isinstance(found, Entry) and shortens(cache, found, entry, tx.now):
                feed.tell(tx, total, Scope.KEY, row.key, Cause.TOUCH)
            return entry
        case Store(entry):
            if row.draft is not None:
                blob = blobs.adopt(tx, total, cache.rules.blob_backend, row.draft)
                entry = replace(entry, blob=blob)
            _put(tx, cache, total, remains.known(tx, total, found), entry)
            if row.with_lease:
                leases.fulfil(tx, total, row.key)
            else:
                leases.end(tx, total, row.key)
            feed.tell(tx, total, Scope.KEY, row.key, Cause.PUT, entry.etag)
            return entry


def _put(tx: Transaction, cache: Cache, total: Totals, found: Entry | None, entry: Entry) -> None:
    old, new = found.blob if found else None, entry.blob
    if new is not None and not blobs.used_in(tx, cache.space, new.id):
        blobs.gained(total, new)
    tx.execute(_PUT, _parameters(cache, entry))
    total.version += 1
    total.entries += found is None
    total.size_bytes += entry.size - (found.size if found else 0)
    total.stored_bytes += (0 if new else entry.stored_size) - (found.stored_size if found and not old else 0)
    if old is not None and (new is None or new.id != old.id):
        blobs.released(tx, total, old)
    _retag(tx, cache, entry.key, found.tags if found else (), entry.tags)


def remove(tx: Transaction, total: Totals, found: Entry | Unreadable) -> None:
    """Removes an entry that is there."""
    entry, key = remains.known(tx, total, found), rows.stored_key(found.key)
    tx.execute("DELETE FROM entries WHERE space = ? AND key = ?", (total.space, key))
    total.version += 1
    total.entries -= 1
    total.size_bytes -= entry.size
    if entry.blob is None:
        total.stored_bytes -= entry.stored_size
    else:
        blobs.released(tx, total, entry.blob)
    if entry.tags:
        _untag(tx, total.space, key, entry.tags)


def purge(tx: Transaction, total: Totals, limit: int, keep: str = "") -> int:
    """Removes entries of a cache whose time and retention are over, but not one under ``keep``; returns how many."""
    found = tx.all(
        f"{rows.SELECT_BARE} WHERE e.space = ? AND e.purge_time <= ? AND e.key <> ? LIMIT ?",
        (total.space, tx.now, rows.stored_key(keep), limit),
    )
    for row in found:
        remove(tx, total, rows.to_entry(row))
    return len(found)


def _renew(tx: Transaction, cache: Cache, total: Totals, entry: Entry) -> None:
    total.version += 1
    tx.execute(
        "UPDATE entries SET ttl = ?, expire_time = ?, purge_time = ?, life_time = ? WHERE space = ? AND key = ?",
        (
            entry.ttl,
            entry.expire_time,
            purge_time(cache, entry.expire_time),
            entry.life_time,
            cache.space,
            rows.stored_key(entry.key),
        ),
    )


def purge_time(cache: Cache, expire_time: float | None) -> float | None:
    """Returns when an entry is removed that expires then."""
    return None if expire_time is None else expire_time + cache.stale_retention


def _parameters(cache: Cache, entry: Entry) -> tuple[str | bytes | int | float | None, ...]:
    tags = orjson.dumps(entry.tags).decode() if entry.tags else "[]"
    key = rows.stored_key(entry.key)
    return (
        cache.space,
        key,
        cache.tenant,
        int(entry.kind),
        entry.etag,
        entry.ttl,
        entry.expire_time,
        purge_time(cache, entry.expire_time),
        entry.life_time,
        entry.size,
        entry.stored_size,
        entry.checksum,
        entry.create_time,
        entry.put_time,
        entry.update_time,
        entry.update_time,
        entry.hit_count,
        entry.access_time,
        len(key) + len(tags) + len(entry.metadata) + _LISTED_OVERHEAD,
        entry.blob.id if entry.blob else None,
        entry.content_type,
        entry.data_type,
        tags,
        entry.metadata,
        int(entry.packing),
        entry.signature,
        None if entry.blob else entry.value,
    )


def _retag(tx: Transaction, cache: Cache, key: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    if before == after:
        return
    stored = rows.stored_key(key)
    _untag(tx, cache.space, stored, tuple(set(before) - set(after)))
    added = set(after) - set(before)
    if added:
        tx.many(
            "INSERT INTO entry_tags (space, tag, key, tenant) VALUES (?, ?, ?, ?)",
            [(cache.space, tag, stored, cache.tenant) for tag in added],
        )


def _untag(tx: Transaction, space: int, key: str, tags: tuple[str, ...]) -> None:
    if tags:
        tx.many("DELETE FROM entry_tags WHERE space = ? AND tag = ? AND key = ?", [(space, tag, key) for tag in tags])
