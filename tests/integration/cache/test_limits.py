from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Code

from tests.integration.cache.calls import Shelf, accesses_stored, eventually, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def put_many(shelf: Shelf, keys: list[str], value: bytes = b"x", **fields: Any) -> None:
    rows = [pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=value, **fields)) for key in keys]
    await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))


def evicted_to(shelf: Shelf, most: int) -> Any:
    async def check() -> bool:
        return len(await shelf.keys(page_size=1000)) <= most

    return check


async def test_too_many_entries_make_the_least_used_ones_go(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_entries=50))
    keys = [f"k{number:03}" for number in range(49)]
    await put_many(shelf, keys)
    assert await shelf.keys(page_size=100) == keys
    for key in keys[:10]:
        await shelf.get(key)
    await accesses_stored(shelf)
    await shelf.put("new", b"x")
    await eventually(evicted_to(shelf, 40))
    left = await shelf.keys(page_size=100)
    assert len(left) == 40
    assert set(keys[:10]) | {"new"} <= set(left)


async def test_with_lfu_what_is_read_often_stays(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_entries=60, eviction=pb.Cache.EVICTION_LFU))
    often, rarely = [f"often{number}" for number in range(10)], [f"rarely{number}" for number in range(40)]
    await put_many(shelf, often + rarely)
    for _ in range(8):
        for key in often:
            await shelf.get(key)
    await accesses_stored(shelf)
    for key in rarely[:25]:  # later than all others, but only once
        await shelf.get(key)
    await accesses_stored(shelf)
    await shelf.put("often3", b"replaced")
    await put_many(shelf, [f"new{number}" for number in range(10)])
    await eventually(evicted_to(shelf, 48))
    assert set(often) <= set(await shelf.keys(page_size=100))


async def test_with_lru_what_was_read_last_stays(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_entries=60))
    often, late = [f"often{number}" for number in range(10)], [f"late{number}" for number in range(40)]
    await put_many(shelf, often + late)
    for _ in range(8):
        for key in often:
            await shelf.get(key)
    await accesses_stored(shelf)
    for key in late:
        await shelf.get(key)
    await accesses_stored(shelf)
    await put_many(shelf, [f"new{number}" for number in range(10)])
    await eventually(evicted_to(shelf, 48))
    left = set(await shelf.keys(page_size=100))
    assert not left & set(often)


async def test_a_cache_can_turn_from_lru_to_lfu(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache())
    keys = [f"k{number:02}" for number in range(20)]
    await put_many(shelf, keys)
    wanted = pb.Cache(name=shelf.name, max_entries=10, eviction=pb.Cache.EVICTION_LFU)
    await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=wanted))
    await eventually(evicted_to(shelf, 8))
    kept = await shelf.keys()
    for _ in range(3):
        await shelf.get(kept[0])
    await accesses_stored(shelf)
    await put_many(shelf, [f"new{number}" for number in range(3)])
    await eventually(evicted_to(shelf, 8))
    assert kept[0] in await shelf.keys()


async def test_too_many_bytes_make_the_least_used_ones_go(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_bytes=100_000, inline_limit_bytes=5000))
    for number in range(12):
        await shelf.put(f"k{number:03}", bytes([number]) * 10_000)
    await eventually(evicted_to(shelf, 10))
    assert "k011" in await shelf.keys()
    for key in await shelf.keys():
        assert len((await shelf.get(key)).inline_value) == 10_000


async def test_equal_blobs_take_room_once(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_bytes=50_000, inline_limit_bytes=0, eviction=pb.Cache.EVICTION_NONE))
    await put_many(shelf, [f"k{number}" for number in range(20)], b"y" * 40_000)
    assert len(await shelf.keys()) == 20
    with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL", limit="max_bytes"):
        await shelf.put("other", b"z" * 20_000)


async def test_a_lower_limit_evicts(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache())
    await put_many(shelf, [f"k{number}" for number in range(30)])
    await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=pb.Cache(name=shelf.name, max_entries=10)))
    await eventually(evicted_to(shelf, 8))


@pytest.mark.parametrize("rules", [{"eviction": pb.Cache.EVICTION_NONE}, {"storage_mode": True}])
async def test_a_cache_that_does_not_evict_says_that_it_is_full(
    client: Any, make_cache: Any, rules: dict[str, Any]
) -> None:
    shelf = Shelf(client, await make_cache(max_entries=3, **rules))
    await put_many(shelf, ["a", "b", "c"])
    with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL", cache=shelf.name, limit="max_entries", value="3"):
        await shelf.put("d", b"x")
    with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL"):
        await shelf.increment("n")
    await shelf.put("a", b"in place of another")
    await shelf.delete("b")
    await shelf.put("d", b"x")
    assert await shelf.keys() == ["a", "c", "d"]


async def test_bytes_are_a_limit_too(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_bytes=100, eviction=pb.Cache.EVICTION_NONE))
    await shelf.put("a", b"x" * 60)
    with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL", limit="max_bytes", value="100"):
        await shelf.put("b", b"x" * 41)
    await shelf.put("b", b"x" * 40)
    await shelf.put("a", b"x" * 59)
    with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL"):
        await shelf.put("a", b"x" * 61)


async def test_many_entries_that_expire_at_once_are_swept(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache())
    await put_many(shelf, [f"k{number}" for number in range(900)], ttl=Duration(nanos=50_000_000), tags=["t"])

    async def swept() -> bool:
        return {await shelf.reason("k0"), await shelf.reason("k899")} == {"ENTRY_NOT_FOUND"}

    await eventually(swept)
