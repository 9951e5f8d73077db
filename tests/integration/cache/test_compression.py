"""Values beside their metadata take less room at rest where the cache compresses."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Value
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running

from services.cache.app import app
from tests.integration.cache.calls import Shelf, refused
from tests.integration.cache.conftest import MakeCache
from tests.integration.cache.places import Place, settings_of
from tests.integration.cache.stores import Store, store_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOTH = pytest.mark.parametrize(
    "compression", [pb.Cache.COMPRESSION_ZSTD, pb.Cache.COMPRESSION_LZ4], ids=["zstd", "lz4"]
)
DULL = b"the same again and again, " * 1000
MIB = 1 << 20


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def key() -> str:
    """A key that no other test has, so that it can be found in the tables."""
    return uuid.uuid4().hex


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(place: Place) -> AsyncIterator[Store]:
    async with store_of(place) as found:
        yield found


async def stored_bytes(store: Store, shelf: Shelf) -> int:
    """What the limits of a cache count."""
    [number] = await store.one(
        "SELECT s.stored_bytes FROM spaces s JOIN caches c ON c.space = s.space WHERE c.name = ?",
        shelf.name,
    )
    return int(number)


@BOTH
async def test_a_value_is_smaller_at_rest_and_comes_back(
    client: Sutler, make_cache: MakeCache, store: Store, compression: Any
) -> None:
    shelf, name = Shelf(client, await make_cache(compression=compression)), key()
    put = await shelf.put(name, DULL)
    [packed] = await store.one("SELECT value FROM entries WHERE key = ?", name)
    assert (put.size_bytes, put.stored_size_bytes) == (len(DULL), len(packed))
    assert len(packed) < len(DULL) // 10
    assert (await shelf.get(name)).inline_value == DULL
    assert b"".join(part.data for part in await shelf.read(name, offset=7, limit=100)) == DULL[7:107]
    batch = await client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=shelf.name, keys=[name]))
    assert batch.results[0].entry.inline_value == DULL
    kept = await shelf.put(name, keep_value=True, tags=["kept"])
    assert (kept.size_bytes, kept.stored_size_bytes, kept.checksum) == (len(DULL), len(packed), put.checksum)
    assert (await shelf.get(name)).inline_value == DULL
    text = Value(string_value="x" * 5000)
    assert (await shelf.put("json", json_value=text)).stored_size_bytes < 500
    assert (await shelf.get("json")).json_value == text


@BOTH
async def test_usage_counts_what_is_at_rest(
    client: Sutler, make_cache: MakeCache, store: Store, compression: Any
) -> None:
    shelf = Shelf(client, await make_cache(compression=compression))
    sizes = [(await shelf.put(f"k{number}", DULL[number:])).stored_size_bytes for number in range(3)]
    assert await stored_bytes(store, shelf) == sum(sizes)
    await shelf.put("k0", b"small")
    assert await stored_bytes(store, shelf) == sum(sizes[1:]) + 5
    await shelf.delete("k1")
    await shelf.put("k2", keep_value=True)
    assert await stored_bytes(store, shelf) == sizes[2] + 5


async def test_limits_are_those_of_the_room_that_is_taken(client: Sutler, make_cache: MakeCache) -> None:
    rules = {"compression": pb.Cache.COMPRESSION_ZSTD, "eviction": pb.Cache.EVICTION_NONE, "max_bytes": len(DULL)}
    shelf = Shelf(client, await make_cache(**rules))
    for number in range(5):
        await shelf.put(f"k{number}", DULL)
    with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL", limit="max_bytes"):
        await shelf.put("noise", noise(len(DULL)))
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE"):
        await shelf.put("large", DULL + b"x")


@pytest.mark.parametrize(
    ("rules", "size", "packed"),
    [
        ({}, 1023, False),
        ({}, 1024, True),
        ({"compression_threshold_bytes": 0}, 100, True),
        ({"compression_threshold_bytes": 0}, 0, False),
        ({"compression_threshold_bytes": 5000}, 4999, False),
        ({"compression_threshold_bytes": 5000}, 5000, True),
    ],
)
async def test_the_threshold_decides(
    client: Sutler, make_cache: MakeCache, rules: dict[str, int], size: int, packed: bool
) -> None:
    shelf = Shelf(client, await make_cache(compression=pb.Cache.COMPRESSION_ZSTD, **rules))
    put = await shelf.put("k", bytes(size))
    assert (put.stored_size_bytes < put.size_bytes) is packed
    assert (await shelf.get("k")).inline_value == bytes(size)


@BOTH
async def test_what_does_not_shrink_is_stored_as_it_is(
    client: Sutler, make_cache: MakeCache, store: Store, compression: Any
) -> None:
    shelf, name = Shelf(client, await make_cache(compression=compression)), key()
    data = noise(5000)
    assert (await shelf.put(name, data)).stored_size_bytes == 5000
    assert await store.one("SELECT packing FROM entries WHERE key = ?", name) == (int(pb.Cache.COMPRESSION_NONE),)
    assert (await shelf.get(name)).inline_value == data


async def test_counters_are_never_packed(client: Sutler, make_cache: MakeCache) -> None:
    shelf = Shelf(client, await make_cache(compression=pb.Cache.COMPRESSION_LZ4, compression_threshold_bytes=0))
    await shelf.put("n", counter_value=1_111_111_111_111_111_111)
    assert (await shelf.increment("n")).counter_value == 1_111_111_111_111_111_112


@BOTH
async def test_a_spoilt_packed_value_is_a_miss_that_says_so(
    client: Sutler, make_cache: MakeCache, store: Store, compression: Any
) -> None:
    shelf, name = Shelf(client, await make_cache(compression=compression)), key()
    await shelf.put(name, DULL)
    [packed] = await store.one("SELECT value FROM entries WHERE key = ?", name)
    for spoilt in (packed[:-5], b"", bytes(len(packed)), DULL):
        await store.alter("UPDATE entries SET value = ? WHERE key = ?", spoilt, name)
        with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", cache=shelf.name, key=name):
            await shelf.get(name)
        with refused(Code.NOT_FOUND, "ENTRY_CORRUPT"):
            await shelf.read(name)
    await shelf.put(name, DULL)
    assert (await shelf.get(name)).inline_value == DULL


async def test_entries_keep_the_packing_that_they_were_put_with(client: Sutler, make_cache: MakeCache) -> None:
    shelf = Shelf(client, await make_cache(compression=pb.Cache.COMPRESSION_ZSTD))
    sizes = {"zstd": (await shelf.put("zstd", DULL)).stored_size_bytes}
    for name, compression in (("lz4", pb.Cache.COMPRESSION_LZ4), ("none", pb.Cache.COMPRESSION_NONE)):
        await client.cache.UpdateCache(
            pb.UpdateCacheRequest(
                cache=pb.Cache(name=shelf.name, compression=compression), update_mask=FieldMask(paths=["compression"])
            )
        )
        sizes[name] = (await shelf.put(name, DULL)).stored_size_bytes
    assert len(set(sizes.values())) == 3
    for name, size in sizes.items():
        found = await shelf.get(name)
        assert (found.inline_value, found.stored_size_bytes) == (DULL, size)


@BOTH
async def test_a_batch_of_large_values_is_packed(client: Sutler, make_cache: MakeCache, compression: Any) -> None:
    shelf = Shelf(client, await make_cache(compression=compression, inline_limit_bytes=MIB))
    values = [bytes([number]) * 500_000 for number in range(5)]
    rows = [pb.PutEntryRow(key=f"k{number}", entry=pb.Entry(inline_value=data)) for number, data in enumerate(values)]
    put = await client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
    assert all(result.entry.stored_size_bytes < 10_000 for result in put.results)
    assert [(await shelf.get(row.key)).inline_value for row in rows] == values


async def test_a_packed_value_is_signed_as_it_was_put(place: Place, store: Store) -> None:
    settings = settings_of(place, signing_keys="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    async with running(app, settings, "cache") as server, connect(server.address) as client:
        wanted = pb.Cache(name=f"caches/c{key()[:12]}", signing=True, compression=pb.Cache.COMPRESSION_ZSTD)
        await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=wanted, allow_missing=True))
        shelf, name = Shelf(client, wanted.name), key()
        await shelf.put(name, DULL)
        await shelf.put(name, keep_value=True, tags=["t"])
        found = await shelf.get(name)
        assert (found.inline_value, found.signature_verified) == (DULL, True)
        await store.alter("UPDATE entries SET packing = 1, value = ? WHERE key = ?", DULL, name)
        assert (await shelf.get(name)).signature_verified
