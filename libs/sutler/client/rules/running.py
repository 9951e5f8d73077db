"""One handler at work on one task: conditions, middleware, the handler, and what is told of how it ended."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from google.protobuf.struct_pb2 import Value
from google.rpc.status_pb2 import Status

from sutler.client import Sutler
from sutler.client.rules.context import Context, Permanent
from sutler.client.rules.direct import reader, request
from sutler.client.rules.handlers import Check, Handler, Middleware, Next
from sutler.client.rules.leases import Lease
from sutler.context import Call, set_current
from sutler.errors import Code, Conflict, DeadlineExceeded, SutlerError, Unavailable
from sutler.resilience import retry
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import to_status
from sutler.wire import duration, to_value

log = structlog.get_logger("sutler.worker")

DOMAIN = "worker.sutler.dev"
AT_ONCE = duration(0)
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
        try:
            await self._handle(context)
        except asyncio.CancelledError as error:
            if self._lease.lost:
                return
            if self._stopped:
                stopped = Conflict("the worker stops", reason="SHUTTING_DOWN")
                await self._fail(to_status(stopped, DOMAIN), at_once=True)
                return
            await self._failed(error)
        except Exception as error:
            await self._failed(error)
        else:
            if not self._lease.lost:
                await self._complete(context)

    async def _handle(self, context: Context) -> None:
        as_it_was = context.savepoint()
        holds = await self._holds(context)
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
            self._asked.append(_asked("middleware", holds=False))

    async def _holds(self, context: Context) -> bool:
        for check in self._checks:
            told = _name(check)
            try:
                found = check(context)
                holds = bool(await found if inspect.isawaitable(found) else found)
            except Exception as error:
                result = pb.ConditionResult(expression=told, outcome=pb.ConditionResult.OUTCOME_ERROR)
                result.error.CopyFrom(_status(error))
                self._asked.append(result)
                raise
            self._asked.append(_asked(told, holds=holds))
            if not holds:
                return False
        return True

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
            if error.reason != "LEASE_LOST":  # another write came between: the handler looks again
                await self._fail(to_status(error, DOMAIN), at_once=True)
        except SutlerError as error:
            await self._failed(error)

    async def _failed(self, error: BaseException) -> None:
        log.error("worker.failed", task=self._task.name, handler=self._handler.name, error=repr(error), exc_info=error)
        at_once = isinstance(error, Conflict) and error.reason == "REVISION_MISMATCH"
        await self._fail(_status(error), permanent=isinstance(error, Permanent), at_once=at_once)

    async def _fail(self, status: Status, *, permanent: bool = False, at_once: bool = False) -> None:
        self._settling = True
        failing = pb.FailTaskRequest(
            name=self._task.name,
            lease_token=self._task.lease_token,
            error=status,
            permanent=permanent,
            retry_delay=AT_ONCE if at_once else None,
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


def _asked(expression: str, *, holds: bool) -> pb.ConditionResult:
    outcome = pb.ConditionResult.OUTCOME_TRUE if holds else pb.ConditionResult.OUTCOME_FALSE
    return pb.ConditionResult(expression=expression, outcome=outcome)


def _name(check: Check) -> str:
    """Returns what a condition is called; a lambda by where it stands."""
    name = getattr(check, "__name__", type(check).__name__)
    code = getattr(check, "__code__", None)
    return f"{name} at {check.__module__}:{code.co_firstlineno}" if name == "<lambda>" and code else name


def _status(error: BaseException) -> Status:
    if isinstance(error, SutlerError):
        return to_status(error, DOMAIN)
    return Status(code=int(Code.UNKNOWN), message=repr(error)[:1000])
