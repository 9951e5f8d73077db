"""One entry with all that is kept of it: its record, its value, and the records that say where to find it."""

from __future__ import annotations

from dataclasses import replace

from services.cache.adapters.ordered import blobs, indexes, keys, remains
from services.cache.adapters.ordered.records import Held, dump_entry, load_count, load_entry, with_blob
from services.cache.adapters.ordered.spaces import Room
from services.cache.caches import Cache
from services.cache.entries import Entry, Unreadable


def find(room: Room, key: str) -> Held | Unreadable | None:
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
    """Writes an entry, and the records that say where to find it."""
    key, step, tenant = after.entry.key, room.step, room.known.tenant
    step.put(keys.entry(room.number, key), dump_entry(after))
    old = {} if before is None else indexes.of(tenant, room.number, before)
    new = indexes.of(tenant, room.number, after)
    for found in old.keys() - new.keys():
        step.delete(found)
    for found in new.keys() - old.keys():
        step.put(found, new[found])


def remove(room: Room, held: Held) -> None:
    """Removes an entry that is there."""
    entry = held.entry
    room.step.delete(keys.entry(room.number, entry.key))
    for found in indexes.of(room.known.tenant, room.number, held):
        room.step.delete(found)
    let_value_go(room, held)
    room.add(entries=-1, size=-entry.size)
    count_type(room, entry.data_type, -1)


def remove_whatever(room: Room, key: str) -> bool:
    """Removes what stands under a key, also if nobody can read it; returns whether there was anything."""
    held = find(room, key)
    if held is not None:
        remove(room, remains.known(room, key) if isinstance(held, Unreadable) else held)
    return held is not None


def remove_if_over(room: Room, found: bytes, key: str) -> bool:
    """Removes what stands under a key if its time and retention are over; returns whether it did.

    Args:
        room: The cache.
        found: The record that says that its time may be over; it goes if that is wrong.
        key: The key.
    """
    held = find(room, key)
    if isinstance(held, Unreadable):
        room.step.delete(found)
        return remove_whatever(room, key)
    if held is None or found not in indexes.of(room.known.tenant, room.number, held):
        room.step.delete(found)
        return False
    if held.purge_time is None or held.purge_time > room.step.now:
        return False
    remove(room, held)
    return True


def purge(room: Room, limit: int, keep: str = "") -> int:
    """Removes entries of a cache whose time and retention are over, but not one under ``keep``; returns how many."""
    count, start = 0, keys.entries(room.number)
    for due, _ in room.step.scan(keys.DUE, keys.due_until(room.step.now)):
        what = keys.due_record(due)
        key = keys.text(what[len(start) :]) if what.startswith(start) else ""
        count += bool(key) and key != keep and remove_if_over(room, due, key)
        if count == limit:
            break
    return count


def renew(room: Room, held: Held, entry: Entry, over: float | None) -> None:
    """Writes the new life of an entry, and when it is over."""
    life = {"ttl": entry.ttl, "expire_time": entry.expire_time, "life_time": entry.life_time}
    save(room, held, replace(held, entry=replace(held.entry, **life), purge_time=over))  # type: ignore[arg-type]


def let_value_go(room: Room, held: Held, *, keep_value: bool = False) -> None:
    """Counts a value that goes; ``keep_value`` if another takes its place."""
    if held.sha256:
        blobs.release(room, held.sha256)
        return
    room.add(stored=-held.entry.stored_size)
    if not keep_value:
        room.step.delete(keys.value(room.number, held.entry.key))


def count_type(room: Room, name: str, more: int) -> None:
    """Counts entries that have a data type from now on, or that have it no more."""
    if not name:
        return
    key = keys.data_type(room.known.tenant, room.number, name)
    count = load_count(room.step.get(key)) + more
    if count > 0:
        room.step.put(key, str(count).encode())
    else:
        room.step.delete(key)
