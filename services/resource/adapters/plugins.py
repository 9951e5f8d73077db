"""Handlers within this process: installed packages offer them as entry points of the group ``sutler.handlers``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog
from sutler.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from sutler.handlers import Handler
from sutler.handlers.making import Reach
from sutler.handlers.models import schema_of
from sutler.handlers.servicer import HandlerServicer

from services.resource.resource_type import Action, Description

log = structlog.get_logger("resource.plugins")

GROUP = "sutler.handlers"
BEGIN_SECONDS = 30.0
"""How long a plug-in may take to begin its life."""


class PluginHandlers:
    """Knows the plug-ins that were loaded, and why others were not.

    Args:
        loaded: The handlers, which have begun their lives, by name.
        problems: Why the others cannot be used, by name.
    """

    def __init__(self, loaded: Mapping[str, Handler[Any]], problems: Mapping[str, str]) -> None:
        self._loaded = loaded
        self._problems = problems
        self._reach: Reach | None = None
        self._described = {name: description(type(handler)) for name, handler in loaded.items()}
        self._stubs = {name: _Stub(HandlerServicer(handler, self._stub_of_service)) for name, handler in loaded.items()}

    def connect(self, reach: Reach) -> None:
        """Lets plug-ins change other resources; ``reach`` gives stubs of the service for the handler of a resource."""
        self._reach = reach

    def check(self, name: str) -> None:
        """Checks that a plug-in can be used.

        Raises:
            FailedPrecondition: If it cannot (PLUGIN_UNKNOWN).
        """
        if name in self._loaded:
            return
        known, cause = ", ".join(sorted(self._loaded)), self._problems.get(name, "not installed")
        raise FailedPrecondition(
            f"the plug-in {name} cannot be used: {cause}; usable: {known or 'none'}",
            reason="PLUGIN_UNKNOWN",
            metadata={"plugin": name, "known": known, "cause": cause},
        )

    def describe(self, name: str) -> Description | None:
        """Returns what a plug-in says of its properties, outputs and actions; None if it cannot be used."""
        return self._described.get(name)

    def stub(self, name: str) -> Any:
        """Returns a plug-in, called as the stub of a ResourceHandler is.

        Raises:
            Unavailable: If it cannot be used (PLUGIN_UNKNOWN). It could be when the type was registered, so work waits.
        """
        try:
            self.check(name)
        except FailedPrecondition as error:
            raise Unavailable(error.message, reason=error.reason, metadata=error.metadata) from error
        return self._stubs[name]

    def _stub_of_service(self, resource: str) -> Any:
        assert self._reach is not None, "nothing is called before the service is put together"
        return self._reach(resource)


class _Stub:
    """Calls a handler in this process as one calls a stub of ``sutler.client``."""

    def __init__(self, servicer: HandlerServicer) -> None:
        self._servicer = servicer

    async def Validate(self, request: Any, *, timeout: float) -> Any:
        return await _in_time(self._servicer.Validate(request, None), timeout)

    async def Read(self, request: Any, *, timeout: float) -> Any:
        return await _in_time(self._servicer.Read(request, None), timeout)

    # Who follows a stream ends it when its time is over.
    def Apply(self, request: Any, *, timeout: float) -> AsyncGenerator[Any, None]:
        return self._servicer.Apply(request, None)

    def Delete(self, request: Any, *, timeout: float) -> AsyncGenerator[Any, None]:
        return self._servicer.Delete(request, None)

    def InvokeAction(self, request: Any, *, timeout: float) -> AsyncGenerator[Any, None]:
        return self._servicer.InvokeAction(request, None)


async def _in_time(answer: Any, seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError as error:
        raise DeadlineExceeded(f"the plug-in did not answer within {seconds:g} s") from error


def description(handler: type[Handler[Any]]) -> Description:
    """Returns what a class of handlers says of its properties, outputs and actions."""
    return Description(
        schema=schema_of(handler.Properties),
        output_schema=schema_of(handler.Outputs),
        actions=tuple(
            Action(action.id, action.description, schema_of(action.parameters), schema_of(action.result))
            for action in handler.actions.values()
        ),
    )


class _Unusable(Exception):
    """A plug-in that cannot be used, for a reason that callers may know."""


@asynccontextmanager
async def installed(allowed: Collection[str]) -> AsyncIterator[PluginHandlers]:
    """Loads the plug-ins that are installed; one that cannot be loaded is told in the log and left out.

    Args:
        allowed: Patterns of the names that the operator allows.
    """
    found = [each for each in entry_points(group=GROUP) if any(fnmatchcase(each.name, glob) for glob in allowed)]
    offered = Counter(each.name for each in found)
    loaded: dict[str, Handler[Any]] = {}
    problems: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for each in found:
            try:
                if offered[each.name] > 1:
                    raise _Unusable("more than one package offers it")
                loaded[each.name] = await _begun(each, stack)
            except Exception as error:
                cause = str(error) if isinstance(error, _Unusable) else f"it fails with {type(error).__name__}"
                problems[each.name] = cause
                log.error("a plug-in cannot be used", plugin=each.name, value=each.value, cause=cause, exc_info=error)
        yield PluginHandlers(loaded, problems)


async def _begun(found: EntryPoint, stack: AsyncExitStack) -> Handler[Any]:
    """Returns a handler that has begun its life, which ends with the stack."""
    kind = found.load()
    if not (isinstance(kind, type) and issubclass(kind, Handler)):
        raise _Unusable("it is no class of handlers")
    description(kind)  # fails here for a model that has no schema
    handler: Handler[Any] = kind()
    async with asyncio.timeout(BEGIN_SECONDS):
        await handler.__aenter__()
    stack.push_async_callback(_end, found.name, handler)
    return handler


async def _end(name: str, handler: Handler[Any]) -> None:
    try:
        await handler.__aexit__(None, None, None)
    except Exception as error:
        log.error("a plug-in failed while it ended", plugin=name, exc_info=error)
