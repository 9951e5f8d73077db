"""The errors that only this service gives, one function for each reason of the contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sutler.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FailedPrecondition,
    Invalid,
    NotFound,
    OutOfRange,
    invalid,
)

SIGNING_KEYS = "SUTLER_CACHE_SIGNING_KEYS"
"""The setting with the keys that sign entries."""


class CacheMovedError(Exception):
    """The cache was changed or deleted since it was read: read it again, then repeat the call."""


class BlobGoneError(Exception):
    """The blob that a put counted on was removed meanwhile: write it again, then repeat the put."""


class DamagedError(Exception):
    """A stored value is not what was put.

    Args:
        cause: ``missing``, ``size``, ``checksum`` or ``packing``; ``altered`` if it has another SHA-256 than was
            signed.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def cache_not_found(cache: str) -> NotFound:
    """There is no such cache, so no entry either."""
    return NotFound(
        f"{cache} does not exist; create it first", reason="CACHE_NOT_FOUND", metadata={"cache": cache}, resource=cache
    )


def has_children(cache: str, count: int, *, more: bool) -> FailedPrecondition:
    """A cache has entries, and may not be deleted with them."""
    return FailedPrecondition(
        f"{cache} has entries ({count}{' or more' if more else ''}); delete it with force",
        reason="HAS_CHILDREN",
        metadata={"children": str(count)},
        resource=cache,
    )


def entry_not_found(cache: str, key: str) -> NotFound:
    """There is no entry of this key. Keys stay out of messages: they may be long, and headers are small."""
    return NotFound(
        f"{cache} has no entry of this key", reason="ENTRY_NOT_FOUND", metadata={"cache": cache, "key": key}
    )


def entry_expired(cache: str, key: str, expire_time: float) -> NotFound:
    """The entry of this key has expired."""
    when = _text(expire_time)
    return NotFound(
        f"the entry of this key in {cache} expired at {when}",
        reason="ENTRY_EXPIRED",
        metadata={"cache": cache, "key": key, "expire_time": when},
    )


def entry_corrupt(cache: str, key: str, cause: str) -> NotFound:
    """The stored value is damaged, and not given out."""
    return NotFound(
        f"the stored value of this key in {cache} is damaged ({cause}): take it as a miss and put it again",
        reason="ENTRY_CORRUPT",
        metadata={"cache": cache, "key": key, "cause": cause},
    )


def signature_invalid(cache: str, key: str, cause: str) -> NotFound:
    """The cache signs, and an entry is not given out.

    Args:
        cache: The cache.
        key: The key.
        cause: ``unsigned``, ``unknown key`` or ``altered``.
    """
    return NotFound(
        f"the entry of this key in {cache} has no right signature ({cause}): take it as a miss and put it again",
        reason="SIGNATURE_INVALID",
        metadata={"cache": cache, "key": key, "cause": cause},
    )


def signing_key_missing() -> FailedPrecondition:
    """A cache signs, but there is no key to sign with."""
    return FailedPrecondition(
        f"signing needs a key: set {SIGNING_KEYS} to the base64 of 32 random bytes (openssl rand -base64 32), "
        "the same in all replicas",
        reason="SIGNING_KEY_MISSING",
        metadata={"setting": SIGNING_KEYS},
    )


def already_exists(cache: str, key: str) -> AlreadyExists:
    """A put was to find no entry, but there is one."""
    return AlreadyExists(f"{cache} has an entry of this key already", metadata={"cache": cache, "key": key})


def entry_changed(cache: str, key: str) -> Conflict:
    """The entry does not have the etag that the caller knows."""
    return Conflict(
        f"the entry of this key in {cache} has changed; read it again and repeat",
        metadata={"cache": cache, "key": key},
    )


def lease_held(cache: str, key: str, expire_time: float, now: float) -> Conflict:
    """Another caller computes the value of this key."""
    when = _text(expire_time)
    return Conflict(
        f"another caller has the lease of this key in {cache}, until {when} at the latest; ask again",
        reason="LEASE_HELD",
        metadata={"cache": cache, "key": key, "expire_time": when},
        retry_after=timedelta(seconds=max(expire_time - now, 0.0)),
    )


