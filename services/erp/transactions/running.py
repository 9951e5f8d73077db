"""Runs transactions: those that callers begin, and those that a dead process left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
from sutler.context import Call, Principal, current, set_current
from sutler.errors import Invalid, Unavailable
from sutler.idempotency import Once
from sutler.incidents import known
from sutler.status import from_stored

from services.erp.faults import RETRY_AFTER
from services.erp.journal import Entry, State
from services.erp.transactions.course import Course
from services.erp.transactions.model import StepSpec, Transaction
from services.erp.transactions.run import JournalLost, steps_of
from services.erp.transactions.store import Lead, TransactionStore

log = structlog.get_logger("erp.transactions")

FOREVER = 1e12
"""The time until when an entry with steps belongs to whoever holds its lease: it is never settled as a single write."""

AT_ONCE = 100
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 30.0
MAX_TRIES = 3
"""How often a transaction is begun with that stops with an exception: then it ends as it stands."""


@dataclass(frozen=True, slots=True)
class _Broken:
    """A transaction that stopped with an exception: how often, with which, and when it is begun with again."""

    tries: int
    error: BaseException
    due: float


class Running:
    """Runs transactions, each in a task of its own that no caller can cancel.

    Args:
        store: Where they are stored.
        course: Takes one to its end.
        lead: Gives one process of all the right to do so.
        drain: For how many seconds :meth:`close` waits for the answers of ERPs.
    """

    def __init__(self, store: TransactionStore, course: Course, lead: Lead, drain: float) -> None:
        self._store = store
        self._course = course
        self._lead = lead
        self._drain = drain
        self._halt = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[Transaction]] = {}
        self._broken: dict[str, _Broken] = {}

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
        if not transaction.ended:
            raise Unavailable(f"this gateway stops; {entry.name} goes on in the next one", retry_after=RETRY_AFTER)
        if transaction.entry.state is not State.SUCCEEDED:
            raise from_stored(transaction.entry.error)
        return transaction

    async def recover(self) -> None:
        """Begins with transactions that no living process is at."""
        for entry in await self._store.left_open(AT_ONCE):
            broken = self._broken.get(entry.uid)
            if entry.uid not in self._tasks and (broken is None or time.monotonic() >= broken.due):
                log.info("transaction goes on", transaction=entry.name, state=str(entry.state))
                self._start(entry)

    async def close(self) -> None:
        """Stops when the ERPs have answered what they were asked; what is open goes on in the next process."""
        self._halt.set()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=self._drain)
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
                result = found if found.ended else await self._go_on(found, fence)

        await self._lead(entry.uid, work)
        return await self._store.load(entry.uid) or result

    async def _go_on(self, transaction: Transaction, fence: int) -> Transaction:
        broken = self._broken.get(transaction.entry.uid)
        try:
            if broken is None or broken.tries < MAX_TRIES:
                return await self._course.run(transaction, fence, self._halt)
            return await self._course.give_up(transaction, fence, known(broken.error, current()))
        except JournalLost as lost:
            raise lost.error from lost

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
        before = self._broken.pop(entry.uid, None)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            tries = before.tries + 1 if before else 1
            self._broken[entry.uid] = _Broken(tries, error, time.monotonic() + AGAIN_SECONDS)
            log.error("transaction stopped", transaction=entry.name, exc_info=error)
