"""Stand-ins for the five services: the real chassis and contracts, and just as much behaviour as a gateway can show.

What an RPC does depends on the id that it is asked for: ``absent`` is not found, ``unwell`` is unavailable, ``slow``
does not answer until it is cancelled, ``held-…`` not until a file ``release`` lies beside the journal, ``endless``
streams until the server stops, and everything else is there.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from pydantic_settings import SettingsConfigDict
from sutler.cache.v1 import cache_pb2, cache_pb2_grpc
from sutler.context import current
from sutler.erp.v1 import erp_pb2, erp_pb2_grpc
from sutler.errors import NotFound, Unavailable
from sutler.provider.v1 import provider_pb2, provider_pb2_grpc
from sutler.resource.v1 import resource_pb2, resource_pb2_grpc
from sutler.rule.v1 import rule_pb2, rule_pb2_grpc
from sutler.server import App, Runtime, Service, Servicer
from sutler.settings import ServerSettings
from sutler.watch import with_final_status

PULSE_SECONDS = 0.05
BLOB = b"PAR1 not JSON \x00\xff"


class Settings(ServerSettings):
    """A stand-in for a service."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_STANDIN_")

    journal: Path


class Journal:
    """A file that all stand-ins write a line to when a call begins, before anything can kill them."""

    def __init__(self, path: Path) -> None:
        self.release = path.with_name("release")
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str) -> None:
        call = current()
        line = {"what": what, "pid": os.getpid(), "correlation": call.correlation_id, "headers": dict(call.headers)}
        os.write(self._file, json.dumps(line, default=repr).encode() + b"\n")


class StandIn:
    """What the five have in common."""

    def __init__(self, runtime: Runtime, journal: Journal) -> None:
        self.runtime = runtime
        self.journal = journal

    async def act(self, name: str) -> str:
        self.journal.note(name)
        what = name.rpartition("/")[2]
        if what == "absent":
            raise NotFound(f"{name} does not exist", resource=name, metadata={"resource": name})
        if what == "unwell":
            raise Unavailable("what is behind this service does not answer", metadata={"dependency": "erp"})
        if what.startswith("held-"):
            while not self.journal.release.exists():  # noqa: ASYNC110 - another process makes the file
                await asyncio.sleep(PULSE_SECONDS)
        if what == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                self.journal.note(f"{name} cancelled")
        return name

    async def pulse(self, name: str) -> AsyncIterator[int]:
        """Yields until the server stops."""
        self.journal.note(name)
        beat = 0
        while not self.runtime.shutdown.is_set():
            yield beat
            beat += 1
            await asyncio.sleep(PULSE_SECONDS)
        raise Unavailable("the server is stopping", reason="SHUTTING_DOWN")


class Resources(StandIn):
    async def GetResource(self, request: Any, context: Any) -> resource_pb2.Resource:
        return resource_pb2.Resource(name=await self.act(request.name), uid=str(os.getpid()))


