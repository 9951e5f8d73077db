"""The types that others bring: packages offer them as entry points, operators name plug-ins by their addresses.

A package brings one by an entry point, whose name is that of the type::

    [project.entry-points."sutler.providers"]
    acme = "acme_machines:Acme"

It is a class of :class:`sutler.providers.ProviderType`, and is called as if it were at an address.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog
from sutler.client import Sutler
from sutler.context import current
from sutler.incidents import known
from sutler.providers import ProviderPluginServicer, ProviderType

from services.provider.adapters.plugin.calling import PluginCalls, Reach
from services.provider.adapters.plugin.kind import PluginKind
from services.provider.providers import TypeSource

log = structlog.get_logger("sutler.provider")

GROUP = "sutler.providers"
"""The group of entry points."""

SERVICE = "sutler.provider.v1.ProviderPlugin"
BEGIN_SECONDS = 30.0
ASK_SECONDS = 5.0
"""How long the start of the service waits for plug-ins to say what they are."""

Connect = Callable[[str], AbstractAsyncContextManager[Sutler]]


@asynccontextmanager
async def plugin_kinds(
    *, allowed: Collection[str], addresses: Mapping[str, str], taken: Collection[str], connect: Connect, seconds: float
) -> AsyncIterator[Mapping[str, PluginKind]]:
    """Yields the types of packages and plug-ins, by name; what cannot be loaded is told in the log and left out.

    Args:
        allowed: Patterns of the types of packages that the operator allows.
        addresses: The addresses of plug-ins by their types; nothing need be there yet.
        taken: The names of other types.
        connect: Opens a connection to an address.
        seconds: How long one call may take.
    """
    async with AsyncExitStack() as stack:
        kinds: dict[str, PluginKind] = {}
        for type, address in addresses.items():
            kinds[type] = PluginKind(
                PluginCalls(type, _remote(connect, address, stack), seconds), TypeSource.PLUGIN, address
            )
        found = [each for each in entry_points(group=GROUP) if any(fnmatchcase(each.name, glob) for glob in allowed)]
        offered = Counter([*(each.name for each in found), *taken, *addresses])
        for each in found:
            try:
                if offered[each.name] > 1:
                    raise ValueError("the name is taken")
                stub = InProcess(ProviderPluginServicer([await _begun(each, stack)]))
            except Exception as error:
                log.error("provider type cannot be used", type=each.name, entry_point=each.value, exc_info=error)
                continue
            calls = PluginCalls(each.name, _here(stub), seconds)
            kinds[each.name] = PluginKind(calls, TypeSource.PACKAGE, each.value)
        asked = [asyncio.create_task(kind.describe()) for kind in kinds.values()]
        if asked:
            _, late = await asyncio.wait(asked, timeout=ASK_SECONDS)
            for task in late:
                task.cancel()
        yield kinds


async def own_kind(one: ProviderType[Any], seconds: float) -> PluginKind:
    """Returns a type that comes with the service, has begun its life and is written as packages write theirs.

    Args:
        one: The type.
        seconds: How long one call may take.
    """
    calls = PluginCalls(one.type, _here(InProcess(ProviderPluginServicer([one]))), seconds)
    kind = PluginKind(calls, TypeSource.BUILT_IN, "this service")
    await kind.describe()
    return kind


class InProcess:
    """Calls types in this process as one calls a stub of ``sutler.client``.

    Args:
        servicer: The types.
    """

    def __init__(self, servicer: ProviderPluginServicer) -> None:
        self._servicer = servicer

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self._servicer, method)
        told = _told_all if method == "Provision" else _told
        return lambda request, timeout: told(call(request, None))


async def _told(answer: Awaitable[Any]) -> Any:
    """Makes of an exception that nobody expected an error with a number; its traceback is in the log."""
    try:
        return await answer
    except Exception as error:
        raise known(error, current()) from error


async def _told_all(answers: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for answer in answers:
            yield answer
    except Exception as error:
        raise known(error, current()) from error


def _remote(connect: Connect, address: str, stack: AsyncExitStack) -> Reach:
    opening: list[asyncio.Task[Sutler]] = []

    async def reach() -> Any:
        if not opening or (opening[0].done() and (opening[0].cancelled() or opening[0].exception())):
            opening[:] = [asyncio.create_task(stack.enter_async_context(connect(address)))]
        return (await asyncio.shield(opening[0])).stub(SERVICE)

    return reach


def _here(stub: InProcess) -> Reach:
    async def reach() -> Any:
        return stub

    return reach


async def _begun(found: EntryPoint, stack: AsyncExitStack) -> ProviderType[Any]:
    """Returns a type that has begun its life, which ends with the stack."""
    kind = found.load()
    if not (isinstance(kind, type) and issubclass(kind, ProviderType)):
        raise TypeError("it is no class of provider types")
    if kind.type != found.name:
        raise ValueError(f"its type is {kind.type!r}, and the entry point says {found.name!r}")
    one: ProviderType[Any] = kind()
    async with asyncio.timeout(BEGIN_SECONDS):
        return await stack.enter_async_context(one)
