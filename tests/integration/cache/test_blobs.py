from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Code

from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1 << 20


def value(size: int) -> bytes:
    """Bytes that no other test has, so that nothing is shared with it."""
    block = uuid.uuid4().bytes
    return (block * (size // 16 + 1))[:size]


def files_of(place: Place, data: bytes) -> list[Path]:
    """The files that hold a value as it is."""
    return [path for path in place.blobs.glob("*/??/*") if path.read_bytes().startswith(data[:1000])]


def chunks(data: bytes, size: int = MIB) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


async def parts(*messages: pb.WriteBlobRequest) -> AsyncIterator[pb.WriteBlobRequest]:
    for message in messages:
        yield message


async def test_a_large_value_of_a_put_is_one_file(shelf: Shelf, place: Place) -> None:
    data = value(200_000)
    await shelf.put("a", data)
    assert len(files_of(place, data)) == 1
    assert (await shelf.get("a")).inline_value == data
    assert not any(path.name == "a" for path in place.blobs.rglob("*"))


async def test_the_limit_decides_where_a_value_is(client: Any, make_cache: Any, place: Place) -> None:
    all_blobs = Shelf(client, await make_cache(inline_limit_bytes=0))
    data = value(20)
    await all_blobs.put("k", data)
    assert len(files_of(place, data)) == 1
    await all_blobs.put("empty", b"")
    text = Value(string_value=uuid.uuid4().hex)
    await all_blobs.put("json", json_value=text)
    await all_blobs.increment("n")
    assert (await all_blobs.get("k")).inline_value == data
    assert (await all_blobs.get("empty")).inline_value == b""
    assert (await all_blobs.get("json")).json_value == text
    assert (await all_blobs.increment("n")).counter_value == 2
    all_inline = Shelf(client, await make_cache(inline_limit_bytes=MIB))
    data = value(MIB)
    await all_inline.put("k", data)
    assert files_of(place, data) == []
    assert (await all_inline.get("k")).inline_value == data


async def test_equal_values_are_one_file_until_the_last_goes(
    shelf: Shelf, client: Any, make_cache: Any, place: Place
) -> None:
    data, other = value(100_000), Shelf(client, await make_cache())
    await shelf.put("a", data)
    await shelf.put("b", data)
    await other.put("c", data)
    await other.write("d", data)
    assert (await other.get("c")).inline_value == data
    await shelf.delete("a")
    await shelf.put("b", b"small")
    await other.invalidate(keys=["c"])
    assert (await other.get("d")).inline_value == data
    assert len(files_of(place, data)) >= 1
    await other.delete("d")
    await eventually(lambda: _gone(place, data), 40)


async def _gone(place: Place, data: bytes) -> bool:
    return not files_of(place, data)


async def test_a_put_can_refer_to_a_blob_of_its_cache(shelf: Shelf, client: Any, make_cache: Any) -> None:
    data = value(100_000)
    reference = pb.BlobReference(sha256=hashlib.sha256(data).hexdigest())
    with refused(Code.NOT_FOUND, "BLOB_NOT_FOUND", sha256=reference.sha256):
        await shelf.put("b", blob=reference)
    await shelf.put("a", data)
    await shelf.put("b", blob=reference, tags=["t"])
    await shelf.delete("a")
    assert (await shelf.get("b")).inline_value == data
    stranger = Shelf(client, await make_cache())
    with refused(Code.NOT_FOUND, "BLOB_NOT_FOUND"):
        await stranger.put("c", blob=reference)


@pytest.mark.parametrize("size", [0, 1, 1000, MIB, MIB + 1, 3 * MIB + 17])
async def test_streams_of_any_size(shelf: Shelf, size: int) -> None:
    data = value(size)
    put = await shelf.write("k", *chunks(data, 700_000), entry=pb.Entry(content_type="a/b", tags=["t"]))
    assert (put.size_bytes, put.content_type) == (size, "a/b")
    messages = await shelf.read("k")
    assert b"".join(message.data for message in messages) == data
    assert [message.complete for message in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[0].entry.etag == put.etag
    assert not any(message.HasField("entry") for message in messages[1:])
    offsets = [message.offset for message in messages]
    assert offsets == [sum(len(m.data) for m in messages[:index]) for index in range(len(messages))]
    got = await shelf.get("k")
    if size > MIB:
        assert got.blob.sha256 == hashlib.sha256(data).hexdigest()
    else:
        assert got.inline_value == data


@pytest.mark.parametrize("stored", ["inline", "file", "chunks"])
async def test_reads_of_a_part(shelf: Shelf, stored: str) -> None:
    data = value({"inline": 1000, "file": 100_000, "chunks": 2 * MIB + 100}[stored])
    await shelf.write("k", *chunks(data)) if stored == "chunks" else await shelf.put("k", data)
    for offset, limit in ((0, 10), (7, 100), (len(data) - 5, 0), (len(data), 0), (3, 10 * MIB), (900, MIB + 200)):
        messages = await shelf.read("k", offset=offset, limit=limit)
        assert b"".join(message.data for message in messages) == data[offset : offset + limit if limit else None]
        assert messages[-1].complete
        assert messages[0].offset == offset
    with refused(Code.OUT_OF_RANGE, "OFFSET_INVALID", offset=str(len(data) + 1), size_bytes=str(len(data))):
        await shelf.read("k", offset=len(data) + 1)
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await shelf.read("k", etag='"old"')
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.read("none")


async def test_plain_bodies(shelf: Shelf) -> None:
    async def body(key: str, **fields: Any) -> tuple[str, bytes]:
        request = pb.DownloadBlobRequest(cache=shelf.name, key=key, **fields)
        messages: list[HttpBody] = [message async for message in shelf.client.cache.DownloadBlob(request)]
        return messages[0].content_type, b"".join(message.data for message in messages)

    await shelf.put("typed", b"abc", content_type="text/plain")
    await shelf.put("bytes", b"")
    await shelf.put("json", json_value=Value(number_value=5))
    await shelf.increment("n")
    assert await body("typed", offset=1) == ("text/plain", b"bc")
    assert await body("bytes") == ("application/octet-stream", b"")
    assert await body("json") == ("application/json", b"5")
    assert await body("n") == ("application/json", b"1")


async def test_a_read_ends_with_the_value_that_it_began_with(shelf: Shelf) -> None:
    data = value(3 * MIB)
    await shelf.write("k", *chunks(data))
    stream = shelf.client.cache.ReadBlob(pb.ReadBlobRequest(cache=shelf.name, key="k"))
    read = (await anext(stream)).data
    await shelf.put("k", b"new")
    await shelf.delete("k")
    async for message in stream:
        read += message.data
    assert read == data


async def test_streams_that_are_refused_leave_nothing(shelf: Shelf, place: Place) -> None:
    data = value(50_000)
    header = pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=shelf.name, key="k"))
    body = pb.WriteBlobRequest(data=data)
    end = pb.WriteBlobRequest(trailer=pb.WriteBlobTrailer(size_bytes=len(data)))
    write = shelf.client.cache.WriteBlob
    with refused(Code.INVALID_ARGUMENT, "STREAM_ORDER_INVALID", expected="header", received="data"):
        await write(parts(body, end))
    with refused(Code.INVALID_ARGUMENT, "STREAM_ORDER_INVALID", received="header"):
        await write(parts(header, body, header, end))
    with refused(Code.INVALID_ARGUMENT, "STREAM_ORDER_INVALID", expected="its end", received="data"):
        await write(parts(header, body, end, body))
    with refused(Code.INVALID_ARGUMENT, "BLOB_INCOMPLETE", received_bytes=str(len(data))):
        await write(parts(header, body))
    with refused(Code.INVALID_ARGUMENT, "BLOB_INCOMPLETE", received_bytes="0"):
        await write(parts())
    with refused(Code.INVALID_ARGUMENT, "BLOB_MISMATCH", field="size_bytes", expected="5", received=str(len(data))):
        await shelf.write("k", data, trailer=pb.WriteBlobTrailer(size_bytes=5))
    wrong = pb.WriteBlobTrailer(size_bytes=len(data), sha256="0" * 64)
    with refused(Code.INVALID_ARGUMENT, "BLOB_MISMATCH", field="sha256"):
        await shelf.write("k", data, trailer=wrong)
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await Shelf(shelf.client, "caches/none").write("k", data)
    assert await shelf.reason("k") == "ENTRY_NOT_FOUND"
    assert files_of(place, data) == []
    right = pb.WriteBlobTrailer(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    await shelf.write("k", data, trailer=right)


async def test_a_stream_that_breaks_off_leaves_nothing(shelf: Shelf, place: Place) -> None:
    async def half() -> AsyncIterator[pb.WriteBlobRequest]:
        yield pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=shelf.name, key="k"))
        for chunk in chunks(value(12 * MIB)):
            yield pb.WriteBlobRequest(data=chunk)
        await asyncio.sleep(60)

    writing = asyncio.create_task(shelf.client.cache.WriteBlob(half()))

    async def begun() -> bool:
        return any((place.blobs / "incoming").iterdir())

    async def over() -> bool:
        return not await begun()

    await eventually(begun)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await eventually(over)
    assert await shelf.reason("k") == "ENTRY_NOT_FOUND"


