"""Answers of ERPs near, in this process, and in CacheService. It only ever helps: whatever goes wrong is a miss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sutler.cache.v1 import cache_pb2
from sutler.client.cache.entries import CacheEntry, from_message
from sutler.client.cache.near import MISSING

from services.erp.adapters.answers.behind import Answer, Behind
from services.erp.adapters.answers.cache_calls import CacheCalls
from services.erp.adapters.answers.nearby import NearAnswers, Nearby, entry_of, same
from services.erp.adapters.answers.sealed_values import SealedValues
from services.erp.ports import Claims, Hit
from services.erp.records import Origin

MAX_VALUE_BYTES = 1_000_000
MAX_PENDING = 10_000


class CacheServiceCache:
    """See :class:`services.erp.ports.RecordCache`.

    An answer is kept only under a claim from before it was read, which ends with any invalidation of what it is made of
    by whichever process. An invalidation that fails is repeated until it succeeds, and until then this process reads
    nothing of that tenant: an answer that should be gone is never given. Should the process die meanwhile, such an
    answer lives until its time is over.

    Args:
        calls: The way to CacheService.
        values: Seals what is kept: whoever reaches the cache sees that there are answers, and not what they say.
        nearby: Keeps answers in this process too.
    """

    def __init__(self, calls: CacheCalls, values: SealedValues, nearby: Nearby) -> None:
        self._calls = calls
        self._values = values
        self._nearby = nearby
        self._behind = Behind(calls, values, nearby)
        self._pending: dict[str, dict[str, None]] = {}
        self._wake = asyncio.Event()

    async def get_many(self, tenant: str, keys: Sequence[str]) -> list[Hit | None]:
        """Returns what is kept under each key."""
        if tenant in self._pending:
            return [None] * len(keys)
        near = self._nearby.get(tenant)
        found = [MISSING if near is None else near.get(key, copy=False) for key in keys]
        hits = {
            key: Hit(value, Origin.NEAR_CACHE) for key, value in zip(keys, found, strict=True) if value is not MISSING
        }
        missing = [key for key in keys if key not in hits]
        if missing:
            hits |= await self._far(tenant, missing, near)
        return [hits.get(key) for key in keys]

    @asynccontextmanager
    async def claiming(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> AsyncIterator[Claims]:
        """Claims keys: near at once, in CacheService behind what the caller does next."""
        claimed = _Claimed(self, tenant, self._nearby.get(tenant), wanted)
        try:
            yield claimed
        finally:
            claimed.end()

    async def lease(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> Mapping[str, cache_pb2.PutCondition]:
        """Returns what allows to put each key in CacheService."""
        if tenant in self._pending:
            return {}
        found = await self._calls.lease(tenant, wanted)
        self._follow(tenant)
        return found

    async def put(self, tenant: str, answers: Sequence[tuple[Answer, cache_pb2.PutCondition]]) -> None:
        """Puts answers in CacheService, each under its claim."""
        if tenant not in self._pending:
            await self._calls.put(tenant, [one.row(tenant, claim, self._values) for one, claim in answers])

    def put_behind(self, tenant: str, answer: Answer) -> None:
        """Puts an answer that is near in CacheService, behind the call."""
        if tenant not in self._pending:
            self._behind.add(tenant, answer)

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

    async def close(self) -> None:
        """Ends what goes on behind the calls."""
        await self._behind.close()
        await self._nearby.close()

    async def _invalidate(self, tenant: str, tags: Sequence[str]) -> bool:
        near = self._nearby.get(tenant)
        if near is not None:
            near.forget(tags)
        done = await self._calls.invalidate(tenant, tags)
        if near is not None:
            near.forget(tags)  # once more: meanwhile an older answer may have come from there
        return done

    async def _far(self, tenant: str, keys: Sequence[str], near: NearAnswers | None) -> dict[str, Hit]:
        """Returns what CacheService has, and keeps it near."""
        fills = {key: near.begin(key) for key in keys} if near is not None else {}
        hits: dict[str, Hit] = {}
        try:
            for key, entry in zip(keys, await self._calls.get(tenant, keys), strict=True):
                value = None if entry is None else self._values.open(tenant, key, entry.inline_value)
                if entry is None or value is None:
                    continue
                hits[key] = Hit(value, Origin.CACHE_SERVICE)
                if near is not None:
                    near.keep(fills[key], from_message(key, entry), value, same, len(entry.inline_value))
        finally:
            for fill in fills.values():
                near.end(fill)  # type: ignore[union-attr]  # without it there are none
        self._follow(tenant)
        return {} if tenant in self._pending else hits

    def _follow(self, tenant: str) -> None:
        if self._calls.exists(tenant):
            self._nearby.begin(tenant)


class _Claimed:
    """See :class:`services.erp.ports.Claims`: fills of the near cache, and leases of CacheService."""

    def __init__(
        self, cache: CacheServiceCache, tenant: str, near: NearAnswers | None, wanted: Mapping[str, Sequence[str]]
    ) -> None:
        self._cache = cache
        self._tenant = tenant
        self._near = near
        self._fills = {key: near.begin(key) for key in wanted} if near is not None else {}
        # With a living near cache they are leased behind the call; see Behind.
        late = near is not None and near.is_live
        self._leasing = None if late else asyncio.create_task(cache.lease(tenant, wanted), name="lease answers")

    async def ready(self) -> None:
        """Waits for the leases, where what is read has to be put under them."""
        if self._leasing is not None:
            await asyncio.shield(self._leasing)

    async def put(self, entries: Mapping[str, tuple[Any, Sequence[str]]], ttl: float) -> None:
        """Keeps answers near at once and in CacheService behind the call; what is not kept near is waited for."""
        leases = {} if self._leasing is None else await self._leasing
        claimed = list[tuple[Answer, cache_pb2.PutCondition]]()
        for key, (value, tags) in entries.items():
            plain = orjson.dumps(value)
            if len(plain) > MAX_VALUE_BYTES:
                continue
            answer = Answer(entry_of(key, tuple(tags), ttl), ttl, plain)
            kept = self._keep(answer.entry, value, len(plain))
            if key in leases:
                claimed.append((answer, leases[key]))
            elif kept:
                self._cache.put_behind(self._tenant, answer)
        await self._cache.put(self._tenant, claimed)

    def end(self) -> None:
        """Gives up what was not put."""
        if self._near is not None:
            for fill in self._fills.values():
                self._near.end(fill)

    def _keep(self, entry: CacheEntry, value: Any, size: int) -> bool:
        fill = self._fills.get(entry.key)
        return self._near is not None and fill is not None and self._near.keep(fill, entry, value, same, size)
