from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Code

from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.moves import hears_of_a_move

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_one_answered_the_other_sees(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    for value in (b"small", b"L" * 200_000):
        put = await one.put("k", value)
        got = await two.get("k")
        assert (got.inline_value, got.etag) == (value, put.etag)
    await two.invalidate(all=True)
    assert await one.reason("k") == "ENTRY_NOT_FOUND"


async def test_new_rules_hold_on_both_at_once(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    await two.put("k", b"x" * 20)
    await one.client.cache.UpdateCache(
        pb.UpdateCacheRequest(cache=pb.Cache(name=one.name, max_entry_bytes=10, default_ttl=Duration(seconds=33)))
    )
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE"):
        await two.put("k", b"x" * 20)
    assert (await two.put("k", b"x")).ttl.seconds == 33


async def test_a_deleted_cache_is_gone_on_both(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    await two.put("k", b"x")
    assert await two.reason("k") == ""
    await one.client.cache.DeleteCache(pb.DeleteCacheRequest(name=one.name, force=True))
    assert await two.reason("k") == "CACHE_NOT_FOUND"
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await two.put("k", b"x")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await two.keys()
    await one.client.cache.CreateCache(pb.CreateCacheRequest(cache_id=one.name[7:], cache=pb.Cache()))
    assert await two.reason("k") == "ENTRY_NOT_FOUND"


async def test_no_increment_is_lost_between_them(twins: tuple[Shelf, Shelf]) -> None:
    async def many(shelf: Shelf) -> None:
        for _ in range(20):
            await shelf.increment("n")

    await asyncio.gather(*(many(shelf) for shelf in twins for _ in range(3)))
    assert {(await shelf.get("n")).counter_value for shelf in twins} == {120}


async def test_the_same_request_at_both_counts_once(twins: tuple[Shelf, Shelf]) -> None:
    request_id = str(uuid4())
    answers = await asyncio.gather(*(shelf.increment("n", request_id=request_id) for shelf in twins * 3))
    assert {answer.counter_value for answer in answers} == {1}


async def test_accesses_of_both_are_counted(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    await one.put("k", b"x")
    for shelf in (one, two, two):
        await shelf.get("k")

    async def counted() -> bool:
        return (await one.get("k", view=pb.ENTRY_VIEW_BASIC)).hit_count == 3

    await eventually(counted)


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "changed"])
async def test_who_waits_hears_at_once_that_the_cache_moved(
    twins: tuple[Shelf, Shelf], deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = twins
    await hears_of_a_move(twins, one, deleted, monkeypatch)
