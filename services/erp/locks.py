"""One writer for each record at a time: an ERP that must retry concurrent writes becomes slow for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

Key = tuple[str, int]


class RecordLocks:
    """Locks by model and id; those that nobody holds or waits for are forgotten."""

    def __init__(self) -> None:
        self._locks: dict[Key, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, model: str, ids: Iterable[int]) -> AsyncIterator[None]:
        """Holds the locks of records while the block runs, taken in one order so that nobody waits in a circle."""
        async with AsyncExitStack() as stack:
            for record_id in sorted(set(ids)):
                await stack.enter_async_context(self._one((model, record_id)))
            yield

    @asynccontextmanager
    async def _one(self, key: Key) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
