"""Does the actions of an execution in order, and writes each step of outside calls down before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sutler.auth import decode_principal
from sutler.context import Principal
from sutler.errors import DeadlineExceeded, SutlerError

from services.rule.definitions import Deed, Delay, MakeTask, OutsideCall
from services.rule.executions import Execution, ExecutionState
from services.rule.failures import from_error
from services.rule.outcomes import Failed, Opening, Paused, Result
from services.rule.ports import Caller, Journal
from services.rule.programs import CompiledAction
from services.rule.rights import check_rights
from services.rule.sight import Sight
from services.rule.steps import MAX_RESPONSE_BYTES, Step, StepState
from services.rule.tasks import lease_lost, task_name
from services.rule.values import ABSENT, clipped


class Stop(Exception):
    """Ends the actions of an attempt early.

    Args:
        result: How the attempt ends.
    """

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


@lru_cache(maxsize=1024)
def author_of(encoded: str) -> Principal:
    """Returns the principal that a rule's author was."""
    return decode_principal(encoded)


class Acting:
    """The actions of one attempt.

    Args:
        execution: The execution, with a step for each action.
        sight: What its expressions see.
        author: The principal in whose name it acts.
        ends: When the attempt's time is over, in epoch seconds.
        leases: Until when workers hold its tasks, by action id.
        journal: Where steps are written down.
        caller: Makes outside calls.
        clock: Gives epoch seconds.
    """

    def __init__(
        self,
        execution: Execution,
        sight: Sight,
        author: Principal,
        ends: float,
        leases: Mapping[str, float],
        journal: Journal,
        caller: Caller,
        clock: Callable[[], float],
    ) -> None:
        self._execution = execution
        self._steps = list(execution.steps)
        self._sight = sight
        self._author = author
        self._ends = ends
        self._leases = leases
        self._journal = journal
        self._caller = caller
        self._clock = clock

    @property
    def execution(self) -> Execution:
        """The execution with what became of it so far."""
        return replace(self._execution, steps=tuple(self._steps))

    async def do(self, index: int, action: CompiledAction, *, last: bool) -> None:
        """Does one action, unless an earlier attempt has done it.

        Args:
            index: Its place.
            action: What to do.
            last: Whether none follows; then its answer is stored with the end of the execution.

        Raises:
            Stop: If the attempt ends here.
            Conflict: If the execution is not ours any more (LEASE_LOST).
            SutlerError: If the store cannot be used.
        """
        step = self._steps[index]
        if isinstance(action.do, MakeTask) and step.state is StepState.WAITING:
            raise self._still_waiting(index, step)
        if step.state is not StepState.SUCCEEDED:
            started = step.start_time or self._clock()
            step = self._put(
                index, replace(step, state=StepState.RUNNING, attempts=step.attempts + 1, start_time=started)
            )
            if isinstance(action.do, Delay):
                self._wait(index, action, step)
            elif isinstance(action.do, MakeTask):
                raise self._delegate(index, action, action.do, step)
            elif isinstance(action.do, OutsideCall):
                await self._call(index, action, step, last=last)
            else:
                self._succeed(index, deed=self._deed(index, action, step))
        try:
            self._sight.did(action, self._steps[index])
        except SutlerError as error:
            raise self._failed(index, error) from error

    def _put(self, index: int, step: Step) -> Step:
        self._steps[index] = step
        return step

    def _succeed(self, index: int, **changes: Any) -> None:
        step = self._steps[index]
        self._put(index, replace(step, state=StepState.SUCCEEDED, end_time=self._clock(), error=None, **changes))

    def _failed(self, index: int, error: SutlerError) -> Stop:
        failure = from_error(error)
        step = replace(self._steps[index], state=StepState.FAILED, error=failure, end_time=self._clock())
        self._put(index, step)
        return Stop(Failed(self.execution, failure, max(1, step.attempts)))

    def _deed(self, index: int, action: CompiledAction, step: Step) -> Deed:
        """Returns what is to be done: what an earlier attempt stored, for it stays the same under one key."""
        if step.deed is not None:
            return step.deed
        try:
            deed = self._sight.render(action, f"actions[{index}]")
            check_rights(self._author, deed)
            return deed
        except SutlerError as error:
            raise self._failed(index, error) from error

    def _wait(self, index: int, action: CompiledAction, step: Step) -> None:
        now = self._clock()
        excused = 0.0
        if step.until is None:
            try:
                excused = self._sight.delay(action, f"actions[{index}].delay.expression", now)
            except SutlerError as error:
                raise self._failed(index, error) from error
            step = replace(step, until=now + excused)
        assert step.until is not None
        if step.until > now:
            self._put(index, replace(step, state=StepState.WAITING, attempts=1))
            raise Stop(Paused(self.execution, ExecutionState.WAITING, step.until, excused))
        self._put(index, step)
        self._succeed(index)

    def _delegate(self, index: int, action: CompiledAction, do: MakeTask, step: Step) -> Stop:
        """Opens the task of an action, which is made in the first attempt and stays the same in all others."""
        made = None
        if not step.task:
            deed = self._deed(index, action, step)
            assert isinstance(deed, MakeTask)
            made = deed
        now, give_up = self._clock(), self._execution.give_up_time
        assert give_up is not None
        until = step.until or (give_up if do.timeout is None else now + do.timeout)
        name = task_name(do.queue, self._execution.uuid, step.id)
        key = self._execution.key(step.id)
        self._put(index, replace(step, state=StepState.WAITING, task=name, key=key, until=until))
        self._execution = replace(self._execution, give_up_time=max(give_up, until))
        return Stop(Paused(self.execution, ExecutionState.WAITING, until, opening=Opening(step.id, made)))

    def _still_waiting(self, index: int, step: Step) -> Stop:
        """Ends an attempt at an action whose task is open: by waiting on, unless a time has run out."""
        now, lease = self._clock(), self._leases.get(step.id)
        assert step.until is not None
        if step.until <= now:
            self._execution = replace(self._execution, give_up_time=now)
            return self._failed(index, DeadlineExceeded(f"no worker completed {step.task} within its time"))
        if lease is not None and lease <= now:
            return self._failed(index, lease_lost(step.task))
        return Stop(Paused(self.execution, ExecutionState.WAITING, step.until))

    async def _call(self, index: int, action: CompiledAction, step: Step, *, last: bool) -> None:
        deed = self._deed(index, action, step)
        assert isinstance(deed, OutsideCall)
        key = self._execution.key(step.id)
        self._put(index, replace(step, deed=deed, key=key, start_time=self._clock()))
        self._execution = replace(self._execution, state=ExecutionState.RUNNING)
        await self._journal.save(self.execution)
        try:
            answer = await self._answer(deed, key)
        except SutlerError as error:
            raise self._failed(index, error) from error
        shown = clipped(answer, MAX_RESPONSE_BYTES)
        self._succeed(index, response=None if shown is ABSENT else shown, answered=True)
        self._sight.results[step.id] = answer
        if not last:
            await self._journal.answered(self.execution, step.id, answer)

    async def _answer(self, deed: OutsideCall, key: str) -> Any:
        left = self._ends - self._clock()
        timeout = min(left, deed.timeout or left)
        if timeout <= 0:
            raise DeadlineExceeded("the rule's timeout has passed before the call could be made")
        return await self._caller.call(
            deed,
            key=key,
            behalf=self._author,
            correlation_id=self._execution.correlation_id,
            timeout=timeout,
        )
