"""Works on one execution: an attempt, then whatever follows from how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sutler.context import Call, set_current
from sutler.errors import Conflict, FailedPrecondition, Internal, Invalid, NotFound, SutlerError

from services.rule.attempts import Attempts
from services.rule.executions import ExecutionState, Job, undone
from services.rule.failures import from_error
from services.rule.measures import Measures
from services.rule.outcomes import Aftermath, Failed, Finished, Paused, Result
from services.rule.ports import Work
from services.rule.programs import Program
from services.rule.retrying import GiveUp, judge

log = structlog.get_logger("sutler.rule")

T = TypeVar("T")

TROUBLE_SECONDS = 1.0
"""How long to rest when the store cannot be used."""


class Worker:
    """Does jobs.

    Args:
        work: Where executions are stored.
        attempts: Makes attempts.
        measures: Counts and times.
        clock: Gives epoch seconds.
    """

    def __init__(
        self, work: Work, attempts: Attempts, measures: Measures, clock: Callable[[], float] = time.time
    ) -> None:
        self._work = work
        self._attempts = attempts
        self._measures = measures
        self._clock = clock

    async def do(self, job: Job, holder: Callable[[], int]) -> Aftermath | None:
        """Makes an attempt and stores how it ended.

        Args:
            job: What to do.
            holder: Gives the fencing number of this process, for what it takes next.

        Returns:
            What follows; None if the execution was not ours any more, or was given back.
        """
        execution = job.execution
        set_current(Call(execution.rule, tenant=execution.tenant, correlation_id=execution.correlation_id))
        with self._measures.attempt(job) as measured:
            try:
                program, result = await self._attempt(job)
            except SutlerError as error:
                await self._persisting(job, error, lambda: self._work.put_back(execution))
                return None
            # What an attempt has done outside must not be done again because the store is away for a while.
            settled = await self._persisting(job, None, lambda: self._settle(job, program, result, holder()))
            if settled is None:
                return None
            measured.state, aftermath = settled
            return aftermath

    async def put_back(self, job: Job) -> None:
        """Gives an execution back to be claimed again, as soon as the store can be used."""
        await self._persisting(job, None, lambda: self._work.put_back(job.execution))

    async def _attempt(self, job: Job) -> tuple[Program | None, Result]:
        execution = job.execution
        program: Program | None = None
        try:
            program = await self._work.program(execution.rule_uid, execution.revision)
            return program, await self._attempts.run(job, program)
        except NotFound as error:
            return program, Failed(execution, from_error(error))
        except SutlerError:
            raise
        except Exception as error:
            log.error("rule.attempt_broken", execution=execution.name, exc_info=error)
            broken = Internal("the attempt failed unexpectedly; see the server's log")
            return program, Failed(execution, from_error(broken))

    async def _persisting(self, job: Job, error: SutlerError | None, store: Callable[[], Awaitable[T]]) -> T | None:
        """Stores something, again and again while the store cannot be used; None if the execution is not ours now."""
        while True:
            if error is not None:
                if error.reason == "LEASE_LOST":
                    return None
                log.warning("rule.store_trouble", execution=job.execution.name, error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)
            try:
                return await store()
            except SutlerError as trouble:
                error = trouble

    async def _settle(
        self, job: Job, program: Program | None, result: Result, holder: int
    ) -> tuple[ExecutionState, Aftermath]:
        """Stores how an attempt ended, and returns where the execution stands and what follows."""
        if isinstance(result, Finished):
            try:
                return result.state, await self._work.finish(job, result, holder)
            except (FailedPrecondition, Invalid) as error:
                result = Failed(result.execution, from_error(error))
            except Conflict as error:
                if error.reason != "REVISION_MISMATCH":
                    raise
                again = undone(result.execution)
                result = Failed(again, from_error(error), max(step.attempts for step in again.steps))
        if isinstance(result, Paused):
            await self._work.pause(job, result)
            return result.state, Aftermath()
        judged = judge(job, result, program.definition if program else None, self._clock())
        decision = judged.decision
        if isinstance(decision, GiveUp):
            return ExecutionState.FAILED, await self._work.give_up(job, result, decision, judged.breaker, holder)
        await self._work.retry(job, result, decision.pause, judged.breaker, used=decision.used)
        return ExecutionState.WAITING, Aftermath()
