"""Ends operations from outside: asks for their end, or gives them up and says what may be left behind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import FailedPrecondition, not_found
from sutler.idempotency import Once
from sutler.operations.model import Operation, State

from services.resource import lifecycle
from services.resource.announcing import Origin, event
from services.resource.attempts import ABANDONED, abandoned
from services.resource.callers import Caller
from services.resource.clearing import in_hand
from services.resource.history import Cause, Change
from services.resource.ports import Store, Unit
from services.resource.problems import Problem
from services.resource.resource import Resource
from services.resource.stacks.ending import end_abandoned, left_behind
from services.resource.work import Work, entry

STACKS = ("apply_stack", "delete_stack")
DONE = {"apply": "made for", "delete": "not yet removed for", "invoke": "changed of"}


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An operation that was given up.

    Attributes:
        operation: The operation, ended.
        resource: The resource as it is now; None if it is gone.
        leftovers: What may be left behind, for people.
    """

    operation: Operation
    resource: Resource | None
    leftovers: tuple[str, ...]


class Endings:
    """Ends operations.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def cancel(self, tenant: str, name: str) -> None:
        """Asks for the end of an operation; does nothing if that was done before.

        Raises:
            NotFound: If there is no such operation.
            FailedPrecondition: If it has ended otherwise (STATE_INVALID).
        """

        def change(unit: Unit) -> None:
            operation = _operation(unit, name)
            if operation.state.ended and operation.state is not State.CANCELLED:
                raise _has_ended(operation)
            unit.request_cancel(name)

        await self._store.write(tenant, change)

    async def abandon(self, caller: Caller, name: str, *, once: Once | None) -> Abandoned:
        """Ends an operation with ABANDONED; one that was given up before is answered as it is.

        Args:
            caller: Who asks.
            name: The operation.
            once: How the answer, an :class:`Abandoned`, is remembered.

        Raises:
            NotFound: If there is no such operation.
            FailedPrecondition: If it has ended otherwise (STATE_INVALID).
        """

        def change(unit: Unit) -> Abandoned:
            answer = _abandon(unit, caller, name)
            unit.remember(once, answer)
            return answer

        return await self._store.write(caller.tenant, change)


def _abandon(unit: Unit, caller: Caller, name: str) -> Abandoned:
    operation = _operation(unit, name)
    if operation.state.ended:
        error = unit.error_of(operation)
        if error is None or error.reason != ABANDONED:
            raise _has_ended(operation)
        return Abandoned(operation, unit.resource(operation.target), _leftovers(unit, operation, []))
    why = abandoned(name, caller.actor, operation.work["verb"])
    if operation.work["verb"] in STACKS:
        end_abandoned(unit, operation, why)
    left = unit.worked_on(operation.target, name)
    called = {resource.name for resource, _ in in_hand(unit, operation)}
    for resource in left:
        own = {"resource": resource.name} if resource.name in called else {}
        _fail(unit, operation, resource, replace(why, metadata={**why.metadata, **own}))
    ended = unit.end_operation(name, None, State.FAILED, result=None, error=why)
    return Abandoned(ended, unit.resource(operation.target), _leftovers(unit, operation, left))


def _fail(unit: Unit, operation: Operation, resource: Resource, why: Problem) -> None:
    work = Work.of(operation)
    after = lifecycle.release(resource) if work.verb == "invoke" else lifecycle.fail(resource, why)
    stored = unit.put(resource, after, entry(operation, work, Change.PROGRESSED, Cause.ABANDON))
    unit.announce(event("failed", stored, operation, Origin(work.request_id, work.traceparent), unit.now, why))


def _leftovers(unit: Unit, operation: Operation, left: list[Resource]) -> tuple[str, ...]:
    work = Work.of(operation)
    if work.verb in STACKS:
        return left_behind(unit, operation)
    if not operation.attempt:
        return ("nothing: the handler was not called yet",)
    names = [resource.name for resource in left] or [operation.target]
    handler = work.handler.address or work.handler.plugin or "of a child"
    return tuple(
        f"whatever the handler {handler} has {DONE[work.verb]} {name}; "
        f"its call of attempt {operation.attempt} may still go on"
        for name in names
    )


def _operation(unit: Unit, name: str) -> Operation:
    operation = unit.operation(name)
    if operation is None:
        raise not_found(name)
    return operation


def _has_ended(operation: Operation) -> FailedPrecondition:
    return FailedPrecondition(
        f"{operation.name} has ended: {operation.state.name}",
        metadata={"state": operation.state.name, "allowed": "PENDING, RUNNING, CANCELLING"},
        resource=operation.name,
    )
