"""Entries whose metadata somebody spoilt: misses with their own reason, which a put replaces."""

from __future__ import annotations

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import Code

from services.cache.adapters.ordered import keys
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.conftest import MakeCache
from tests.integration.cache.damage import database, verify
from tests.integration.cache.files import opened
from tests.integration.cache.places import Place
from tests.integration.cache.test_batches import reasons

pytestmark = pytest.mark.asyncio(loop_scope="session")

CORRUPT = (Code.NOT_FOUND, "ENTRY_CORRUPT")


@pytest_asyncio.fixture(loop_scope="session")
async def spoilt(client: Sutler, make_cache: MakeCache, place: Place) -> Shelf:
    """A cache with a whole entry, and three that cannot be read: two small ones, and one in a blob."""
    shelf = Shelf(client, await make_cache(inline_limit_bytes=100, max_bytes=10_000))
    await shelf.put("whole", b"1", tags=["t"])
    for key, value in (("broken", b"22"), ("other", b"3"), ("large", b"x" * 200)):
        await shelf.put(key, value, tags=["t"])
        await spoil(place, shelf, key)
    return shelf


async def spoil(place: Place, shelf: Shelf, key: str) -> None:
    with database(place) as execute:
        [(space,)] = execute("SELECT space FROM caches WHERE name = ?", shelf.name)
        if place.metadata == "local":
            execute("UPDATE entries SET kind = 99 WHERE space = ? AND key = ?", space, key)
            return
    store, name = opened(place), keys.entry(space, key)
    try:
        [record] = await store.get([name])
        assert record is not None
        assert await store.commit((name, record), {name: record.replace(b'"BYTES"', b'"LOST"')})
    finally:
        await store.close()


async def test_reads_of_it_are_misses(spoilt: Shelf) -> None:
    with refused(*CORRUPT, cache=spoilt.name, key="broken", cause="metadata"):
        await spoilt.get("broken")
    with refused(*CORRUPT):
        await spoilt.get("large", view=pb.ENTRY_VIEW_BASIC)
    with refused(*CORRUPT):
        await spoilt.read("large")
    wanted = pb.BatchGetEntriesRequest(cache=spoilt.name, keys=["broken", "none", "whole", "large"])
    rows = (await spoilt.client.cache.BatchGetEntries(wanted)).results
    assert reasons(rows) == ["ENTRY_CORRUPT", "ENTRY_NOT_FOUND", "", "ENTRY_CORRUPT"]
    assert rows[2].entry.inline_value == b"1"
    assert await spoilt.keys() == ["whole"]
    assert await spoilt.keys(order_by="update_time desc", page_size=1) == ["whole"]

    async def counted() -> bool:
        stats = await spoilt.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=spoilt.name))
        return (stats.corrupt_count, stats.hit_count) == (4, 1)

    await eventually(counted)


async def test_a_put_takes_its_place(spoilt: Shelf) -> None:
    with refused(*CORRUPT):
        await spoilt.put("broken", keep_value=True)
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await spoilt.put("broken", b"new", condition=pb.PutCondition(etag='"any"'))
    await spoilt.put("broken", b"new", condition=pb.PutCondition(absent=True))
    rows = [pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=b"x" * 200)) for key in ("large", "other")]
    await spoilt.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=spoilt.name, rows=rows))
    assert (await spoilt.get("broken")).inline_value == b"new"
    assert [(await spoilt.get(key)).inline_value for key in ("large", "other")] == [b"x" * 200] * 2
    assert await spoilt.invalidate(tags=["t"], validate_only=True) == 1
    assert await verify(spoilt) == pb.VerifyCacheResponse(entry_count=4, blob_count=1, read_bytes=204)
    stats = await spoilt.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=spoilt.name))
    assert (stats.entry_count, stats.size_bytes) == (4, 404)


async def test_a_stream_takes_its_place(spoilt: Shelf) -> None:
    await spoilt.write("broken", b"y" * 1000, condition=pb.PutCondition(absent=True))
    assert (await spoilt.get("broken")).size_bytes == 1000


async def test_what_needs_the_entry_refuses_it(spoilt: Shelf) -> None:
    with refused(*CORRUPT):
        await spoilt.touch("broken")
    with refused(*CORRUPT):
        await spoilt.increment("broken", delta=1)
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await spoilt.delete("broken", etag='"any"')
    with refused(*CORRUPT):
        await spoilt.get("broken")


async def test_a_delete_removes_it(spoilt: Shelf) -> None:
    await spoilt.delete("broken", validate_only=True)
    with refused(*CORRUPT):
        await spoilt.get("broken")
    await spoilt.delete("broken")
    await spoilt.delete("large", allow_missing=True)
    for key in ("broken", "large"):
        with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
            await spoilt.get(key)
    await spoilt.put("other", b"3")
    assert await verify(spoilt) == pb.VerifyCacheResponse(entry_count=2, read_bytes=2)


async def test_one_caller_computes_it_anew(spoilt: Shelf) -> None:
    wanted = pb.LeaseEntryRequest(cache=spoilt.name, key="broken", lease_duration=Duration(seconds=30))
    lease = (await spoilt.client.cache.LeaseEntry(wanted)).lease
    assert lease.lease_token
    await spoilt.put("broken", b"new", condition=pb.PutCondition(lease_token=lease.lease_token))
    assert (await spoilt.client.cache.LeaseEntry(wanted)).entry.inline_value == b"new"


async def test_a_verification_removes_it(spoilt: Shelf) -> None:
    mended = await verify(spoilt, repair=True)
    unreadable, removed = pb.CacheProblem.Kind.KIND_METADATA_UNREADABLE, pb.CacheProblem.Outcome.OUTCOME_REMOVED
    found = [(problem.key, problem.kind, problem.outcome) for problem in mended.problems]
    assert found == [(key, unreadable, removed) for key in ("broken", "large", "other")]
    assert await verify(spoilt) == pb.VerifyCacheResponse(entry_count=1, read_bytes=1)
