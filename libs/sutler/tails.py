"""The newest part of a log in memory, read once for all watches of this process that follow it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from contextvars import Context
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

from sutler.errors import Unavailable

T = TypeVar("T")

MAX_BATCH = 500
MAX_BATCH_BYTES = 3 * 1024 * 1024
"""How much goes into one message."""

MAX_KEPT = 4096
MAX_KEPT_BYTES = 8 * 1024 * 1024
"""How much a tail keeps; a watch that is further behind reads the log itself."""

GATHER_SECONDS = 0.08
"""For how long changes gather before they are read: those that come together share a message. With the time that it
takes to read and send them, they are at most 100 ms late, as the contracts promise."""

RECHECK_SECONDS = 5.0


class Log(Protocol[T]):
    """A log of changes that is numbered in commit order."""

    @property
    def identity(self) -> Hashable:
        """Says which log it is: two that have the same one are read once for both."""
        ...

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""
        ...

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, T]]:
        """Returns entries after a position, in order, each with its own: at most ``limit``, and not more than go into
        one message of 3 MiB, but at least one if there is one."""
        ...

    def size(self, change: T) -> int:
        """Returns how many bytes a change takes in memory, roughly, with what is made of it; always the same number,
        and not less than in a message."""
        ...


class Signal(Protocol):
    """Wakes those who wait for changes."""

    @property
    def generation(self) -> int:
        """Grows with every change; read it before looking, so that no wake-up is lost."""
        ...

    async def wait(self, timeout: float | None = None, since: int | None = None) -> int:
        """Returns when there was a change after generation ``since``, or after ``timeout`` seconds."""
        ...


class Missed(Exception):
    """Changes after a position are no longer kept.

    Args:
        oldest: The first position after which all are.
    """

    def __init__(self, oldest: int) -> None:
        super().__init__(oldest)
        self.oldest = oldest


class Tail(Generic[T]):
    """The newest entries of a log. One task reads what is new, and wakes all who wait for it.

    Args:
        log: What to read.
        signal: Tells of changes.
        shutdown: Ends every wait with UNAVAILABLE when set.
        position: That of an entry that was the newest one a moment ago.
    """

    def __init__(self, log: Log[T], signal: Signal, shutdown: asyncio.Event, position: int) -> None:
        self.watches = 0
        self.failure: Exception | None = None
        self._log = log
        self._signal = signal
        self._shutdown = shutdown
        self._start = self._end = position
        self._kept: list[tuple[int, T]] = []
        self._ends: list[int] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._task = asyncio.create_task(self._run(), context=Context())

    def close(self) -> None:
        """Ends the task."""
        self._task.cancel()

    async def after(self, position: int) -> tuple[Sequence[tuple[int, T]], int]:
        """Returns entries after a position, not more than go into one message, and the position after them.

        Raises:
            Missed: If some were not read while they were kept.
            Exception: Whatever reading the log raises.
        """
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        start = self._start
        if position < start:
            entries = await self._log.after(position, MAX_BATCH)
            if not entries or _has_gap(position, entries):
                await self._check_kept(position)
            if entries:
                return entries, entries[-1][0]
            position = start  # nothing lies between, as numbers are given in commit order
        if position < self._start:
            return (), position
        page = self._page(position)
        return page, page[-1][0] if page else position

    async def wait(self, position: int, seconds: float) -> None:
        """Returns when there is an entry after a position, or the time is over.

        Raises:
            Exception: Whatever reading the log raises.
        """
        if self._end > position or self.failure is not None:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _done, future)
        self._waiting.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)

    async def _run(self) -> None:
        try:
            while not self._shutdown.is_set():
                seen = self._signal.generation
                await self._read()
                await changed(self._signal, self._shutdown, seconds=RECHECK_SECONDS, since=seen, gather=GATHER_SECONDS)
            self.failure = stopping()
        except Exception as error:
            self.failure = error
        self._wake()

    async def _read(self) -> None:
        while entries := await self._log.after(self._end, MAX_BATCH):
            if _has_gap(self._end, entries):
                oldest, _ = await self._log.bounds()
                if self._end < oldest:
                    self._drop(len(self._kept))
                    self._start = oldest
            self._keep(entries)
            self._wake()
            await asyncio.sleep(0)

    def _keep(self, entries: Sequence[tuple[int, T]]) -> None:
        for entry in entries:
            before = self._ends[-1] if self._ends else 0
            self._kept.append(entry)
            self._ends.append(before + self._log.size(entry[1]))
        self._end = entries[-1][0]
        surplus = max(len(self._kept) - MAX_KEPT, bisect_right(self._ends, self._ends[-1] - MAX_KEPT_BYTES))
        self._drop(min(surplus, len(self._kept) - 1))

    def _drop(self, count: int) -> None:
        if count > 0:
            self._start = max(self._start, self._kept[count - 1][0])
            del self._kept[:count], self._ends[:count]

    def _page(self, position: int) -> Sequence[tuple[int, T]]:
        first = bisect_right(self._kept, position, key=itemgetter(0))
        if first == len(self._kept):
            return ()
        before = self._ends[first] - self._log.size(self._kept[first][1])
        last = bisect_right(self._ends, before + MAX_BATCH_BYTES, lo=first)
        return self._kept[first : min(max(last, first + 1), first + MAX_BATCH)]

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            _done(future)

    async def _check_kept(self, position: int) -> None:
        oldest, _ = await self._log.bounds()
        if position < oldest:
            raise Missed(oldest)


def stopping() -> Unavailable:
    """Returns what watches end with when the server stops."""
    return Unavailable("the server is stopping; resume elsewhere", reason="SHUTTING_DOWN")


async def changed(signal: Signal, shutdown: asyncio.Event, *, seconds: float, since: int, gather: float = 0.0) -> None:
    """Waits for a change, for the shutdown, or until the time is over.

    Args:
        signal: Tells of changes.
        shutdown: Ends the wait at once.
        seconds: How long to wait.
        since: The generation that the caller knew before it looked.
        gather: For how long the changes that follow the first one may join it.
    """
    stopped = asyncio.create_task(shutdown.wait())
    changing = asyncio.create_task(signal.wait(seconds, since=since))
    try:
        await asyncio.wait((stopped, changing), return_when=asyncio.FIRST_COMPLETED)
        if gather and not stopped.done():
            await asyncio.wait((stopped,), timeout=gather)
    finally:
        stopped.cancel()
        changing.cancel()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _has_gap(position: int, entries: Sequence[tuple[int, object]]) -> bool:
    return entries[-1][0] - position > len(entries)
