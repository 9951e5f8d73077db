"""Calls to CacheService, as few as possible and never for long: what fails is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sutler import headers
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.errors import Conflict, NotFound, SutlerError
from sutler.wire import duration

from services.erp.adapters.answers.gathering import Gathering

log = structlog.get_logger("erp.cache")

TIMEOUT_SECONDS = 1.0
REST_SECONDS = 2.0
"""For how long a cache that failed is not asked."""

AT_ONCE = 100
"""How many calls or rows for one batch are under way at once."""

MAX_TAGS = 1000

CLAIM_SECONDS = 60.0
"""How long reading may take: an answer that comes later is not kept."""


class CacheCalls:
    """Speaks to CacheService as the gateway itself, for a tenant.

    Args:
        connection: The way to CacheService, with the gateway's own token.
        cache: The name of the cache; it is made if there is none.
    """

    def __init__(self, connection: Sutler, cache: str) -> None:
        self.stub = connection.cache
        self.cache = cache
        self._made: set[str] = set()
        self._resting_until = 0.0
        self._gets = Gathering(self._get, AT_ONCE)
        self._puts = Gathering(self._put, AT_ONCE)

    @property
    def usable(self) -> bool:
        """Whether CacheService is to be asked now."""
        return time.monotonic() >= self._resting_until

    async def get(self, tenant: str, keys: Sequence[str]) -> list[cache_pb2.Entry | None]:
        """Returns the entries of keys, or None; keys that are asked for at the same time share a call."""
        try:
            return await self._gets.ask(tenant, keys) if self.usable else [None] * len(keys)
        except SutlerError as error:
            self._note(error)
            return [None] * len(keys)

    async def put(self, tenant: str, rows: Sequence[cache_pb2.PutEntryRow]) -> list[str]:
        """Puts entries and returns their etags; empty for those whose claim has ended or that did not arrive."""
        try:
            return await self._puts.ask(tenant, rows) if rows and self.usable else [""] * len(rows)
        except SutlerError as error:
            self._note(error)
            return [""] * len(rows)

    async def lease(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> Mapping[str, cache_pb2.PutCondition]:
        """Returns a lease of each key that has no entry, and the etag where an entry is to be replaced.

        A key that another reads now has neither: that one keeps it.
        """
        keys, found = list(wanted), list[cache_pb2.PutCondition | None]()
        try:
            for start in range(0, len(keys), AT_ONCE):
                if not self.usable:
                    break
                await self._make(tenant)
                found += await asyncio.gather(
                    *(self._lease(tenant, key, wanted[key]) for key in keys[start : start + AT_ONCE])
                )
        except SutlerError as error:
            self._note(error)
        return {key: claim for key, claim in zip(keys, found, strict=False) if claim is not None}

    async def invalidate(self, tenant: str, tags: Sequence[str]) -> bool:
        """Drops everything that has one of the tags, everything for ``*``; returns whether that is certain."""
        request = cache_pb2.InvalidateEntriesRequest(cache=self.cache)
        if "*" in tags:
            request.all = True
        else:
            request.tags.extend(tags[:MAX_TAGS])
        try:
            await self._call(tenant, "InvalidateEntries", request)
        except NotFound:
            return True  # no cache, so nothing in it
        except SutlerError:
            return False
        return len(tags) <= MAX_TAGS or await self.invalidate(tenant, tags[MAX_TAGS:])

    def exists(self, tenant: str) -> bool:
        """Returns whether the tenant's cache is known to be there."""
        return tenant in self._made

    async def _get(self, tenant: str, keys: Sequence[str]) -> list[cache_pb2.Entry | None]:
        request = cache_pb2.BatchGetEntriesRequest(cache=self.cache, keys=list(dict.fromkeys(keys)))
        answer = await self._call(tenant, "BatchGetEntries", request)
        self._made.add(tenant)
        found = {row.entry.key: row.entry for row in answer.results if row.HasField("entry")}
        return [found.get(key) for key in keys]

    async def _put(self, tenant: str, rows: Sequence[cache_pb2.PutEntryRow]) -> list[str]:
        request = cache_pb2.BatchPutEntriesRequest(cache=self.cache, rows=rows)
        answer = await self._call(tenant, "BatchPutEntries", request)
        return [row.entry.etag for row in answer.results]

    async def _lease(self, tenant: str, key: str, tags: Sequence[str]) -> cache_pb2.PutCondition | None:
        request = cache_pb2.LeaseEntryRequest(
            cache=self.cache, key=key, tags=tags, lease_duration=duration(CLAIM_SECONDS), wait_timeout=duration(0)
        )
        try:
            answer = await self._call(tenant, "LeaseEntry", request)
        except Conflict:
            return None
        if answer.HasField("entry"):
            return cache_pb2.PutCondition(etag=answer.entry.etag)
        return cache_pb2.PutCondition(lease_token=answer.lease.lease_token)

    async def _make(self, tenant: str) -> None:
        """Makes the tenant's cache if there is none."""
        if tenant in self._made:
            return
        request = cache_pb2.CreateCacheRequest(
            cache_id=self.cache.removeprefix("caches/"),
            cache=cache_pb2.Cache(display_name="Answers of ERPs", default_ttl=duration(300)),
        )
        try:
            await self._call(tenant, "CreateCache", request)
        except SutlerError as error:
            if error.reason != "ALREADY_EXISTS":
                raise
        self._made.add(tenant)

    async def _call(self, tenant: str, method: str, request: Any) -> Any:
        return await getattr(self.stub, method)(request, timeout=TIMEOUT_SECONDS, metadata={headers.TENANT: tenant})

    def _note(self, error: SutlerError) -> None:
        if error.code.name == "NOT_FOUND":
            if error.resource == self.cache or error.metadata.get("resource") == self.cache:
                self._made.clear()
            return
        self._resting_until = time.monotonic() + REST_SECONDS
        log.warning("cache not used for a while", reason=error.reason, error=error.message)
