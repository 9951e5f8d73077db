from __future__ import annotations

import asyncio
import uuid

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.errors import Code

from tests.integration.cache.calls import Shelf, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

GREATEST = 2**63 - 1


async def test_counting(shelf: Shelf) -> None:
    first = await shelf.increment("n")
    assert first.counter_value == 1
    second = await shelf.increment("n", delta=41)
    assert (second.counter_value, second.create_time) == (42, first.create_time)
    assert second.etag != first.etag
    assert (await shelf.increment("n", delta=-50)).counter_value == -8
    assert (await shelf.increment("n", delta=0)).counter_value == -8
    assert (await shelf.get("n")).counter_value == -8
    assert (await shelf.increment("from", initial_value=100, delta=5)).counter_value == 105


async def test_no_increment_is_lost(shelf: Shelf) -> None:
    async def many() -> None:
        for _ in range(10):
            await shelf.increment("n")

    await asyncio.gather(*(many() for _ in range(10)))
    assert (await shelf.get("n")).counter_value == 100


async def test_a_repeat_counts_once(shelf: Shelf) -> None:
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(*(shelf.increment("n", request_id=request_id) for _ in range(5)))
    assert {answer.counter_value for answer in answers} == {1}
    assert (await shelf.increment("n", request_id=request_id)).counter_value == 1
    assert (await shelf.get("n")).counter_value == 1
    with refused(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"):
        await shelf.increment("n", delta=2, request_id=request_id)


async def test_a_counter_keeps_its_life_and_its_description(shelf: Shelf) -> None:
    await shelf.put("n", counter_value=5, ttl=Duration(seconds=500), tags=["t"], content_type="a/b")
    counted = await shelf.increment("n", ttl=Duration(seconds=9))
    assert (counted.counter_value, counted.ttl.seconds, list(counted.tags)) == (6, 500, ["t"])
    assert (await shelf.increment("new", ttl=Duration(seconds=9))).ttl.seconds == 9


async def test_what_cannot_be_counted(shelf: Shelf) -> None:
    await shelf.put("text", b"5")
    with refused(Code.FAILED_PRECONDITION, "NOT_COUNTER", key="text"):
        await shelf.increment("text")
    await shelf.put("full", counter_value=GREATEST)
    with refused(Code.OUT_OF_RANGE, "COUNTER_OVERFLOW", value=str(GREATEST), delta="1"):
        await shelf.increment("full")
    with refused(Code.OUT_OF_RANGE, "COUNTER_OVERFLOW"):
        await shelf.increment("new", initial_value=GREATEST)
    assert (await shelf.get("full")).counter_value == GREATEST
    assert await shelf.reason("new") == "ENTRY_NOT_FOUND"
