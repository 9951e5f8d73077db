"""Entries: a value under a key, with all that is known about it, and how long it lives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import orjson
import xxhash

from services.cache.caches import Cache, Compression
from services.cache.faults import entry_corrupt, entry_expired, entry_not_found, expiry_not_allowed

MAX_INLINE_BYTES = 1 << 20
"""The largest value that comes with its entry; larger ones come as a reference."""

UNREADABLE = "metadata"
"""Why an entry is corrupt whose metadata cannot be read."""


class Kind(IntEnum):
    """What a value is. The numbers are stored."""

    BYTES = 1
    JSON = 2
    COUNTER = 3


@dataclass(frozen=True, slots=True)
class Blob:
    """A value that is stored apart from its metadata, under the SHA-256 of its bytes.

    Attributes:
        sha256: As 64 hexadecimal digits.
        size: In bytes.
        checksum: The xxh3-128 of all bytes, as 32 hexadecimal digits.
        chunks: The xxh3-128 over the checksums of its chunks; empty if one chunk is all.
        locator: Where the blob backend has it; never used a second time.
        id: The number under which the metadata backend knows it; 0 until then.
        packing: How its bytes are packed at rest.
        stored_size: The bytes that it takes at rest.
    """

    sha256: str
    size: int
    checksum: str
    chunks: str
    locator: str
    id: int = 0
    packing: Compression = Compression.NONE
    stored_size: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A value under a key.

    Attributes:
        key: 1 to 1024 bytes of UTF-8.
        kind: What the value is.
        etag: Changes with every put and increment.
        ttl: Seconds that it lives after a put, touch or, in a sliding cache, access; 0 is without end, None stands
            for an absolute end, which does not slide.
        expire_time: When it expires, in seconds since 1970; None if it does not.
        life_time: When its life was last decided: by a put, a touch or an invalidation, not by an access.
        size: The bytes of the value.
        stored_size: The bytes of the value as stored.
        checksum: The xxh3-128 of the value, as 32 hexadecimal digits.
        create_time: When an entry first stood under this key without a gap.
        put_time: When it was last put.
        update_time: When it was last put or incremented.
        content_type: The media type; empty if unknown.
        data_type: What wrote the value; empty if unknown.
        metadata: What the caller wants to know about it: a JSON object, as text.
        tags: Groups that it belongs to.
        hit_count: How often it was accessed since it was put.
        access_time: When it was last accessed; None if it was not.
        value: The bytes of the value; None if it is in a blob, or was not read. As stored, where a backend gives it.
        blob: Where the value is, if it is in a blob.
        packing: How ``value`` is packed.
        signature: Proves who put it; empty if it was not signed.
        verified: Whether the cache signs and the signature was found right; never stored.
    """

    key: str
    kind: Kind
    etag: str
    ttl: float | None
    expire_time: float | None
    life_time: float
    size: int
    stored_size: int
    checksum: str
    create_time: float
    put_time: float
    update_time: float
    content_type: str = ""
    data_type: str = ""
    metadata: str = "{}"
    tags: tuple[str, ...] = ()
    hit_count: int = 0
    access_time: float | None = None
    value: bytes | None = None
    blob: Blob | None = None
    packing: Compression = Compression.NONE
    signature: str = ""
    verified: bool = False

    def alive(self, now: float) -> bool:
        """Returns whether it is still there for readers. Every read path asks this."""
        return self.expire_time is None or self.expire_time > now


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry whose metadata cannot be read: a miss for readers, and what a put may replace.

    Attributes:
        key: Its key.
        why: What is wrong, in words.
    """

    key: str
    why: str


def metadata_of(text: str) -> str:
    """Returns metadata that were stored.

    Raises:
        ValueError: If they are no JSON object.
    """
    if text != "{}" and not isinstance(orjson.loads(text), dict):
        raise ValueError("the metadata are no JSON object")
    return text


def checksum(value: bytes) -> str:
    """Returns the xxh3-128 of a value, as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(value)


def living(cache: Cache, key: str, entry: Entry | Unreadable | None, now: float) -> Entry:
    """Returns an entry that is there and alive.

    Raises:
        NotFound: If it is absent (ENTRY_NOT_FOUND), has expired (ENTRY_EXPIRED) or cannot be read (ENTRY_CORRUPT).
    """
    if entry is None:
        raise entry_not_found(cache.name, key)
    if isinstance(entry, Unreadable):
        raise entry_corrupt(cache.name, key, UNREADABLE)
    if not entry.alive(now):
        assert entry.expire_time is not None
        raise entry_expired(cache.name, key, entry.expire_time)
    return entry


def if_living(entry: Entry | Unreadable | None, now: float) -> Entry | None:
    """Returns an entry if it is there, alive, and can be read."""
    return entry if isinstance(entry, Entry) and entry.alive(now) else None


@dataclass(frozen=True, slots=True)
class Life:
    """How long an entry lives.

    Attributes:
        ttl: As in :class:`Entry`.
        expire_time: As in :class:`Entry`.
    """

    ttl: float | None
    expire_time: float | None


def ttl_life(ttl: float, now: float) -> Life:
    """Returns a life of ``ttl`` seconds from now; without end if 0."""
    return Life(ttl, now + ttl if ttl else None)


def put_life(
    cache: Cache, ttl: float | None, expire_time: float | None, now: float, *, field: str = "entry.ttl"
) -> Life:
    """Returns the life of an entry that is put.

    Args:
        cache: Its cache, whose default holds if neither is given.
        ttl: Seconds, as the caller gave them.
        expire_time: The end, as the caller gave it.
        now: Seconds since 1970.
        field: What the caller knows ``ttl`` as.

    Raises:
        Invalid: If the cache's entries do not expire, or the end is in the past (EXPIRY_NOT_ALLOWED).
    """
    if cache.rules.storage_mode and (ttl or expire_time is not None):
        raise expiry_not_allowed(cache.name, field if ttl else "entry.expire_time", "storage_mode")
    if expire_time is not None:
        if expire_time <= now:
            raise expiry_not_allowed(cache.name, "entry.expire_time", "past")
        return Life(None, expire_time)
    return ttl_life(cache.ttl if ttl is None else ttl, now)


def touch_life(cache: Cache, entry: Entry, ttl: float | None, now: float) -> Life:
    """Returns the life of an entry that is touched: a new ``ttl``, or its own one anew.

    Raises:
        Invalid: If the cache's entries do not expire (EXPIRY_NOT_ALLOWED).
    """
    if ttl is None:
        return Life(None, entry.expire_time) if entry.ttl is None else ttl_life(entry.ttl, now)
    if ttl and cache.rules.storage_mode:
        raise expiry_not_allowed(cache.name, "ttl", "storage_mode")
    return ttl_life(ttl, now)
