"""Calls handlers with the messages of their contract, whatever they are and wherever they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry import context as telemetry
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sutler.auth import decode_principal
from sutler.client.calls import UNREADABLE
from sutler.context import ANONYMOUS, Call, set_current
from sutler.errors import Internal, SutlerError, Unavailable, Unimplemented

from services.resource.adapters.plugins import PluginHandlers
from services.resource.adapters.remote import RemoteHandlers
from services.resource.attempts import misbehaved
from services.resource.handling import Found, HandlerCall, Invocation, Refused, Said, Verdict
from services.resource.problems import Problem
from services.resource.resource import Resource
from services.resource.resource_type import Description, Handler
from services.resource.wire import handlers as wire
from services.resource.work import CONCURRENCY

VALIDATE_SECONDS = 10.0
READ_SECONDS = 30.0
LEAST_SECONDS = 0.1

_propagator = TraceContextTextMapPropagator()


class CalledHandlers:
    """Implements :class:`services.resource.ports.Handlers` and :class:`services.resource.ports.HandlerBook`.

    Args:
        remotes: Those at an address.
        plugins: Those within this process.
    """

    def __init__(self, remotes: RemoteHandlers, plugins: PluginHandlers) -> None:
        self._remotes = remotes
        self._plugins = plugins
        self._places: WeakValueDictionary[tuple[str, str, int], asyncio.Semaphore] = WeakValueDictionary()

    def check(self, handler: Handler) -> None:
        """Checks that a handler can be used.

        Raises:
            PermissionDenied: If its address is not on the operator's list (ADDRESS_NOT_ALLOWED).
            FailedPrecondition: If no such plug-in is installed (PLUGIN_UNKNOWN).
        """
        if handler.plugin:
            self._plugins.check(handler.plugin)
        elif handler.address:
            self._remotes.check(handler.address)

    def describe(self, handler: Handler) -> Description | None:
        """Returns what a handler says of itself; None if it is no plug-in, or none that can be used."""
        return self._plugins.describe(handler.plugin)

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
            who = call.handler.address or call.handler.plugin
            raise Unavailable(
                f"the handler {who} could not check the change: {error.message}",
                metadata={"dependency": who, "cause": error.reason},
                retry_after=error.retry_after,
            ) from error
        return wire.to_verdict(response)

    def apply(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> AsyncGenerator[Said, None]:
        """Makes the real thing what is declared."""
        return self._stream(call, "Apply", wire.apply_request(call, desired, previous), desired)

    def delete(self, call: HandlerCall, resource: Resource, previous: Resource | None) -> AsyncGenerator[Said, None]:
        """Removes the real thing."""
        return self._stream(call, "Delete", wire.delete_request(call, resource, previous), resource)

    async def find(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Found:
        """Asks what is really there."""
        request = wire.read_request(call, desired, previous)
        return wire.to_found(await self._single(call, "Read", request, READ_SECONDS, desired))

    def invoke(self, call: HandlerCall, resource: Resource, invocation: Invocation) -> AsyncGenerator[Said, None]:
        """Carries out an action."""
        return self._stream(call, "InvokeAction", wire.invoke_request(call, resource, invocation), resource)

    async def _single(self, call: HandlerCall, method: str, request: Any, seconds: float, resource: Resource) -> Any:
        stub = await self._stub(call.handler)

        async def ask() -> Any:
            _act(call)
            return await getattr(stub, method)(request, timeout=min(seconds, _left(call)))

        # A task of its own, because it acts for somebody else than its caller; it ends with its caller.
        try:
            return await asyncio.create_task(ask())
        except Internal as error:
            raise (_unreadable(error, resource).error() if error.metadata == UNREADABLE else error) from error

    async def _stream(
        self, call: HandlerCall, method: str, request: Any, resource: Resource
    ) -> AsyncGenerator[Said, None]:
        stub = await self._stub(call.handler)
        async with self._place(resource, call.handler):
            # Each message is awaited in a task of its own; the first of them is the one that begins the call.
            _act(call)
            try:
                async with aclosing(getattr(stub, method)(request, timeout=_left(call))) as responses:
                    async for response in responses:
                        yield wire.to_said(response, resource.name)
            except Internal as error:
                if error.metadata != UNREADABLE:
                    raise
                yield Refused(_unreadable(error, resource))

    async def _stub(self, handler: Handler) -> Any:
        if handler.plugin:
            return self._plugins.stub(handler.plugin)
        return await self._remotes.stub(handler.address)

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
