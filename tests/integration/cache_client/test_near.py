"""The near cache through a real channel: it sees what others change, and never serves behind a lost feed."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from typing import Any

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.client.cache import MISSING, Cache, NearCache, open
from sutler.server import running
from sutler.testing import wait_until

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache_client.programs import counted

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.put("k1", 2),
        lambda cache: cache.delete("k1"),
        lambda cache: cache.touch("k1", ttl=1),
        lambda cache: cache.touch_many(["k1"], ttl=1),
        lambda cache: cache.invalidate(keys=["k1"]),
        lambda cache: cache.invalidate(tags=["t"]),
        lambda cache: cache.invalidate(prefix="k"),
        lambda cache: cache.invalidate(filter='key = "k1"'),
        lambda cache: cache.invalidate(all=True),
    ],
    ids=["put", "delete", "touch", "touch many", "key", "tag", "prefix", "filter", "all"],
)
async def test_what_another_client_changes_is_forgotten(cache: Cache, near_cache: Cache, change: Any) -> None:
    await cache.put("k1", 1, tags=["t"])
    await near_cache.get("k1")
    await wait_until(lambda: near_cache.held("k1") == 1)
    await change(cache)
    await wait_until(lambda: near_cache.held("k1") is MISSING)


async def test_own_changes_are_seen_at_once(near_cache: Cache) -> None:
    await near_cache.put("k", 1, tags=["t"])
    assert await near_cache.get("k") == 1
    await near_cache.put("k", 2, tags=["t"])
    assert await near_cache.get("k") == 2
    await near_cache.invalidate(tags=["t"])
    assert near_cache.held("k") is MISSING and await near_cache.get("k", MISSING) is MISSING
    await near_cache.put("k", 3)
    await near_cache.delete("k")
    assert await near_cache.get("k", MISSING) is MISSING
    await near_cache.increment("n")
    assert await near_cache.get("n") == 1
    await near_cache.increment("n")
    assert await near_cache.get("n") == 2


async def test_a_read_beside_an_own_put_does_not_bring_the_old_value_back(sutler: Sutler, cache: Cache) -> None:
    near = NearCache()
    near.live(60)  # no feed: what it is told is told by its own calls
    own = Cache(sutler, cache.name, near=near)
    old = await own.put("k", 1)
    putting = asyncio.create_task(own.put("k", 2))
    await asyncio.sleep(0)
    assert near._fills  # the put is under way
    reading = near.begin("k")  # whose answer of before the put comes after that of the put
    await putting
    assert near.keep(reading, old, 1, lambda value: value, 1) is False
    near.end(reading)
    assert own.held("k") == 2


async def test_own_puts_are_kept_when_the_feed_tells_of_them(cache: Cache, near_cache: Cache) -> None:
    await near_cache.put("k", 1)
    await near_cache.get("marker")
    await cache.put("marker", 1)
    assert await near_cache.get("marker") == 1
    await cache.put("marker", 2)
    await wait_until(lambda: near_cache.held("marker") is MISSING)  # so the feed has told of "k" before
    assert near_cache.held("k") == 1


async def test_what_is_on_its_way_during_a_change_is_not_kept(cache: Cache, near_cache: Cache) -> None:
    """Many reads race with puts: when all is quiet, what is held is what is stored."""
    chance = random.Random(1)
    keys = [f"k{number}" for number in range(5)]
    stop = asyncio.Event()

    async def write() -> None:
        for number in range(60):
            await cache.put(chance.choice(keys), number)
            if number % 10 == 0:
                await cache.invalidate(prefix="k")
        stop.set()

    async def read() -> None:
        while not stop.is_set():
            await near_cache.get(chance.choice(keys))
            await asyncio.sleep(0)  # a hit does not suspend

    await asyncio.gather(write(), *(read() for _ in range(8)))
    for key in keys:
        await near_cache.get(key)

    async def agree() -> bool:
        held = {key: near_cache.held(key) for key in keys}
        stored = await cache.get_many(keys)
        return all(value is MISSING or value == stored.get(key, MISSING) for key, value in held.items())

    await wait_until(agree)


async def test_a_lost_feed_empties_it_and_a_new_one_fills_it(sqlite_settings: Settings, rules: pb.Cache) -> None:
    near = NearCache()
    async with running(app, sqlite_settings, "cache") as first:
        settings = sqlite_settings.model_copy(update={"port": first.port})
        opening = open("near", first.address, rules=rules, near=near)
        cache = await opening.__aenter__()
        await wait_until(lambda: near.is_live)
        await cache.put("k", 1)
        assert cache.held("k") == 1
    try:
        await wait_until(lambda: not near.is_live)
        assert cache.held("k") is MISSING and len(near) == 0
        async with running(app, settings, "cache"):
            await wait_until(lambda: near.is_live)
            assert cache.held("k") is MISSING
            assert await cache.get("k") == 1 and cache.held("k") == 1
    finally:
        await opening.__aexit__(None, None, None)


async def test_a_cache_that_is_deleted_is_forgotten(near_cache: Cache, sutler: Sutler) -> None:
    await near_cache.put("k", 1)
    await sutler.cache.DeleteCache(pb.DeleteCacheRequest(name=near_cache.name, force=True))
    await wait_until(lambda: near_cache.held("k") is MISSING)


async def test_processes_compute_once_together(server: Any, cache: Cache) -> None:
    """Four processes with two threads each call one function; the cache counts how often it ran."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    workers = [context.Process(target=counted, args=(server.address, cache.name, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        found = [await asyncio.to_thread(results.get, timeout=50) for _ in workers]
    finally:
        for worker in workers:
            await asyncio.to_thread(worker.join, 10)
    assert found == [["value", "value"]] * 4
    assert await cache.get("runs") == 1


async def test_it_serves_one_cache_at_a_time(sutler: Sutler, cache: Cache, near_cache: Cache) -> None:
    await near_cache.put("k", 1)
    with pytest.raises(ValueError, match=near_cache.name):
        async with open("other", sutler, rules=pb.Cache(), near=near_cache.near) as other:
            assert await other.get("k") is None
    assert near_cache.held("k") == 1
