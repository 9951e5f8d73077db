"""Metadata backends to be tested, and short forms of what is done to them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import xxhash
from sutler.filtering import parse
from sutler.idempotency import Once
from sutler.paging import Order

from services.cache.caches import Cache
from services.cache.changes import Draft, Grant, Leave, Release, Remove, Renew, Row, Store, View
from services.cache.entries import Blob, Entry, Kind
from services.cache.leases import Lease
from services.cache.listing import ENTRIES, ENTRY_ORDER, Query
from services.cache.ports import MetadataBackend

METHOD = "/sutler.cache.v1.CacheService/IncrementEntry"


@dataclass(frozen=True)
class Place:
    """Attributes:
    backend: The backend under test.
    other: The same data, as another process has them; None if no other can.
    make: Makes a cache with these rules.
    """

    backend: MetadataBackend
    other: MetadataBackend | None
    make: Callable[..., Awaitable[Cache]]

    async def put(self, cache: Cache, *keys: str, **fields: Any) -> list[Entry]:
        changed = await self.backend.change(cache, [put(key, **fields) for key in keys])
        assert all(isinstance(result, Entry) for result in changed.results), changed.results
        return list(changed.results)  # type: ignore[arg-type]

    async def keys(self, cache: Cache, **query: Any) -> list[str]:
        return [entry.key for entry in (await self.backend.page(cache, wanted(**query))).entries]


def entry_of(key: str, now: float, value: bytes = b"value", **fields: Any) -> Entry:
    life = {"ttl": 100.0, "expire_time": now + 100.0}
    sizes = {"size": len(value), "stored_size": len(value), "checksum": xxhash.xxh3_128_hexdigest(value)}
    times = {"life_time": now, "create_time": now, "put_time": now, "update_time": now}
    given = {
        "kind": Kind.BYTES,
        "etag": f'"{xxhash.xxh3_64_hexdigest(key.encode())}"',
        "value": value,
        **life,
        **sizes,
        **times,
        **fields,
    }
    for name in ("expire_time", "put_time", "update_time"):
        if callable(given[name]):
            given[name] = given[name](now)
    return Entry(key=key, **given)


def put(key: str, value: bytes = b"value", *, draft: Draft | None = None, **fields: Any) -> Row:
    """A row that stores an entry; a field that is a function gets the time."""

    def decide(view: View) -> Store:
        entry = entry_of(key, view.now, value, **fields)
        if draft is None:
            return Store(entry)
        blob = draft.blob
        return Store(
            replace(entry, value=None, blob=blob, size=blob.size, stored_size=blob.size, checksum=blob.checksum)
        )

    return Row(key, decide, draft=draft)


def remove(key: str) -> Row:
    def decide(view: View) -> Remove | Leave:
        return Leave(None) if view.entry is None else Remove(view.entry)

    return Row(key, decide)


def renew(key: str, ttl: float) -> Row:
    def decide(view: View) -> Renew:
        assert view.entry is not None
        return Renew(replace(view.entry, ttl=ttl, expire_time=view.now + ttl, life_time=view.now))

    return Row(key, decide)


def look(key: str, seen: list[View]) -> Row:
    """A row that changes nothing, and tells what it saw."""

    def decide(view: View) -> Leave:
        seen.append(view)
        return Leave(view.entry)

    return Row(key, decide, with_value=True, with_lease=True)


def grant(key: str, token: str = "token", seconds: float = 30.0, tags: tuple[str, ...] = ()) -> Row:
    return Row(key, lambda view: Grant(Lease(key, token, tags, view.now + seconds)), with_lease=True)


def release(key: str) -> Row:
    return Row(key, lambda view: Release(), with_lease=True)


def blob_of(content: bytes, locator: str) -> Blob:
    digest = xxhash.xxh3_128_hexdigest(content)
    return Blob(digest * 2, len(content), digest, "", locator, stored_size=len(content))


def fresh(blob: Blob) -> Draft:
    """A blob that was just written."""
    return Draft(blob, time.time())


def once(request_id: str, answer: Callable[[Any], bytes] = lambda result: b"answer") -> Once:
    return Once("default", METHOD, request_id, b"hash", answer)


def wanted(
    text: str = "", orders: tuple[Order, ...] = ENTRY_ORDER, after: Any = None, limit: int = 100, prefix: str = ""
) -> Query:
    return Query(parse(text, ENTRIES), orders, after, limit, prefix)
