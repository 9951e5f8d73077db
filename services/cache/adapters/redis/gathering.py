"""Reads that wait at the same time share a command."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import TypeAlias

Values: TypeAlias = Sequence[bytes | None]
Reader: TypeAlias = tuple[Sequence[bytes], asyncio.Future[Values]]

FLIGHTS = 2
"""How many commands are under way at once; what comes meanwhile gathers for the next."""

MAX_KEYS = 64
"""How many keys gather in one command, so that no answer gets huge; one reader may bring more."""


class Gathered:
    """Gets values for many readers with few commands, which is several times faster than one for each.

    Args:
        fetch: Returns the values of keys, as of one moment.
    """

    def __init__(self, fetch: Callable[[Sequence[bytes]], Awaitable[Values]]) -> None:
        self._fetch = fetch
        self._waiting: deque[Reader] = deque()
        self._flights = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, keys: Sequence[bytes]) -> Values:
        """Returns the values of keys, as of one moment after the call; raises what ``fetch`` raises."""
        future: asyncio.Future[Values] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if self._flights < FLIGHTS:
            self._flights += 1
            task = asyncio.create_task(self._fly(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _fly(self) -> None:
        while self._waiting:
            readers = self._board()
            try:
                values = await self._fetch([key for keys, _ in readers for key in keys])
            except Exception as error:
                _refuse(readers, error)
            else:
                _answer(readers, values)
        self._flights -= 1

    def _board(self) -> Sequence[Reader]:
        """Takes readers from the queue: one, and those whose keys fit beside its own."""
        readers = [self._waiting.popleft()]
        count = len(readers[0][0])
        while self._waiting and count + len(self._waiting[0][0]) <= MAX_KEYS:
            readers.append(self._waiting.popleft())
            count += len(readers[-1][0])
        return readers


def _answer(readers: Sequence[Reader], values: Values) -> None:
    start = 0
    for keys, future in readers:
        if not future.done():
            future.set_result(values[start : start + len(keys)])
        start += len(keys)


def _refuse(readers: Sequence[Reader], error: Exception) -> None:
    for _, future in readers:
        if not future.done():
            future.set_exception(error)
