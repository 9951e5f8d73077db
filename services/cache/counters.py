"""Counters: entries whose value is a whole number that is added to in one step."""

from __future__ import annotations

from dataclasses import replace

from sutler.etags import make_etag

from services.cache.caches import Cache
from services.cache.changes import Decision, Row, Store, View, check_room
from services.cache.entries import Entry, Kind, checksum, put_life
from services.cache.faults import counter_overflow, not_counter

GREATEST = 2**63 - 1
LEAST = -(2**63)


def increment(cache: Cache, key: str, delta: int, initial: int, ttl: float | None, seed: str) -> Row:
    """Returns the change that adds to a counter, or makes one if there is none or it has expired.

    It refuses with FailedPrecondition (NOT_COUNTER), OutOfRange (COUNTER_OVERFLOW), Invalid (EXPIRY_NOT_ALLOWED) and
    Exhausted (CACHE_FULL).

    Args:
        cache: The cache.
        key: The key.
        delta: What to add.
        initial: Where a new counter starts.
        ttl: The seconds that a new counter lives; the cache's default if None.
        seed: Tells this request from all others.
    """

    def decide(view: View) -> Decision:
        found = view.entry if view.entry is not None and view.entry.alive(view.now) else None
        if found is not None and found.kind is not Kind.COUNTER:
            raise not_counter(cache.name, key)
        before = initial if found is None else int(found.value or b"0")
        if not LEAST <= before + delta <= GREATEST:
            raise counter_overflow(before, delta)
        value = str(before + delta).encode()
        after = replace(
            found or _new(cache, key, ttl, view.now),
            value=value,
            size=len(value),
            stored_size=len(value),
            checksum=checksum(value),
            etag=make_etag(seed, key, found.etag if found else "", value),
            update_time=view.now,
        )
        check_room(cache, view, after)
        return Store(after)

    return Row(key, decide, with_value=True)


def _new(cache: Cache, key: str, ttl: float | None, now: float) -> Entry:
    life = put_life(cache, ttl, None, now, field="ttl")
    return Entry(key, Kind.COUNTER, "", life.ttl, life.expire_time, now, 0, 0, "", now, now, now)
