"""Serves a type of provider from a process of its own, so that the same class is in-process or a plug-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from sutler.errors import FailedPrecondition
from sutler.provider.v1 import plugin_pb2_grpc
from sutler.providers.base import ProviderType
from sutler.providers.servicer import ProviderPluginServicer
from sutler.server import Runtime, Service
from sutler.settings import ServerSettings

AREA = "plugin"
SERVICE = "sutler.provider.v1.ProviderPlugin"


class PluginSettings(ServerSettings):
    """The settings of a provider type that is served; its class may read more from the environment."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_PLUGIN_")

    target: str = Field(
        min_length=3, pattern=r"^[\w.]+:[\w.]+$", description="The class of the type, as package.module:Class"
    )


@asynccontextmanager
async def app(settings: PluginSettings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the server of one type.

    Raises:
        FailedPrecondition: If the class cannot be loaded, or is none of a provider type.
    """
    async with load(settings.target)() as one:
        yield service(one)


def service(one: ProviderType[Any]) -> Service:
    """Returns what serves a type that has begun its life."""
    servicer = ProviderPluginServicer([one])
    return Service(area=AREA, servicers={SERVICE: (plugin_pb2_grpc.add_ProviderPluginServicer_to_server, servicer)})


def load(target: str) -> type[ProviderType[Any]]:
    """Returns the class that ``package.module:Class`` names.

    Raises:
        FailedPrecondition: If it cannot be loaded, or is none of a provider type.
    """
    try:
        found = EntryPoint(AREA, target, AREA).load()
    except (ImportError, AttributeError) as error:
        raise FailedPrecondition(f"{target} cannot be loaded: {error}", metadata={"target": target}) from error
    if not (isinstance(found, type) and issubclass(found, ProviderType)):
        raise FailedPrecondition(f"{target} is no class of provider types", metadata={"target": target})
    return found
