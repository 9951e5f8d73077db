"""The five services: how each is run, one call that changes something, and one that reads it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import not_found
from sutler.provider.v1 import provider_pb2
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2
from sutler.server import Running
from sutler.testing import ServiceProcess, serve

ROOT = Path(__file__).parents[3]


async def nothing(_: Sutler) -> None:
    """Prepares nothing."""


@dataclass(frozen=True)
class Face:
    """What the tests know of a service.

    Attributes:
        area: The API.
        service: The full name of its gRPC service.
        change: Makes a thing of this id under a request id, and returns the answer.
        read: Returns the thing of this id, or raises NotFound.
        mistyped: Lists with a filter whose value is of another type than its field.
        table: The table where the things are.
        prepare: Makes what the calls need.
        settings: What it cannot do without; ``{}`` stands for the folder.
    """

    area: str
    service: str
    change: Callable[[Sutler, str, str], Awaitable[object]]
    read: Callable[[Sutler, str], Awaitable[object]]
    mistyped: Callable[[Sutler], Awaitable[object]]
    table: str
    prepare: Callable[[Sutler], Awaitable[object]] = nothing
    settings: Mapping[str, str] = field(default_factory=dict)

    def database(self, folder: Path) -> Path:
        """Returns the file of its database."""
        return folder / f"{self.area}.db"

    def serving(self, folder: Path, **settings: Any) -> AbstractAsyncContextManager[tuple[Sutler, Running]]:
        """Runs it in this process, with its data in a folder."""
        kind = import_module(f"services.{self.area}.settings").Settings
        return serve(import_module(f"services.{self.area}.app").app, kind, **{**self._in(folder), **settings})

    def process(self, folder: Path, **settings: Any) -> ServiceProcess:
        """Returns it as a process of its own, with its data and its output in a folder."""
        own = {**self._in(folder), "log_level": "error", **settings}
        prefix = f"SUTLER_{self.area.upper()}_"
        return ServiceProcess(f"services.{self.area}", prefix, folder=folder, checkout=ROOT, **own)

    def _in(self, folder: Path) -> dict[str, str]:
        own = {name: value.format(folder) for name, value in self.settings.items()}
        return {"data": f"sqlite:///{self.database(folder)}", **own}


async def _declare(s: Sutler, id: str, request_id: str) -> object:
    wanted = resource_pb2.Resource(type="Sutler.Resource/subscriptions")
    return await s.resources.CreateResource(
        resource_pb2.CreateResourceRequest(resource_id=id, resource=wanted, request_id=request_id)
    )


async def _make_cache(s: Sutler) -> None:
    await s.cache.CreateCache(cache_pb2.CreateCacheRequest(cache_id="c", cache=cache_pb2.Cache()))


async def _count(s: Sutler, id: str, request_id: str) -> object:
    return await s.cache.IncrementEntry(
        cache_pb2.IncrementEntryRequest(cache="caches/c", key=id, request_id=request_id)
    )


async def _connect(s: Sutler, id: str, request_id: str) -> object:
    wanted = erp_pb2.Connection(driver="odoo-jsonrpc", url="http://127.0.0.1:1", database="demo", username="a")
    return await s.erp.CreateConnection(
        erp_pb2.CreateConnectionRequest(connection_id=id, connection=wanted, request_id=request_id)
    )


async def _publish(s: Sutler, id: str, request_id: str) -> object:
    event = rule_pb2.Event(id=id, source="/tests/faults", type="fault.tested")
    return await s.rules.BatchPublishEvents(rule_pb2.BatchPublishEventsRequest(events=[event], request_id=request_id))


async def _published(s: Sutler, id: str) -> object:
    answer = await s.rules.ListEvents(rule_pb2.ListEventsRequest(filter=f'id = "{id}"'))
    if not answer.events:
        raise not_found(id)
    (event,) = answer.events
    return event


async def _provide(s: Sutler, id: str, request_id: str) -> object:
    wanted = provider_pb2.Provider(type="process")
    return await s.providers.CreateProvider(
        provider_pb2.CreateProviderRequest(provider_id=id, provider=wanted, request_id=request_id)
    )


MISTYPED = 'create_time > "noon"'

FACES = (
    Face(
        "resource",
        "sutler.resource.v1.ResourceService",
        change=_declare,
        read=lambda s, id: s.resources.GetResource(resource_pb2.GetResourceRequest(name=f"subscriptions/{id}")),
        mistyped=lambda s: s.resources.ListResources(resource_pb2.ListResourcesRequest(filter=MISTYPED)),
        table="resources",
    ),
    Face(
        "cache",
        "sutler.cache.v1.CacheService",
        change=_count,
        read=lambda s, id: s.cache.GetEntry(cache_pb2.GetEntryRequest(cache="caches/c", key=id)),
        mistyped=lambda s: s.cache.ListEntries(cache_pb2.ListEntriesRequest(cache="caches/c", filter=MISTYPED)),
        table="entries",
        prepare=_make_cache,
    ),
    Face(
        "erp",
        "sutler.erp.v1.ErpGateway",
        change=_connect,
        read=lambda s, id: s.erp.GetConnection(erp_pb2.GetConnectionRequest(name=f"connections/{id}")),
        mistyped=lambda s: s.erp.ListConnections(erp_pb2.ListConnectionsRequest(filter=MISTYPED)),
        table="connections",
    ),
    Face(
        "rule",
        "sutler.rule.v1.RuleService",
        change=_publish,
        read=_published,
        mistyped=lambda s: s.rules.ListEvents(rule_pb2.ListEventsRequest(filter='time > "noon"')),
        table="events",
    ),
    Face(
        "provider",
        "sutler.provider.v1.ProviderService",
        change=_provide,
        read=lambda s, id: s.providers.GetProvider(provider_pb2.GetProviderRequest(name=f"providers/{id}")),
        mistyped=lambda s: s.providers.ListProviders(provider_pb2.ListProvidersRequest(filter=MISTYPED)),
        table="providers",
        settings={"machines": "{}/machines"},
    ),
)
RESOURCE, CACHE, ERP, RULE, PROVIDER = FACES
