"""Answers of ERPs in CacheService. It only ever helps: whatever goes wrong there is a miss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sutler import headers
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.errors import SutlerError, Unimplemented
from sutler.wire import duration

from services.erp.adapters.sealed_values import SealedValues

log = structlog.get_logger("erp.cache")

TIMEOUT_SECONDS = 1.0
REST_SECONDS = 2.0
"""For how long a cache that failed is not asked."""

CONTENT_TYPE = "application/octet-stream"
MAX_VALUE_BYTES = 1_000_000
MAX_PENDING = 10_000


class CacheServiceCache:
    """See :class:`services.erp.ports.RecordCache`. It speaks as the gateway itself, for the tenant of each entry.

    An invalidation that fails is repeated until it succeeds, and until then nothing of that tenant is read: an answer
    that should be gone is never given. Should the process die meanwhile, such an answer lives until its time is over.

    Args:
        connection: The way to CacheService, with the gateway's own token.
        cache: The name of the cache; it is made if there is none.
        values: Seals what is kept: whoever reaches the cache sees that there are answers, and not what they say.
    """

    def __init__(self, connection: Sutler, cache: str, values: SealedValues) -> None:
        self._stub = connection.cache
        self._cache = cache
        self._values = values
        self._made: set[str] = set()
        self._resting_until = 0.0
        self._pending: dict[str, dict[str, None]] = {}
        self._wake = asyncio.Event()
        self._batches = True

    async def get(self, tenant: str, key: str) -> Any | None:
        """Returns what is kept under a key."""
        if not self._usable(tenant):
            return None
        try:
            entry = await self._call(tenant, "GetEntry", cache_pb2.GetEntryRequest(cache=self._cache, key=key))
        except SutlerError as error:
            self._note(error)
            return None
        return self._values.open(tenant, key, entry.inline_value)

    async def get_many(self, tenant: str, keys: Sequence[str]) -> list[Any | None]:
        """Returns what is kept under each key."""
        if len(keys) == 1 or not self._batches:
            return list(await asyncio.gather(*(self.get(tenant, key) for key in keys)))
        if not self._usable(tenant) or not keys:
            return [None] * len(keys)
        request = cache_pb2.BatchGetEntriesRequest(cache=self._cache, keys=keys)
        try:
            answer = await self._call(tenant, "BatchGetEntries", request)
        except Unimplemented:
            self._batches = False
            return await self.get_many(tenant, keys)
        except SutlerError as error:
            self._note(error)
            return [None] * len(keys)
        found = {row.entry.key: row.entry.inline_value for row in answer.results if row.HasField("entry")}
        return [self._values.open(tenant, key, found[key]) if key in found else None for key in keys]

    async def put(self, tenant: str, entries: Mapping[str, tuple[Any, Sequence[str]]], ttl: float) -> None:
        """Keeps answers under keys."""
        if not self._usable(tenant) or not entries:
            return
        made = [
            cache_pb2.Entry(key=key, inline_value=sealed, content_type=CONTENT_TYPE, tags=tags, ttl=duration(ttl))
            for key, (value, tags) in entries.items()
            if len(sealed := self._values.seal(tenant, key, value)) <= MAX_VALUE_BYTES
        ]
        try:
            await self._make(tenant)
            await asyncio.gather(*(self._put(tenant, one) for one in made))
        except SutlerError as error:
            self._note(error)

    async def invalidate(self, tenant: str, tags: Sequence[str]) -> None:
        """Drops everything that has one of the tags; at once if the cache answers, else as soon as it does."""
        if tenant not in self._pending and await self._invalidate(tenant, tags):
            return
        waiting = self._pending.setdefault(tenant, {})
        waiting.update(dict.fromkeys(tags))
        if len(waiting) > MAX_PENDING:
            waiting.clear()
            waiting["*"] = None
        self._wake.set()

    async def catch_up(self) -> None:
        """Repeats invalidations that failed, until cancelled."""
        while True:
            await self._wake.wait()
            for tenant in list(self._pending):
                tags = list(self._pending[tenant])
                if await self._invalidate(tenant, tags):
                    left = {tag: None for tag in self._pending[tenant] if tag not in tags}
                    if left:
                        self._pending[tenant] = left
                    else:
                        del self._pending[tenant]
            if self._pending:
                await asyncio.sleep(1)
            else:
                self._wake.clear()

    async def _invalidate(self, tenant: str, tags: Sequence[str]) -> bool:
        request = cache_pb2.InvalidateEntriesRequest(cache=self._cache)
        if "*" in tags:
            request.all = True
        else:
            request.tags.extend(tags[:1000])
        try:
            await self._call(tenant, "InvalidateEntries", request)
        except SutlerError as error:
            return error.reason == "NOT_FOUND"  # no cache, so nothing in it
        return len(tags) <= 1000 or await self._invalidate(tenant, tags[1000:])

    async def _put(self, tenant: str, entry: cache_pb2.Entry) -> None:
        await self._call(tenant, "PutEntry", cache_pb2.PutEntryRequest(cache=self._cache, key=entry.key, entry=entry))

    async def _make(self, tenant: str) -> None:
        """Makes the tenant's cache if there is none."""
        if tenant in self._made:
            return
        request = cache_pb2.CreateCacheRequest(
            cache_id=self._cache.removeprefix("caches/"),
            cache=cache_pb2.Cache(display_name="Answers of ERPs", default_ttl=duration(300)),
        )
        try:
            await self._call(tenant, "CreateCache", request)
        except SutlerError as error:
            if error.reason != "ALREADY_EXISTS":
                raise
        self._made.add(tenant)

    async def _call(self, tenant: str, method: str, request: Any) -> Any:
        return await getattr(self._stub, method)(request, timeout=TIMEOUT_SECONDS, metadata={headers.TENANT: tenant})

    def _usable(self, tenant: str) -> bool:
        return tenant not in self._pending and time.monotonic() >= self._resting_until

    def _note(self, error: SutlerError) -> None:
        if error.code.name == "NOT_FOUND":
            if error.resource == self._cache or error.metadata.get("resource") == self._cache:
                self._made.clear()
            return
        self._resting_until = time.monotonic() + REST_SECONDS
        log.warning("cache not used for a while", reason=error.reason, error=error.message)
