"""Caches whose values are in a bucket that goes away in the middle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import Code
from sutler.server import running

from services.cache.app import app
from tests.conformance.cache.s3_server import HttpProxy, new_bucket, s3_server
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.damage import verify
from tests.integration.cache.places import place_of, settings_of

MIB = 1 << 20
SIZE = 24 * MIB
BEFORE = 12 * MIB
"""How much has gone to the server when S3 goes away: more than one part."""


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
async def proxy(s3_url: str) -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy(s3_url)
    await proxy.start()
    yield proxy
    await proxy.cut()


@pytest.fixture
async def shelf(tmp_path: Path, s3_url: str, proxy: HttpProxy) -> AsyncIterator[Shelf]:
    """A cache with entries in Redis and values in a bucket, and a client that does not repeat calls."""
    bucket = new_bucket(s3_url)
    blobs = {
        "type": "s3",
        "bucket": bucket.bucket,
        "prefix": bucket.prefix,
        "endpoint_url": proxy.url,
        "access_key": "someone",
        "secret_key": "secret",
        "read_seconds": 2,
    }
    with place_of("redis", tmp_path) as place:
        settings = settings_of(place, blob_backends={"bucket": blobs}, default_blob_backend="bucket")
        async with running(app, settings, "cache") as server, connect(server.address, attempts=1) as client:
            await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache(inline_limit_bytes=100)))
            yield Shelf(client, "caches/c")


def chunks(data: bytes) -> list[bytes]:
    return [data[start : start + MIB] for start in range(0, len(data), MIB)]


async def test_s3_gone_in_the_middle_of_a_stream_leaves_the_old_value(shelf: Shelf, proxy: HttpProxy) -> None:
    data, never = os.urandom(SIZE), asyncio.Event()

    async def parts() -> AsyncIterator[pb.WriteBlobRequest]:
        yield pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=shelf.name, key="k"))
        for chunk in chunks(data[:BEFORE]):
            yield pb.WriteBlobRequest(data=chunk)
        await proxy.cut()
        for chunk in chunks(data[BEFORE:]):
            yield pb.WriteBlobRequest(data=chunk)
        await never.wait()  # the outage is told in the middle of the stream, not at its end

    await shelf.put("k", b"old")
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE") as caught:
        await shelf.client.cache.WriteBlob(parts())
    assert caught.value.retry_after is not None
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await shelf.put("large", data[:1000])
    await shelf.put("small", b"is beside its metadata")
    assert (await shelf.get("k")).inline_value == b"old"
    assert await shelf.reason("large") == "ENTRY_NOT_FOUND"
    await proxy.start()
    await shelf.write("k", *chunks(data))
    assert b"".join(message.data for message in await shelf.read("k")) == data
    assert (await verify(shelf)).problem_count == 0


async def test_s3_gone_in_the_middle_of_a_read_is_no_end_and_no_miss(shelf: Shelf, proxy: HttpProxy) -> None:
    data, read = os.urandom(SIZE), b""
    await shelf.write("k", *chunks(data))
    await shelf.put("small", data[:1000])
    stream = shelf.client.cache.ReadBlob(pb.ReadBlobRequest(cache=shelf.name, key="k"))
    read += (await anext(stream)).data
    await proxy.cut()
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        async for message in stream:
            read += message.data
    assert len(read) < len(data)
    assert data.startswith(read)
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await shelf.get("small")
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await shelf.client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=shelf.name, keys=["small"]))
    await proxy.start()

    async def back() -> bool:
        return await shelf.reason("small") == ""

    await eventually(back)
    rest = b"".join(message.data for message in await shelf.read("k", offset=len(read)))
    assert read + rest == data
