"""Holds a lease while work is done that must run in one replica only."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from sutler.errors import Conflict, Exhausted, SutlerError, Unavailable
from sutler.store import leases
from sutler.store.database import Database
from sutler.store.holders import new_holder

log = structlog.get_logger("sutler.store")

TTL = timedelta(seconds=15)
SAFETY = 0.8
"""The part of the ttl after which a holder that could not renew regards its lease as lost."""

LONGEST_PAUSE_SECONDS = 5.0


class Lease:
    """A lease that this process holds, renewed in the background.

    Attributes:
        name: What it is for.
        fence: The fencing number, for :func:`sutler.store.leases.check` in every change that the holder makes.
        lost: Set when the lease is lost or given back.
    """

    def __init__(self, name: str, fence: int, until: float) -> None:
        self.name = name
        self.fence = fence
        self.lost = asyncio.Event()
        self._until = until

    @property
    def held(self) -> bool:
        """Whether it is certain to be held; also right just after the process was stopped for a while."""
        return not self.lost.is_set() and time.monotonic() < self._until

    async def keep(self, db: Database, ttl: timedelta) -> None:
        """Renews the lease until it is lost; :func:`hold` does this."""
        pause = ttl.total_seconds() / 3
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, pause))
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._until - started):
                    await db.write(lambda tx: leases.renew(tx, self.name, self.fence, ttl))
            except (SutlerError, TimeoutError) as error:
                log.warning("store.lease_not_renewed", lease=self.name, error=str(error))
                if isinstance(error, Conflict):
                    break
                pause = ttl.total_seconds() / 10
            else:
                self._until = started + ttl.total_seconds() * SAFETY
                pause = ttl.total_seconds() / 3
        self.lost.set()


@asynccontextmanager
async def hold(db: Database, name: str, *, ttl: timedelta = TTL) -> AsyncIterator[Lease]:
    """Waits for a lease, holds it, and gives it back at the end.

    While the store does not answer it goes on waiting. The body must end soon after ``lease.lost`` is set, and check
    ``lease.fence`` in each of its changes: between a loss and the body's notice of it another process may have begun.

    Args:
        db: Where the lease is stored.
        name: What the lease is for.
        ttl: After how long another process may take over from one that does not answer; from one that is seen to be
            dead, at once.
    """
    holder = new_holder()
    try:
        lease = await _take(db, name, holder, ttl)
        keeper = asyncio.create_task(lease.keep(db, ttl))
        try:
            yield lease
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            lease.lost.set()
    finally:
        with suppress(SutlerError):  # then it runs out
            await db.write(lambda tx: leases.release(tx, name, holder))


async def lead(db: Database, name: str, work: Callable[[Lease], Awaitable[None]], *, ttl: timedelta = TTL) -> None:
    """Runs ``work`` in one process of all, again and again until it returns.

    Work is cancelled when the lease is lost, and begins anew when it is held again, by this process or another; so it
    does when it raises Unavailable, Exhausted or LEASE_LOST, after a pause of up to 5 s.

    Args:
        db: Where the lease is stored.
        name: What the lease is for.
        work: What to do; must end when it is cancelled.
        ttl: As in :func:`hold`.

    Raises:
        Exception: Whatever else ``work`` raises.
    """

    def tell(state: RetryCallState) -> None:
        log.warning("store.work_interrupted", lease=name, error=str(state.outcome and state.outcome.exception()))

    again = AsyncRetrying(
        retry=retry_if_exception(_passes),
        wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS),
        before_sleep=tell,
    )
    await again(_lead_once, db, name, work, ttl)


async def _lead_once(db: Database, name: str, work: Callable[[Lease], Awaitable[None]], ttl: timedelta) -> None:
    async with hold(db, name, ttl=ttl) as lease:
        working = asyncio.ensure_future(work(lease))
        losing = asyncio.create_task(lease.lost.wait())
        try:
            await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise leases.lost(name)
            working.result()
        finally:
            working.cancel()
            losing.cancel()
            await asyncio.gather(working, losing, return_exceptions=True)


async def _take(db: Database, name: str, holder: str, ttl: timedelta) -> Lease:
    pause = min(1.0, ttl.total_seconds() / 5)
    while True:
        started = time.monotonic()
        try:
            if await db.read(lambda tx: leases.is_free(tx, name)):
                fence = await db.write(lambda tx: leases.acquire(tx, name, holder, ttl))
                if fence is not None:
                    return Lease(name, fence, started + ttl.total_seconds() * SAFETY)
        except (Unavailable, Exhausted) as error:
            if error.reason == "SHUTTING_DOWN":
                raise
            log.warning("store.lease_not_taken", lease=name, error=str(error))
        await asyncio.sleep(pause * random.uniform(0.5, 1))


def _passes(error: BaseException) -> bool:
    if not isinstance(error, SutlerError) or error.reason == "SHUTTING_DOWN":
        return False
    return isinstance(error, Unavailable | Exhausted) or error.reason == "LEASE_LOST"
