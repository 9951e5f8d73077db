"""Counters: entries whose value is a whole number that is added to in one step."""

from __future__ import annotations

from dataclasses import replace

from sutler.etags import make_etag

from services.cache.caches import Cache
from services.cache.changes import Decision, Row, Store, View, check_room
from services.cache.entries import UNREADABLE, Entry, Kind, Unreadable, checksum, if_living, put_life
from services.cache.faults import counter_overflow, entry_corrupt, not_counter, signature_invalid
from services.cache.signing import ALTERED, NO_KEYS, Signer, sha256_of, signed_sha256

GREATEST = 2**63 - 1
LEAST = -(2**63)


def increment(
    cache: Cache, key: str, delta: int, initial: int, ttl: float | None, seed: str, signer: Signer = NO_KEYS
) -> Row:
    """Returns the change that adds to a counter, or makes one if there is none or it has expired.

    It refuses with FailedPrecondition (NOT_COUNTER, SIGNING_KEY_MISSING), OutOfRange (COUNTER_OVERFLOW), Invalid
    (EXPIRY_NOT_ALLOWED), Exhausted (CACHE_FULL), and NotFound (ENTRY_CORRUPT, SIGNATURE_INVALID): it never counts on
    from a value that a read would not give out.

    Args:
        cache: The cache.
        key: The key.
        delta: What to add.
        initial: Where a new counter starts.
        ttl: The seconds that a new counter lives; the cache's default if None.
        seed: Tells this request from all others.
        signer: Signs the entry, where the cache wants that.
    """

    def decide(view: View) -> Decision:
        found = if_living(view.entry, view.now)
        if isinstance(view.entry, Unreadable):
            raise entry_corrupt(cache.name, key, UNREADABLE)
        if found is not None and found.kind is not Kind.COUNTER:
            raise not_counter(cache.name, key)
        before = initial if found is None else _count(cache, found, signer)
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
            signature="",
        )
        check_room(cache, view, after)
        return Store(signer.signed(cache, after, sha256_of(value) if cache.rules.signing else ""))

    return Row(key, decide, with_value=True)


def _count(cache: Cache, found: Entry, signer: Signer) -> int:
    """Returns the number that a counter has, if it is what was put."""
    found, value = signer.checked(cache, found), found.value or b""
    if checksum(value) != found.checksum:
        raise entry_corrupt(cache.name, found.key, "checksum")
    if found.verified and sha256_of(value) != signed_sha256(found):
        raise signature_invalid(cache.name, found.key, ALTERED)
    return int(value)


def _new(cache: Cache, key: str, ttl: float | None, now: float) -> Entry:
    life = put_life(cache, ttl, None, now, field="ttl")
    return Entry(key, Kind.COUNTER, "", life.ttl, life.expire_time, now, 0, 0, "", now, now, now)
