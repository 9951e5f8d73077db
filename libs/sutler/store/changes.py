"""The signal that something may have been committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress


class Changes:
    """Wakes everybody who waits, after each commit of this process or of another one.

    A waiter that remembers the generation from *before* it looked misses nothing::

        while True:
            seen = db.changes.generation
            work = await db.read(find_work)
            if not work:
                await db.changes.wait(timeout=30, since=seen)

    Being woken means only that something may have been committed. Commits of this process wake at once, those of
    another within 50 ms on SQLite and at once on PostgreSQL.

    Attributes:
        wanted: Set while somebody waits; tells the engine when to look for foreign commits.
    """

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self._generation = 0
        self._closed = False
        self._lock = threading.Lock()
        self._waiters: dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] = {}

    @property
    def generation(self) -> int:
        """The number of commits noticed so far."""
        return self._generation

    async def wait(self, timeout: float | None = None, since: int | None = None) -> int:
        """Waits for the next commit, or returns at once if there was one since ``since``.

        Args:
            timeout: Seconds after which it returns anyway; None for never.
            since: The generation that the caller knew before it looked; None for that of now.

        Returns:
            The generation of now; equal to ``since`` if nothing came in time.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if since is not None and since != self._generation:
                return self._generation
            future = loop.create_future()
            self._waiters.setdefault(loop, set()).add(future)
            self._update_wanted()
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            self._forget(loop, future)
        return self._generation

    def bump(self) -> None:
        """Tells of a commit. For any thread."""
        with self._lock:
            self._generation += 1
            waiters, self._waiters = self._waiters, {}
            self._update_wanted()
        for loop, futures in waiters.items():
            with suppress(RuntimeError):  # a loop that is closed has nobody left to wake
                loop.call_soon_threadsafe(_wake, futures)

    def close(self) -> None:
        """Wakes everybody for the last time, and leaves ``wanted`` set so that who watches for it can end."""
        self._closed = True
        self.bump()

    def _update_wanted(self) -> None:
        if self._waiters or self._closed:
            self.wanted.set()
        else:
            self.wanted.clear()

    def _forget(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        with self._lock:
            futures = self._waiters.get(loop)
            if futures is not None:
                futures.discard(future)
                if not futures:
                    del self._waiters[loop]
            self._update_wanted()


def _wake(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