def lease_lost(cache: str, key: str) -> Conflict:
    """The lease that a caller shows has ended."""
    return Conflict(
        f"the lease of this key in {cache} has ended: what was computed under it is not taken, so ask for a new one",
        reason="LEASE_LOST",
        metadata={"cache": cache, "key": key},
    )


def blob_not_found(cache: str, sha256: str) -> NotFound:
    """No entry of the cache has this blob."""
    return NotFound(
        f"no entry of {cache} has the blob {sha256}: write its bytes",
        reason="BLOB_NOT_FOUND",
        metadata={"cache": cache, "sha256": sha256},
    )


def cache_full(cache: str, limit: str, value: int) -> Exhausted:
    """The cache is at a limit and does not evict."""
    return Exhausted(
        f"{cache} has reached {limit} = {value} and does not evict: delete entries, or raise the limit",
        reason="CACHE_FULL",
        metadata={"cache": cache, "limit": limit, "value": str(value)},
    )


def value_too_large(field: str, size: int, limit: int, *, rule: str = "") -> Invalid:
    """One value is larger than it may be.

    Args:
        field: The field of the request.
        size: How many bytes it has.
        limit: How many it may have.
        rule: The field of the cache that says so; empty where no cache does.
    """
    return invalid(
        field,
        f"has {size} bytes, more than {f'{rule} = {limit} of the cache' if rule else limit}",
        reason="TOO_LARGE",
        metadata={"size_bytes": str(size), "limit_bytes": str(limit), **({"limit": rule} if rule else {})},
    )


def expiry_not_allowed(cache: str, field: str, cause: str) -> Invalid:
    """The life that a caller asks for is impossible.

    Args:
        cache: The cache.
        field: ``entry.ttl``, ``entry.expire_time`` or ``ttl``.
        cause: ``storage_mode`` or ``past``.
    """
    why = "the cache has storage_mode: nothing in it expires" if cause == "storage_mode" else "it is in the past"
    return invalid(field, why, reason="EXPIRY_NOT_ALLOWED", metadata={"cache": cache, "cause": cause})


def not_counter(cache: str, key: str) -> FailedPrecondition:
    """An increment met a value that is no counter."""
    return FailedPrecondition(
        f"the entry of this key in {cache} is no counter: delete it, or count under another key",
        reason="NOT_COUNTER",
        metadata={"cache": cache, "key": key},
    )


def counter_overflow(value: int, delta: int) -> OutOfRange:
    """A counter would leave the range of int64."""
    return OutOfRange(
        f"{value} + {delta} is no number of 64 bits; the counter did not change",
        reason="COUNTER_OVERFLOW",
        metadata={"value": str(value), "delta": str(delta)},
    )


def offset_invalid(offset: int, size: int) -> OutOfRange:
    """A read begins past the end of the value."""
    return OutOfRange(
        f"offset {offset} is past the end: the value has {size} bytes",
        reason="OFFSET_INVALID",
        metadata={"offset": str(offset), "size_bytes": str(size)},
    )


def stream_order(expected: str, received: str) -> Invalid:
    """A stream of WriteBlob is out of order."""
    return Invalid(
        f"the stream must go on with {expected}, but {received} came; begin again",
        reason="STREAM_ORDER_INVALID",
        metadata={"expected": expected, "received": received},
    )


def blob_incomplete(received: int) -> Invalid:
    """A stream of WriteBlob ended without its trailer."""
    return Invalid(
        f"the stream ended after {received} bytes without its trailer; nothing was kept, write it again",
        reason="BLOB_INCOMPLETE",
        metadata={"received_bytes": str(received)},
    )


def blob_mismatch(field: str, expected: str, received: str) -> Invalid:
    """The bytes that came are not those that the trailer tells of."""
    return Invalid(
        f"the trailer says {field} {expected}, but {received} came; nothing was kept, write it again",
        reason="BLOB_MISMATCH",
        metadata={"field": field, "expected": expected, "received": received},
    )


def verification_in_progress(cache: str, operation: str) -> Conflict:
    """Another run verifies the cache."""
    return Conflict(
        f"{operation} verifies {cache} already; wait until it has ended, or cancel it",
        reason="OPERATION_IN_PROGRESS",
        metadata={"operation": operation},
        resource=cache,
    )


def _text(time: float) -> str:
    """Returns a time as text, to the same microsecond as in a message."""
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(time * 1_000_000))
    return when.isoformat().replace("+00:00", "Z")
