from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Code, Invalid

from tests.integration.cache.calls import Shelf, accesses_stored, eventually, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        ({"keys": ["a", "none", "c\0"]}, ["b/1", "b/2"]),
        ({"tags": ["even", "none"]}, ["b/1", "c\0"]),
        ({"tags": ["even", "odd"]}, []),
        ({"prefix": "b/"}, ["a", "c\0"]),
        ({"filter": "size_bytes > 2"}, ["a", "b/1"]),
        ({"all": True}, []),
    ],
)
async def test_an_invalidation_really_clears(shelf: Shelf, selector: dict[str, Any], left: list[str]) -> None:
    keys = ["a", "b/1", "b/2", "c\0"]
    for number, key in enumerate(keys):
        await shelf.put(key, b"x" * (number + 1), tags=["even" if number % 2 == 0 else "odd"])
    assert await shelf.invalidate(**selector, validate_only=True) == 4 - len(left)
    assert await shelf.keys() == keys
    assert await shelf.invalidate(**selector) == 4 - len(left)
    assert await shelf.keys() == left
    for key in keys:
        assert await shelf.reason(key) == ("" if key in left else "ENTRY_NOT_FOUND")
    assert await shelf.invalidate(**selector) == 0


async def test_tags_follow_the_entry(shelf: Shelf) -> None:
    await shelf.put("k", b"1", tags=["old", "both"])
    await shelf.put("k", b"2", tags=["new", "both"])
    assert await shelf.invalidate(tags=["old"]) == 0
    assert await shelf.invalidate(tags=["both"]) == 1
    await shelf.put("k", b"3")
    assert await shelf.invalidate(tags=["new", "both"]) == 0
    assert await shelf.reason("k") == ""


async def test_more_than_one_step(shelf: Shelf) -> None:
    rows = [pb.PutEntryRow(key=f"k{n:04}", entry=pb.Entry(inline_value=b"x", tags=["t"])) for n in range(450)]
    await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
    assert await shelf.invalidate(tags=["t"]) == 450
    assert await shelf.keys() == []


async def test_expire_only_keeps_them_for_the_retention(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(stale_retention=Duration(seconds=60), sliding=True))
    await shelf.put("k", b"x")
    await shelf.get("k")
    assert await shelf.invalidate(all=True, expire_only=True) == 1
    assert await shelf.reason("k") == "ENTRY_EXPIRED"
    await accesses_stored(shelf)  # that of the access before must not bring the entry back
    assert await shelf.reason("k") == "ENTRY_EXPIRED"
    assert await shelf.invalidate(keys=["k"], expire_only=True) == 0
    assert await shelf.invalidate(keys=["k"]) == 0
    assert await shelf.reason("k") == "ENTRY_NOT_FOUND"


async def test_a_repeat_answers_the_same(shelf: Shelf) -> None:
    await shelf.put("a", b"x")
    request_id = str(uuid.uuid4())
    assert await shelf.invalidate(keys=["a"], request_id=request_id) == 1
    await shelf.put("a", b"y")
    assert await shelf.invalidate(keys=["a"], request_id=request_id) == 1
    assert (await shelf.get("a")).inline_value == b"y"
    with refused(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"):
        await shelf.invalidate(keys=["b"], request_id=request_id)


async def test_selectors_that_are_refused(shelf: Shelf) -> None:
    with pytest.raises(Invalid):
        await shelf.invalidate()
    with pytest.raises(Invalid):
        await shelf.invalidate(keys=["a"], all=True)
    with refused(Code.INVALID_ARGUMENT, "FILTER_INVALID"):
        await shelf.invalidate(filter="nonsense = 1")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await Shelf(shelf.client, "caches/none").invalidate(all=True)


async def test_no_read_after_the_answer_sees_the_old_value(shelf: Shelf) -> None:
    for number in range(20):
        await shelf.put("k", str(number).encode(), tags=["t"])
        reads = [asyncio.create_task(shelf.reason("k")) for _ in range(5)]
        await shelf.invalidate(tags=["t"])
        assert await shelf.reason("k") == "ENTRY_NOT_FOUND"
        await asyncio.gather(*reads)


async def test_swept_entries_leave_nothing_behind(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache())
    await shelf.put("k", b"x", ttl=Duration(nanos=50_000_000), tags=["t"])

    async def swept() -> bool:
        return await shelf.reason("k") == "ENTRY_NOT_FOUND"

    await eventually(swept)
    assert await shelf.invalidate(tags=["t"]) == 0
