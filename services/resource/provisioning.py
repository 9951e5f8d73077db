"""Makes a resource what is declared: one attempt, from the first state to the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sutler.errors import SutlerError
from sutler.operations.model import State as OperationState

from services.resource import lifecycle
from services.resource.announcing import event
from services.resource.attempting import Attempt
from services.resource.attempts import Again, Over, cancelled, half_done, misbehaved, timed_out
from services.resource.compiling import Compiler
from services.resource.handling import Done
from services.resource.history import Cause, Change
from services.resource.names import type_id
from services.resource.ports import Handlers, Unit, View
from services.resource.problems import Problem, problem
from services.resource.proposals import check_outputs
from services.resource.resource import Finding, Resource
from services.resource.states import State

STEP = "apply"


class Provisioning:
    """Carries out operations that create or change a resource.

    Args:
        handlers: Calls handlers.
        compiler: Compiles types, for their output schemas.
    """

    def __init__(self, handlers: Handlers, compiler: Compiler) -> None:
        self._handlers = handlers
        self._compiler = compiler

    async def run(self, attempt: Attempt) -> None:
        """Makes one attempt.

        Raises:
            Conflict: If another process holds the operation (LEASE_LOST); then nothing was changed.
            SutlerError: If the store does not work.
        """
        resource, fence = await attempt.begin(lambda unit: _take(unit, attempt))
        if await attempt.left() <= 0:
            await attempt.end_failed(timed_out(resource.name, attempt.work.handler, None))
        elif not attempt.cancelled.is_set():
            await self._apply(attempt, resource, fence)
        elif attempt.fresh:
            await self._cancel(attempt, cancelled(resource.name))
        else:
            await self._settle(attempt, resource, fence)

    async def _apply(self, attempt: Attempt, resource: Resource, fence: int) -> None:
        whole = await attempt.opened(resource)
        if isinstance(whole, Over):
            await attempt.end_failed(whole.problem)
            return
        said = self._handlers.apply(attempt.call(STEP, fence), whole, previous(whole))
        heard = await attempt.hear(said, resource, attempt.work.handler, tells=True)
        if isinstance(heard, Done):
            await self._succeed(attempt, resource, heard)
        elif isinstance(heard, Again):
            await attempt.postpone(heard)
        elif isinstance(heard, Over):
            await attempt.end_failed(heard.problem)
        else:
            await self._settle(attempt, resource, fence)

    async def _settle(self, attempt: Attempt, resource: Resource, fence: int) -> None:
        """After a cancel: what is really there decides."""
        whole = await attempt.opened(resource)
        if isinstance(whole, Over):
            await attempt.end_failed(whole.problem)
            return
        try:
            found = await self._handlers.find(attempt.call("read", fence), whole, previous(whole))
        except SutlerError as error:
            follows = await attempt.judge(resource, problem(error), attempt.work.handler)
            if isinstance(follows, Again):
                await attempt.postpone(follows)
            else:
                await attempt.end_failed(follows.problem)
            return
        if found.presence == "ABSENT":
            await self._cancel(attempt, cancelled(resource.name))
        elif found.presence == "WHOLE":
            await self._succeed(attempt, resource, Done(found.outputs))
        else:
            await attempt.end_failed(half_done(resource.name, found.description or "some of it"), found.outputs)

    async def _succeed(self, attempt: Attempt, resource: Resource, done: Done) -> None:
        wrong = await attempt.store.read(
            attempt.operation.tenant, lambda view: wrong_outputs(self._compiler, view, resource, done.outputs)
        )
        if wrong:
            await attempt.end_failed(misbehaved(resource.name, wrong), done.outputs)
            return
        findings = warned(resource, done.warnings)

        def change(unit: Unit) -> None:
            current = attempt.current(unit)
            stored = unit.put(
                current, lifecycle.succeed(current, done.outputs, findings), attempt.entry(Change.PROGRESSED)
            )
            attempt.end(unit, OperationState.SUCCEEDED, stored, None)
            unit.announce(event("succeeded", stored, attempt.operation, attempt.origin, unit.now))

        await attempt.store.write(attempt.operation.tenant, change, quick=True)

    async def _cancel(self, attempt: Attempt, why: Problem) -> None:
        def change(unit: Unit) -> None:
            current = attempt.current(unit)
            entry = attempt.entry(Change.PROGRESSED, Cause.CANCEL)
            stored = unit.put(current, lifecycle.cancel(current, why), entry)
            attempt.end(unit, OperationState.CANCELLED, None, why)
            unit.announce(event("canceled", stored, attempt.operation, attempt.origin, unit.now, why))

        await attempt.store.write(attempt.operation.tenant, change, quick=True)


def _take(unit: Unit, attempt: Attempt) -> Resource:
    """Moves the resource into the state in which the handler works on it."""
    resource = attempt.current(unit)
    if resource.state is not State.ACCEPTED or attempt.cancelled.is_set():
        return resource
    moved = lifecycle.begin(resource, lifecycle.first_state(resource), attempt.operation.name)
    return unit.put(resource, moved, attempt.entry(Change.PROGRESSED))


def previous(resource: Resource) -> Resource | None:
    """Returns the resource as it was applied last with success, without outputs; None if it never was."""
    declared = resource.previous
    return None if declared is None else replace(resource, declared=declared, outputs={})


def wrong_outputs(compiler: Compiler, view: View, resource: Resource, outputs: Mapping[str, Any] | None) -> str:
    """Returns what is wrong with the outputs that a handler gave with its success; empty if nothing is.

    Args:
        compiler: Compiles types.
        view: The store at this moment.
        resource: The resource as it was when the handler was called.
        outputs: What the handler gave; None for what was known before.
    """
    type = view.type(resource.type)
    version = next((v for v in type.versions if v.version == resource.declared.type_version), None) if type else None
    if type is None or version is None or version.output_schema is None:
        return ""
    told = resource.outputs if outputs is None else outputs
    return check_outputs(compiler.compiled(type, version), told) if told else "no outputs"


def warned(resource: Resource, warnings: tuple[str, ...]) -> tuple[Finding, ...]:
    """Returns what a handler had to say of a resource, as findings."""
    return tuple(Finding(f"resourceTypes/{type_id(resource.type)}", "", "", text) for text in warnings)
