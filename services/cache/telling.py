"""What near caches are told to forget."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from services.cache.caches import Cache
from services.cache.entries import Entry


class Scope(IntEnum):
    """What an invalidation concerns. The numbers are stored, and are those of the contract's fields."""

    KEY = 1
    TAG = 2
    PREFIX = 3
    ALL = 4


class Cause(IntEnum):
    """Why something is to be forgotten, by the contract's numbers."""

    PUT = 1
    DELETE = 2
    TOUCH = 3
    INVALIDATE = 4
    VERIFY = 5
    CACHE = 6


@dataclass(frozen=True, slots=True)
class Invalidation:
    """One thing to forget.

    Attributes:
        scope: What it concerns.
        text: The key, tag or prefix; empty for all.
        cause: Why.
        time: When it happened, in seconds since 1970.
        etag: That of the entry which is there now, after a put; else empty.
    """

    scope: Scope
    text: str
    cause: Cause
    time: float
    etag: str = ""


def shortens(cache: Cache, before: Entry, after: Entry, now: float) -> bool:
    """Returns whether an entry ends sooner than a reader may have been told.

    In a sliding cache a reader knows the life that began with its access, which is stored a little later.
    """
    if after.expire_time is None:
        return False
    told = before.expire_time
    if told is not None and cache.rules.sliding and before.ttl:
        told = max(told, now + before.ttl)
    return told is None or after.expire_time < told
