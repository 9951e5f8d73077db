"""A service with one RPC of each kind and no logic, on real contracts: what the interceptors are tested with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.empty_pb2 import Empty
from pydantic_settings import SettingsConfigDict
from sutler.background import background
from sutler.cache.v1 import cache_pb2, cache_pb2_grpc
from sutler.context import current
from sutler.errors import DeadlineExceeded, Exhausted, NotFound, OutOfRange, Unavailable
from sutler.idempotency import Once
from sutler.interceptors.idempotency import once
from sutler.rule.v1 import rule_pb2, rule_pb2_grpc
from sutler.server import Runtime, Service
from sutler.settings import ServerSettings


class Settings(ServerSettings):
    """A dummy for tests."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_DUMMY_")


class Memory:
    """Remembers first answers in memory, as the store does on disk."""

    late = ()
    cancellable = ()

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], tuple[bytes, bytes]] = {}

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        return self.kept.get((tenant, method, request_id))

    def remember(self, key: Once | None, result: Any) -> None:
        if key is not None:
            self.kept[key.tenant, key.method, key.request_id] = (key.hash, key.encode(result))


class Caches:
    """What the RPCs do depends on the name of the cache."""

    def __init__(self, runtime: Runtime, memory: Memory) -> None:
        self.runtime = runtime
        self.memory = memory
        self.created: list[str] = []
        self.etags: list[str] = []
        self.doomed = asyncio.Event()
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = 0
        self.inside = 0

    async def GetCache(self, request: cache_pb2.GetCacheRequest, context: Any) -> cache_pb2.Cache:
        await self._act(request.name)
        call = current()
        return cache_pb2.Cache(name=request.name, uid=call.tenant, etag=call.principal.actor)

    async def CreateCache(self, request: cache_pb2.CreateCacheRequest, context: Any) -> cache_pb2.Cache:
        self.created.append(request.cache_id)
        await self._act(f"caches/{request.cache_id}")
        made = cache_pb2.Cache(name=f"caches/{request.cache_id}", uid=str(len(self.created)))
        self.memory.remember(once(lambda result: result), made)
        return made

    async def UpdateCache(self, request: cache_pb2.UpdateCacheRequest, context: Any) -> cache_pb2.Cache:
        self.etags.append(request.cache.etag)
        return cache_pb2.Cache(name=request.cache.name)

    async def DeleteCache(self, request: cache_pb2.DeleteCacheRequest, context: Any) -> Empty:
        self.etags.append(request.etag)
        return Empty()

    async def WriteBlob(self, requests: AsyncIterator[cache_pb2.WriteBlobRequest], context: Any) -> cache_pb2.Entry:
        size = 0
        async for request in requests:
            size += len(request.data)
        return cache_pb2.Entry(key="blob", size_bytes=size)

    async def ReadBlob(
        self, request: cache_pb2.ReadBlobRequest, context: Any
    ) -> AsyncIterator[cache_pb2.ReadBlobResponse]:
        self.etags.append(request.etag)
        yield cache_pb2.ReadBlobResponse(data=b"one")
        await self._act(request.cache)
        yield cache_pb2.ReadBlobResponse(data=b"two", complete=True)

    async def doom(self) -> None:
        """Goes on for ever, unless somebody asks for the cache ``doomed``."""
        await self.doomed.wait()
        raise ValueError("a fault of the program")

    async def _act(self, name: str) -> None:
        if name == "caches/doomed":
            self.doomed.set()
        if name == "caches/slow":
            self._enter()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if name == "caches/late" and not self.inside:
            self._enter()
            await self.release.wait()
            raise DeadlineExceeded("the deadline of the first caller has passed")
        if name == "caches/endless":
            self._enter()
            await self.runtime.shutdown.wait()
            raise Unavailable("stopping", reason="SHUTTING_DOWN")
        errors: dict[str, Exception] = {
            "caches/absent": NotFound("caches/absent does not exist", resource="caches/absent"),
            "caches/full": Exhausted("no room", metadata={"queue": "writes"}),
            "caches/broken": ValueError("secret: /etc/passwd"),
        }
        if name in errors:
            raise errors[name]

    def _enter(self) -> None:
        self.inside += 1
        self.entered.set()


class Rules:
    async def PublishEventStream(
        self, requests: AsyncIterator[rule_pb2.PublishEventStreamRequest], context: Any
    ) -> AsyncIterator[rule_pb2.PublishEventStreamResponse]:
        async for request in requests:
            if request.sequence == 13:
                raise OutOfRange("thirteen is out of range")
            yield rule_pb2.PublishEventStreamResponse(sequence=request.sequence)


class Dummy:
    """The composition root; keeps the servicer for tests to look at."""

    caches: Caches

    @asynccontextmanager
    async def app(self, settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        memory = Memory()
        self.caches = Caches(runtime, memory)
        async with background({"doom": self.caches.doom()}) as going:
            yield Service(
                area="dummy",
                servicers={
                    "sutler.cache.v1.CacheService": (cache_pb2_grpc.add_CacheServiceServicer_to_server, self.caches),
                    "sutler.rule.v1.RuleService": (rule_pb2_grpc.add_RuleServiceServicer_to_server, Rules()),
                },
                needed={"work": going.check},
                answers=memory,
            )
