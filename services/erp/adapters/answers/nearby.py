"""Answers in this process's own memory, one near cache for each tenant, kept true by CacheService's feed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sutler import headers
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.following import follow
from sutler.client.cache.near import NearCache

MAX_TENANTS = 32
"""How many tenants have a near cache at the same time; the one that was used longest ago goes first."""

MAX_ENTRIES = 1_000_000

MARK = "mark/"
"""What the keys of marks begin with."""

MARK_SECONDS = 2.0
"""How long the feed is waited for; it tells of a change within 100 ms."""


class NearAnswers(NearCache):
    """Answers of ERPs, as long as they are the current ones.

    Args:
        max_bytes: How much they take at the most, about.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(MAX_ENTRIES, max_bytes)
        self._marks: deque[tuple[str, str]] = deque(maxlen=100)
        self._marked = asyncio.Event()

    def forget(self, tags: Sequence[str]) -> None:
        """Forgets what has one of the tags; everything for ``*``."""
        if "*" in tags:
            self.forget_all()
        else:
            self.forget_tags(tags)

    def holds(self, entry: CacheEntry) -> bool:
        """Returns whether this very entry is still kept, and the feed whole."""
        held = self._values.use(entry.key) if self.is_live else None
        return held is not None and held.entry is entry

    def forget_key(self, key: str, etag: str = "") -> None:
        """Forgets a key, and notes what the feed told of marks."""
        super().forget_key(key, etag)
        if key.startswith(MARK):
            self._marks.append((key, etag))
            self._marked.set()

    async def told(self, mark: str, etag: str) -> bool:
        """Returns whether the feed told of a mark in time, and so of everything before it."""
        try:
            async with asyncio.timeout(MARK_SECONDS):
                while (mark, etag) not in self._marks:
                    self._marked.clear()
                    await self._marked.wait()
        except TimeoutError:
            return False
        return True

    def name(self, entry: CacheEntry, etag: str) -> None:
        """Notes the etag of an entry that is kept and was put since, so that the feed's telling of that is no news."""
        with self._lock:
            held = self._values.use(entry.key)
            if held is not None and held.entry is entry:
                held.entry = replace(entry, etag=etag)


class Nearby:
    """The near caches of this process.

    Args:
        stub: The stub of CacheService.
        cache: The name of the cache.
        max_bytes: How much the answers of one tenant take at the most, about.
    """

    def __init__(self, stub: Any, cache: str, max_bytes: int) -> None:
        self._stub = stub
        self._cache = cache
        self._max_bytes = max_bytes
        self._near: OrderedDict[str, tuple[NearAnswers, asyncio.Task[None]]] = OrderedDict()

    def get(self, tenant: str) -> NearAnswers | None:
        """Returns the near cache of a tenant, if it has one."""
        known = self._near.get(tenant)
        if known is None:
            return None
        self._near.move_to_end(tenant)
        return known[0]

    def begin(self, tenant: str) -> None:
        """Begins to follow a tenant's cache, which exists, unless that goes on already."""
        if tenant in self._near or not self._max_bytes:
            return
        near = NearAnswers(self._max_bytes)
        task = asyncio.create_task(follow(_OfTenant(self._stub, tenant), self._cache, near), name="near cache")
        self._near[tenant] = near, task
        if len(self._near) > MAX_TENANTS:
            _, (oldest, following) = self._near.popitem(last=False)
            following.cancel()
            oldest.stop()

    async def close(self) -> None:
        """Ends all feeds."""
        tasks = [task for _, task in self._near.values()]
        self._near.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


class _OfTenant:
    """CacheService's feed as the gateway asks for it: for one tenant."""

    def __init__(self, stub: Any, tenant: str) -> None:
        self._stub = stub
        self._tenant = tenant

    def WatchInvalidations(self, request: Any) -> Any:
        return self._stub.WatchInvalidations(request, metadata={headers.TENANT: self._tenant})


def entry_of(key: str, tags: tuple[str, ...], ttl: float, etag: str = "") -> CacheEntry:
    """Returns what a near cache knows of an answer that is kept for ``ttl`` seconds."""
    return CacheEntry(key, etag, tags=tags, expire_time=datetime.now(UTC) + timedelta(seconds=ttl))


def same(value: Any) -> Any:
    """Returns the value itself: answers are shared, and nobody changes them."""
    return value
