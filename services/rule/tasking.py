"""What workers do with tasks: they pull, extend, complete and fail them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from sutler.errors import SutlerError, Unavailable
from sutler.idempotency import Once

from services.rule.arrivals import Arrivals
from services.rule.concluding import Completion, Ending, Failing, Held, concluded, failed
from services.rule.outcomes import Aftermath, Claim
from services.rule.programs import Program
from services.rule.publishing import Follower
from services.rule.tasks import Holding, Pull, Task, WholeTask, Wish

log = structlog.get_logger("sutler.rule")

Conclude = Callable[[Held], Ending]
"""Says what becomes of a task and its execution; called within the change, so it sees them as they are then."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A task that its worker has ended, or that is put off.

    Attributes:
        task: As it is.
        aftermath: What follows.
    """

    task: Task
    aftermath: Aftermath


class TaskStore(Protocol):
    """Where tasks are stored."""

    async def ready(self, wishes: Collection[Wish]) -> Sequence[Wish]:
        """Returns those wishes for which a pull would find something."""
        ...

    async def pull(self, pull: Pull) -> Sequence[WholeTask]:
        """Leases tasks to a worker, in the order in which they were made. Raises Invalid (REQUEST_ID_REUSED)."""
        ...

    async def give_back(self, pulled: Sequence[Task]) -> None:
        """Lets tasks be pulled at once that did not reach their worker."""
        ...

    async def program(self, tenant: str, name: str) -> Program:
        """Returns the compiled rule of a task. Raises NotFound."""
        ...

    async def extend(self, tenant: str, holding: Holding, seconds: float | None, once: Once | None) -> Task:
        """Makes a lease last for some time from now; as long as it was asked for if None.

        Raises:
            NotFound: If there is no such task.
            Conflict: If the worker does not hold it (LEASE_LOST).
        """
        ...

    async def settle(
        self, tenant: str, holding: Holding, conclude: Conclude, claim: Claim, once: Once | None, completion: bytes
    ) -> Settled:
        """Ends a task, or puts it off, with all that follows from it.

        Args:
            tenant: Whose it is.
            holding: Who holds it.
            conclude: Says what becomes of it.
            claim: What this process takes at once of what follows.
            once: What remembers the answer.
            completion: Tells a repeat of a completion from another one; empty if it does not complete the task.

        Raises:
            NotFound: If there is no such task.
            Conflict: If the worker does not hold it (LEASE_LOST).
            SutlerError: What makes it impossible; then nothing has changed.
        """
        ...


class Tasks:
    """Serves workers.

    Args:
        store: Where tasks are stored.
        follower: Begins what follows.
        arrivals: Wakes those who wait.
        shutdown: Set when the server stops.
    """

    def __init__(self, store: TaskStore, follower: Follower, arrivals: Arrivals, shutdown: asyncio.Event) -> None:
        self._store = store
        self._follower = follower
        self._arrivals = arrivals
        self._shutdown = shutdown
        self._returning: set[asyncio.Task[None]] = set()

    async def pull(self, pull: Pull, wait: float) -> Sequence[WholeTask]:
        """Takes tasks out of a queue, and waits for one if there is none.

        Raises:
            Unavailable: If the server stops (SHUTTING_DOWN).
            Invalid: If the request id was used for another pull (REQUEST_ID_REUSED).
        """
        ends = time.monotonic() + wait
        with self._arrivals.expecting(pull.wish) as woken:
            while not self._shutdown.is_set():
                woken.clear()
                if pull.request_id or await self._store.ready([pull.wish]):
                    pulled = await self._take(pull)
                    if pulled:
                        return pulled
                left = ends - time.monotonic()
                if left <= 0:
                    return ()
                await self._first_of(woken, self._shutdown, left)
        raise Unavailable("the server is stopping; pull elsewhere", reason="SHUTTING_DOWN")

    async def give_back(self, pulled: Sequence[Task]) -> None:
        """Lets tasks be pulled at once that did not reach their worker."""
        if pulled:
            await self._store.give_back(pulled)

    async def extend(self, tenant: str, holding: Holding, seconds: float | None, once: Once | None) -> Task:
        """Makes a lease last longer. Raises as :meth:`TaskStore.extend`."""
        return await self._store.extend(tenant, holding, seconds, once)

    async def complete(self, tenant: str, holding: Holding, completion: Completion, once: Once | None) -> Task:
        """Ends a task well, with all that its worker writes and emits. Raises as :meth:`TaskStore.settle`."""
        program = await self._store.program(tenant, holding.task)
        return await self._settle(
            tenant, holding, lambda held: concluded(held, completion, program), once, completion.digest
        )

    async def fail(self, tenant: str, holding: Holding, failing: Failing, once: Once | None) -> Task:
        """Says that a task could not be done. Raises as :meth:`TaskStore.settle`."""
        program = await self._store.program(tenant, holding.task)
        return await self._settle(tenant, holding, lambda held: failed(held, failing, program), once, b"")

    async def _settle(
        self, tenant: str, holding: Holding, conclude: Conclude, once: Once | None, completion: bytes
    ) -> Task:
        room = self._follower.room
        claim = Claim(self._follower.holder, room - 1) if room else Claim()
        settled = await self._store.settle(tenant, holding, conclude, claim, once, completion)
        self._follower.follow(settled.aftermath)
        return settled.task

    async def _take(self, pull: Pull) -> Sequence[WholeTask]:
        """Leases tasks; those that nobody waits for any more are given back, unless a repeat can get them."""
        pulling = asyncio.ensure_future(self._store.pull(pull))
        try:
            return await asyncio.shield(pulling)
        except asyncio.CancelledError:
            if not pull.request_id:
                returning = asyncio.create_task(self._return(pulling))
                self._returning.add(returning)
                returning.add_done_callback(self._returning.discard)
            raise

    async def _return(self, pulling: asyncio.Future[Sequence[WholeTask]]) -> None:
        try:
            await self.give_back([whole.task for whole in await pulling])
        except SutlerError as error:  # they are free when their leases end
            log.warning("rule.store_trouble", error=str(error))

    async def _first_of(self, one: asyncio.Event, other: asyncio.Event, timeout: float) -> None:
        waiting = [asyncio.ensure_future(event.wait()) for event in (one, other)]
        try:
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
