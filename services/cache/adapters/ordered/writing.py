"""Applies the decisions of a change, in its step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import Exhausted, SutlerError

from services.cache.adapters.ordered import blobs, keys, leases, remains
from services.cache.adapters.ordered.held import (
    count_type,
    entry_of,
    find,
    let_value_go,
    purge,
    purge_time,
    remove,
    renew,
    save,
)
from services.cache.adapters.ordered.records import Held
from services.cache.adapters.ordered.spaces import Room, room_of
from services.cache.adapters.ordered.steps import Step
from services.cache.caches import Cache, Usage
from services.cache.changes import Decision, Grant, Leave, Release, Remove, Renew, Row, Store
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.leases import Lease
from services.cache.results import Changed, Result
from services.cache.telling import Cause, Scope, shortens

PURGE = 200
"""How many expired entries a put removes at most to make room."""


@dataclass(frozen=True, slots=True)
class _View:
    """What a decision looks at. See :class:`services.cache.changes.View`."""

    entry: Entry | Unreadable | None
    usage: Usage
    now: float
    lease: Lease | None
    room: Room

    def blob(self, sha256: str) -> Blob | None:
        found = blobs.find(self.room.step, self.room.known.tenant, self.room.known.blob_backend, sha256)
        return found.blob if found is not None and blobs.used_in(found, self.room.number) else None


def wanted(cache: Cache, rows: list[Row]) -> list[bytes]:
    """Returns the keys that a change looks at, as far as they are known before."""
    found = [keys.space(cache.space)]
    for row in rows:
        found += [keys.entry(cache.space, row.key), keys.lease(cache.space, row.key)]
        if row.with_value:
            found.append(keys.value(cache.space, row.key))
        if row.draft is not None:
            found.append(keys.blob(cache.tenant, cache.rules.blob_backend, row.draft.blob.sha256))
    return found


def change(step: Step, cache: Cache, rows: list[Row]) -> Changed:
    """Makes changes in order; one that refuses changes nothing.

    Raises:
        BlobGoneError: If a draft's blob is not there any more.
    """
    room = room_of(step, cache)
    results: list[Result] = []
    for row in rows:
        held = find(room, row.key)
        try:
            decision = _decide(room, row, held)
        except SutlerError as refusal:
            results.append(refusal)
        else:
            known = remains.known(room, row.key) if isinstance(held, Unreadable) else held
            results.append(_apply(room, cache, row, known, decision))
    room.save()
    return Changed(results, room.known.usage, lost_leases=room.lost_leases)


def _decide(room: Room, row: Row, held: Held | Unreadable | None) -> Decision:
    found = entry_of(room, held, value=row.with_value) if isinstance(held, Held) else held
    lease = leases.find(room, row.key) if row.with_lease else None
    living = lease if lease is not None and lease.alive(room.step.now) else None
    try:
        return row.decide(_View(found, room.known.usage, room.step.now, living, room))
    except Exhausted:
        # What has expired but was not swept yet must not take room from what is put.
        if not purge(room, PURGE, keep=row.key):
            raise
        return row.decide(_View(found, room.known.usage, room.step.now, living, room))


def _apply(room: Room, cache: Cache, row: Row, held: Held | None, decision: Decision) -> Entry | Lease | None:
    match decision:
        case Leave(entry):
            return entry
        case Grant(lease):
            leases.grant(room, lease)
            return lease
        case Release():
            leases.end(room, row.key)
            return None
        case Remove(entry):
            assert held is not None
            remove(room, held)
            leases.end(room, row.key)
            room.tell(Scope.KEY, row.key, Cause.DELETE)
            return None
        case Renew(entry):
            assert held is not None
            renew(room, held, entry, purge_time(cache, entry.expire_time))
            if shortens(cache, held.entry, entry, room.step.now):
                room.tell(Scope.KEY, row.key, Cause.TOUCH)
            return entry
        case Store(entry):
            stored = _put(room, cache, row, held, entry)
            if row.with_lease:
                leases.fulfil(room, row.key)
            else:
                leases.end(room, row.key)
            room.tell(Scope.KEY, row.key, Cause.PUT, entry.etag)
            return stored


def _put(room: Room, cache: Cache, row: Row, before: Held | None, entry: Entry) -> Entry:
    if row.draft is not None:
        blobs.adopt(room, row.draft)
    blob = None if entry.blob is None else blobs.use(room, entry.blob.sha256)
    if before is not None:
        let_value_go(room, before, keep_value=blob is None)
    after = Held(
        replace(entry, value=None, blob=None),
        purge_time(cache, entry.expire_time),
        entry.update_time,
        "" if blob is None else blob.sha256,
    )
    save(room, before, after)
    if blob is None:
        assert entry.value is not None
        room.step.put(keys.value(room.number, entry.key), entry.value)
        room.add(stored=entry.stored_size)
    room.add(entries=before is None, size=entry.size - (before.entry.size if before else 0))
    if before is None or before.entry.data_type != entry.data_type:
        count_type(room, before.entry.data_type if before else "", -1)
        count_type(room, entry.data_type, 1)
    return entry if blob is None else replace(entry, blob=blob)
