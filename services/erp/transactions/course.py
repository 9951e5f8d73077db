"""The course of a transaction: step by step forward, and back if one fails, from whatever the journal says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from sutler.context import current
from sutler.errors import SutlerError
from sutler.incidents import known
from sutler.status import from_stored, to_status

from services.erp.attempts import DOMAIN
from services.erp.etags import Etags
from services.erp.journal import State
from services.erp.links import Link
from services.erp.transactions import faults, taking
from services.erp.transactions.model import Step, StepState, Transaction
from services.erp.transactions.run import Halted, Run, Scenes
from services.erp.transactions.store import TransactionStore

UPDATE = "erp.records.update"
"""What reading what an etag covers needs; it was checked before."""


Undo = Callable[[Run, Scenes, Step], Awaitable[None]]
"""See :func:`services.erp.transactions.taking.undo`."""


class Course:
    """Takes transactions to their end.

    Args:
        store: Where they are stored.
        scenes: Where they work.
        etags: Checks etags.
    """

    def __init__(self, store: TransactionStore, scenes: Scenes, etags: Etags) -> None:
        self._store = store
        self._scenes = scenes
        self._etags = etags

    async def run(self, transaction: Transaction, fence: int, halt: asyncio.Event) -> Transaction:
        """Takes a transaction to its end, or to where it halts, and returns it.

        The locks of its records are held meanwhile.

        Raises:
            JournalLost: If that cannot be stored now, or another process is at it.
        """
        run = Run(transaction.entry, list(transaction.steps), fence, self._store, halt)
        link = await self._scenes.links.find(run.entry.tenant, run.entry.connection)
        async with _locked(link, run.steps):
            try:
                if any(one.state in (StepState.RUNNING, StepState.UNDOING) and one.repeatable for one in run.steps):
                    # The ERP may still be at what the process before has asked.
                    await run.rest(link.connection.spec.timeout_seconds)
                if run.entry.state is State.RUNNING:
                    await self._forward(run)
                if run.entry.state is State.UNDOING:
                    await self._back(run)
            except Halted:
                pass
        return run.transaction

    async def give_up(self, transaction: Transaction, fence: int, error: SutlerError) -> Transaction:
        """Ends a transaction that cannot go on, as it stands, and returns it: the ERP is not asked any more.

        Raises:
            JournalLost: If that cannot be stored now, or another process is at it.
        """
        run = Run(transaction.entry, list(transaction.steps), fence, self._store, asyncio.Event())
        under_way = next((one for one in run.steps if one.state is StepState.RUNNING), None)
        if under_way is not None:
            await self._unknown(run, under_way)
        elif run.entry.state is State.RUNNING:
            await self._failed(run, next(one for one in run.steps if one.state is StepState.PENDING), error)

        async def cannot(run: Run, scenes: Scenes, step: Step) -> None:
            raise error

        if run.entry.state is State.UNDOING:
            await self._back(run, cannot)
        return run.transaction

    async def _forward(self, run: Run) -> None:
        if all(one.state is StepState.PENDING for one in run.steps):
            wrong = await self._outdated(run)
            if wrong is not None:
                await self._failed(run, *wrong)
                return
            run.known = await self._scenes.known(run)
        for position in range(len(run.steps)):
            if run.steps[position].state is StepState.SUCCEEDED:
                continue
            run.check_halt()
            try:
                done = await taking.take(run, self._scenes, run.steps[position])
            except taking.UnknownOutcome:
                await self._unknown(run, run.steps[position])
                return
            except SutlerError as error:
                await self._failed(run, run.steps[position], error)
                return
            done = replace(done, state=StepState.SUCCEEDED, end_time=time.time())
            last = position == len(run.steps) - 1
            await run.save(done, entry=replace(run.entry, state=State.SUCCEEDED) if last else None, touching=done)

    async def _back(self, run: Run, undo: Undo = taking.undo) -> None:
        for step in reversed(run.steps):
            if step.state not in (StepState.SUCCEEDED, StepState.UNDOING):
                continue
            run.check_halt()
            try:
                await undo(run, self._scenes, step)
            except SutlerError as error:
                after = replace(step, state=StepState.UNDO_FAILED, undo_error=_status(error), undo_time=time.time())
            else:
                after = replace(step, state=StepState.UNDONE, undo_time=time.time())
            await run.save(after, touching=after)
        failed_undo = [one.spec for one in run.steps if one.state is StepState.UNDO_FAILED]
        standing = [step_id for spec in failed_undo for step_id in spec.step_ids]
        if standing:
            failed = faults.undo_failed(run.entry.name, standing, from_stored(run.entry.error))
            await run.save(entry=replace(run.entry, state=State.UNDO_FAILED, error=_status(failed)))
        else:
            await run.save(entry=replace(run.entry, state=State.UNDONE))

    async def _outdated(self, run: Run) -> tuple[Step, SutlerError] | None:
        """Returns a step whose etag does not hold, and why."""
        for step in run.steps:
            try:
                scene = await self._scenes.of(run.entry) if any(step.spec.etags) else None
                await asyncio.gather(
                    *(
                        self._etags.check(
                            scene.link, scene.principal, step.spec.model, int(target), etag, scene.context,
                            permission=UPDATE,
                        )
                        for target, etag in zip(step.spec.targets, step.spec.etags, strict=False)
                        if scene is not None and etag
                    )
                )  # fmt: skip
            except Exception as error:
                return step, known(error, current())
        return None

    async def _failed(self, run: Run, step: Step, error: SutlerError) -> None:
        """Notes that a step failed; what was done before is to be undone."""
        error = faults.of_step(error, run.entry.name, step.spec)
        status = _status(error)
        failed = replace(step, state=StepState.FAILED, error=status, end_time=time.time())
        undoing = any(one.state is StepState.SUCCEEDED for one in run.steps)
        entry = replace(run.entry, state=State.UNDOING if undoing else State.UNDONE, error=status)
        await run.save(failed, *_skipped(run, failed), entry=entry)

    async def _unknown(self, run: Run, step: Step) -> None:
        """Notes that nobody can know of a step; what was done before stays."""
        error = _status(faults.step_unknown(run.entry.name, step.spec))
        unknown = replace(step, state=StepState.OUTCOME_UNKNOWN, error=error, end_time=time.time())
        entry = replace(run.entry, state=State.OUTCOME_UNKNOWN, error=error, repeatable=False)
        await run.save(unknown, *_skipped(run, unknown), entry=entry)


def _skipped(run: Run, after: Step) -> list[Step]:
    return [replace(one, state=StepState.SKIPPED) for one in run.steps if one.position > after.position]


@asynccontextmanager
async def _locked(link: Link, steps: Sequence[Step]) -> AsyncIterator[None]:
    """Holds the locks of all records that were named from the start, in one order, so that nobody waits in a circle."""
    named: dict[str, set[int]] = {}
    for step in steps:
        named.setdefault(step.spec.model, set()).update(one for one in step.spec.targets if isinstance(one, int))
    async with AsyncExitStack() as stack:
        for model in sorted(named):
            await stack.enter_async_context(link.locks.hold(model, named[model]))
        yield


def _status(error: SutlerError) -> bytes:
    return to_status(error, DOMAIN).SerializeToString()
