"""Values through a real channel: put, get and all else that one does with them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pydantic import SecretStr
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.client.cache import MISSING, Cache, Handlers, NearCache, ValueUnreadable, cached, open, open_sync
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound, Unavailable
from sutler.server import Running, running
from sutler.testing import wait_until

from services.cache.app import app
from services.cache.settings import Settings
from tests.unit.client_cache.test_handlers import Points
from tests.unit.client_cache.values import Point

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("value", [None, [], "", b"", 0, False, {"a": [1, None]}, (1, {2}), 2**70, b"x" * 1_048_576])
async def test_what_is_put_is_what_is_got(cache: Cache, value: Any) -> None:
    entry = await cache.put("k", value)
    assert await cache.get("k", MISSING) == value
    assert type(await cache.get("k")) is type(value)
    assert entry.etag and entry.data_type == cache.handlers.writer(value).data_type


@pytest.mark.parametrize("key", ["../k", "\0", "ключ", "x" * 1024])
async def test_any_text_is_a_key(cache: Cache, key: str) -> None:
    await cache.put(key, 1)
    assert [entry.key async for entry in cache.entries()] == [key]
    assert await cache.delete(key) is True
    assert await cache.get(key, MISSING) is MISSING


async def test_large_values_go_through_streams(cache: Cache) -> None:
    array = np.random.default_rng(1).random((500, 1000))
    frame = pd.DataFrame({"a": np.arange(300_000), "b": ["x"] * 300_000})
    other = pl.DataFrame({"a": np.arange(300_000), "b": ["y"] * 300_000})
    await cache.put_many({"array": array, "pandas": frame, "polars": other, "bytes": b"x" * 5_000_001})
    found = await cache.get_many(["array", "pandas", "polars", "bytes", "none"])
    assert set(found) == {"array", "pandas", "polars", "bytes"} and found["bytes"] == b"x" * 5_000_001
    np.testing.assert_array_equal(found["array"], array)
    found["array"][0] = 0
    pd.testing.assert_frame_equal(found["pandas"], frame)
    assert found["polars"].equals(other)
    shared = await cache.get("array", copy=False)
    with pytest.raises(ValueError, match="read-only"):
        shared[0] = 1
    entry = await cache.entry("array")
    assert entry is not None and entry.metadata == {"dtype": "float64", "shape": [500, 1000]}


async def test_metadata_tags_and_lives_are_told_and_found(cache: Cache) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    await cache.put("a", pd.DataFrame({"x": [1, 2]}), tags=["t"], metadata={"rows": 5, "team": "fx"}, ttl=60)
    await cache.put("b", 1, expire_time=soon)
    await cache.put("c", 1, ttl=timedelta(0))
    value, entry = await cache.get_with_entry("a") or (None, None)
    assert value is not None and entry is not None
    assert (entry.tags, entry.ttl, entry.data_type) == (("t",), timedelta(seconds=60), "pandas")
    assert entry.metadata == {"rows": 5, "columns": ["x"], "team": "fx"}
    found = {each.key: each async for each in cache.entries()}
    assert found["b"].expire_time is not None and abs(found["b"].expire_time - soon) < timedelta(milliseconds=1)
    assert (found["c"].ttl, found["c"].expire_time) == (None, None)
    assert [each.key async for each in cache.entries(filter='metadata.team = "fx" AND metadata.rows > 4')] == ["a"]
    assert [each.key async for each in cache.entries(prefix="b")] == ["b"]
    assert [each.key async for each in cache.entries(order_by="key desc")] == ["c", "b", "a"]


async def test_conditions_are_those_of_the_contract(cache: Cache) -> None:
    first = await cache.put("k", 1, if_absent=True)
    with pytest.raises(AlreadyExists):
        await cache.put("k", 2, if_absent=True)
    await cache.put("k", 3, etag=first.etag)
    with pytest.raises(Conflict):
        await cache.put("k", 4, etag=first.etag)
    assert await cache.get("k") == 3


async def test_entries_can_be_touched_counted_and_invalidated(cache: Cache) -> None:
    assert await cache.touch("k", ttl=5) is None and not await cache.exists("k") and not await cache.delete("k")
    await cache.put("k", 1, tags=["t"])
    touched = await cache.touch("k", ttl=5)
    assert touched is not None and touched.ttl == timedelta(seconds=5)
    assert [await cache.increment("n", 5, initial=10), await cache.increment("n")] == [15, 16]
    assert await cache.get("n") == 16
    assert await cache.touch_many(["k", "none"], ttl=7) == 1
    touched = await cache.entry("k")
    assert touched is not None and touched.ttl == timedelta(seconds=7)
    assert await cache.invalidate(tags=["t"]) == 1 and not await cache.exists("k")
    await cache.put_many({"a1": 1, "a2": 2, "b": 3})
    assert await cache.invalidate(prefix="a") == 2
    assert await cache.invalidate(keys=["b", "x"]) == 1
    assert await cache.invalidate(filter='key = "n"') == 1
    assert await cache.invalidate(all=True) == 0


async def test_stats_tell_sizes_and_how_often_values_were_found(cache: Cache) -> None:
    await cache.put("a", b"x" * 100)
    await cache.put("b", "y")
    assert [await cache.get("a"), await cache.get("none")] == [b"x" * 100, None]

    async def counted() -> bool:
        stats = await cache.stats()
        return (stats.entry_count, stats.put_count, stats.hit_count, stats.absent_count) == (2, 2, 1, 1)

    await wait_until(counted)
    assert (await cache.stats()).size_bytes >= 101


async def test_what_is_wrong_is_found_and_mended(sqlite_settings: Settings) -> None:
    async with (
        running(app, sqlite_settings, "cache") as server,
        open("prices", server.address, rules=pb.Cache()) as cache,
    ):
        await cache.put_many({"small": 1, "large": b"x" * 3_000_000})
        assert (await cache.verify()).problem_count == 0
        [blob] = [
            file
            for file in Path(str(sqlite_settings.blobs)).rglob("*")
            if file.is_file() and file.stat().st_size > 1000
        ]
        blob.write_bytes(b"")
        assert (await cache.verify(metadata_only=True)).problem_count == 1
        assert (await cache.verify(repair=True)).removed_count == 1
        assert [entry.key async for entry in cache.entries()] == ["small"]


async def test_a_closed_cache_says_so(server: Running, sutler: Sutler, name: str) -> None:
    calls: list[Callable[[Cache], Any]] = [
        lambda cache: cache.get("k"),
        lambda cache: cache.put("k", 1),
        lambda cache: cache.exists("k"),
        lambda cache: cache.invalidate(all=True),
        lambda cache: cache.get_many(["k"]),
        lambda cache: cached(cache=cache)(one)(),
        lambda cache: cached(cache=cache)(one).invalidate(),
    ]
    for at in (server.address, sutler):
        async with open(name, at, rules=pb.Cache(), near=NearCache()) as cache:
            assert await cache.get("k") is None
        for call in calls:
            with pytest.raises(RuntimeError, match=f"caches/{name} is closed"):
                await call(cache)


async def one() -> int:
    return 1


async def test_a_cache_whose_loop_has_ended_says_that_it_is_closed(free_port: int) -> None:
    async def opened() -> Cache:
        async with open("prices", f"127.0.0.1:{free_port}") as cache:
            return cache

    cache = await asyncio.to_thread(asyncio.run, opened())
    for call in (cached(cache=cache)(one)(), cached(cache=cache)(one).invalidate(), cache.get("k")):
        with pytest.raises(RuntimeError, match="is closed"):
            await call


async def test_what_is_no_text_is_no_key(cache: Cache) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda key: cache.get(key),
        lambda key: cache.put(key, 1),
        lambda key: cache.entry(key),
        lambda key: cache.delete(key),
        lambda key: cache.touch(key),
        lambda key: cache.increment(key),
        lambda key: cache.get_or_compute(key, one),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="key_of"):
            await call(5)


async def test_one_text_is_not_taken_for_its_letters(cache: Cache) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda given: cache.put("k", 1, tags=given),
        lambda given: cache.put_many({"k": 1}, tags=given),
        lambda given: cache.get_many(given),
        lambda given: cache.invalidate(keys=given),
        lambda given: cache.invalidate(tags=given),
        lambda given: cache.get_or_compute("k", one, tags=given),
        lambda given: cached(cache=cache, tags=lambda: given)(one)(),
    ]
    for call in calls:
        for wrong in ("fx", [1]):
            with pytest.raises(TypeError, match="text"):
                await call(wrong)
    assert not await cache.exists("k")


async def test_times_are_checked_before_any_call(cache: Cache) -> None:
    calls: list[Callable[[Any], Awaitable[Any]]] = [
        lambda given: cache.put("k", 1, ttl=given),
        lambda given: cache.put_many({"k": 1}, ttl=given),
        lambda given: cache.touch("k", ttl=given),
        lambda given: cache.touch_many(["k"], ttl=given),
        lambda given: cache.increment("k", ttl=given),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="ttl is '60s': give seconds or a timedelta"):
            await call("60s")
    assert not await cache.exists("k")


async def test_of_many_puts_one_error_is_raised_as_it_is(cache: Cache) -> None:
    with pytest.raises(TypeError, match="no handler"):
        await cache.put_many({"a": 1, "b": object()})


async def test_a_cache_that_is_not_there_is_no_miss(sutler: Sutler, name: str) -> None:
    async with open(name, sutler) as cache:
        for call in (cache.get("k"), cache.exists("k"), cache.delete("k"), cache.get_many(["k"]), cache.put("k", 1)):
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.reason == "CACHE_NOT_FOUND"


async def test_a_cache_that_is_down_is_no_miss(free_port: int) -> None:
    async with open("prices", f"127.0.0.1:{free_port}") as cache:
        with pytest.raises(Unavailable):
            await cache.get("k")


async def test_what_other_clients_put_is_read(cache: Cache, sutler: Sutler) -> None:
    async def put(key: str, **fields: Any) -> None:
        await sutler.cache.PutEntry(pb.PutEntryRequest(cache=cache.name, key=key, entry=pb.Entry(**fields)))

    value = pb.Entry().json_value
    value.struct_value.fields["a"].number_value = 1
    await put("value", json_value=value)
    await put("json", inline_value=b'{"a": 1}', content_type="application/json")
    await put("text", inline_value="é".encode(), content_type="text/plain")
    await put("bytes", inline_value=b"\xff")
    await put("odd", inline_value=b"x", data_type="parquet")
    await put("broken", inline_value=b"x", data_type="numpy")
    found = await cache.get_many(["value", "json", "text", "bytes"])
    assert found == {"value": {"a": 1}, "json": {"a": 1}, "text": "é", "bytes": b"\xff"}
    for key in ("odd", "broken"):
        with pytest.raises(ValueUnreadable, match=key):
            await cache.get(key)


async def test_a_registered_handler_serves_the_next_call(cache: Cache) -> None:
    with pytest.raises(TypeError):
        await cache.put("k", Point(5))
    cache.handlers.register_handler(Points(), priority=0)
    await cache.put("k", Point(5))
    assert await cache.get("k") == Point(5)
    assert [entry.key async for entry in cache.entries(filter='data_type = "point" AND metadata.x = 5')] == ["k"]
    assert cache.handlers.unregister_handler("point") is True
    with pytest.raises(ValueUnreadable):
        await cache.get("k")


async def test_pickle_needs_a_cache_that_signs(sutler: Sutler, name: str, rules: pb.Cache) -> None:
    async with open(name, sutler, rules=rules, handlers=Handlers(executable=["pickle"])) as cache:
        with pytest.raises(FailedPrecondition):
            await cache.put("k", Point(1))
        assert not await cache.exists("k")


async def test_pickled_values_are_read_where_they_are_signed(sqlite_settings: Settings, name: str) -> None:
    key = base64.b64encode(bytes(32)).decode()
    settings = sqlite_settings.model_copy(update={"signing_keys": SecretStr(key)})
    handlers = Handlers(executable=["pickle", "dill"])
    async with (
        running(app, settings, "cache") as server,
        open(name, server.address, rules=pb.Cache(signing=True), handlers=handlers) as cache,
    ):
        entry = await cache.put("k", Point(1, [2]))
        assert (entry.data_type, entry.signed) == ("pickle", True)
        assert await cache.get("k") == Point(1, [2])
        handlers.unregister_handler("pickle")
        assert (await cache.put("d", Point(2))).data_type == "dill" and await cache.get("d") == Point(2)
        with pytest.raises(ValueUnreadable):
            await cache.get("k")


async def test_programs_without_asyncio_use_the_same_values(server: Running, name: str, rules: pb.Cache) -> None:
    def program() -> None:
        with open_sync(name, server.address, rules=rules, handlers=Handlers()) as cache:
            assert cache.put("k", {"a": 1}, ttl=60, tags=["t"]).etag
            assert cache.get("k") == {"a": 1} and cache.get("none", 5) == 5
            assert cache.put_many({"l": [1], "m": (2,)}) and cache.get_many(["l", "m"]) == {"l": [1], "m": (2,)}
            assert [entry.key for entry in cache.entries()] == ["k", "l", "m"]
            assert cache.increment("n", 2) == 2 and cache.exists("n") and cache.delete("n")
            touched, found, entry = cache.touch("k", ttl=5), cache.get_with_entry("k"), cache.entry("k")
            assert touched and found and found[1].tags == ("t",)
            assert entry and entry.ttl == timedelta(seconds=5) and entry.etag == found[1].etag
            assert cache.touch_many(["k", "l", "none"], ttl=5) == 2 and cache.verify().entry_count == 3
            assert cache.invalidate(all=True) == 3
            assert cache.stats().entry_count == 0
        with pytest.raises(RuntimeError, match="is closed"):
            cache.get("k")

    await asyncio.to_thread(program)
