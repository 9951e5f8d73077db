"""Lines of callers that wait for a key: one look at the key serves all who wait for it in this process."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TypeAlias

from sutler.errors import Conflict, NotFound, SutlerError
from sutler.tails import changed, stopping

from services.cache.caches import Cache
from services.cache.counting import Count, Counts
from services.cache.entries import UNREADABLE, Entry, Unreadable
from services.cache.faults import CacheMovedError, entry_corrupt, lease_held
from services.cache.giving import Giving
from services.cache.leases import Lease
from services.cache.leasing import Wish, release, take
from services.cache.ports import MetadataBackend

GATHER_SECONDS = 0.002
GATHER_SHARE_SECONDS = 0.0002
"""How long commits gather before the next look, at least and for each line: so looks take a small part of the time,
however many keys are waited for and however much is written elsewhere."""

RECHECK_SECONDS = 1.0
"""A line looks at least so often, and one that everybody has left ends as soon."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a key gave.

    Attributes:
        now: The time of the look, in seconds since 1970.
        entry: What stands there, alive and with a value that can be given out.
        damaged: The etag of a living entry whose value cannot be given out; empty if there is none.
        missing: Why it cannot, if this look found out.
        expired: What stands there, expired, its value unchecked.
        lease: The lease of the key, if it lasts.
    """

    now: float
    entry: Entry | None = None
    damaged: str = ""
    missing: NotFound | None = None
    expired: Entry | None = None
    lease: Lease | None = None


Answer: TypeAlias = Look | Lease
"""A look that found the entry, or the lease."""


@dataclass(slots=True, eq=False)
class _Waiter:
    wish: Wish
    patient: bool
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Lines:
    """The lines of one process.

    Args:
        giving: Checks values before they are given out.
        shutdown: Ends every wait with UNAVAILABLE when set.
        counts: Counts leases that are given, and those that end without a put.
    """

    def __init__(self, giving: Giving, shutdown: asyncio.Event, counts: Counts) -> None:
        self.shutdown = shutdown
        self.counts = counts
        self._giving = giving
        self._lines: dict[tuple[int, int, str], _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def gather(self) -> float:
        """The seconds that commits gather before the next look."""
        return max(GATHER_SECONDS, GATHER_SHARE_SECONDS * len(self._lines))

    async def look(self, cache: Cache, backend: MetadataBackend, key: str, damaged: str = "") -> Look:
        """Looks at a key; an entry with the etag ``damaged`` is not checked again."""
        found = await backend.get(cache, key, value=True, lease=True)
        entry, now, lease = found.entry, found.now, found.lease
        if isinstance(entry, Unreadable):
            return Look(now, missing=entry_corrupt(cache.name, key, UNREADABLE), lease=lease)
        if entry is None or not entry.alive(now):
            return Look(now, expired=entry, lease=lease)
        missing = None
        if entry.etag != damaged:
            try:
                return Look(now, entry=await self._giving.whole(cache, backend, entry), lease=lease)
            except NotFound as error:
                missing = error
        return Look(now, damaged=entry.etag, missing=missing, lease=lease)

    async def wait(self, cache: Cache, backend: MetadataBackend, wish: Wish, seconds: float) -> Answer:
        """Waits for an entry, or the right to compute it; whoever came first gets that first.

        Args:
            cache: The cache.
            backend: Where its entries are.
            wish: What is wanted.
            seconds: How long to wait while another has the lease.

        Raises:
            CacheMovedError: If the cache was changed or deleted.
            Conflict: If the wait ends without an answer (LEASE_HELD).
            Unavailable: If the backend does not answer, or the server stops.
        """
        place = (cache.space, cache.revision, wish.key)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = _Line(self, cache, backend, wish.key)
            self._start(line.run(lambda: self._lines.pop(place)))
        waiter = _Waiter(wish, patient=seconds > 0)
        line.waiting[waiter] = None
        timer = asyncio.get_running_loop().call_later(seconds, line.end_patience, waiter)
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            if waiter.answer.done() and not waiter.answer.cancelled() and waiter.answer.exception() is None:
                self._start(line.give_back(waiter.answer.result()))
            raise
        finally:
            timer.cancel()
            line.waiting.pop(waiter, None)

    async def close(self) -> None:
        """Waits until all lines have ended; ``shutdown`` must be set."""
        await asyncio.gather(*self._tasks)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Line:
    """Those who wait for one key, in the order in which they came."""

    def __init__(self, lines: Lines, cache: Cache, backend: MetadataBackend, key: str) -> None:
        self.waiting: dict[_Waiter, None] = {}
        self._lines = lines
        self._cache = cache
        self._backend = backend
        self._key = key
        self._damaged = ""
        self._held: Lease | None = None
        self._ahead = 0.0

    async def run(self, ended: Callable[[], object]) -> None:
        """Looks and answers until nobody waits any more."""
        changes, shutdown = self._backend.changes, self._lines.shutdown
        try:
            while self.waiting:
                seen = changes.generation
                seconds = await self._step()
                if self.waiting:
                    await changed(changes, shutdown, seconds=seconds, since=seen, gather=self._lines.gather)
                if shutdown.is_set():
                    raise stopping()
        except Exception as error:
            for waiter in list(self.waiting):
                self._refuse(waiter, error)
        finally:
            ended()

    def end_patience(self, waiter: _Waiter) -> None:
        """Answers somebody whose time is over, if another is known to have the lease; else the next look does."""
        if waiter.patient and self._held is not None:
            self._refuse(waiter, self._is_held(self._held))
        waiter.patient = False

    async def give_back(self, answer: Answer) -> None:
        """Ends a lease whose caller has gone."""
        if isinstance(answer, Lease):
            with suppress(SutlerError, CacheMovedError):
                released = await self._backend.change(self._cache, [release(self._key, answer.token)])
                self._lines.counts.lost(self._cache.space, released.lost_leases)

    async def _step(self) -> float:
        """Looks once and answers whom it can; returns for how many seconds nothing happens on its own."""
        look = await self._lines.look(self._cache, self._backend, self._key, self._damaged)
        self._damaged = look.damaged
        if look.entry is not None:
            for waiter in list(self.waiting):
                self._answer(waiter, look)
            return 0.0
        self._held = lease = look.lease
        self._ahead = look.now - asyncio.get_running_loop().time()
        if lease is None:
            await self._give()
            return 0.0
        for waiter in list(self.waiting):
            if waiter.wish.got(lease):
                self._answer(waiter, lease)
            elif not waiter.patient:
                self._refuse(waiter, self._is_held(lease))
        return min(RECHECK_SECONDS, lease.expire_time - look.now)

    async def _give(self) -> None:
        """Gets the lease for whoever came first; another process may be faster."""
        waiter = next(iter(self.waiting), None)
        if waiter is None:
            return
        row = take(self._cache, waiter.wish, self._damaged)
        changed = await self._backend.change(self._cache, [row])
        self._lines.counts.lost(self._cache.space, changed.lost_leases)
        [result] = changed.results
        if not isinstance(result, Lease):
            return
        self._lines.counts.add(self._cache.space, Count.LEASE)
        if waiter.answer.done():
            await self.give_back(result)
        else:
            self._answer(waiter, result)

    def _answer(self, waiter: _Waiter, answer: Answer) -> None:
        self.waiting.pop(waiter, None)
        if not waiter.answer.done():
            waiter.answer.set_result(answer)

    def _is_held(self, lease: Lease) -> Conflict:
        now = asyncio.get_running_loop().time() + self._ahead
        return lease_held(self._cache.name, self._key, lease.expire_time, now)

    def _refuse(self, waiter: _Waiter, error: Exception) -> None:
        self.waiting.pop(waiter, None)
        if not waiter.answer.done():
            waiter.answer.set_exception(copy.copy(error))
