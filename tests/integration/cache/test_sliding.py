from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.cache.v1 import cache_pb2 as pb

from tests.integration.cache.calls import Shelf, accesses_stored, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def sliding(client: Any, make_cache: Any, **rules: Any) -> Shelf:
    return Shelf(client, await make_cache(sliding=True, **rules))


async def test_accesses_keep_an_entry_alive(client: Any, make_cache: Any) -> None:
    shelf = await sliding(client, make_cache, default_ttl=Duration(seconds=1))
    await shelf.put("used", b"x")
    await shelf.put("unused", b"x")
    ends = time.monotonic() + 1.6
    while time.monotonic() < ends:
        assert (await shelf.get("used")).inline_value == b"x"
        await asyncio.sleep(0.1)
    assert await shelf.reason("unused") in ("ENTRY_EXPIRED", "ENTRY_NOT_FOUND")


async def test_an_access_tells_the_new_end_and_stores_it(client: Any, make_cache: Any) -> None:
    shelf = await sliding(client, make_cache, default_ttl=Duration(seconds=1000))
    put = await shelf.put("k", b"x")
    got = await shelf.get("k")
    assert got.expire_time.ToMicroseconds() > put.expire_time.ToMicroseconds()

    async def stored() -> bool:
        seen = await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)
        return seen.expire_time.ToMicroseconds() > put.expire_time.ToMicroseconds() and seen.hit_count == 1

    await eventually(stored)


async def test_a_look_without_the_value_renews_nothing(client: Any, make_cache: Any) -> None:
    shelf = await sliding(client, make_cache, default_ttl=Duration(seconds=1000))
    put = await shelf.put("k", b"x")
    for _ in range(3):
        assert (await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)).expire_time == put.expire_time


async def test_an_absolute_end_and_no_end_do_not_slide(client: Any, make_cache: Any) -> None:
    shelf = await sliding(client, make_cache)
    end = Timestamp(seconds=4_000_000_000)
    await shelf.put("absolute", b"x", expire_time=end)
    await shelf.put("endless", b"x", ttl=Duration())
    assert (await shelf.get("absolute")).expire_time == end
    assert not (await shelf.get("endless")).HasField("expire_time")


async def test_a_shorter_life_is_not_undone_by_an_access_before_it(client: Any, make_cache: Any) -> None:
    shelf = await sliding(client, make_cache, default_ttl=Duration(seconds=1000))
    await shelf.put("k", b"x")
    await shelf.get("k")
    touched = await shelf.touch("k", ttl=Duration(seconds=100))
    await accesses_stored(shelf)
    seen = await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)
    assert seen.expire_time == touched.expire_time


async def test_a_cache_that_does_not_slide_does_not(shelf: Shelf) -> None:
    put = await shelf.put("k", b"x")
    assert (await shelf.get("k")).expire_time == put.expire_time
