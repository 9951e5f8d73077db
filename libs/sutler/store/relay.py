"""Tells the events of the outbox to whoever must know: in order, at least once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from sutler.errors import Unavailable
from sutler.events import Event
from sutler.store import leases, outbox
from sutler.store.database import Database
from sutler.store.holding import TTL, Lease, lead
from sutler.store.transaction import Transaction

log = structlog.get_logger("sutler.store")

LEASE = "outbox"
BATCH = 100
LONGEST_PAUSE_SECONDS = 5.0
IDLE_SECONDS = 30.0

Publish = Callable[[Sequence[Event]], Awaitable[int]]
"""Delivers events and returns how many of them, from the first, were accepted; they are then forgotten here.

It has a deadline of its own, counts as accepted what the other side knows already, and what it will never take (which
it must log or keep elsewhere: an event that stays holds up all that follow). It raises if nothing was accepted.
"""


class OutboxRelay:
    """Takes events from the outbox while this process holds the lease ``outbox``.

    A crash between delivery and deletion delivers again: the receiver deduplicates by ``source`` and ``id``.

    Args:
        db: Where the outbox is.
        publish: Delivers events; called with at most 100 of them.
        ttl: After how long another process may take over from one that died.

    Attributes:
        failure: Why the last delivery failed; empty if it did not.
    """

    def __init__(self, db: Database, publish: Publish, *, ttl: timedelta = TTL) -> None:
        self.failure = ""
        self._db = db
        self._publish = publish
        self._ttl = ttl

    async def run(self) -> None:
        """Relays until it is cancelled."""
        await lead(self._db, LEASE, self._relay, ttl=self._ttl)

    async def backlog(self) -> int:
        """Returns how many events wait, for metrics."""
        return await self._db.read(outbox.backlog)

    async def _relay(self, lease: Lease) -> None:
        while True:
            seen = self._db.changes.generation
            if not await self._db.read(outbox.backlog):
                await self._db.changes.wait(IDLE_SECONDS, since=seen)
                continue
            waiting = await self._db.scan(lambda tx: outbox.oldest(tx, BATCH))
            accepted = await self._deliver([event for _, event in waiting])
            last = waiting[accepted - 1][0]
            await self._db.write(lambda tx, last=last: _remove(tx, lease.fence, last))  # type: ignore[misc]

    async def _deliver(self, events: Sequence[Event]) -> int:
        again = AsyncRetrying(
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS), before_sleep=self._tell
        )
        accepted: int = await again(self._deliver_once, events)
        self.failure = ""
        return accepted

    async def _deliver_once(self, events: Sequence[Event]) -> int:
        accepted = await self._publish(events)
        if accepted < 1:
            raise Unavailable("none of the events was accepted", metadata={"dependency": "events"})
        return min(accepted, len(events))

    def _tell(self, state: RetryCallState) -> None:
        self.failure = str(state.outcome and state.outcome.exception())
        log.warning("store.outbox_not_delivered", attempt=state.attempt_number, error=self.failure)


def _remove(tx: Transaction, fence: int, last: int) -> None:
    leases.check(tx, LEASE, fence)
    outbox.remove(tx, last)
