"""One handler at work on one task: conditions, middleware, the handler, and what is told of how it ended."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from google.protobuf.struct_pb2 import Value
from google.rpc.status_pb2 import Status

from sutler.client import Sutler
from sutler.client.rules.conditions import DOMAIN, asked, hold, status_of
from sutler.client.rules.context import Context, Permanent
from sutler.client.rules.direct import reader, request
from sutler.client.rules.handlers import Check, Handler, Middleware, Next
from sutler.client.rules.leases import Lease
from sutler.context import Call, set_current
from sutler.errors import Conflict, DeadlineExceeded, SutlerError, Unavailable
from sutler.resilience import retry
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import to_status
from sutler.wire import duration, to_value

log = structlog.get_logger("sutler.worker")

RACE_SECONDS = 0.05
"""The longest pause of a handler that was too late with a write."""

MANY = 10_000
"""Attempts at telling how a task ended: until its lease ends."""


class Run:
    """One task in the hands of its handler.

    Args:
        s: A connection.
        task: The task.
        handler: Does it.
        checks: Conditions that the worker asks.
        chain: The middleware, the outermost first.
        lease: The lease of the task.
    """

    def __init__(
        self,
        s: Sutler,
        task: pb.Task,
        handler: Handler,
        checks: Sequence[Check],
        chain: Sequence[Middleware],
        lease: Lease,
    ) -> None:
        self._s = s
        self._task = task
        self._handler = handler
        self._checks = checks
        self._chain = chain
        self._lease = lease
        self._asked: list[pb.ConditionResult] = []
        self._result: Value | None = None
        self._reached = False
        self._work: asyncio.Task[None] | None = None
        self._stopped = False
        self._settling = False

    async def run(self) -> None:
        """Does the task while its lease holds. Raises nothing: what goes wrong is told to the server, and logged."""
        self._work = asyncio.create_task(self._do())
        keeping = asyncio.create_task(self._lease.keep(self._work))
        try:
            await asyncio.wait([self._work])
        finally:
            keeping.cancel()
            self._work.cancel()
        if not self._work.cancelled() and (error := self._work.exception()):
            log.error("worker.not_told", task=self._task.name, error=str(error), exc_info=error)

    def give_back(self) -> None:
        """Ends the handler, and lets another worker have the task at once."""
        self._stopped = True
        if self._work is not None and not self._settling:
            self._work.cancel()

    async def _do(self) -> None:
        extensions = self._task.event_snapshot.extensions
        headers = {"traceparent": extensions["traceparent"]} if "traceparent" in extensions else {}
        set_current(Call("worker", correlation_id=extensions.get("correlationid", ""), headers=headers))
        context = Context(self._task, reader(self._s), self._commit)
        if self._stopped:
            await self._return()
            return
        try:
            await self._handle(context)
        except asyncio.CancelledError as error:
            if self._lease.lost:
                return
            await (self._return() if self._stopped else self._failed(error))
        except Exception as error:
            await self._failed(error)
        else:
            context.end()
            if not self._lease.lost:
                await self._complete(context)

    async def _handle(self, context: Context) -> None:
        as_it_was = context.savepoint()
        holds = await hold(context, self._checks, self._asked)
        as_it_was()  # to ask changes nothing
        if not holds:
            return

        async def call() -> Any:
            self._reached = True
            roll_back = context.savepoint()
            try:
                result = await self._handler.call(context)
                self._result = None if result is None else to_value(result)
            except BaseException:
                roll_back()
                raise
            return result

        going: Next = call
        for middleware in reversed(self._chain):
            going = _around(middleware, context, going)
        await going()
        if not self._reached:
            self._asked.append(asked("middleware", holds=False))

    async def _commit(self, update: pb.SubjectUpdate) -> pb.Subject:
        held = {"task": self._task.name, "lease_token": self._task.lease_token}
        return await self._s.rules.UpdateSubject(request(update, **held))

    async def _complete(self, context: Context) -> None:
        self._settling = True
        completion = pb.CompleteTaskRequest(
            name=self._task.name,
            lease_token=self._task.lease_token,
            updates=context.updates(),
            events=context.events(),
            result=self._result,
            conditions=self._asked,
        )
        completion.skipped = not (self._reached or completion.updates or completion.events)
        try:
            await _told(self._s.rules.CompleteTask, completion)
        except Conflict as error:
            if error.reason != "LEASE_LOST":
                await self._failed(error)
        except SutlerError as error:
            await self._failed(error)

    async def _failed(self, error: BaseException) -> None:
        if isinstance(error, Conflict) and error.reason == "REVISION_MISMATCH":  # another write came first: look again
            await self._fail(status_of(error), pause=random.uniform(0, RACE_SECONDS))
            return
        log.error("worker.failed", task=self._task.name, handler=self._handler.name, error=repr(error), exc_info=error)
        await self._fail(status_of(error), permanent=isinstance(error, Permanent))

    async def _return(self) -> None:
        await self._fail(to_status(Conflict("the worker stops", reason="SHUTTING_DOWN"), DOMAIN), pause=0.0)

    async def _fail(self, status: Status, *, permanent: bool = False, pause: float | None = None) -> None:
        self._settling = True
        failing = pb.FailTaskRequest(
            name=self._task.name,
            lease_token=self._task.lease_token,
            error=status,
            permanent=permanent,
            retry_delay=None if pause is None else duration(pause),
            conditions=self._asked,
        )
        try:
            await _told(self._s.rules.FailTask, failing)
        except Conflict:
            return  # the lease has ended: what it says does not count any more


def _around(middleware: Middleware, context: Context, inner: Next) -> Next:
    gone_on = False

    async def going() -> Any:
        nonlocal gone_on
        if gone_on:
            raise RuntimeError("next() was called twice; to try again is the rule's business")
        gone_on = True
        return await inner()

    async def outer() -> Any:
        return await middleware(context, going)

    return outer


async def _told(method: Callable[[Any], Awaitable[Any]], request: Any) -> None:
    async def call() -> None:
        await method(request)

    await retry(call, attempts=MANY, seconds=math.inf, on=(Unavailable, DeadlineExceeded))