async def test_conditions_hold_for_streams(shelf: Shelf) -> None:
    data, absent, request_id = value(30_000), pb.PutCondition(absent=True), str(uuid.uuid4())
    first = await shelf.write("k", data, condition=absent, request_id=request_id)
    assert await shelf.write("k", data, condition=absent, request_id=request_id) == first
    with refused(Code.ALREADY_EXISTS, "ALREADY_EXISTS"):
        await shelf.write("k", data, condition=absent)
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await shelf.write("k", data, condition=pb.PutCondition(etag='"old"'))
    await shelf.write("k", b"x", condition=pb.PutCondition(etag=first.etag))
    assert (await shelf.get("k")).inline_value == b"x"


async def test_a_stream_stops_at_the_limit(client: Any, make_cache: Any) -> None:
    small = Shelf(client, await make_cache(max_entry_bytes=MIB))
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE", limit_bytes=str(MIB)):
        await small.write("k", *chunks(value(2 * MIB)))
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE", limit_bytes=str(MIB)):
        await small.write("k", *chunks(value(2 * MIB)), *[bytes(MIB)] * 40)
    with refused(Code.INVALID_ARGUMENT, "EXPIRY_NOT_ALLOWED"):
        store = Shelf(client, await make_cache(storage_mode=True))
        await store.write("k", b"x", entry=pb.Entry(ttl=Duration(seconds=5)))


