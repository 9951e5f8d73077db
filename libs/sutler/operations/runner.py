"""Carries operations out: claims them, keeps their leases, and tries again what ended in the middle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sutler.auth import decode_principal
from sutler.context import ANONYMOUS, Call, set_current
from sutler.errors import Conflict, Exhausted, SutlerError, Unavailable
from sutler.operations import records
from sutler.operations.execution import Execute, Execution
from sutler.operations.model import Operation, State
from sutler.status import to_status
from sutler.store import Database, Transaction
from sutler.store.holders import new_holder

log = structlog.get_logger("sutler.operations")

LEASE_SECONDS = 15.0
MAX_BACKOFF_SECONDS = 30.0
IDLE_SECONDS = 5.0
OUTAGE_SECONDS = 1.0
"""The pause after the store has refused a claim."""


@dataclass(frozen=True, slots=True)
class _Held:
    """An attempt in hand; its lease cancels it when it was not renewed in time."""

    execution: Execution
    task: asyncio.Task[None]
    lease: asyncio.Timeout


class OperationRunner:
    """Claims due operations and runs them concurrently, in every replica.

    An attempt that raises is made again after a back-off (1 s doubling to 30 s with jitter, or the error's own
    ``retry_after``). An attempt whose process dies is made again when its lease ends, and at
    once when the process is started again on the same machine. An attempt whose lease cannot be renewed is stopped
    when it ends, and the next one in the same process begins only after that.

    Args:
        database: Where operations are stored.
        execute: Carries one out.
        area: The API, for the domain of errors.
        concurrency: How many run at once in this process.
        lease_seconds: After how long another process takes over from one that died.
    """

    def __init__(
        self,
        database: Database,
        execute: Execute,
        *,
        area: str,
        concurrency: int = 64,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database = database
        self._execute = execute
        self._domain = f"{area}.sutler.dev"
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._holder = new_holder()
        self._running: dict[str, _Held] = {}
        self._stopped: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Runs operations until cancelled; then gives those in hand up, to be taken over at once by another process."""
        renewals = asyncio.create_task(self._renew())
        begun = False
        try:
            while True:
                seen = self._database.changes.generation
                try:
                    if not begun:
                        await self._database.write(records.end_dead)
                        begun = True
                    pause = await self._step()
                except (Unavailable, Exhausted) as error:
                    if error.reason == "SHUTTING_DOWN":
                        raise
                    log.warning("operations not claimed", reason=error.reason)
                    await asyncio.sleep(OUTAGE_SECONDS)
                    continue
                await self._database.changes.wait(pause, since=seen)
        finally:
            renewals.cancel()
            await self._give_up()

    async def _step(self) -> float:
        """Claims what is due and returns how long to sleep unless something changes."""
        await self._notice()
        room = self._concurrency - len(self._running)
        if room <= 0:
            return 1.0
        due, now = await self._database.read(lambda tx: (records.next_due(tx), tx.now))
        if due is None or due > now:
            # Claiming commits, which wakes this loop again: so only if there is something to claim.
            return IDLE_SECONDS if due is None else min(due - now, IDLE_SECONDS)
        asked = asyncio.get_running_loop().time()
        taken = await self._database.write(
            lambda tx: records.claim(tx, self._holder, self._lease_seconds, room), quick=True
        )
        for operation in taken:
            self._begin(operation, asked + self._lease_seconds)
        return 0.02 if len(taken) == room else 1.0

    def _begin(self, operation: Operation, until: float) -> None:
        """Begins an attempt that was claimed, until a time of the event loop."""
        name = operation.name
        if name in self._running:
            self._stop(name)
        earlier = [task for task in self._stopped if task.get_name() == name]
        execution, lease = Execution(operation, self._database), asyncio.timeout_at(until)
        if operation.state is State.CANCELLING:
            execution.cancelled.set()
        task = asyncio.create_task(self._attempt(execution, lease, earlier), name=name)
        self._running[name] = _Held(execution, task, lease)

    async def _notice(self) -> None:
        """Looks for operations in hand whose end was asked for, and for those that are in hand no longer."""
        names = list(self._running)
        if not names:
            return
        marks = ", ".join("?" * len(names))
        rows = await self._database.read(
            lambda tx: tx.all(f"SELECT name, state, fence FROM operations WHERE name IN ({marks})", names)
        )
        for name, state, fence in rows:
            if name not in self._running:
                continue
            execution = self._running[name].execution
            if State(state).ended or fence > execution.operation.fence:
                self._stop(name)
            elif State(state) is State.CANCELLING:
                execution.cancelled.set()

    def _stop(self, name: str) -> None:
        """Stops an attempt that can change nothing any more, and gives its place to others without waiting for it."""
        task = self._running.pop(name).task
        self._stopped.add(task)
        task.add_done_callback(self._stopped.discard)
        task.cancel()

    async def _attempt(
        self, execution: Execution, lease: asyncio.Timeout, earlier: Sequence[asyncio.Task[None]]
    ) -> None:
        """Makes an attempt once earlier ones of this process at the same operation, which were stopped, have ended.

        One that does not end is waited for as long as a lease lasts; it can store nothing any more.
        """
        operation = execution.operation
        principal = decode_principal(operation.principal) if operation.principal else ANONYMOUS
        set_current(Call(operation.method, principal, operation.tenant, operation.correlation_id))
        try:
            async with lease:
                if earlier:
                    await asyncio.wait(earlier, timeout=self._lease_seconds)
                problem = await self._carry_out(execution)
                if problem is not None:
                    await self._postpone(execution, problem)
        except SutlerError as error:  # the store fails: the lease ends, and somebody begins the next attempt
            log.warning("attempt left", operation=operation.name, attempt=operation.attempt, reason=error.reason)
        except TimeoutError:
            log.warning("attempt stopped, its lease has ended", operation=operation.name, attempt=operation.attempt)
        finally:
            held = self._running.get(operation.name)
            if held is not None and held.execution is execution:
                del self._running[operation.name]

    async def _carry_out(self, execution: Execution) -> SutlerError | None:
        """Makes the attempt; returns why another one must follow, or None if the operation is in other hands."""
        operation = execution.operation
        try:
            await self._execute(execution)
        except SutlerError as error:
            return None if error.reason == "LEASE_LOST" else error
        except Exception as error:
            log.error("attempt failed", operation=operation.name, attempt=operation.attempt, exc_info=error)
            return Unavailable("the attempt failed unexpectedly; see the server's log")
        held = await self._database.read(lambda tx: records.is_held(tx, operation.name, operation.fence, self._holder))
        if not held:
            return None
        log.error("attempt ended without an end", operation=operation.name, attempt=operation.attempt)
        return Unavailable("the attempt came to no end; see the server's log")

    async def _postpone(self, execution: Execution, error: SutlerError) -> None:
        operation = execution.operation
        backoff = min(MAX_BACKOFF_SECONDS, 2.0 ** min(operation.attempt - 1, 10)) * random.uniform(0.5, 1.0)
        delay = max(backoff, (error.retry_after or timedelta()).total_seconds())
        status = to_status(error, self._domain, operation.correlation_id).SerializeToString()
        try:
            await self._database.write(
                lambda tx: records.postpone(tx, operation.name, operation.fence, tx.now + delay, status), quick=True
            )
        except Conflict:
            return
        log.warning("attempt postponed", operation=operation.name, seconds=round(delay, 3), reason=error.reason)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            renewed = dict(self._running)
            if not renewed:
                continue
            until = asyncio.get_running_loop().time() + self._lease_seconds
            try:
                await self._database.write(
                    lambda tx, names=list(renewed): records.renew(tx, self._holder, names, self._lease_seconds)  # type: ignore[misc]
                )
            except SutlerError as error:
                log.warning("leases not renewed", operations=len(renewed), reason=error.reason)
                continue
            for name, held in renewed.items():
                if self._running.get(name) is held and not held.lease.expired():
                    held.lease.reschedule(until)

    async def _give_up(self) -> None:
        running = list(self._running.values())
        tasks = [*(held.task for held in running), *self._stopped]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        def release(tx: Transaction) -> None:
            tx.many(
                "UPDATE operations SET lease_time = 0 WHERE name = ? AND fence = ? AND ended = 0",
                [(held.execution.operation.name, held.execution.operation.fence) for held in running],
            )

        if running:
            await self._database.write(release)
