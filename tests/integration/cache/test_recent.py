"""What was answered a moment ago is never given for what has changed since, by whomever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.server import running

from services.cache.adapters.database import DatabaseEntries
from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANGES: dict[str, Callable[[Shelf], Awaitable[object]]] = {
    "put": lambda shelf: shelf.put("k", b"new"),
    "delete": lambda shelf: shelf.delete("k"),
    "touch": lambda shelf: shelf.touch("k", ttl=Duration(seconds=500)),
    "key": lambda shelf: shelf.invalidate(keys=["k"]),
    "tag": lambda shelf: shelf.invalidate(tags=["t"]),
    "prefix": lambda shelf: shelf.invalidate(prefix="k"),
    "filter": lambda shelf: shelf.invalidate(filter="size_bytes > 0"),
    "expire": lambda shelf: shelf.invalidate(prefix="k", expire_only=True),
}


async def seen(shelf: Shelf, key: str = "k") -> str:
    """Returns what both ways to read say of a key, which must be the same."""
    reason = await shelf.reason(key)
    batch = await shelf.client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=shelf.name, keys=["other", key]))
    result = batch.results[1]
    if reason:
        assert not result.HasField("entry")
        return reason
    entry = await shelf.get(key)
    assert (entry.etag, entry.inline_value, entry.ttl) == (
        result.entry.etag,
        result.entry.inline_value,
        result.entry.ttl,
    )
    return f"{entry.inline_value!r} {entry.ttl.seconds}"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_at_once(twins: tuple[Shelf, Shelf], change: str) -> None:
    shelf, other = twins
    await shelf.put("other", b"o", ttl=Duration(seconds=100))
    for changing in (shelf, other, shelf):
        before = await shelf.put("k", b"old", ttl=Duration(seconds=100), tags=["t"])
        assert before.etag and await seen(shelf) == await seen(shelf) == "b'old' 100"
        await CHANGES[change](changing)
        assert await seen(shelf) != "b'old' 100"


async def test_a_counter_is_seen_as_it_is(shelf: Shelf) -> None:
    for number in range(1, 20):
        await shelf.increment("n", delta=1)
        assert [(await shelf.get("n")).counter_value for _ in range(2)] == [number] * 2


async def test_changes_of_others_are_seen_at_once(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    for number in range(30):
        value = b"%d" % number
        writer, reader = (one, two) if number % 3 else (two, one)
        await writer.put("k", value)
        assert [(await reader.get("k")).inline_value for _ in range(2)] == [value] * 2
        await reader.put("mine", b"")
        await writer.put("k", value + b"!")
        await reader.put("mine", b"")
        assert (await reader.get("k")).inline_value == value + b"!"


async def test_new_rules_hold_at_once(shelf: Shelf) -> None:
    await shelf.put("k", b"x")
    assert await shelf.reason("k") == ""
    cache = pb.Cache(name=shelf.name, sliding=True, default_ttl=Duration(seconds=900))
    await shelf.client.cache.UpdateCache(
        pb.UpdateCacheRequest(cache=cache, update_mask=FieldMask(paths=["sliding", "default_ttl"]))
    )
    await shelf.put("k", b"x")
    first = await shelf.get("k")
    await asyncio.sleep(0.05)
    assert (await shelf.get("k")).expire_time.ToMicroseconds() > first.expire_time.ToMicroseconds()
    await shelf.client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))
    assert await shelf.reason("k") == "CACHE_NOT_FOUND"


async def test_an_entry_expires_while_it_is_asked_for(shelf: Shelf) -> None:
    entry = await shelf.put("k", b"x", ttl=Duration(nanos=300_000_000))
    ends = entry.expire_time.ToMicroseconds() / 1e6
    while not (reason := await shelf.reason("k")):
        assert time.time() < ends + 0.1
    assert time.time() >= ends - 0.001
    assert reason == "ENTRY_EXPIRED"


async def test_every_read_counts(shelf: Shelf) -> None:
    await shelf.put("k", b"x")
    for _ in range(5):
        await shelf.get("k")
    batch = pb.BatchGetEntriesRequest(cache=shelf.name, keys=["k"] * 3)
    for _ in range(2):
        await shelf.client.cache.BatchGetEntries(batch)

    async def counted() -> bool:
        listed = await shelf.client.cache.ListEntries(pb.ListEntriesRequest(cache=shelf.name))
        stats = await shelf.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name))
        return (listed.entries[0].hit_count, stats.hit_count) == (11, 11)

    await eventually(counted)


async def test_an_entry_in_demand_is_looked_at_once_a_second(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    get = DatabaseEntries.get

    async def counted(self: DatabaseEntries, *args: object, **fields: object) -> object:
        nonlocal looks
        looks += 1
        return await get(self, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(DatabaseEntries, "get", counted)
    async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
        await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache()))
        shelf = Shelf(client, "caches/c")
        await shelf.put("k", b"x")
        begun = time.monotonic()
        for _ in range(50):
            await shelf.get("k")
        assert 1 <= looks <= 2 + (time.monotonic() - begun)


async def test_nobody_asks_for_the_version_of_what_is_not_kept(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.put("k", b"x")

    async def asked(self: DatabaseEntries, cache: object) -> None:
        raise AssertionError

    monkeypatch.setattr(DatabaseEntries, "version", asked)
    batch = pb.BatchGetEntriesRequest(cache=shelf.name, keys=["k", "other"], view=pb.ENTRY_VIEW_BASIC)
    answer = await shelf.client.cache.BatchGetEntries(batch)
    assert [row.HasField("entry") for row in answer.results] == [True, False]
