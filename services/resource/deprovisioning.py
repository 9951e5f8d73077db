"""Removes a resource and all below it: children first, independent ones in parallel, one attempt at a time.

What is gone is gone from the store at once, so that an attempt that dies is followed by one that goes on with the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog
from sutler.errors import SutlerError
from sutler.operations.model import State as OperationState

from services.resource.attempting import Attempt
from services.resource.attempts import (
    GIVES_UP,
    Again,
    Over,
    cancelled,
    half_done,
    left_behind,
    timed_out,
    unanswered,
    unreachable,
)
from services.resource.clearing import in_hand, next_removable, remove, remove_records, take
from services.resource.handling import Done, HandlerCall
from services.resource.history import Cause
from services.resource.names import key
from services.resource.ports import Handlers, Unit
from services.resource.problems import Problem, problem
from services.resource.provisioning import previous
from services.resource.resource import Resource
from services.resource.resource_type import Handler

log = structlog.get_logger("resource.deprovisioning")

PARALLEL = 16
"""How many handlers of one delete are called at once."""

Left = Again | Over | None
"""What became of one resource: None if it is gone, or a cancel ended its call; else what follows for the operation."""


class Deprovisioning:
    """Carries out operations that delete.

    Args:
        handlers: Calls handlers.
    """

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def run(self, attempt: Attempt) -> None:
        """Makes one attempt.

        Raises:
            Conflict: If another process holds the operation (LEASE_LOST); then nothing was changed.
            SutlerError: If the store does not work.
        """
        target = attempt.operation.target
        called = not attempt.fresh
        while True:
            if await attempt.left() <= 0:
                await self._end_late(attempt)
                return
            if attempt.cancelled.is_set():
                await self._cancel(attempt, called)
                return
            batch = await attempt.store.scan(attempt.operation.tenant, lambda view: next_removable(view, target))
            if not batch:
                return
            called = True
            attempt = await _counted(attempt, [resource for resource, _ in batch])
            ends = await self._remove_all(attempt, batch)
            over = next((end for end in ends.values() if isinstance(end, Over)), None)
            if over is not None:
                own = {name: end.problem for name, end in ends.items() if end is not None}
                await _end(attempt, OperationState.FAILED, over.problem, own)
                return
            await self._tell(attempt)
            again = [end for end in ends.values() if isinstance(end, Again)]
            if again and not attempt.cancelled.is_set():
                await attempt.postpone(max(again, key=lambda end: end.delay))
                return

    async def _end_late(self, attempt: Attempt) -> None:
        """Ends an operation whose time is over, with what its last attempt said."""
        operation = attempt.operation
        last = await attempt.last()
        late = timed_out(operation.target, attempt.work.handler, last)
        await _end(attempt, OperationState.FAILED, unreachable(last) if last and unanswered(last) else late)

    async def _tell(self, attempt: Attempt) -> None:
        """Stores how much of what was below the target is gone, as the progress of the operation."""
        operation, children = attempt.operation, attempt.work.children

        def change(unit: Unit) -> None:
            left = unit.children(operation.target, children)
            if left:
                unit.tell_progress(operation.name, operation.fence, 100 * (children - left) // children, f"{left} left")

        if children:
            await attempt.store.write(operation.tenant, change)

    async def _remove_all(self, attempt: Attempt, batch: list[tuple[Resource, Handler]]) -> dict[str, Left]:
        """Removes resources of which none is below another; returns by name what became of those with a handler."""
        records = [resource for resource, handler in batch if handler.records]
        if records:
            await attempt.store.write(attempt.operation.tenant, lambda unit: remove_records(unit, attempt, records))
        places = asyncio.Semaphore(PARALLEL)

        async def remove_one(resource: Resource, handler: Handler) -> Left:
            async with places:
                return None if attempt.cancelled.is_set() else await self._remove(attempt, resource, handler)

        handled = [found for found in batch if not found[1].records]
        ends = await asyncio.gather(*(remove_one(*found) for found in handled), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return {resource.name: end for (resource, _), end in zip(handled, ends, strict=True)}  # type: ignore[misc]

    async def _remove(self, attempt: Attempt, resource: Resource, handler: Handler) -> Left:
        root = key(resource.name) == key(attempt.operation.target)
        gives_up = attempt.work.gives_up or (
            resource.state_reason in GIVES_UP and attempt.work.cause is not Cause.EXPIRY
        )
        whole = await attempt.opened(resource)
        if isinstance(whole, Over) and gives_up:
            await self._leave(attempt, resource, handler, whole.problem)
            return None
        resource, fence = await attempt.begin(lambda unit: take(unit, attempt, resource))
        if isinstance(whole, Over):
            return whole
        said = self._handlers.delete(_call(attempt, resource, handler, fence), whole, previous(whole))
        heard = await attempt.hear(said, resource, handler, tells=root)
        if isinstance(heard, Done):
            warnings = heard.warnings
            await attempt.store.write(attempt.operation.tenant, lambda unit: remove(unit, attempt, resource, warnings))
            return None
        if gives_up and heard is not None and unanswered(heard.problem):
            await self._leave(attempt, resource, handler, heard.problem)
            return None
        return None if heard is None else _with_remedy(heard)

    async def _leave(self, attempt: Attempt, resource: Resource, handler: Handler, why: Problem) -> None:
        """Removes a resource without its handler, and says so in its last revision."""
        left = (left_behind(resource.name, handler, why),)
        log.warning("removed without its handler", resource=resource.name, reason=why.reason)
        await attempt.store.write(attempt.operation.tenant, lambda unit: remove(unit, attempt, resource, left))

    async def _cancel(self, attempt: Attempt, called: bool) -> None:
        """After a cancel: of everything that was in hand, what is really there decides, if handlers were called."""
        operation = attempt.operation
        half = ""
        for resource, handler in await attempt.store.scan(operation.tenant, lambda view: in_hand(view, operation)):
            if handler.records or not called:
                continue
            _, fence = await attempt.begin(lambda unit, resource=resource: take(unit, attempt, resource))  # type: ignore[misc]
            whole = await attempt.opened(resource)
            if isinstance(whole, Over):
                await _end(attempt, OperationState.FAILED, whole.problem)
                return
            try:
                found = await self._handlers.find(_call(attempt, resource, handler, fence), whole, previous(whole))
            except SutlerError as error:
                follows = _with_remedy(await attempt.judge(resource, problem(error), handler))
                if isinstance(follows, Again):
                    await attempt.postpone(follows)
                else:
                    await _end(attempt, OperationState.FAILED, follows.problem)
                return
            if found.presence == "ABSENT":
                await attempt.store.write(
                    operation.tenant,
                    lambda unit, resource=resource: remove(unit, attempt, resource),  # type: ignore[misc]
                )
                if key(resource.name) == key(operation.target):
                    return
            elif found.presence == "PARTIAL":
                half = found.description or "some of it"
        if attempt.work.children and called:
            half = half or "what was below it may be gone in part"
        if half:
            await _end(attempt, OperationState.FAILED, half_done(operation.target, half))
        else:
            await _end(attempt, OperationState.CANCELLED, cancelled(operation.target))


def _with_remedy(follows: Again | Over) -> Again | Over:
    """Returns what follows for the operation, with what helps if the handler did not answer."""
    return replace(follows, problem=unreachable(follows.problem)) if unanswered(follows.problem) else follows


async def _counted(attempt: Attempt, batch: list[Resource]) -> Attempt:
    """Returns the attempt with what it reaches first noted, for which its number is 1.

    What the first attempt has taken in hand needs no note; the target does, which belongs to it from the beginning.
    """
    operation, work = attempt.operation, attempt.work
    reached = operation.attempt - 1
    at_last = bool(work.children) and key(batch[0].name) == key(operation.target)
    if not reached and not at_last:
        return attempt
    new = {found.uid: reached if at_last or not found.operation else 0 for found in batch}
    earlier = {uid: work.earlier.get(uid, before) for uid, before in new.items()}
    if earlier == work.earlier:
        return attempt
    noted = replace(work, earlier=earlier).stored()
    await attempt.store.write(operation.tenant, lambda unit: unit.set_work(operation.name, operation.fence, noted))
    return replace(attempt, operation=replace(operation, work=noted))


async def _end(attempt: Attempt, state: OperationState, why: Problem, own: Mapping[str, Problem] | None = None) -> None:
    """Ends the operation with an error, and all that it had in hand, each with its own error if it has one."""
    operation = attempt.operation

    def change(unit: Unit) -> None:
        attempt.current(unit)
        for resource in unit.worked_on(operation.target, operation.name):
            attempt.fail(unit, resource, (own or {}).get(resource.name, why))
        attempt.end(unit, state, None, why)

    await attempt.store.write(operation.tenant, change)


def _call(attempt: Attempt, resource: Resource, handler: Handler, fence: int) -> HandlerCall:
    call = attempt.call(f"delete/{resource.uid}", fence)
    return replace(call, handler=handler, attempt=attempt.number(resource))
