"""Puts answers that are near in CacheService too, behind the calls, so that no caller waits for that."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sutler.cache.v1 import cache_pb2
from sutler.client.cache.entries import CacheEntry
from sutler.wire import duration

from services.erp.adapters.answers.cache_calls import CacheCalls
from services.erp.adapters.answers.nearby import MARK, NearAnswers, Nearby
from services.erp.adapters.answers.sealed_values import SealedValues

CONTENT_TYPE = "application/octet-stream"
GATHER_SECONDS = 0.05
"""How long answers gather; meanwhile those who asked for them are answered."""

MAX_WAITING = 10_000
"""How many answers wait at the most; more are kept near only."""

MARK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: what is known of it, how many seconds it lives, and its value as the text of JSON data."""

    entry: CacheEntry
    ttl: float
    plain: bytes

    def row(self, tenant: str, claim: cache_pb2.PutCondition, values: SealedValues) -> cache_pb2.PutEntryRow:
        """Returns what puts it, sealed."""
        entry = cache_pb2.Entry(
            key=self.entry.key,
            inline_value=values.seal(tenant, self.entry.key, self.plain),
            content_type=CONTENT_TYPE,
            tags=self.entry.tags,
            ttl=duration(self.ttl),
        )
        return cache_pb2.PutEntryRow(key=self.entry.key, entry=entry, condition=claim)


class Behind:
    """Puts answers that were read before their keys were claimed.

    After the claims it puts a mark and waits until the feed tells of that: the feed is in order, so what was
    invalidated before the claims is no longer near, and is not put; what is invalidated after them ends them.

    Args:
        calls: The way to CacheService.
        values: Seals what is put.
        nearby: Where the answers are.
    """

    def __init__(self, calls: CacheCalls, values: SealedValues, nearby: Nearby) -> None:
        self._calls = calls
        self._values = values
        self._nearby = nearby
        self._mark = f"{MARK}{uuid.uuid4()}"
        self._waiting: dict[str, list[Answer]] = {}
        self._working: dict[str, asyncio.Task[None]] = {}

    def add(self, tenant: str, answer: Answer) -> None:
        """Puts an answer in a moment."""
        waiting = self._waiting.setdefault(tenant, [])
        if len(waiting) < MAX_WAITING:
            waiting.append(answer)
        if tenant not in self._working:
            self._working[tenant] = asyncio.create_task(self._work(tenant), name="put answers")

    async def close(self) -> None:
        """Ends the work; what waits is not put."""
        working = list(self._working.values())
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    async def _work(self, tenant: str) -> None:
        try:
            while self._waiting.get(tenant):
                await asyncio.sleep(GATHER_SECONDS)
                answers = self._waiting.pop(tenant)
                near = self._nearby.get(tenant)
                if near is not None:
                    await self._put(tenant, near, answers)
        finally:
            self._waiting.pop(tenant, None)
            del self._working[tenant]

    async def _put(self, tenant: str, near: NearAnswers, answers: Sequence[Answer]) -> None:
        held = [one for one in answers if near.holds(one.entry)]
        claims = await self._calls.lease(tenant, {one.entry.key: one.entry.tags for one in held})
        if not claims or not await self._marked(tenant, near):
            return
        current = [one for one in held if one.entry.key in claims and near.holds(one.entry)]
        etags = await self._calls.put(tenant, [one.row(tenant, claims[one.entry.key], self._values) for one in current])
        for one, etag in zip(current, etags, strict=True):
            if etag:
                near.name(one.entry, etag)

    async def _marked(self, tenant: str, near: NearAnswers) -> bool:
        """Returns whether the feed has told of everything up to now."""
        mark = cache_pb2.Entry(key=self._mark, inline_value=b"\0", ttl=duration(MARK_SECONDS))
        [etag] = await self._calls.put(tenant, [cache_pb2.PutEntryRow(key=self._mark, entry=mark)])
        return bool(etag) and await near.told(self._mark, etag)
