"""What only S3 can do wrong: an outage in the middle, uploads left behind, a bucket that is not there or full."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sutler.backends import ByteStore
from sutler.errors import Code, Exhausted, Unavailable
from sutler.testing import wait_until
from sutler.testing.byte_stores import MIB, new_name, older, put

from services.cache.adapters.objects import ObjectBlobs
from services.cache.adapters.s3 import S3Options, s3_bytes
from services.cache.caches import Compression
from services.cache.faults import DamagedError
from tests.conformance.cache.s3_server import HttpProxy, client, new_bucket


@pytest.fixture
async def options(s3_url: str) -> S3Options:
    return new_bucket(s3_url)


@pytest.fixture
async def proxy(s3_url: str) -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy(s3_url)
    await proxy.start()
    yield proxy
    await proxy.cut()


@pytest.fixture
async def store(options: S3Options, proxy: HttpProxy) -> AsyncIterator[ByteStore]:
    """A store behind a proxy that can be cut."""
    store = s3_bytes(options.model_copy(update={"endpoint_url": proxy.url}))
    yield store
    await store.close()


def objects(s3_url: str, options: S3Options) -> list[str]:
    found = client(s3_url).list_objects_v2(Bucket=options.bucket)
    return [item["Key"] for item in found.get("Contents", ())]


def uploads(s3_url: str, options: S3Options) -> list[dict[str, Any]]:
    return list(client(s3_url).list_multipart_uploads(Bucket=options.bucket).get("Uploads", ()))


async def test_s3_gone_in_the_middle_of_a_write(
    store: ByteStore, proxy: HttpProxy, s3_url: str, options: S3Options
) -> None:
    name = new_name()

    async def write() -> None:
        async with store.writer(name) as writer:
            for piece in range(30):
                await writer.write(bytes(MIB))
                if piece == 12:
                    await proxy.cut()
            await writer.finish()

    with pytest.raises(Unavailable) as caught:
        await write()
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert caught.value.retry_after is not None
    assert objects(s3_url, options) == []
    await proxy.start()
    assert await store.read(name, 0, 1) is None
    await put(store, name, b"again")
    assert await store.read(name, 0, 10) == b"again"


async def test_an_outage_is_never_a_missing_object(store: ByteStore, proxy: HttpProxy) -> None:
    blobs = ObjectBlobs(store)
    blob = (await blobs.store("red", b"x" * 1000, Compression.NONE)).blob
    await proxy.cut()
    for call in (store.read(blob.locator, 0, 5), blobs.load(blob), store.health(), store.delete(blob.locator)):
        with pytest.raises(Unavailable):
            await call
    with pytest.raises(Unavailable):
        await older(store)
    await proxy.start()
    assert await blobs.load(blob) == b"x" * 1000


async def test_a_read_that_breaks_off_goes_on(store: ByteStore, proxy: HttpProxy) -> None:
    name, data = new_name(), os.urandom(30 * MIB)
    await put(store, name, *[data[start : start + MIB] for start in range(0, len(data), MIB)])
    async with aclosing(store.stream(name, 3, len(data))) as pieces:
        read = await anext(pieces)
        await proxy.cut()
        await proxy.start()
        read += b"".join([piece async for piece in pieces])
    assert read == data[3:]


async def test_a_read_that_cannot_go_on_is_an_outage(store: ByteStore, proxy: HttpProxy) -> None:
    name = new_name()
    await put(store, name, *[bytes(MIB)] * 30)
    async with aclosing(store.stream(name, 0, 30 * MIB)) as pieces:
        await anext(pieces)
        await proxy.cut()
        with pytest.raises(Unavailable):
            [piece async for piece in pieces]


@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_damaged_objects_are_noticed(s3_url: str, options: S3Options, store: ByteStore, size: int) -> None:
    blobs, s3 = ObjectBlobs(store), client(s3_url)

    async def written() -> Any:
        async with blobs.writer("red", Compression.NONE) as writer:
            await writer.write(os.urandom(1000))
            await writer.write(bytes(size - 1000))
            return (await writer.finish()).blob

    async def damage() -> str:
        with pytest.raises(DamagedError) as caught:
            [chunk async for chunk in blobs.read(blob, 0, 0)]
        return caught.value.cause

    blob, other = await written(), await written()
    key = options.prefix + blob.locator
    whole = s3.get_object(Bucket=options.bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=options.bucket, Key=key, Body=whole[:-1])
    assert await damage() == "size"
    s3.copy_object(Bucket=options.bucket, Key=key, CopySource=f"{options.bucket}/{options.prefix}{other.locator}")
    assert await damage() == "checksum"
    s3.delete_object(Bucket=options.bucket, Key=key)
    assert await damage() == "missing"


async def test_uploads_of_dead_writers_are_aborted(s3_url: str, options: S3Options, store: ByteStore) -> None:
    """The server under test dates all uploads to 2010: only those that this process is at are not abandoned."""
    s3 = client(s3_url)
    s3.create_multipart_upload(Bucket=options.bucket, Key=f"{options.prefix}left")
    s3.create_multipart_upload(Bucket=options.bucket, Key="of somebody else")
    name = new_name()
    async with store.writer(name) as writer:
        for _ in range(20):
            await writer.write(bytes(MIB))
        assert len(uploads(s3_url, options)) == 3
        await store.tidy()
        assert sorted(upload["Key"] for upload in uploads(s3_url, options)) == sorted(
            ["of somebody else", options.prefix + name]
        )
        await writer.finish()
    assert len(uploads(s3_url, options)) == 1
    assert objects(s3_url, options) == [options.prefix + name]


async def test_the_age_of_what_came_in_parts_is_not_sure_for_long(s3_url: str, options: S3Options) -> None:
    """S3 dates it by the beginning of its upload, so it may just have been finished."""
    patient, quick = s3_bytes(options), s3_bytes(options.model_copy(update={"upload_seconds": 0.0}))
    name = new_name()
    await put(patient, name, *[bytes(MIB)] * 10)

    async def listed() -> bool:
        return name in await older(quick)

    await wait_until(listed)
    assert name not in await older(patient)
    await patient.close()
    await quick.close()


async def test_a_bucket_that_is_not_there_is_an_outage(options: S3Options) -> None:
    store = s3_bytes(options.model_copy(update={"bucket": "none-of-this-name"}))
    for call in (store.health(), store.read("a/b", 0, 1), put(store, "a/b", b"x")):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.metadata["cause"] in ("404", "NoSuchBucket")
    await store.close()


async def test_keys_that_are_nowhere_to_be_found_are_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "none-of-this-name")
    store = s3_bytes(S3Options(bucket="abc", endpoint_url="http://127.0.0.1:1"))
    for call in (store.health(), store.tidy(), older(store), store.read("a/b", 0, 1), put(store, "a/b", b"x")):
        with pytest.raises(Unavailable):
            await call
    await store.close()


async def test_a_full_bucket_is_told() -> None:
    answer = b"<Error><Code>QuotaExceeded</Code><Message>full</Message></Error>"
    head = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = s3_bytes(
            S3Options(bucket="full", endpoint_url=f"http://127.0.0.1:{port}", access_key="a", secret_key=SecretStr("b"))
        )
        with pytest.raises(Exhausted) as caught:
            await put(store, "a/b", b"x")
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "STORAGE_FULL")
        await store.close()


def test_options_are_checked_and_keep_their_secret() -> None:
    options = S3Options(bucket="abc", prefix="/a/b/", access_key="id", secret_key=SecretStr("hidden"))
    assert options.prefix == "a/b/"
    assert S3Options(bucket="abc").prefix == ""
    assert "hidden" not in repr(options)
    for wrong in ({"access_key": "id"}, {"session_token": "t"}, {"endpoint_url": "ftp://x"}, {"bukket": "x"}):
        with pytest.raises(ValidationError):
            S3Options.model_validate({"bucket": "abc", **wrong})
