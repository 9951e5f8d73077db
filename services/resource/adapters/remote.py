"""Handlers at the other end of a connection: ``sutler.resource.v1.ResourceHandler``, at addresses from a list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry import context as telemetry
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sutler.auth import decode_principal
from sutler.client import Sutler
from sutler.client.calls import UNREADABLE
from sutler.context import ANONYMOUS, Call, set_current
from sutler.errors import FailedPrecondition, Internal, PermissionDenied, SutlerError, Unavailable, Unimplemented

from services.resource.attempts import misbehaved
from services.resource.handling import Found, HandlerCall, Invocation, Refused, Said, Verdict
from services.resource.problems import Problem
from services.resource.resource import Resource
from services.resource.resource_type import Handler
from services.resource.wire import handlers as wire
from services.resource.work import CONCURRENCY

VALIDATE_SECONDS = 10.0
READ_SECONDS = 30.0
LEAST_SECONDS = 0.1

Connect = Callable[[str], AbstractAsyncContextManager[Sutler]]

_propagator = TraceContextTextMapPropagator()


class RemoteHandlers:
    """Implements :class:`services.resource.ports.Handlers` and :class:`services.resource.ports.HandlerBook`.

    Args:
        connect: Opens a connection to an address.
        allowed: The addresses that the operator allows.
        stack: Keeps connections open.
    """

    def __init__(self, connect: Connect, allowed: Collection[str], stack: AsyncExitStack) -> None:
        self._connect = connect
        self._allowed = frozenset(allowed)
        self._stack = stack
        self._connections: dict[str, asyncio.Future[Sutler]] = {}
        self._places: WeakValueDictionary[tuple[str, str, int], asyncio.Semaphore] = WeakValueDictionary()

    def check(self, handler: Handler) -> None:
        """Checks that a handler can be used.

        Raises:
            PermissionDenied: If its address is not on the operator's list (ADDRESS_NOT_ALLOWED).
            FailedPrecondition: If it is a plug-in: none can be installed in this release (PLUGIN_UNKNOWN).
        """
        if handler.plugin:
            raise FailedPrecondition(
                f"no plug-in {handler.plugin} is installed",
                reason="PLUGIN_UNKNOWN",
                metadata={"plugin": handler.plugin, "known": ""},
            )
        if handler.address and handler.address not in self._allowed:
            raise PermissionDenied(
                f"the operator does not allow handlers at {handler.address}; the setting "
                "SUTLER_RESOURCE_HANDLER_ADDRESSES lists what is allowed",
                reason="ADDRESS_NOT_ALLOWED",
                metadata={"address": handler.address},
            )

    async def validate(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Verdict:
        """Asks what a handler thinks of a change.

        Raises:
            Unavailable: If it cannot be asked, or cannot tell (DEPENDENCY_UNAVAILABLE).
        """
        return await self._validate(call, wire.validate_request(call, desired, previous), desired)

    async def validate_action(self, call: HandlerCall, resource: Resource, invocation: Invocation) -> Verdict:
        """Asks what a handler thinks of an action; raises as :meth:`validate`."""
        return await self._validate(call, wire.validate_action_request(call, resource, invocation), resource)

    async def _validate(self, call: HandlerCall, request: Any, resource: Resource) -> Verdict:
        try:
            response = await self._single(call, "Validate", request, VALIDATE_SECONDS, resource)
        except Unimplemented:
            return Verdict()
        except SutlerError as error:
            raise Unavailable(
                f"the handler at {call.handler.address} could not check the change: {error.message}",
                metadata={"dependency": call.handler.address, "cause": error.reason},
                retry_after=error.retry_after,
            ) from error
        return wire.to_verdict(response)

    async def apply(
        self, call: HandlerCall, desired: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        """Makes the real thing what is declared."""
        request = wire.apply_request(call, desired, previous)
        async for said in self._stream(call, "Apply", request, desired):
            yield said

    async def delete(
        self, call: HandlerCall, resource: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        """Removes the real thing."""
        request = wire.delete_request(call, resource, previous)
        async for said in self._stream(call, "Delete", request, resource):
            yield said

    async def find(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Found:
        """Asks what is really there."""
        request = wire.read_request(call, desired, previous)
        return wire.to_found(await self._single(call, "Read", request, READ_SECONDS, desired))

    async def invoke(self, call: HandlerCall, resource: Resource, invocation: Invocation) -> AsyncGenerator[Said, None]:
        """Carries out an action."""
        request = wire.invoke_request(call, resource, invocation)
        async for said in self._stream(call, "InvokeAction", request, resource):
            yield said

    async def _single(self, call: HandlerCall, method: str, request: Any, seconds: float, resource: Resource) -> Any:
        connection = await self._connection(call.handler)

        async def ask() -> Any:
            _act(call)
            return await getattr(connection.handler, method)(request, timeout=min(seconds, _left(call)))

        # A task of its own, because it acts for somebody else than its caller.
        try:
            return await asyncio.create_task(ask())
        except Internal as error:
            raise (_unreadable(error, resource).error() if error.metadata == UNREADABLE else error) from error

    async def _stream(self, call: HandlerCall, method: str, request: Any, resource: Resource) -> AsyncIterator[Said]:
        connection = await self._connection(call.handler)
        async with self._place(resource, call.handler):
            # Each message is awaited in a task of its own; the first of them is the one that sends the metadata.
            _act(call)
            try:
                async for response in getattr(connection.handler, method)(request, timeout=_left(call)):
                    yield wire.to_said(response, resource.name)
            except Internal as error:
                if error.metadata != UNREADABLE:
                    raise
                yield Refused(_unreadable(error, resource))

    async def _connection(self, handler: Handler) -> Sutler:
        try:
            self.check(handler)
        except PermissionDenied as error:
            # The operator's list has changed since the type was registered. That can be put right, so work waits.
            raise Unavailable(error.message, reason=error.reason, metadata=error.metadata) from error
        opening = self._connections.get(handler.address)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = asyncio.ensure_future(self._stack.enter_async_context(self._connect(handler.address)))
            self._connections[handler.address] = opening
        return await asyncio.shield(opening)

    @asynccontextmanager
    async def _place(self, resource: Resource, handler: Handler) -> AsyncIterator[None]:
        """Holds one of the places for calls to the handler of a type, as many as the type allows at once."""
        limit = handler.max_concurrency or CONCURRENCY
        key = (resource.tenant, resource.type, limit)
        places = self._places.get(key)
        if places is None:
            # Kept by those who hold or await a place only, so that types that come and go leave nothing behind.
            places = self._places[key] = asyncio.Semaphore(limit)
        async with places:
            yield


def _unreadable(error: Internal, resource: Resource) -> Problem:
    return misbehaved(resource.name, error.message)


def _act(call: HandlerCall) -> None:
    """Makes the current task act for whom the handler acts, within the trace of the request."""
    principal = decode_principal(call.acts_for) if call.acts_for else ANONYMOUS
    set_current(Call("handler", principal, call.tenant, call.correlation_id))
    if call.traceparent:
        telemetry.attach(_propagator.extract({"traceparent": call.traceparent}))


def _left(call: HandlerCall) -> float:
    return max(LEAST_SECONDS, call.deadline - time.time())
