"""Carries out an action on a resource, which keeps its state whatever becomes of it: one attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sutler.errors import FailedPrecondition, SutlerError
from sutler.operations.model import State as OperationState

from services.resource import lifecycle
from services.resource.actions import find_action
from services.resource.announcing import Happening, event
from services.resource.attempting import Attempt
from services.resource.attempts import Again, Over, cancelled, half_done, misbehaved, timed_out, unreadable
from services.resource.compiling import Compiler
from services.resource.handling import Done
from services.resource.history import Cause, Change
from services.resource.ports import Handlers, SecretBox, Unit, View
from services.resource.problems import Problem, problem
from services.resource.provisioning import previous, warned, wrong_outputs
from services.resource.resource import ActionResult, Resource
from services.resource.work import invocation_of


class Acting:
    """Carries out operations that invoke actions.

    Args:
        handlers: Calls handlers.
        compiler: Compiles types, for the schemas of what is given back.
        box: Opens secrets.
    """

    def __init__(self, handlers: Handlers, compiler: Compiler, box: SecretBox) -> None:
        self._handlers = handlers
        self._box = box
        self._compiler = compiler

    async def run(self, attempt: Attempt) -> None:
        """Makes one attempt.

        Raises:
            Conflict: If another process holds the operation (LEASE_LOST); then nothing was changed.
            SutlerError: If the store does not work.
        """
        resource, fence = await attempt.begin(attempt.current)
        if await attempt.left() <= 0:
            await self._end(attempt, OperationState.FAILED, timed_out(resource.name, attempt.work.handler, None))
        elif not attempt.cancelled.is_set():
            await self._invoke(attempt, resource, fence)
        elif attempt.fresh:
            await self._end(attempt, OperationState.CANCELLED, cancelled(resource.name))
        else:
            await self._settle(attempt, resource, fence)

    async def _invoke(self, attempt: Attempt, resource: Resource, fence: int) -> None:
        work = attempt.work
        try:
            invocation = invocation_of(work, self._box)
        except (ValueError, FailedPrecondition):
            await self._end(attempt, OperationState.FAILED, unreadable(resource.name))
            return
        whole = await attempt.opened(resource)
        if isinstance(whole, Over):
            await self._end(attempt, OperationState.FAILED, whole.problem)
            return
        said = self._handlers.invoke(attempt.call(f"invoke/{work.action}", fence), whole, invocation)
        heard = await attempt.hear(said, resource, work.handler, tells=True)
        if isinstance(heard, Done):
            await self._succeed(attempt, resource, heard)
        elif isinstance(heard, Again):
            await attempt.postpone(heard)
        elif isinstance(heard, Over):
            await self._end(attempt, OperationState.FAILED, heard.problem)
        else:
            await self._settle(attempt, resource, fence)

    async def _settle(self, attempt: Attempt, resource: Resource, fence: int) -> None:
        """After a cancel: nobody can say what the action did, but what is there now can be read."""
        whole = await attempt.opened(resource)
        if isinstance(whole, Over):
            await self._end(attempt, OperationState.FAILED, whole.problem)
            return
        try:
            found = await self._handlers.find(attempt.call("read", fence), whole, previous(whole))
        except SutlerError as error:
            follows = await attempt.judge(resource, problem(error), attempt.work.handler)
            if isinstance(follows, Again):
                await attempt.postpone(follows)
            else:
                await self._end(attempt, OperationState.FAILED, follows.problem)
            return
        if found.presence == "PARTIAL":
            why = half_done(resource.name, found.description or "some of it")
            await self._end(attempt, OperationState.FAILED, why, found.outputs)
        else:
            await self._end(attempt, OperationState.CANCELLED, cancelled(resource.name), found.outputs)

    async def _succeed(self, attempt: Attempt, resource: Resource, done: Done) -> None:
        wrong = await attempt.store.read(
            attempt.operation.tenant, lambda view: self._wrong(view, attempt, resource, done)
        )
        if wrong:
            await self._end(attempt, OperationState.FAILED, misbehaved(resource.name, wrong))
            return

        def change(unit: Unit) -> None:
            current = attempt.current(unit)
            after = lifecycle.release(current, done.outputs, warned(current, done.warnings))
            stored = unit.put(current, after, attempt.entry(Change.PROGRESSED))
            attempt.end(unit, OperationState.SUCCEEDED, ActionResult(done.result, stored), None)
            unit.announce(event("succeeded", stored, attempt.operation, attempt.origin, unit.now))

        await attempt.store.write(attempt.operation.tenant, change)

    async def _end(
        self, attempt: Attempt, state: OperationState, why: Problem, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Ends the operation with an error, and lets go of the resource."""
        was_cancelled = state is OperationState.CANCELLED

        def change(unit: Unit) -> None:
            current = attempt.current(unit)
            cause = Cause.CANCEL if was_cancelled else Cause.OPERATION
            stored = unit.put(current, lifecycle.release(current, outputs), attempt.entry(Change.PROGRESSED, cause))
            attempt.end(unit, state, None, why)
            happening: Happening = "canceled" if was_cancelled else "failed"
            unit.announce(event(happening, stored, attempt.operation, attempt.origin, unit.now, why))

        await attempt.store.write(attempt.operation.tenant, change)

    def _wrong(self, view: View, attempt: Attempt, resource: Resource, done: Done) -> str:
        """Returns what is wrong with what a handler gave back; empty if nothing is."""
        type = view.type(resource.type)
        if type is None:
            return ""
        try:
            action = self._compiler.action(type, find_action(type, attempt.work.action))
        except SutlerError:  # the type has changed and no longer says what the action gives back
            action = None
        wrong = action.wrong_result(done.result) if action else ""
        if wrong or done.outputs is None:
            return wrong
        return wrong_outputs(self._compiler, view, resource, done.outputs)
