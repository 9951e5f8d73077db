"""Runs transactions: those that callers begin, and those that a dead process left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import structlog
from sutler.context import Call, Principal, set_current
from sutler.errors import Invalid
from sutler.idempotency import Once
from sutler.status import from_stored

from services.erp.journal import Entry, State
from services.erp.transactions.course import Course
from services.erp.transactions.model import StepSpec, Transaction
from services.erp.transactions.run import steps_of
from services.erp.transactions.store import Lead, TransactionStore

log = structlog.get_logger("erp.transactions")

FOREVER = 1e12
"""The time until when an entry with steps belongs to whoever holds its lease: it is never settled as a single write."""

AT_ONCE = 100
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 30.0


class Running:
    """Runs transactions, each in a task of its own that no caller can cancel.

    Args:
        store: Where they are stored.
        course: Takes one to its end.
        lead: Gives one process of all the right to do so.
    """

    def __init__(self, store: TransactionStore, course: Course, lead: Lead) -> None:
        self._store = store
        self._course = course
        self._lead = lead
        self._tasks: dict[str, asyncio.Task[Transaction]] = {}
        self._broken: dict[str, float] = {}

    async def begin(self, entry: Entry, specs: Sequence[StepSpec]) -> Transaction:
        """Puts a transaction into the journal and begins it, or returns the one that the same request began before.

        Raises:
            AlreadyExists: If there is one of its name.
            Invalid: If the request id was used with another request (REQUEST_ID_REUSED).
        """
        entry = replace(entry, lease_time=FOREVER, payload={**entry.payload, "step_count": sum(s.size for s in specs)})
        steps = steps_of(specs)
        earlier = await self._store.begin(entry, steps)
        if earlier is not None:
            return await self._again(earlier, entry.digest)
        self._start(entry)
        now = time.time()
        return Transaction(replace(entry, create_time=now, update_time=now), tuple(steps))

    async def earlier(self, once: Once | None) -> Transaction | None:
        """Returns what the same request began before, unless that was undone. Raises as :meth:`begin`."""
        found = await self._store.earlier(once) if once else None
        return await self._again(found, once.hash) if found and once else None

    async def ended(self, transaction: Transaction) -> Transaction:
        """Waits for the end of a transaction, in whichever process, and returns it if it succeeded.

        Raises:
            SutlerError: Why it failed.
        """
        entry = transaction.entry
        task = self._tasks.get(entry.uid)
        if not transaction.ended:
            transaction = await asyncio.shield(task) if task else await self._elsewhere(entry)
        if transaction.entry.state is not State.SUCCEEDED:
            raise from_stored(transaction.entry.error)
        return transaction

    async def recover(self) -> None:
        """Begins with transactions that no living process is at."""
        for entry in await self._store.left_open(AT_ONCE):
            if entry.uid not in self._tasks and time.monotonic() >= self._broken.get(entry.uid, 0.0):
                log.info("transaction goes on", transaction=entry.name, state=str(entry.state))
                self._start(entry)

    async def close(self) -> None:
        """Stops; what is open goes on in the next process."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, earlier: Entry, digest: bytes) -> Transaction:
        if earlier.digest != digest:
            raise Invalid(
                f"request_id {earlier.request_id} was used before with another request; use a new one",
                reason="REQUEST_ID_REUSED",
                metadata={"request_id": earlier.request_id},
            )
        return await self._store.load(earlier.uid) or Transaction(earlier)

    def _start(self, entry: Entry) -> None:
        task = asyncio.create_task(self._run(entry), name=f"transaction {entry.uid}")
        self._tasks[entry.uid] = task
        task.add_done_callback(lambda done: self._over(entry, done))

    async def _run(self, entry: Entry) -> Transaction:
        principal = Principal(entry.creator, entry.tenant)
        set_current(Call("transaction", principal, entry.tenant, correlation_id=entry.correlation_id))
        result = Transaction(entry)

        async def work(fence: int) -> None:
            nonlocal result
            found = await self._store.load(entry.uid)
            if found is not None:
                result = found if found.ended else await self._course.run(found, fence)

        await self._lead(entry.uid, work)
        return await self._store.load(entry.uid) or result

    async def _elsewhere(self, entry: Entry) -> Transaction:
        """Waits for the end of what another process is at."""
        while True:
            found = await self._store.load(entry.uid)
            if found is None or found.ended:
                return found or Transaction(replace(entry, state=State.UNDONE))
            task = self._tasks.get(entry.uid)
            if task is not None:
                return await asyncio.shield(task)
            await asyncio.sleep(LOOK_SECONDS)

    def _over(self, entry: Entry, done: asyncio.Task[Transaction]) -> None:
        self._tasks.pop(entry.uid, None)
        self._broken.pop(entry.uid, None)
        if not done.cancelled() and done.exception() is not None:
            self._broken[entry.uid] = time.monotonic() + AGAIN_SECONDS
            log.error("transaction stopped", transaction=entry.name, exc_info=done.exception())