def spoil_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 1
    path.write_bytes(raw)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swap(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [(spoil_byte, "checksum"), (truncate, "size"), (swap, "checksum"), (Path.unlink, "missing")],
)
@pytest.mark.parametrize("size", [100_000, 2 * MIB + 5], ids=["one chunk", "chunks"])
async def test_a_damaged_file_is_a_miss_that_says_so(
    shelf: Shelf, place: Place, spoil: Any, cause: str, size: int
) -> None:
    data = value(size)
    await shelf.write("k", *chunks(data))
    await shelf.put("other", b"well")
    [path] = files_of(place, data)
    spoil(path)
    with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", cache=shelf.name, key="k", cause=cause):
        await shelf.read("k")
    if size <= MIB:
        with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", cause=cause):
            await shelf.get("k")
        batch = await shelf.client.cache.BatchGetEntries(
            pb.BatchGetEntriesRequest(cache=shelf.name, keys=["k", "other"])
        )
        assert [result.WhichOneof("result") for result in batch.results] == ["status", "entry"]


@pytest.mark.parametrize("way", ["put", "write"])
async def test_putting_it_again_heals_a_damaged_file(shelf: Shelf, place: Place, way: str) -> None:
    data = value(100_000)
    await shelf.put("k", data)
    spoil_byte(files_of(place, data)[0])
    assert await shelf.reason("k") == "ENTRY_CORRUPT"
    await (shelf.put if way == "put" else shelf.write)("again", data)
    assert (await shelf.get("again")).inline_value == data
    assert (await shelf.get("k")).inline_value == data
