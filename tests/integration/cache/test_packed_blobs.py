"""Large values of caches with compression: smaller at rest, and as they were put for readers."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, refused

MIB = 1 << 20
TEXT = b"".join(b"line %d of a text\n" % number for number in range(200_000))
WAYS = [pb.Cache.COMPRESSION_ZSTD, pb.Cache.COMPRESSION_LZ4]


@pytest.fixture
async def client(sqlite_settings: Settings) -> AsyncIterator[Sutler]:
    async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
        yield client


async def cache(client: Sutler, name: str, way: pb.Cache.Compression.ValueType) -> Shelf:
    made = pb.Cache(compression=way, inline_limit_bytes=100)
    await client.cache.CreateCache(pb.CreateCacheRequest(cache_id=name, cache=made))
    return Shelf(client, f"caches/{name}")


def pieces(data: bytes, size: int = 700_000) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def files(settings: Settings) -> list[Path]:
    return sorted(settings.blob_folder.glob("*/??/*"))


def stored_bytes(settings: Settings) -> list[int]:
    """What each cache takes, in the order of their making."""
    with sqlite3.connect(settings.data.removeprefix("sqlite:///")) as raw:
        return [row[0] for row in raw.execute("SELECT stored_bytes FROM spaces ORDER BY space")]


async def read(shelf: Shelf, offset: int = 0, limit: int = 0) -> bytes:
    return b"".join(message.data for message in await shelf.read("k", offset=offset, limit=limit))


@pytest.mark.parametrize("way", WAYS)
async def test_a_large_value_is_smaller_at_rest(
    client: Sutler, sqlite_settings: Settings, way: pb.Cache.Compression.ValueType
) -> None:
    shelf = await cache(client, "c", way)
    put = await shelf.write("k", *pieces(TEXT))
    assert put.size_bytes == len(TEXT) > 4 * MIB
    [path] = files(sqlite_settings)
    assert path.stat().st_size < len(TEXT) // 2
    assert stored_bytes(sqlite_settings) == [path.stat().st_size - 5 * 20]  # without the index
    assert await read(shelf) == TEXT
    for offset, limit in ((2 * MIB - 5, 10), (3 * MIB + 1, 0), (len(TEXT), 0)):
        assert await read(shelf, offset, limit) == TEXT[offset : offset + limit if limit else None]
    await shelf.put("small", TEXT[:100_000])
    assert (await shelf.get("small")).inline_value == TEXT[:100_000]
    noise = os.urandom(100_000)
    await shelf.put("noise", noise)
    assert (await shelf.get("noise")).inline_value == noise


@pytest.mark.parametrize("way", WAYS)
async def test_a_damaged_packed_value_is_a_miss(
    client: Sutler, sqlite_settings: Settings, way: pb.Cache.Compression.ValueType
) -> None:
    shelf = await cache(client, "c", way)
    await shelf.put("k", TEXT[:100_000])
    [path] = files(sqlite_settings)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", key="k"):
        await shelf.get("k")
    with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", key="k"):
        await shelf.read("k")


async def test_an_equal_value_is_stored_once_however_it_is_packed(client: Sutler, sqlite_settings: Settings) -> None:
    """The newer file takes the place of the older one; what caches take follows it."""
    plain, packed = await cache(client, "a", pb.Cache.COMPRESSION_NONE), await cache(client, "b", WAYS[0])
    await plain.write("k", *pieces(TEXT))
    assert stored_bytes(sqlite_settings) == [len(TEXT)]
    await packed.write("k", *pieces(TEXT))
    [small, same] = stored_bytes(sqlite_settings)
    assert small == same < len(TEXT) // 2
    assert await read(plain) == await read(packed) == TEXT
    await plain.write("k", *pieces(TEXT))
    assert stored_bytes(sqlite_settings) == [len(TEXT), len(TEXT)]
    assert await read(plain) == await read(packed) == TEXT
    for shelf in (plain, packed):
        await shelf.delete("k")
    assert stored_bytes(sqlite_settings) == [0, 0]
