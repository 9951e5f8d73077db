from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Code
from sutler.status import from_status

from tests.integration.cache.calls import Shelf, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


def reasons(results: object) -> list[str]:
    """The reason of each row that failed, and an empty text for each that did not."""
    return [from_status(row.status).reason if row.HasField("status") else "" for row in results]  # type: ignore[attr-defined]


async def get(shelf: Shelf, *keys: str, **fields: object) -> pb.BatchGetEntriesResponse:
    request = pb.BatchGetEntriesRequest(cache=shelf.name, keys=keys, **fields)  # type: ignore[arg-type]
    return await shelf.client.cache.BatchGetEntries(request)


async def put(shelf: Shelf, *rows: pb.PutEntryRow, **fields: object) -> pb.BatchPutEntriesResponse:
    request = pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows, **fields)  # type: ignore[arg-type]
    return await shelf.client.cache.BatchPutEntries(request)


def row(key: str, value: bytes, **fields: object) -> pb.PutEntryRow:
    return pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=value), **fields)  # type: ignore[arg-type]


async def test_each_row_has_its_own_result_in_order(shelf: Shelf) -> None:
    await shelf.put("taken", b"old")
    answer = await put(
        shelf,
        row("a", b"1"),
        row("taken", b"new", condition=pb.PutCondition(absent=True)),
        row("b", b"2" * 100_000),
        pb.PutEntryRow(key="none", entry=pb.Entry(), keep_value=True),
        row("a", b"3"),
    )
    assert reasons(answer.results) == ["", "ALREADY_EXISTS", "", "ENTRY_NOT_FOUND", ""]
    status = from_status(answer.results[1].status)
    assert (status.code, status.domain, status.metadata["key"]) == (Code.ALREADY_EXISTS, "cache.sutler.dev", "taken")
    found = await get(shelf, "b", "a", "none", "taken", "a")
    assert reasons(found.results) == ["", "", "ENTRY_NOT_FOUND", "", ""]
    assert [r.entry.inline_value for r in found.results] == [b"2" * 100_000, b"3", b"", b"old", b"3"]
    assert found.results[1].entry.etag == answer.results[4].entry.etag
    assert not found.next_page_token


async def test_a_thousand_rows(shelf: Shelf) -> None:
    keys = [f"k{number:04}" for number in range(1000)]
    answer = await put(shelf, *(row(key, key.encode()) for key in keys))
    assert reasons(answer.results) == [""] * 1000
    found = await get(shelf, *reversed(keys))
    assert [r.entry.inline_value.decode() for r in found.results] == keys[::-1]


async def test_a_large_answer_comes_in_parts(shelf: Shelf) -> None:
    keys = [f"k{number}" for number in range(6)]
    for key in keys:
        await shelf.put(key, key.encode() * 400_000)
    request = pb.BatchGetEntriesRequest(cache=shelf.name, keys=[*keys, "none"])
    seen, parts = [], 0
    while True:
        answer = await shelf.client.cache.BatchGetEntries(request)
        assert answer.ByteSize() < 3.5 * 2**20
        seen += [r.entry.inline_value[:2].decode() for r in answer.results]
        parts += 1
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert seen == [*keys, ""]
    assert parts > 1
    request.page_token = "AAAA"
    with refused(Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await shelf.client.cache.BatchGetEntries(request)


async def test_batches_of_deletes_and_touches(shelf: Shelf) -> None:
    first = await shelf.put("a", b"1")
    await shelf.put("b", b"2")
    touched = await shelf.client.cache.BatchTouchEntries(
        pb.BatchTouchEntriesRequest(
            cache=shelf.name,
            rows=[
                pb.TouchEntryRow(key="b", etag='"old"'),
                pb.TouchEntryRow(key="a", ttl=Duration(seconds=9), etag=first.etag),
                pb.TouchEntryRow(key="none"),
            ],
        )
    )
    assert reasons(touched.results) == ["ETAG_MISMATCH", "", "ENTRY_NOT_FOUND"]
    assert touched.results[1].entry.ttl.seconds == 9
    rows = [pb.DeleteEntryRow(key="none"), pb.DeleteEntryRow(key="a"), pb.DeleteEntryRow(key="b", etag='"old"')]
    request = pb.BatchDeleteEntriesRequest(cache=shelf.name, rows=rows)
    deleted = await shelf.client.cache.BatchDeleteEntries(request)
    assert reasons(deleted.results) == ["ENTRY_NOT_FOUND", "", "ETAG_MISMATCH"]
    assert deleted.results[1].HasField("deleted")
    request.allow_missing = True
    assert reasons((await shelf.client.cache.BatchDeleteEntries(request)).results) == ["", "", "ETAG_MISMATCH"]
    assert await shelf.keys() == ["b"]


async def test_a_batch_in_no_cache_fails_as_a_whole(shelf: Shelf) -> None:
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await get(Shelf(shelf.client, "caches/none"), "a")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await put(Shelf(shelf.client, "caches/none"), row("a", b"x"))
