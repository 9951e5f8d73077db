"""Serves a handler from a process of its own, so that the same class is a plug-in or a remote handler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from sutler.errors import FailedPrecondition
from sutler.handlers.base import Handler
from sutler.handlers.making import Reach
from sutler.handlers.servicer import HandlerServicer
from sutler.neighbours import neighbour
from sutler.resource.v1 import handler_pb2_grpc
from sutler.server import Runtime, Service
from sutler.settings import ServerSettings

AREA = "handler"
SERVICE = "sutler.resource.v1.ResourceHandler"


class HandlerSettings(ServerSettings):
    """The settings of a handler that is served; its class may read more from the environment."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_HANDLER_")

    target: str = Field(
        min_length=3, pattern=r"^[\w.]+:[\w.]+$", description="The class of the handler, as package.module:Class"
    )
    resource_address: str = Field("", description="Address of ResourceService, for handlers that make other resources")


class _Nowhere:
    """Stands for a service whose address nobody has said."""

    def __getattr__(self, method: str) -> Any:
        raise FailedPrecondition(
            "the handler needs other resources: set SUTLER_HANDLER_RESOURCE_ADDRESS",
            metadata={"setting": "SUTLER_HANDLER_RESOURCE_ADDRESS"},
        )


@asynccontextmanager
async def app(settings: HandlerSettings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the server of one handler.

    Raises:
        FailedPrecondition: If the class cannot be loaded, or is none of a handler.
    """
    async with AsyncExitStack() as stack:
        reach = await _reach(settings, stack)
        handler = await stack.enter_async_context(load(settings.target)())
        servicer = HandlerServicer(handler, reach)
        yield Service(
            area=AREA,
            servicers={SERVICE: (handler_pb2_grpc.add_ResourceHandlerServicer_to_server, servicer)},
        )


def load(target: str) -> type[Handler[Any]]:
    """Returns the class that ``package.module:Class`` names.

    Raises:
        FailedPrecondition: If it cannot be loaded, or is none of a handler.
    """
    try:
        found = EntryPoint(AREA, target, AREA).load()
    except (ImportError, AttributeError) as error:
        raise FailedPrecondition(f"{target} cannot be loaded: {error}", metadata={"target": target}) from error
    if not (isinstance(found, type) and issubclass(found, Handler)):
        raise FailedPrecondition(f"{target} is no class of handlers", metadata={"target": target})
    return found


async def _reach(settings: HandlerSettings, stack: AsyncExitStack) -> Reach:
    if not settings.resource_address:
        return lambda _: _Nowhere()
    service = await stack.enter_async_context(neighbour(settings, AREA, settings.resource_address))
    return lambda _: service.resources
