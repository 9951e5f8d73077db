"""A handler as ``sutler.resource.v1.ResourceHandler``: within ResourceService, or behind a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import structlog
from google.rpc.error_details_pb2 import BadRequest

from sutler.context import current
from sutler.errors import Internal, Invalid, SutlerError, Unavailable, Unimplemented, Violation
from sutler.handlers.base import Handler
from sutler.handlers.calls import MAX_WARNINGS, Call, Tell, shortened
from sutler.handlers.following import follow
from sutler.handlers.making import Calls, Reach
from sutler.handlers.models import dumped, struct
from sutler.incidents import known
from sutler.resource.v1 import handler_pb2 as pb
from sutler.validation import MAX_VIOLATIONS

log = structlog.get_logger("sutler.handlers")

HOOK_SECONDS = 30.0
"""How long a hook may take after the work is done."""

MAX_STEPS = 1000

M = TypeVar("M", pb.ApplyResponse, pb.DeleteResponse, pb.ResourceHandlerInvokeActionResponse)


class HandlerServicer:
    """Implements the contract with a handler; it needs no context of gRPC.

    Args:
        handler: The handler, which has begun its life.
        reach: Gives stubs of ResourceService.
    """

    def __init__(self, handler: Handler[Any], reach: Reach) -> None:
        self._handler = handler
        self._calls = Calls(handler, reach)

    async def Validate(self, request: pb.ValidateRequest, context: Any) -> pb.ValidateResponse:
        """Says what the models and the handler think of a change, or of an action."""
        try:
            with _told():
                call = await self._validated(request)
        except Invalid as error:
            found = error.violations or (Violation("", error.message, error.reason),)
            return pb.ValidateResponse(violations=map(_violation, found[:MAX_VIOLATIONS]))
        found = tuple(call.violations)
        return pb.ValidateResponse(
            violations=map(_violation, found[:MAX_VIOLATIONS]), warnings=call.warnings, plan=call.steps[:MAX_STEPS]
        )

    async def _validated(self, request: pb.ValidateRequest) -> Call[Any]:
        if request.change != pb.ValidateRequest.CHANGE_INVOKE:
            call = self._calls.checked(request, request.desired, None)
            await self._handler.validate(call)
            return call
        if request.action not in self._handler.actions:
            raise Invalid("", violations=[Violation("action", _no_action(request.action), "ACTION_UNKNOWN")])
        acting = self._calls.acting(request, request.desired, None)
        await self._handler.validate_action(acting)
        return acting

    def Apply(self, request: pb.ApplyRequest, context: Any) -> AsyncGenerator[pb.ApplyResponse, None]:
        """Makes the real thing what is wished."""

        async def work(tell: Tell) -> pb.ApplyResponse:
            call = self._calls.checked(request, request.desired, tell)
            with self._changing(call):
                await self._handler.before_apply(call)
                outputs = dumped(await self._handler.apply(call))
                await _afterwards(call, "after_apply", lambda: self._handler.after_apply(call, outputs or {}))
            given = struct(outputs, "outputs", call.name)
            return pb.ApplyResponse(result=pb.ApplyResult(outputs=given, warnings=call.warnings))

        return _said(work, pb.ApplyResponse)

    def Delete(self, request: pb.DeleteRequest, context: Any) -> AsyncGenerator[pb.DeleteResponse, None]:
        """Removes the real thing."""

        async def work(tell: Tell) -> pb.DeleteResponse:
            call = self._calls.as_is(request, request.resource, tell)
            with self._changing(call):
                await self._handler.before_delete(call)
                await self._handler.delete(call)
                await _afterwards(call, "after_delete", lambda: self._handler.after_delete(call))
            return pb.DeleteResponse(result=pb.DeleteResult(warnings=call.warnings))

        return _said(work, pb.DeleteResponse)

    def InvokeAction(
        self, request: pb.ResourceHandlerInvokeActionRequest, context: Any
    ) -> AsyncGenerator[pb.ResourceHandlerInvokeActionResponse, None]:
        """Carries out an action."""

        async def work(tell: Tell) -> pb.ResourceHandlerInvokeActionResponse:
            declared = self._handler.actions.get(request.action)
            if declared is None:
                raise Unimplemented(_no_action(request.action), metadata={"action": request.action})
            call = self._calls.acting(request, request.resource, tell)
            with self._changing(call):
                await self._handler.before_action(call)
                result = dumped(await getattr(self._handler, declared.method)(call)) or {}
                await _afterwards(call, "after_action", lambda: self._handler.after_action(call, result))
            given = struct(result, "result", call.name)
            return pb.ResourceHandlerInvokeActionResponse(result=pb.ActionResult(result=given, warnings=call.warnings))

        return _said(work, pb.ResourceHandlerInvokeActionResponse)

    async def Read(self, request: pb.ReadRequest, context: Any) -> pb.ReadResponse:
        """Says what is really there; never from the cache."""
        with _told():
            call = self._calls.as_is(request, request.desired, None)
            found = await self._handler.read(call)
            return pb.ReadResponse(
                presence=pb.ReadResponse.Presence.Value(f"PRESENCE_{found.presence}"),
                outputs=struct(found.outputs, "outputs", call.name),
                description=shortened(found.description),
            )

    @contextmanager
    def _changing(self, call: Call[Any]) -> Iterator[None]:
        """Drops what the cache has about a resource before it is changed, and what was looked up meanwhile."""
        self._handler.invalidate(call)
        try:
            yield
        finally:
            self._handler.invalidate(call)


async def _said(work: Callable[[Tell], Awaitable[M]], response: type[M]) -> AsyncGenerator[M, None]:
    """Yields what a piece of work says, as messages of one RPC."""
    with _told():
        async with aclosing(follow(work)) as news:
            async for said in news:
                yield response(progress=said) if isinstance(said, pb.HandlerProgress) else said


async def _afterwards(call: Call[Any], name: str, hook: Callable[[], Awaitable[None]]) -> None:
    """Runs a hook after the work is done: its error is told, and changes nothing."""
    try:
        with _told():
            async with asyncio.timeout(HOOK_SECONDS):
                await hook()
    except SutlerError as error:
        log.warning("a hook failed", hook=name, resource=call.name, reason=error.reason, cause=error.message)
        del call.warnings[MAX_WARNINGS - 1 :]
        call.warn(f"{name} failed: {error.message}")


@contextmanager
def _told() -> Iterator[None]:
    """Makes of an exception that nobody expected an error that may go away; its traceback stays in the log."""
    try:
        yield
    except SutlerError:
        raise
    except Exception as error:
        found = known(error, current())
        if not isinstance(found, Internal):
            raise found from error
        incident = found.metadata["incident"]
        raise Unavailable(
            f"the handler failed unexpectedly; incident {incident} in the log",
            reason="INTERNAL",
            metadata={"incident": incident},
        ) from error


def _no_action(action: str) -> str:
    return f"the handler has no action {action}"


def _violation(violation: Violation) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(field=violation.field, description=violation.description, reason=violation.reason)
