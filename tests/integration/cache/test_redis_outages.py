"""Caches whose entries are in a Redis that goes away, loses answers and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code, Unavailable
from sutler.server import running
from sutler.testing import redis_prefix, redis_url

from services.cache.app import app
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place, settings_of
from tests.integration.cache.proxy import Proxy
from tests.integration.cache.redis_server import RedisServer


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy(redis_url())
    await proxy.start()
    yield proxy
    proxy.cut()


@pytest_asyncio.fixture
async def client(tmp_path: Path, proxy: Proxy) -> AsyncIterator[Sutler]:
    """A server that reaches Redis through the proxy, and a client that does not repeat calls."""
    with redis_prefix() as prefix:
        metadata = {"type": "redis", "url": proxy.url, "prefix": prefix, "timeout_seconds": 1}
        place = Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs", "other", {"other": metadata})
        async with running(app, settings_of(place), "cache") as server, connect(server.address, attempts=1) as found:
            yield found


async def make(client: Sutler, backend: str) -> Shelf:
    wanted = pb.Cache(metadata_backend=backend)
    made = await client.cache.CreateCache(pb.CreateCacheRequest(cache_id=f"c{uuid4().hex[:9]}", cache=wanted))
    return Shelf(client, made.name)


async def test_an_outage_is_no_miss_and_holds_up_no_other_backend(client: Sutler, proxy: Proxy) -> None:
    remote, local = await make(client, "other"), await make(client, "local")
    await remote.put("k", b"1")
    await local.put("k", b"1")
    proxy.cut()
    for call in (remote.get("k"), remote.get("none"), remote.put("k", b"2"), remote.delete("k"), remote.keys()):
        with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE") as caught:
            await call
        assert caught.value.retry_after is not None
    assert (await local.get("k")).inline_value == b"1"
    answer = await client.cache.ListBackends(pb.ListBackendsRequest())
    states = {backend.backend_id: backend.state for backend in answer.backends if backend.backend_id}
    assert (states["other"], states["local"]) == (pb.Backend.STATE_UNAVAILABLE, pb.Backend.STATE_READY)
    await proxy.start()

    async def back() -> bool:
        return await remote.reason("k") == ""

    await eventually(back)
    assert (await remote.get("k")).inline_value == b"1"


async def test_backends_tell_whether_redis_is_durable(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        place = Place(
            f"sqlite:///{tmp_path}/c.db", tmp_path / "b", "other", {"other": {"type": "redis", "url": redis.url}}
        )
        async with running(app, settings_of(place), "cache") as server, connect(server.address) as client:

            async def told() -> list[int]:
                answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter="backend_id = other"))
                return list(answer.backends[0].capabilities)

            assert await told() == [pb.Backend.CAPABILITY_SHARED, pb.Backend.CAPABILITY_NOTIFICATIONS]
            with redis.admin() as admin:
                admin.config_set("appendonly", "yes")
            assert pb.Backend.CAPABILITY_DURABLE in await told()


async def test_lost_answers_lose_and_double_no_increment(client: Sutler, proxy: Proxy) -> None:
    shelf = await make(client, "other")
    await shelf.increment("count", delta=0)

    async def add() -> None:
        for _ in range(10):
            request_id, done = str(uuid4()), False
            while not done:
                with suppress(Unavailable):
                    await shelf.increment("count", delta=1, request_id=request_id)
                    done = True

    async def lose() -> None:
        for _ in range(12):
            proxy.lost = 1
            await eventually(lambda: _done(proxy))

    await asyncio.gather(*(add() for _ in range(8)), lose())
    assert (await shelf.get("count")).counter_value == 80


async def test_a_repeat_after_an_outage_has_one_effect(client: Sutler, proxy: Proxy) -> None:
    shelf, request_id = await make(client, "other"), str(uuid4())
    await shelf.increment("count", delta=5)
    proxy.lost = 1000
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await shelf.increment("count", delta=1, request_id=request_id)
    proxy.lost = 0
    answers = [await shelf.increment("count", delta=1, request_id=request_id) for _ in range(2)]
    assert [answer.counter_value for answer in answers] == [6, 6]
    assert (await shelf.get("count")).counter_value == 6


async def _done(proxy: Proxy) -> bool:
    return proxy.lost == 0