class Caches(StandIn):
    async def GetCache(self, request: Any, context: Any) -> cache_pb2.Cache:
        return cache_pb2.Cache(name=await self.act(request.name), uid=str(os.getpid()))

    async def CreateCache(self, request: Any, context: Any) -> cache_pb2.Cache:
        return cache_pb2.Cache(name=await self.act(f"caches/{request.cache_id}"), uid=str(os.getpid()))

    async def UpdateCache(self, request: Any, context: Any) -> cache_pb2.Cache:
        """Shows the mask that arrived in the field that nobody can set."""
        answer = cache_pb2.Cache(uid=",".join(request.update_mask.paths))
        answer.MergeFrom(request.cache)
        return answer

    async def BatchPutEntries(self, request: Any, context: Any) -> cache_pb2.BatchPutEntriesResponse:
        return cache_pb2.BatchPutEntriesResponse(
            results=[cache_pb2.EntryResult(entry=cache_pb2.Entry(key=row.key, inline_value=row.entry.inline_value))
                     for row in request.rows]
        )  # fmt: skip

    async def ReadBlob(self, request: Any, context: Any) -> AsyncIterator[cache_pb2.ReadBlobResponse]:
        if request.cache == "caches/endless":
            async for _ in self.pulse(request.cache):
                yield cache_pb2.ReadBlobResponse(data=b"beat")
        await self.act(request.cache)
        yield cache_pb2.ReadBlobResponse(data=b"one")
        yield cache_pb2.ReadBlobResponse(data=b"two", complete=True)

    async def DownloadBlob(self, request: Any, context: Any) -> AsyncIterator[HttpBody]:
        yield HttpBody(content_type="application/vnd.apache.parquet", data=BLOB)
        yield HttpBody(data=BLOB)

    def WatchInvalidations(self, request: Any, context: Any) -> AsyncIterator[cache_pb2.WatchInvalidationsResponse]:
        return with_final_status(
            "cache", self._invalidations(request.cache), lambda s: cache_pb2.WatchInvalidationsResponse(status=s)
        )

    async def _invalidations(self, name: str) -> AsyncIterator[cache_pb2.WatchInvalidationsResponse]:
        yield cache_pb2.WatchInvalidationsResponse(resume_token="first")
        if name == "caches/endless":
            async for beat in self.pulse(name):
                yield cache_pb2.WatchInvalidationsResponse(resume_token=str(beat))
        yield cache_pb2.WatchInvalidationsResponse(resume_token="second")
        raise Unavailable("the server is stopping", reason="SHUTTING_DOWN")


class Erp(StandIn):
    async def GetConnection(self, request: Any, context: Any) -> erp_pb2.Connection:
        return erp_pb2.Connection(name=await self.act(request.name), uid=str(os.getpid()))

    async def GetRecord(self, request: Any, context: Any) -> erp_pb2.Record:
        return erp_pb2.Record(model=request.model, id=request.id, display_name=",".join(request.fields))


class Rules(StandIn):
    async def GetRule(self, request: Any, context: Any) -> rule_pb2.Rule:
        return rule_pb2.Rule(name=await self.act(request.name), uid=str(os.getpid()))

    async def PublishCloudEvents(self, request: Any, context: Any) -> rule_pb2.PublishCloudEventsResponse:
        self.journal.note(f"{request.body.content_type} {request.body.data!r}")
        return rule_pb2.PublishCloudEventsResponse()


class Providers(StandIn):
    async def GetProvider(self, request: Any, context: Any) -> provider_pb2.Provider:
        return provider_pb2.Provider(name=await self.act(request.name), uid=str(os.getpid()))


SERVICES: Mapping[str, tuple[str, Any, type[StandIn]]] = {
    "resource": (
        "sutler.resource.v1.ResourceService", resource_pb2_grpc.add_ResourceServiceServicer_to_server, Resources,
    ),
    "cache": ("sutler.cache.v1.CacheService", cache_pb2_grpc.add_CacheServiceServicer_to_server, Caches),
    "erp": ("sutler.erp.v1.ErpGateway", erp_pb2_grpc.add_ErpGatewayServicer_to_server, Erp),
    "rule": ("sutler.rule.v1.RuleService", rule_pb2_grpc.add_RuleServiceServicer_to_server, Rules),
    "provider": (
        "sutler.provider.v1.ProviderService", provider_pb2_grpc.add_ProviderServiceServicer_to_server, Providers,
    ),
}  # fmt: skip
"""Area to its service, how to register it, and its stand-in."""


def make_app(area: str) -> App:
    """Returns the composition root of an area's stand-in; one that is not in :data:`SERVICES` has its health only."""

    @asynccontextmanager
    async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        servicers: dict[str, Servicer] = {}
        if area in SERVICES:
            name, add, kind = SERVICES[area]
            servicers[name] = (add, kind(runtime, Journal(settings.journal)))
        yield Service(area=area, servicers=servicers)

    return app
