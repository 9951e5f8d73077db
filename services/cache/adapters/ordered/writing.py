"""Applies the decisions of a change, in its step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import DataLoss, Exhausted, SutlerError

from services.cache.adapters.ordered import blobs, keys
from services.cache.adapters.ordered.records import Held, dump_entry, dump_lease, load_entry, load_lease, with_blob
from services.cache.adapters.ordered.spaces import Room, room_of
from services.cache.adapters.ordered.steps import Step
from services.cache.caches import Cache, Usage
from services.cache.changes import Decision, Grant, Leave, Release, Remove, Renew, Row, Store
from services.cache.entries import Blob, Entry
from services.cache.leases import Lease
from services.cache.results import Changed, Result
from services.cache.telling import Cause, Scope, shortens

PURGE = 200
"""How many expired entries a put removes at most to make room."""


@dataclass(frozen=True, slots=True)
class _View:
    """What a decision looks at. See :class:`services.cache.changes.View`."""

    entry: Entry | None
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
            results.append(_apply(room, cache, row, held, decision))
    room.save()
    return Changed(results, room.known.usage)


def find(room: Room, key: str) -> Held | None:
    """Returns what stands under a key."""
    record = room.step.get(keys.entry(room.number, key))
    return None if record is None else load_entry(key, record)


def entry_of(room: Room, held: Held, *, value: bool = False) -> Entry:
    """Returns an entry with its blob, or, if that is wanted, with its value."""
    if held.sha256:
        return with_blob(held, blobs.find(room.step, room.known.tenant, room.known.blob_backend, held.sha256))
    if not value:
        return held.entry
    return replace(held.entry, value=room.step.get(keys.value(room.number, held.entry.key)) or b"")


def purge_time(cache: Cache, expire_time: float | None) -> float | None:
    """Returns when an entry is removed that expires then."""
    return None if expire_time is None else expire_time + cache.stale_retention


def save(room: Room, before: Held | None, after: Held) -> None:
    """Writes an entry, and where it stands in the order of eviction and among what has an end."""
    key, step = after.entry.key, room.step
    step.put(keys.entry(room.number, key), dump_entry(after))
    if before is None or before.worth != after.worth:
        if before is not None:
            step.delete(keys.rank(room.number, before.worth, key))
        step.put(keys.rank(room.number, after.worth, key), b"")
    if before is None or before.purge_time != after.purge_time:
        _unschedule(room, before)
        if after.purge_time is not None:
            due = keys.due(after.purge_time, keys.entry(room.number, key))
            step.put(due, room.known.tenant.encode())


def remove(room: Room, held: Held) -> None:
    """Removes an entry that is there."""
    entry, step = held.entry, room.step
    step.delete(keys.entry(room.number, entry.key))
    step.delete(keys.rank(room.number, held.worth, entry.key))
    _unschedule(room, held)
    _let_value_go(room, held)
    room.add(entries=-1, size=-entry.size)
    for tag in entry.tags:
        step.delete(keys.tag(room.number, tag, entry.key))
    _count_type(room, entry.data_type, -1)


def remove_unreadable(room: Room, key: str) -> None:
    """Removes what nobody can read under a key; what else is kept about it is left to a recount."""
    room.step.delete(keys.entry(room.number, key))
    room.step.delete(keys.value(room.number, key))
    room.add(entries=-1)


def find_or_remove(room: Room, key: str) -> Held | None:
    """Returns what stands under a key, and removes what nobody can read."""
    try:
        return find(room, key)
    except DataLoss:
        remove_unreadable(room, key)
        return None


def end_lease(room: Room, key: str) -> None:
    """Ends the lease of a key, if there is one."""
    record = room.step.get(keys.lease(room.number, key))
    if record is not None:
        _forget_lease(room, load_lease(key, record))


def purge(room: Room, limit: int, keep: str = "") -> int:
    """Removes entries of a cache whose time and retention are over, but not one under ``keep``; returns how many."""
    count, start = 0, keys.entries(room.number)
    for due, _ in room.step.scan(keys.DUE, keys.due_until(room.step.now)):
        what = keys.due_record(due)
        key = keys.text(what[len(start) :]) if what.startswith(start) else ""
        held = find_or_remove(room, key) if key and key != keep else None
        if held is not None and is_over(held, room.step.now):
            remove(room, held)
            count += 1
            if count == limit:
                break
    return count


def is_over(held: Held, now: float) -> bool:
    """Returns whether the time of an entry, and its retention, is over."""
    return held.purge_time is not None and held.purge_time <= now


def _decide(room: Room, row: Row, held: Held | None) -> Decision:
    found = None if held is None else entry_of(room, held, value=row.with_value)
    record = room.step.get(keys.lease(room.number, row.key)) if row.with_lease else None
    lease = None if record is None else load_lease(row.key, record)
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
            _grant(room, lease)
            return lease
        case Release():
            end_lease(room, row.key)
            return None
        case Remove(entry):
            assert held is not None
            remove(room, held)
            end_lease(room, row.key)
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
            end_lease(room, row.key)
            room.tell(Scope.KEY, row.key, Cause.PUT, entry.etag)
            return stored


def renew(room: Room, held: Held, entry: Entry, over: float | None) -> None:
    """Writes the new life of an entry, and when it is over."""
    life = {"ttl": entry.ttl, "expire_time": entry.expire_time, "life_time": entry.life_time}
    save(room, held, replace(held, entry=replace(held.entry, **life), purge_time=over))  # type: ignore[arg-type]


def _put(room: Room, cache: Cache, row: Row, before: Held | None, entry: Entry) -> Entry:
    if row.draft is not None:
        blobs.adopt(room, row.draft)
    blob = None if entry.blob is None else blobs.use(room, entry.blob.sha256)
    if before is not None:
        _let_value_go(room, before, keep_value=blob is None)
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
    _retag(room, entry.key, before.entry.tags if before else (), entry.tags)
    if before is None or before.entry.data_type != entry.data_type:
        _count_type(room, before.entry.data_type if before else "", -1)
        _count_type(room, entry.data_type, 1)
    return entry if blob is None else replace(entry, blob=blob)


def _let_value_go(room: Room, held: Held, *, keep_value: bool = False) -> None:
    """Counts a value that goes; ``keep_value`` if another takes its place."""
    if held.sha256:
        blobs.release(room, held.sha256)
        return
    room.add(stored=-held.entry.stored_size)
    if not keep_value:
        room.step.delete(keys.value(room.number, held.entry.key))


def _unschedule(room: Room, held: Held | None) -> None:
    if held is not None and held.purge_time is not None:
        room.step.delete(keys.due(held.purge_time, keys.entry(room.number, held.entry.key)))


def _retag(room: Room, key: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    for tag in set(before) - set(after):
        room.step.delete(keys.tag(room.number, tag, key))
    for tag in set(after) - set(before):
        room.step.put(keys.tag(room.number, tag, key), b"")


def _count_type(room: Room, name: str, more: int) -> None:
    if not name:
        return
    key = keys.data_type(room.known.tenant, name)
    count = int(room.step.get(key) or b"0") + more
    if count > 0:
        room.step.put(key, str(count).encode())
    else:
        room.step.delete(key)


def _grant(room: Room, lease: Lease) -> None:
    end_lease(room, lease.key)
    key = keys.lease(room.number, lease.key)
    room.step.put(key, dump_lease(lease))
    room.step.put(keys.due(lease.expire_time, key), room.known.tenant.encode())


def _forget_lease(room: Room, lease: Lease) -> None:
    key = keys.lease(room.number, lease.key)
    room.step.delete(key)
    room.step.delete(keys.due(lease.expire_time, key))
