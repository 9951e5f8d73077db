"""Answers of ERPs in CacheService. It only ever helps: whatever goes wrong there is a miss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from sutler import headers
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.errors import Conflict, NotFound, SutlerError, Unimplemented
from sutler.wire import duration

from services.erp.adapters.sealed_values import SealedValues
from services.erp.ports import Claim

log = structlog.get_logger("erp.cache")

TIMEOUT_SECONDS = 1.0
REST_SECONDS = 2.0
"""For how long a cache that failed is not asked."""

CONTENT_TYPE = "application/octet-stream"
MAX_VALUE_BYTES = 1_000_000
MAX_PENDING = 10_000
AT_ONCE = 100
"""How many calls for one batch are under way at once."""

CLAIM_SECONDS = 60.0
"""How long reading may take: an answer that comes later is not kept."""


class CacheServiceCache:
    """See :class:`services.erp.ports.RecordCache`. It speaks as the gateway itself, for the tenant of each entry.

    An answer is kept only under a claim from before it was read, which ends with any invalidation of what it is made of
    by whichever process. An invalidation that fails is repeated until it succeeds, and until then this process reads
    nothing of that tenant: an answer that should be gone is never given. Should the process die meanwhile, such an
    answer lives until its time is over.

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

    async def claim(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> Mapping[str, Claim]:
        """Returns a lease of each key that has no entry, and the etag where an entry is to be replaced."""
        keys, found = list(wanted), list[cache_pb2.PutCondition | None]()
        try:
            for start in range(0, len(keys), AT_ONCE):
                if not self._usable(tenant):
                    break
                await self._make(tenant)
                found += await asyncio.gather(
                    *(self._claim(tenant, key, wanted[key]) for key in keys[start : start + AT_ONCE])
                )
        except SutlerError as error:
            self._note(error)
        return {key: claim for key, claim in zip(keys, found, strict=False) if claim is not None}

    async def put(
        self, tenant: str, entries: Mapping[str, tuple[Any, Sequence[str]]], ttl: float, claims: Mapping[str, Claim]
    ) -> None:
        """Keeps answers under keys."""
        made = [
            cache_pb2.Entry(key=key, inline_value=sealed, content_type=CONTENT_TYPE, tags=tags, ttl=duration(ttl))
            for key, (value, tags) in entries.items()
            if key in claims and len(sealed := self._values.seal(tenant, key, value)) <= MAX_VALUE_BYTES
        ]
        try:
            for start in range(0, len(made), AT_ONCE):
                if not self._usable(tenant):
                    break
                await asyncio.gather(
                    *(self._put(tenant, one, claims[one.key]) for one in made[start : start + AT_ONCE])
                )
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
        except NotFound:
            return True  # no cache, so nothing in it
        except SutlerError:
            return False
        return len(tags) <= 1000 or await self._invalidate(tenant, tags[1000:])

    async def _claim(self, tenant: str, key: str, tags: Sequence[str]) -> cache_pb2.PutCondition | None:
        request = cache_pb2.LeaseEntryRequest(
            cache=self._cache, key=key, tags=tags, lease_duration=duration(CLAIM_SECONDS), wait_timeout=duration(0)
        )
        try:
            answer = await self._call(tenant, "LeaseEntry", request)
        except Conflict:
            return None  # another reads it now, and keeps it
        if answer.HasField("entry"):
            return cache_pb2.PutCondition(etag=answer.entry.etag)
        return cache_pb2.PutCondition(lease_token=answer.lease.lease_token)

    async def _put(self, tenant: str, entry: cache_pb2.Entry, claim: Claim) -> None:
        assert isinstance(claim, cache_pb2.PutCondition)
        request = cache_pb2.PutEntryRequest(cache=self._cache, key=entry.key, entry=entry, condition=claim)
        with suppress(Conflict):  # something it is made of has changed since it was read
            await self._call(tenant, "PutEntry", request)

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
