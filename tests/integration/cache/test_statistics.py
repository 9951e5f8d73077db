from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code, SutlerError
from sutler.server import running
from sutler.testing import free_port

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNTERS = [field.name for field in pb.CacheStats.DESCRIPTOR.fields if field.name.endswith("_count")][2:14]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(client: Sutler, place: Place) -> AsyncIterator[Sutler]:
    """A second server over the data of the first."""
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as connection:
        yield connection


async def stats_of(shelf: Shelf) -> pb.CacheStats:
    return await shelf.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name))


def counted(stats: pb.CacheStats) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: getattr(stats, name) for name in COUNTERS if getattr(stats, name)}


async def test_a_new_cache_has_counted_nothing(shelf: Shelf) -> None:
    stats = await stats_of(shelf)
    made = await shelf.client.cache.GetCache(pb.GetCacheRequest(name=shelf.name))
    assert stats == pb.CacheStats(cache=shelf.name, start_time=made.create_time)


async def test_sizes_count_equal_blobs_once(client: Sutler, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(inline_limit_bytes=10))
    await shelf.put("small", b"12345")
    for key in ("a", "b"):
        await shelf.put(key, b"x" * 100)
    await shelf.put("c", b"y" * 50)
    stats = await stats_of(shelf)
    assert (stats.entry_count, stats.blob_count) == (4, 2)
    assert (stats.size_bytes, stats.stored_size_bytes) == (255, 155)


async def test_reads_count_by_what_they_find(shelf: Shelf) -> None:
    await shelf.put("k", b"v")
    await shelf.put("short", b"v", ttl=Duration(nanos=1_000_000))
    await shelf.get("k")
    await shelf.read("k")
    keys = pb.BatchGetEntriesRequest(cache=shelf.name, keys=["k", "k", "absent"])
    await shelf.client.cache.BatchGetEntries(keys)
    await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)
    assert await shelf.reason("absent") == "ENTRY_NOT_FOUND"
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.read("absent")
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.get("absent", view=pb.ENTRY_VIEW_BASIC)
    before = (await stats_of(shelf)).expired_count + (await stats_of(shelf)).absent_count
    assert await shelf.reason("short") in ("ENTRY_EXPIRED", "ENTRY_NOT_FOUND")
    stats = await stats_of(shelf)
    assert (stats.hit_count, stats.expired_count + stats.absent_count) == (4, before + 1)
    assert before == 3


async def test_changes_count(shelf: Shelf) -> None:
    put = await shelf.put("a", b"1", tags=["t"])
    await shelf.client.cache.BatchPutEntries(
        pb.BatchPutEntriesRequest(
            cache=shelf.name, rows=[pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=b"x")) for key in "bcde"]
        )
    )
    await shelf.write("f", b"blob")
    for condition in (pb.PutCondition(absent=True), pb.PutCondition(etag='"no"')):
        with pytest.raises(SutlerError):
            await shelf.put("a", b"2", condition=condition)
    with pytest.raises(SutlerError):
        await shelf.write("a", b"2", condition=pb.PutCondition(absent=True))
    await shelf.delete("b")
    await shelf.delete("nothing", allow_missing=True)
    with pytest.raises(SutlerError):
        await shelf.delete("a", etag='"no"')
    rows = [pb.DeleteEntryRow(key=key) for key in ("c", "c", "d")]
    await shelf.client.cache.BatchDeleteEntries(pb.BatchDeleteEntriesRequest(cache=shelf.name, rows=rows))
    await shelf.increment("n")
    assert await shelf.invalidate(tags=["t"], validate_only=True) == 1
    assert await shelf.invalidate(tags=["t"]) == 1
    assert await shelf.invalidate(all=True) == 3
    assert counted(await stats_of(shelf)) == {
        "put_count": 6,
        "put_refused_count": 3,
        "delete_count": 3,
        "invalidation_count": 4,
    }
    assert put.etag


async def test_what_goes_on_its_own_counts(client: Sutler, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_entries=10))
    for number in range(3):
        await shelf.put(f"short{number}", b"x", ttl=Duration(nanos=20_000_000))

    async def swept() -> bool:
        return (await stats_of(shelf)).expiration_count == 3

    await eventually(swept)
    for number in range(11):
        await shelf.put(f"k{number}", b"x")

    async def evicted() -> bool:
        stats = await stats_of(shelf)
        return (stats.entry_count, stats.eviction_count) == (8, 3)

    await eventually(evicted)


async def test_two_replicas_count_together(shelf: Shelf, other: Sutler) -> None:
    twin = Shelf(other, shelf.name)
    await shelf.put("k", b"v")
    for each in (shelf, twin, twin):
        await each.get("k")

    async def both() -> bool:
        seen = [counted(await stats_of(each)) for each in (shelf, twin)]
        return seen == [{"hit_count": 3, "put_count": 1}] * 2

    await eventually(both)


async def test_a_cache_that_is_not_there_has_no_stats(client: Sutler, shelf: Shelf) -> None:
    with refused(Code.NOT_FOUND, "NOT_FOUND"):
        await stats_of(Shelf(client, "caches/nobody-made-it"))
    await shelf.put("k", b"v")
    await client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))
    with refused(Code.NOT_FOUND, "NOT_FOUND"):
        await stats_of(shelf)
    await client.cache.CreateCache(pb.CreateCacheRequest(cache_id=shelf.name[7:], cache=pb.Cache()))
    assert not counted(await stats_of(shelf))


async def test_counters_survive_a_restart_and_count_corrupt_reads(sqlite_settings: Settings) -> None:
    for reads in (1, 2):
        async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
            await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=pb.Cache(name="caches/c"), allow_missing=True))
            shelf = Shelf(client, "caches/c")
            await shelf.put("good", b"v")
            await shelf.put("bad", b"value")
            with sqlite3.connect(sqlite_settings.data.removeprefix("sqlite:///")) as raw:
                raw.execute("UPDATE entries SET value = x'00' WHERE key = 'bad'")
            await shelf.get("good")
            assert await shelf.reason("bad") == "ENTRY_CORRUPT"
            assert counted(await stats_of(shelf)) == {
                "hit_count": reads,
                "corrupt_count": reads,
                "put_count": 2 * reads,
            }


async def test_prometheus_shows_kinds_and_no_names(sqlite_settings: Settings) -> None:
    port = free_port()
    async with (
        running(app, sqlite_settings.model_copy(update={"metrics_port": port}), "cache") as server,
        connect(server.address) as client,
        httpx.AsyncClient() as http,
    ):
        await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="named", cache=pb.Cache()))
        shelf = Shelf(client, "caches/named")
        await shelf.put("k", b"v")
        await shelf.get("k")
        await shelf.reason("absent")
        await stats_of(shelf)
        shown = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    lines = [line for line in shown.splitlines() if line.startswith("sutler_cache_") and "_total{" in line]
    assert {line.partition("{")[0] + " " + line.partition('kind="')[2].partition('"')[0] for line in lines} == {
        "sutler_cache_reads_total hit",
        "sutler_cache_reads_total absent",
        "sutler_cache_puts_total put",
    }
    assert all(line.endswith(" 1.0") for line in lines)
    assert "named" not in shown
