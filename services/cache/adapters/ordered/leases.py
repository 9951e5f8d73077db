"""Leases as records of their own, each with one that tells of its end."""

from __future__ import annotations

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import dump_lease, load_lease
from services.cache.adapters.ordered.spaces import Room
from services.cache.leases import Lease


def find(room: Room, key: str) -> Lease | None:
    """Returns the lease of a key, also one that has ended on its own and is not swept yet."""
    return load_lease(key, room.step.get(keys.lease(room.number, key)))


def grant(room: Room, lease: Lease) -> None:
    """Gives a lease, in the place of one that is there, which is lost unless it is the same."""
    before = find(room, lease.key)
    if before is not None:
        _forget(room, before)
        room.lost_leases += before.token != lease.token
    key = keys.lease(room.number, lease.key)
    room.step.put(key, dump_lease(lease))
    room.step.put(keys.due(lease.expire_time, key), room.known.tenant.encode())


def end(room: Room, key: str) -> None:
    """Ends the lease of a key, if there is one."""
    lease = find(room, key)
    if lease is not None:
        _forget(room, lease)
        room.lost_leases += 1


def fulfil(room: Room, key: str) -> None:
    """Ends the lease of a key with a put of its holder."""
    lease = find(room, key)
    if lease is not None:
        _forget(room, lease)


def expire(room: Room, found: bytes, key: str) -> None:
    """Ends the lease of a key if its time is over; ``found`` is the record that tells of that."""
    lease = find(room, key)
    if lease is None:
        room.step.delete(found)
        room.step.delete(keys.lease(room.number, key))
    elif not lease.alive(room.step.now):
        end(room, key)


def _forget(room: Room, lease: Lease) -> None:
    key = keys.lease(room.number, lease.key)
    room.step.delete(key)
    room.step.delete(keys.due(lease.expire_time, key))
