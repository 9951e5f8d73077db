"""What all attempts have in common: the operation as it is held, its calls to the handler, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sutler.errors import Conflict, FailedPrecondition
from sutler.ids import derive
from sutler.operations.model import Operation
from sutler.operations.model import State as OperationState

from services.resource import lifecycle
from services.resource.announcing import Origin, event
from services.resource.attempts import Again, Over, judge, misbehaved, timed_out
from services.resource.handling import Done, HandlerCall, Progress, Refused, Said
from services.resource.history import Cause, Change, Entry
from services.resource.listening import Ended, listen, silence
from services.resource.ports import Result, Store, Unit
from services.resource.problems import Problem, problem
from services.resource.resource import Resource
from services.resource.resource_type import Handler
from services.resource.unreachable import UNREACHABLE
from services.resource.work import IDLE_SECONDS, Work, entry


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at an operation, by the process that holds it.

    Attributes:
        store: Where everything is kept.
        operation: The operation when the attempt began.
        cancelled: Set when somebody asks for its end.
        work: What is to be done.
    """

    store: Store
    operation: Operation
    cancelled: asyncio.Event
    work: Work = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "work", Work.of(self.operation))

    @property
    def fresh(self) -> bool:
        """Whether no earlier attempt can have called the handler."""
        return self.operation.attempt == 1

    @property
    def origin(self) -> Origin:
        """The call that began the operation."""
        return Origin(self.work.request_id, self.work.traceparent)

    async def left(self) -> float:
        """Returns the seconds until the operation must have ended."""
        now = await self.store.read(self.operation.tenant, lambda view: view.now)
        return self.work.deadline(self.operation) - now

    async def last(self) -> Problem | None:
        """Returns the error of the attempt before this one; None if there was none."""
        return await self.store.read(self.operation.tenant, lambda view: view.error_of(self.operation))

    def number(self, resource: Resource) -> int:
        """Returns which attempt at a resource this is, from 1; those at others of the same delete do not count."""
        return self.operation.attempt - self.work.earlier.get(resource.uid, 0)

    def call(self, step: str, fence: int) -> HandlerCall:
        """Returns what a handler is told with a call for one step of the operation."""
        operation, work = self.operation, self.work
        return HandlerCall(
            tenant=operation.tenant,
            handler=work.handler,
            principal=operation.creator,
            acts_for=work.acts_for,
            correlation_id=operation.correlation_id,
            traceparent=work.traceparent,
            request_id=work.request_id,
            deadline=work.deadline(operation),
            attempt=operation.attempt,
            fencing_token=fence,
            operation=operation.name,
            idempotency_key=derive(operation.name.partition("/")[2], step),
        )

    async def begin(self, take: Callable[[Unit], Resource]) -> tuple[Resource, int]:
        """Takes a resource in hand, and returns it with a number that tells this call from earlier ones.

        Args:
            take: Moves the resource into the state in which the handler works on it, and returns it.

        Raises:
            Conflict: If another process holds the operation (LEASE_LOST).
        """

        def change(unit: Unit) -> tuple[Resource, int]:
            unit.check_held(self.operation.name, self.operation.fence)
            return take(unit), unit.draw_fence()

        return await self.store.write(self.operation.tenant, change, quick=True)

    async def opened(self, resource: Resource) -> Resource | Over:
        """Returns a resource with its secrets, for its handler; what follows if no configured key opens them."""
        if resource.sealed is None:
            return resource
        try:
            return await self.store.read(self.operation.tenant, lambda view: view.opened(resource))
        except FailedPrecondition as error:
            return Over(problem(error))

    async def hear(
        self, said: AsyncGenerator[Said, None], resource: Resource, handler: Handler, *, tells: bool
    ) -> Done | Again | Over | None:
        """Follows a call to its end.

        Args:
            said: What the handler says.
            resource: The resource that it works on.
            handler: How patient to be.
            tells: Whether its progress is that of the operation.

        Returns:
            What follows from it; None if the call was ended because of a cancel.
        """
        left = await self.left()
        idle = handler.idle_timeout or IDLE_SECONDS

        async def tell(progress: Progress) -> None:
            await self._tell(resource, progress, tells)

        heard = await listen(said, tell, self.cancelled, idle=idle, left=left)
        if isinstance(heard, Done):
            return heard
        if heard is Ended.CANCELLED:
            return None
        if heard is Ended.WITHOUT_RESULT:
            return Over(misbehaved(resource.name, "its answer ended without a result"))
        if heard is Ended.LATE:
            last = await self.last()
            last = last if last and _concerns(last, resource) else None
            return Over(timed_out(resource.name, handler, last), last is not None and last.reason == UNREACHABLE)
        if isinstance(heard, Refused):
            if heard.outputs is not None:
                await self._tell(resource, Progress(0, "", heard.outputs), False)
            return await self.judge(resource, heard.problem, handler, unreachable=heard.unreachable)
        return await self.judge(resource, silence(idle), handler, unreachable=True)

    async def judge(
        self, resource: Resource, problem: Problem, handler: Handler, *, unreachable: bool = False
    ) -> Again | Over:
        """Returns what follows from a handler's error; whether it could not be asked only a delete needs to know."""
        return judge(
            problem,
            resource=resource.name,
            attempt=self.number(resource),
            handler=handler,
            left=await self.left(),
            unreachable=unreachable,
        )

    async def postpone(self, again: Again) -> None:
        """Gives the operation back until its next attempt is due. Raises Conflict (LEASE_LOST) as :meth:`begin`."""
        operation = self.operation
        await self.store.write(
            operation.tenant,
            lambda unit: unit.postpone(operation.name, operation.fence, unit.now + again.delay, again.problem),
            quick=True,
        )

    def current(self, unit: Unit) -> Resource:
        """Returns, within a change, the resource that the operation works on, if this process still holds it.

        Raises:
            Conflict: If it does not (LEASE_LOST).
        """
        unit.check_held(self.operation.name, self.operation.fence)
        resource = unit.resource(self.operation.target)
        # An open operation and its resource change together, so this cannot be; a late holder must not go on.
        if resource is None or resource.operation != self.operation.name:
            raise Conflict(f"{self.operation.target} is no longer worked on", reason="LEASE_LOST")
        return resource

    async def end_failed(self, why: Problem, outputs: Mapping[str, Any] | None = None) -> None:
        """Ends the operation and its resource with an error. Raises Conflict (LEASE_LOST) as :meth:`begin`."""

        def change(unit: Unit) -> None:
            self.fail(unit, self.current(unit), why, outputs)
            self.end(unit, OperationState.FAILED, None, why)

        await self.store.write(self.operation.tenant, change, quick=True)

    def fail(self, unit: Unit, resource: Resource, why: Problem, outputs: Mapping[str, Any] | None = None) -> None:
        """Stores, within a change, that the work on a resource failed, and tells of it."""
        failed = lifecycle.fail(resource, why)
        if outputs is not None:
            failed = replace(failed, outputs=outputs)
        stored = unit.put(resource, failed, self.entry(Change.PROGRESSED))
        unit.announce(event("failed", stored, self.operation, self.origin, unit.now, why))

    def end(self, unit: Unit, state: OperationState, result: Result, why: Problem | None) -> None:
        """Ends the operation, within a change."""
        unit.end_operation(self.operation.name, self.operation.fence, state, result=result, error=why)

    def entry(self, kind: Change, cause: Cause = Cause.OPERATION) -> Entry:
        """Returns what the log says of a change that the operation makes."""
        return entry(self.operation, self.work, kind, cause)

    async def _tell(self, resource: Resource, progress: Progress, tells: bool) -> None:
        operation = self.operation

        def change(unit: Unit) -> None:
            unit.check_held(operation.name, operation.fence)
            if tells:
                unit.tell_progress(operation.name, operation.fence, progress.percent, progress.step)
            known = unit.resource(resource.name)
            if progress.outputs is None or known is None or known.uid != resource.uid:
                return
            if known.outputs != progress.outputs:
                unit.put(known, replace(known, outputs=progress.outputs), self.entry(Change.PROGRESSED))

        await self.store.write(operation.tenant, change, quick=True)


def _concerns(problem: Problem, resource: Resource) -> bool:
    return problem.metadata.get("resource") == resource.name
