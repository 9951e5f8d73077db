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
from services.resource.attempts import Again, Over, cancelled, half_done, timed_out
from services.resource.clearing import in_hand, next_removable, remove, remove_records, take
from services.resource.handling import Done, HandlerCall
from services.resource.names import key
from services.resource.noting import Left, noted, reached, unreachable_in
from services.resource.ports import Handlers, Unit
from services.resource.problems import Problem, problem
from services.resource.provisioning import previous
from services.resource.resource import Resource
from services.resource.resource_type import Handler
from services.resource.unreachable import UNREACHABLE, left_behind, no_answer, unreachable, unreachable_till_end

log = structlog.get_logger("resource.deprovisioning")

PARALLEL = 16
"""How many handlers of one delete are called at once."""


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
            attempt = await reached(attempt, [resource for resource, _ in batch])
            ends = await self._remove_all(attempt, batch)
            over = next((end for end in ends.values() if isinstance(end, Over)), None)
            if over is not None:
                own = {name: end.problem for name, end in ends.items() if end is not None}
                await _end(attempt, OperationState.FAILED, over.problem, own)
                return
            await self._tell(attempt)
            again = [end for end in ends.values() if isinstance(end, Again)]
            if again and not attempt.cancelled.is_set():
                attempt = await noted(attempt, replace(attempt.work, unreachable=unreachable_in(batch, ends)))
                await attempt.postpone(max(again, key=lambda end: end.delay))
                return

    async def _end_late(self, attempt: Attempt) -> None:
        """Ends an operation whose time is over, with what its last attempt said."""
        operation = attempt.operation
        last = await attempt.last()
        found = await attempt.store.scan(operation.tenant, lambda view: in_hand(view, operation))
        names = [resource.name for resource, _ in found if resource.uid in attempt.work.unreachable]
        gone = last if last and last.reason == UNREACHABLE else None
        why = gone or timed_out(operation.target, attempt.work.handler, last)
        await _end(attempt, OperationState.FAILED, why, {name: unreachable_till_end(name, last) for name in names})

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
        gives_up = resource.uid in attempt.work.gives_up
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
        if gives_up and heard is not None and heard.unreachable:
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
                follows = _with_remedy(
                    await attempt.judge(resource, problem(error), handler, unreachable=no_answer(error))
                )
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
    return replace(follows, problem=unreachable(follows.problem)) if follows.unreachable else follows


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
