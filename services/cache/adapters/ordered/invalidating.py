"""Removes entries that were selected, ends leases, and tells followers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from services.cache.adapters.ordered import keys, leases, remains
from services.cache.adapters.ordered.held import find, purge_time, remove, renew
from services.cache.adapters.ordered.records import Held, load_lease
from services.cache.adapters.ordered.spaces import Room, room_of
from services.cache.adapters.ordered.steps import Step
from services.cache.caches import Cache
from services.cache.entries import Unreadable
from services.cache.results import Discarded
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Scope


def discard(step: Step, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None) -> Discarded:
    """Removes marked entries, or lets them expire, unless they were put anew."""
    room, count = room_of(step, cache), 0
    step.want(keys.entry(cache.space, mark.key) for mark in marks)
    step.want(keys.lease(cache.space, mark.key) for mark in marks)
    for mark in marks:
        held = find(room, mark.key)
        if isinstance(held, Unreadable):
            remove(room, remains.known(room, mark.key))
        elif held is None or held.entry.put_time != mark.put_time:
            continue
        else:
            count += _end(room, cache, held, expire_only=expire_only)
        leases.end(room, mark.key)
        if cause is not None:
            room.tell(Scope.KEY, mark.key, cause)
    room.save()
    return Discarded(count, room.lost_leases)


def _end(room: Room, cache: Cache, held: Held, *, expire_only: bool) -> bool:
    """Removes an entry, or lets it expire; returns whether it lived."""
    now = room.step.now
    alive = held.entry.alive(now)
    if not expire_only:
        remove(room, held)
    elif alive:
        renew(room, held, replace(held.entry, expire_time=now, life_time=now), purge_time(cache, now))
    return alive


def announce(
    step: Step, cache: Cache, scopes: Sequence[tuple[Scope, str]], cause: Cause, ending: Selector | None
) -> int:
    """Tells followers what to forget, and ends leases; returns how many."""
    room = room_of(step, cache)
    for scope, text in scopes:
        room.tell(scope, text, cause)
    for key in list(_leased(room, ending)) if ending is not None else ():
        leases.end(room, key)
    room.save()
    return room.lost_leases


def _leased(room: Room, ending: Selector) -> Iterator[str]:
    """Yields keys whose leases end."""
    if ending.keys:
        yield from ending.keys
        return
    start, tags = keys.leases(room.number), set(ending.tags)
    first = start + ending.prefix.encode()
    for found, record in room.step.scan(first, keys.below(first)):
        key = keys.text(found[len(start) :])
        lease = load_lease(key, record)
        if not tags or lease is None or tags.intersection((*lease.tags, *_tags(room, key))):
            yield key


def _tags(room: Room, key: str) -> tuple[str, ...]:
    """Returns the tags of the entry under a key, which a lease may be there to replace."""
    held = find(room, key)
    return held.entry.tags if isinstance(held, Held) else ()
