"""Backends of metadata that cannot be opened, or that belong to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running
from sutler.testing import free_port, postgresql_schema, redis_prefix, redis_url

from services.cache.app import app
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.files import copy
from tests.integration.cache.places import Place, settings_of
from tests.integration.cache.proxy import Proxy
from tests.integration.cache.redis_server import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

Shared = Mapping[str, str]
FOREIGN = {"backend": "far", "cause": "another installation uses it"}


@pytest.fixture(params=["sqlite", "json", "redis", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    """A place of metadata that two installations could be given."""
    with ExitStack() as stack:
        if request.param == "redis":
            prefix = stack.enter_context(redis_prefix())
            yield {"type": "redis", "url": redis_url(), "prefix": prefix}
        elif request.param == "postgresql":
            yield {"type": "postgresql", "url": stack.enter_context(postgresql_schema())}
        else:
            yield {"type": request.param, "file": f"{tmp_path}/shared.{request.param}"}


@asynccontextmanager
async def serving(folder: Path, far: Mapping[str, str], **more: Any) -> AsyncIterator[Sutler]:
    """An installation with its main database in a folder, and a further backend; its client does not repeat calls."""
    folder.mkdir(exist_ok=True)
    place = Place(f"sqlite:///{folder}/cache.db", folder / "blobs")
    settings = settings_of(place, metadata_backends={"far": far}, **more)
    async with running(app, settings, "cache") as server, connect(server.address, attempts=1) as client:
        yield client


async def made(client: Sutler, name: str = "", **rules: Any) -> Shelf:
    cache = pb.Cache(**{"metadata_backend": "far", **rules})
    request = pb.CreateCacheRequest(cache_id=name or f"c{uuid4().hex[:9]}", cache=cache)
    return Shelf(client, (await client.cache.CreateCache(request)).name)


async def state(client: Sutler) -> tuple[int, str]:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter='backend_id = "far"'))
    return answer.backends[0].state, answer.backends[0].state_reason


async def ready(client: Sutler) -> bool:
    return (await state(client))[0] == pb.Backend.STATE_READY


async def test_two_installations_cannot_share_a_place(shared: Shared, tmp_path: Path) -> None:
    async with serving(tmp_path / "one", shared) as mine, serving(tmp_path / "two", shared) as theirs:
        first = await made(mine)
        await first.put("k", b"mine")
        with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", **FOREIGN):
            await made(theirs)
        told, why = await state(theirs)
        assert told == pb.Backend.STATE_UNAVAILABLE and "another installation" in why
        local = await made(theirs, metadata_backend="local")
        await local.put("k", b"theirs")
        assert (await local.get("k")).inline_value == b"theirs"
        assert (await first.get("k")).inline_value == b"mine"


async def test_an_installation_knows_its_own_place_again(shared: Shared, tmp_path: Path) -> None:
    async with serving(tmp_path / "one", shared) as client:
        await (await made(client, "kept")).put("k", b"1")
    async with serving(tmp_path / "one", shared) as client, serving(tmp_path / "one", shared) as replica:
        for each in (client, replica):
            assert (await Shelf(each, "caches/kept").get("k")).inline_value == b"1"


async def test_entries_that_a_restored_database_does_not_know_are_no_other_caches(
    shared: Shared, tmp_path: Path
) -> None:
    main, backup = tmp_path / "one" / "cache.db", tmp_path / "backup.db"
    async with serving(tmp_path / "one", shared) as client:
        old = await made(client, "old")
        await old.put("k", b"old")
    copy(main, backup)
    async with serving(tmp_path / "one", shared) as client:
        for most in (5, 6):
            cache = pb.Cache(name="caches/old", max_entries=most)
            request = pb.UpdateCacheRequest(cache=cache, update_mask=FieldMask(paths=["max_entries"]))
            await client.cache.UpdateCache(request)
        await Shelf(client, "caches/old").put("k2", b"old")
        await (await made(client, "lost")).put("k", b"lost")
    copy(backup, main)
    async with serving(tmp_path / "one", shared) as client:
        new = await made(client, "new")
        assert await new.reason("k") == "ENTRY_NOT_FOUND"
        assert await Shelf(client, "caches/old").keys() == ["k", "k2"]
        await Shelf(client, "caches/old").put("k3", b"old")


@asynccontextmanager
async def away(kind: str, tmp_path: Path) -> AsyncIterator[tuple[Mapping[str, str], Callable[[], Awaitable[None]]]]:
    """Yields the options of a backend that is not there yet, and what brings it."""
    if kind == "postgresql":
        with postgresql_schema() as url:
            proxy = Proxy(url)
            await proxy.start()
            port = urlsplit(proxy.url).port
            proxy.cut()
            through = urlunsplit(urlsplit(url)._replace(netloc=f"postgres@127.0.0.1:{port}"))
            yield {"type": kind, "url": through}, proxy.start
            proxy.cut()
    elif kind == "redis":
        server = RedisServer(tmp_path)
        yield {"type": kind, "url": server.url, "timeout_seconds": "1"}, partial(asyncio.to_thread, server.start)
        server.kill()
    else:
        folder = tmp_path / "not there yet"
        yield {"type": kind, "file": f"{folder}/shared"}, partial(asyncio.to_thread, folder.mkdir)


@pytest.mark.parametrize("kind", ["sqlite", "json", "redis", "postgresql"])
async def test_a_backend_that_is_away_stops_nothing_else_and_comes_back(kind: str, tmp_path: Path) -> None:
    async with away(kind, tmp_path) as (far, bring), serving(tmp_path / "one", far) as client:
        health = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]

        async def told(name: str) -> int:
            return int((await health.Check(health_pb2.HealthCheckRequest(service=name))).status)

        async def tells(wanted: int) -> bool:
            return await told("neighbour.backend.far") == wanted

        await eventually(partial(tells, health_pb2.HealthCheckResponse.NOT_SERVING))
        assert await told("") == health_pb2.HealthCheckResponse.SERVING
        with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE") as caught:
            await made(client)
        assert caught.value.retry_after is not None
        wanted = pb.Cache(name="caches/new", metadata_backend="far")
        with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
            await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=wanted, allow_missing=True))
        found, why = await state(client)
        assert found == pb.Backend.STATE_UNAVAILABLE and why
        local = await made(client, metadata_backend="local")
        assert (await local.increment("n", request_id=str(uuid4()))).counter_value == 1
        assert await local.invalidate(all=True, request_id=str(uuid4())) == 1

        await bring()
        await eventually(partial(ready, client))
        shelf = await made(client)
        await shelf.put("k", b"1")
        assert (await shelf.get("k")).inline_value == b"1"
        await eventually(partial(tells, health_pb2.HealthCheckResponse.SERVING))


async def test_caches_on_a_backend_that_is_away_are_no_misses(tmp_path: Path) -> None:
    file = tmp_path / "shared.db"
    async with serving(tmp_path / "one", {"type": "sqlite", "file": str(file)}) as client:
        await (await made(client, "kept")).put("k", b"1")
    file.rename(tmp_path / "aside")
    file.mkdir()
    async with serving(tmp_path / "one", {"type": "sqlite", "file": str(file)}) as client:
        shelf = Shelf(client, "caches/kept")
        for call in (shelf.get("k"), shelf.put("k", b"2"), shelf.keys(), shelf.invalidate(all=True)):
            with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", backend="far"):
                await call
        file.rmdir()
        (tmp_path / "aside").rename(file)
        await eventually(partial(ready, client))
        assert (await shelf.get("k")).inline_value == b"1"


async def test_a_bucket_that_is_away_stops_nothing_else(tmp_path: Path) -> None:
    bucket = {"type": "s3", "bucket": "team-cache", "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    far = {"type": "sqlite_memory"}
    async with serving(tmp_path / "one", far, blob_backends={"bucket": bucket}) as client:
        local = await made(client, metadata_backend="local")
        await local.put("k", b"1")
        assert (await local.get("k")).inline_value == b"1"
