"""What is known of one entry of a cache, beside its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sutler.cache.v1 import cache_pb2 as pb
from sutler.wire import from_struct, seconds


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One entry as a call gave it. What the call does not tell is empty or None.

    Attributes:
        key: Its key.
        etag: Changes with every put.
        data_type: The handler that wrote the value.
        content_type: The media type of the value.
        tags: Its groups.
        metadata: What its writer told of it.
        ttl: How long it lives; None if without end.
        expire_time: When it expires, in UTC; None if it does not.
        size_bytes: The size of the value.
        signed: Whether the cache signs, and the signature was found right.
        hit_count: How often it was read.
        update_time: When it was last put, in UTC.
    """

    key: str
    etag: str = ""
    data_type: str = ""
    content_type: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ttl: timedelta | None = None
    expire_time: datetime | None = None
    size_bytes: int = 0
    signed: bool = False
    hit_count: int = 0
    update_time: datetime | None = None


def from_message(key: str, entry: pb.Entry) -> CacheEntry:
    """Returns an entry of the contract; ``key`` as some views leave it out."""
    return CacheEntry(
        key=key,
        etag=entry.etag,
        data_type=entry.data_type,
        content_type=entry.content_type,
        tags=tuple(entry.tags),
        metadata=from_struct(entry.metadata) if entry.HasField("metadata") else {},
        ttl=timedelta(seconds=seconds(entry.ttl)) if seconds(entry.ttl) else None,
        expire_time=_time(entry.expire_time),
        size_bytes=entry.size_bytes,
        signed=entry.signature_verified,
        hit_count=entry.hit_count,
        update_time=_time(entry.update_time),
    )


def _time(moment: Timestamp) -> datetime | None:
    return datetime.fromtimestamp(seconds(moment), UTC) if moment.seconds else None


def expired_seconds(entry: CacheEntry) -> float:
    """Returns for how many seconds an entry has been expired."""
    return 0.0 if entry.expire_time is None else (datetime.now(UTC) - entry.expire_time).total_seconds()
