"""One writer for each record at a time: an ERP that must retry concurrent writes becomes slow for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from sutler.errors import Exhausted

Key = tuple[str, int]


class RecordLocks:
    """Locks by model and id; those that nobody holds or waits for are forgotten."""

    def __init__(self) -> None:
        self._locks: dict[Key, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, model: str, ids: Iterable[int], *, max_wait: float | None = None) -> AsyncIterator[None]:
        """Holds the locks of records while the block runs, taken in one order so that nobody waits in a circle.

        Args:
            model: The model, or another name for what the ids count.
            ids: Which records.
            max_wait: Seconds to wait for all of them; None waits as long as it takes.

        Raises:
            Exhausted: If another writer holds one for longer (OVERLOADED).
        """
        async with AsyncExitStack() as stack:
            key = (model, 0)
            try:
                async with asyncio.timeout(max_wait):
                    for key in ((model, record_id) for record_id in sorted(set(ids))):
                        await stack.enter_async_context(self._one(key))
            except TimeoutError as error:
                raise _held(key, max_wait or 0.0) from error
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


def _held(key: Key, seconds: float) -> Exhausted:
    model, record_id = key
    return Exhausted(
        f"another write of {model} {record_id} has been under way for {seconds:g} s: nothing was written; try again "
        "later, see in ListTransactions what waits for the ERP, or raise the connection's max_queue_wait",
        metadata={"queue": f"{model}/{record_id}"},
        retry_after=timedelta(seconds=max(1.0, seconds)),
    )
