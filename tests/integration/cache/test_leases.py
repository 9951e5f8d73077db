"""LeaseEntry, ExtendLease, ReleaseLease: of many who miss one computes, and the others get what it puts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code, Conflict
from sutler.server import running
from sutler.testing import ServiceProcess

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_AT_ALL = Duration()
SOON = Duration(nanos=100_000_000)
LONG = Duration(seconds=60)


async def ask(shelf: Shelf, key: str = "k", **fields: Any) -> pb.LeaseEntryResponse:
    return await shelf.client.cache.LeaseEntry(pb.LeaseEntryRequest(cache=shelf.name, key=key, **fields))


async def lease(shelf: Shelf, key: str = "k", **fields: Any) -> pb.Lease:
    answer = await ask(shelf, key, wait_timeout=NOT_AT_ALL, **fields)
    assert answer.WhichOneof("result") == "lease"
    return answer.lease


async def extend(shelf: Shelf, held: pb.Lease, **fields: Any) -> pb.Lease:
    request = pb.ExtendLeaseRequest(cache=shelf.name, key=held.key, lease_token=held.lease_token, **fields)
    return await shelf.client.cache.ExtendLease(request)


async def release(shelf: Shelf, held: pb.Lease, **fields: Any) -> None:
    request = pb.ReleaseLeaseRequest(cache=shelf.name, key=held.key, lease_token=held.lease_token, **fields)
    await shelf.client.cache.ReleaseLease(request)


async def put_with(shelf: Shelf, held: pb.Lease, value: bytes = b"computed", **fields: Any) -> pb.Entry:
    return await shelf.put(held.key, value, condition=pb.PutCondition(lease_token=held.lease_token), **fields)


async def is_held(shelf: Shelf, key: str = "k") -> bool:
    """Whether somebody has the lease of a key; if nobody has, it is taken and given back."""
    try:
        answer = await ask(shelf, key, wait_timeout=NOT_AT_ALL)
    except Conflict:
        return True
    await release(shelf, answer.lease)
    return False


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(client: Sutler, place: Place) -> AsyncIterator[Sutler]:
    """A second server over the data of the first."""
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as connection:
        yield connection


@pytest.fixture
def twins(shelf: Shelf, other: Sutler) -> tuple[Shelf, Shelf]:
    """One cache through two servers."""
    return shelf, Shelf(other, shelf.name)


async def test_a_miss_gives_a_lease_and_its_put_is_what_the_next_one_gets(shelf: Shelf) -> None:
    held = await lease(shelf, lease_duration=LONG)
    assert (held.cache, held.key, held.HasField("stale_entry")) == (shelf.name, "k", False)
    assert 55 < held.expire_time.ToMicroseconds() / 1e6 - time.time() < 61
    put = await put_with(shelf, held)
    answer = await ask(shelf)
    assert (answer.entry.inline_value, answer.entry.etag, answer.entry.key) == (b"computed", put.etag, "k")
    with refused(Code.ABORTED, "LEASE_LOST", cache=shelf.name, key="k"):
        await put_with(shelf, held, b"again")


async def test_a_hit_counts_as_an_access(shelf: Shelf) -> None:
    await shelf.put("k", b"x")
    for _ in range(3):
        assert (await ask(shelf)).entry.inline_value == b"x"

    async def counted() -> bool:
        return (await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)).hit_count == 3

    await eventually(counted)


async def test_values_come_as_a_get_gives_them(shelf: Shelf) -> None:
    for key, size in (("middle", 300_000), ("large", 2_000_000)):
        await shelf.write(key, *[b"x" * 100_000] * (size // 100_000))
        got, asked = await shelf.get(key), (await ask(shelf, key)).entry
        assert got.WhichOneof("value") == ("inline_value" if size < 1 << 20 else "blob")
        for entry in (got, asked):
            entry.ClearField("hit_count")
            entry.ClearField("access_time")
        assert asked == got


@pytest.mark.timeout(120)
async def test_of_a_thousand_misses_one_computes_and_all_get_its_value(twins: tuple[Shelf, Shelf]) -> None:
    given: list[str] = []

    async def use(shelf: Shelf) -> bytes:
        answer = await ask(shelf, lease_duration=LONG, wait_timeout=LONG)
        if answer.WhichOneof("result") == "entry":
            return answer.entry.inline_value
        given.append(answer.lease.lease_token)
        await eventually(lambda: is_held(shelf))
        await put_with(shelf, answer.lease, b"computed once")
        return b"computed once"

    values = await asyncio.gather(*(use(twins[number % 2]) for number in range(1000)))
    assert set(values) == {b"computed once"}
    assert len(given) == 1


async def test_a_lease_that_is_given_back_goes_to_exactly_one_of_those_who_wait(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    held = await lease(one, lease_duration=LONG)
    waiting = [asyncio.create_task(ask(shelf, lease_duration=LONG, wait_timeout=LONG)) for shelf in (one, two) * 5]
    for left in range(len(waiting), 0, -1):
        await release(one, held)
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(pending)) == (1, left - 1)
        assert await is_held(two)
        held, waiting = done.pop().result().lease, list(pending)
    await put_with(two, held)


async def test_a_lease_that_nobody_puts_ends_on_its_own(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    first = await lease(one, lease_duration=Duration(nanos=400_000_000))
    began = time.monotonic()
    second = (await ask(two, wait_timeout=LONG)).lease
    assert 0.3 < time.monotonic() - began < 5
    assert second.lease_token != first.lease_token
    with refused(Code.ABORTED, "LEASE_LOST"):
        await put_with(one, first)
    with refused(Code.ABORTED, "LEASE_LOST"):
        await extend(one, first)
    await put_with(two, second)


async def test_a_lease_can_be_extended(shelf: Shelf) -> None:
    held = await lease(shelf, lease_duration=Duration(nanos=500_000_000))
    request_id = str(uuid4())
    longer = await extend(shelf, held, lease_duration=LONG, request_id=request_id)
    assert longer.lease_token == held.lease_token
    assert longer.expire_time.ToMicroseconds() - held.expire_time.ToMicroseconds() > 50_000_000
    assert await extend(shelf, held, lease_duration=LONG, request_id=request_id) == longer
    with refused(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"):
        await extend(shelf, held, lease_duration=SOON, request_id=request_id)
    with refused(Code.ABORTED, "LEASE_LOST", key="k"):
        await extend(shelf, pb.Lease(key="k", lease_token=held.lease_token[:-1] + "!"))
    await release(shelf, pb.Lease(key="k", lease_token="another"))
    await put_with(shelf, longer)
    await release(shelf, longer)
    with refused(Code.ABORTED, "LEASE_LOST"):
        await extend(shelf, longer)


async def test_a_repeat_gets_the_same_lease_while_it_lasts(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    request_id = str(uuid4())
    first = await lease(one, request_id=request_id, lease_duration=LONG)
    assert await lease(two, request_id=request_id.upper(), lease_duration=LONG) == first
    answers = await asyncio.gather(*(ask(shelf, request_id=request_id) for shelf in twins * 3))
    assert {answer.lease.lease_token for answer in answers} == {first.lease_token}
    await release(one, first)
    second = await lease(one, request_id=request_id)
    assert second.lease_token != first.lease_token
    with refused(Code.ABORTED, "LEASE_LOST"):
        await put_with(one, first)


async def test_who_may_not_wait_longer_is_told_when_the_lease_ends(shelf: Shelf) -> None:
    held = await lease(shelf, lease_duration=LONG)
    for wait, least in ((NOT_AT_ALL, 0.0), (Duration(nanos=300_000_000), 0.25)):
        began = time.monotonic()
        with refused(Code.ABORTED, "LEASE_HELD", cache=shelf.name, key="k") as caught:
            await ask(shelf, wait_timeout=wait)
        assert least <= time.monotonic() - began < 5
        told = Timestamp()
        told.FromJsonString(caught.value.metadata["expire_time"])
        assert told == held.expire_time
        assert 50 < caught.value.retry_after.total_seconds() < 61
    with refused(Code.ABORTED, "LEASE_HELD"):
        await shelf.client.cache.LeaseEntry(
            pb.LeaseEntryRequest(cache=shelf.name, key="k", wait_timeout=LONG), timeout=1.0
        )


async def test_a_caller_who_goes_away_leaves_nothing(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    held = await lease(one, lease_duration=LONG)
    waiting = [asyncio.create_task(ask(shelf, lease_duration=LONG, wait_timeout=LONG)) for shelf in (one, two) * 20]
    assert await is_held(one) and await is_held(two)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await is_held(one) and await is_held(two)  # each server knows by now who has gone
    await release(one, held)

    async def free() -> bool:
        return not await is_held(two)

    await eventually(free)


@pytest.fixture
def stale_cache(client: Sutler, make_cache: Any) -> Any:
    async def make(**rules: Any) -> Shelf:
        shelf = Shelf(client, await make_cache(stale_retention=Duration(seconds=3600), **rules))
        await shelf.put("k", b"old", tags=["t"])
        await shelf.invalidate(keys=["k"], expire_only=True)
        return shelf

    return make


async def test_a_stale_value_is_given_to_whoever_allows_it(stale_cache: Any) -> None:
    shelf = await stale_cache()
    held = await lease(shelf, max_stale=LONG, lease_duration=LONG)
    assert (held.stale_entry.inline_value, held.stale_entry.tags) == (b"old", ["t"])
    began = time.monotonic()
    answer = await ask(shelf, max_stale=LONG, wait_timeout=LONG)
    assert answer.stale_entry.inline_value == b"old"
    assert time.monotonic() - began < 5
    for fields in ({}, {"max_stale": Duration(nanos=1000)}):
        with refused(Code.ABORTED, "LEASE_HELD"):
            await ask(shelf, wait_timeout=NOT_AT_ALL, **fields)
    assert await shelf.reason("k") == "ENTRY_EXPIRED"
    await put_with(shelf, held, b"new")
    assert (await ask(shelf, max_stale=LONG)).entry.inline_value == b"new"


async def test_of_many_who_allow_a_stale_value_one_computes(stale_cache: Any) -> None:
    shelf = await stale_cache()
    answers = await asyncio.gather(*(ask(shelf, max_stale=LONG, lease_duration=LONG) for _ in range(100)))
    kinds = [answer.WhichOneof("result") for answer in answers]
    assert (kinds.count("lease"), kinds.count("stale_entry")) == (1, 99)
    assert {answer.stale_entry.inline_value for answer in answers if answer.HasField("stale_entry")} == {b"old"}


async def test_stale_values_are_not_kept_longer_than_the_cache_says(client: Sutler, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache())
    await shelf.put("k", b"old")
    await shelf.invalidate(keys=["k"], expire_only=True)
    assert not (await lease(shelf, max_stale=LONG)).HasField("stale_entry")


@pytest.mark.parametrize(
    ("selector", "ended"),
    [
        ({"keys": ["k", "none"]}, True),
        ({"keys": ["other"]}, False),
        ({"tags": ["given", "none"]}, True),
        ({"tags": ["old"]}, True),
        ({"tags": ["none"]}, False),
        ({"prefix": "k"}, True),
        ({"prefix": "kk"}, False),
        ({"filter": "size_bytes > 1000"}, True),
        ({"all": True}, True),
    ],
)
@pytest.mark.parametrize("expire_only", [False, True])
async def test_what_was_computed_before_an_invalidation_never_gets_in(
    stale_cache: Any, selector: dict[str, Any], ended: bool, expire_only: bool
) -> None:
    shelf = await stale_cache()
    await shelf.invalidate(tags=["t"], expire_only=True)
    await shelf.put("k", b"older", tags=["old"])
    await shelf.invalidate(keys=["k"], expire_only=True)
    held = await lease(shelf, tags=["given"], lease_duration=LONG)
    await shelf.invalidate(**selector, expire_only=expire_only, validate_only=True)
    assert await is_held(shelf)
    await shelf.invalidate(**selector, expire_only=expire_only)
    assert await is_held(shelf) is not ended
    if ended:
        with refused(Code.ABORTED, "LEASE_LOST"):
            await put_with(shelf, held)
    else:
        await put_with(shelf, held)


async def test_every_other_change_of_the_key_ends_its_lease(shelf: Shelf) -> None:
    async def batch() -> None:
        rows = [pb.PutEntryRow(key="k", entry=pb.Entry(inline_value=b"x"))]
        await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))

    async def batch_delete() -> None:
        rows = [pb.DeleteEntryRow(key="k")]
        request = pb.BatchDeleteEntriesRequest(cache=shelf.name, rows=rows, allow_missing=True)
        await shelf.client.cache.BatchDeleteEntries(request)

    ways = (
        lambda: shelf.put("k", b"x"),
        lambda: shelf.put("k", counter_value=1),
        lambda: shelf.increment("k"),
        lambda: shelf.write("k", b"x" * 100_000),
        batch,
        batch_delete,
        lambda: shelf.delete("k", allow_missing=True),
    )
    for way in ways:
        held = await lease(shelf, lease_duration=LONG)
        await shelf.put("another", b"x")
        assert await is_held(shelf)
        await way()
        with refused(Code.ABORTED, "LEASE_LOST"):
            await put_with(shelf, held)
        await shelf.delete("k", allow_missing=True)


async def test_rows_and_streams_put_with_a_lease(shelf: Shelf) -> None:
    async def put_rows(*held: pb.Lease) -> list[str]:
        rows = [
            pb.PutEntryRow(
                key=one.key, entry=pb.Entry(inline_value=b"v"), condition=pb.PutCondition(lease_token=one.lease_token)
            )
            for one in held
        ]
        answer = await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
        return [result.WhichOneof("result") for result in answer.results]

    first, second = await lease(shelf, "a"), await lease(shelf, "b")
    await release(shelf, second)
    assert await put_rows(first, second, first) == ["entry", "status", "status"]
    third = await lease(shelf, "c")
    condition = pb.PutCondition(lease_token=third.lease_token)
    request_id = str(uuid4())
    wrote = await shelf.write("c", b"x" * 100_000, condition=condition, request_id=request_id)
    assert await shelf.write("c", b"x" * 100_000, condition=condition, request_id=request_id) == wrote
    with refused(Code.ABORTED, "LEASE_LOST"):
        await shelf.write("c", b"y", condition=condition)


async def test_keys_of_any_kind_have_leases(shelf: Shelf) -> None:
    for key in ("../..", "nul\0\x01", "ü" * 512, "\U0010ffff"):
        held = await lease(shelf, key)
        assert held.key == key
        with refused(Code.ABORTED, "LEASE_HELD", key=key):
            await ask(shelf, key, wait_timeout=NOT_AT_ALL)
        await put_with(shelf, held)
        assert (await ask(shelf, key)).entry.inline_value == b"computed"
    with refused(Code.INVALID_ARGUMENT, "NUL_CHARACTER"):
        await ask(shelf, tags=["\0"])
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await ask(Shelf(shelf.client, "caches/none"))


async def test_who_waits_in_a_cache_that_is_deleted_is_told(twins: tuple[Shelf, Shelf]) -> None:
    one, two = twins
    held = await lease(one, lease_duration=LONG)
    waiting = [asyncio.create_task(ask(shelf, wait_timeout=LONG)) for shelf in twins]
    await one.client.cache.UpdateCache(pb.UpdateCacheRequest(cache=pb.Cache(name=one.name, display_name="x")))
    assert await is_held(two)
    await one.client.cache.DeleteCache(pb.DeleteCacheRequest(name=one.name, force=True))
    for task in waiting:
        with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
            await task
    await one.client.cache.CreateCache(pb.CreateCacheRequest(cache_id=one.name[7:], cache=pb.Cache()))
    with refused(Code.ABORTED, "LEASE_LOST"):
        await put_with(two, held)


async def test_a_damaged_entry_is_a_miss(sqlite_settings: Settings) -> None:
    async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
        await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache(inline_limit_bytes=0)))
        shelf = Shelf(client, "caches/c")
        await shelf.put("k", b"x" * 100)
        [path] = list(sqlite_settings.blob_folder.glob("*/??/*"))
        path.write_bytes(b"y" * path.stat().st_size)
        held = await lease(shelf, lease_duration=LONG)
        waiting = asyncio.create_task(ask(shelf, wait_timeout=LONG))
        assert await is_held(shelf)
        await put_with(shelf, held)
        assert (await waiting).entry.inline_value == b"computed"


async def test_a_server_that_stops_tells_those_who_wait(place: Place) -> None:
    async with AsyncExitStack() as stack:
        async with running(app, settings_of(place, drain_seconds=60, drain_pause_seconds=0.5), "cache") as server:
            client = await stack.enter_async_context(connect(server.address, attempts=1))
            wanted = pb.CreateCacheRequest(cache_id=f"c{uuid4().hex[:12]}", cache=pb.Cache())
            shelf = Shelf(client, (await client.cache.CreateCache(wanted)).name)
            await lease(shelf, lease_duration=LONG)
            waiting = [asyncio.create_task(ask(shelf, wait_timeout=LONG)) for _ in range(5)]
            assert await is_held(shelf)
        for task in waiting:
            with refused(Code.UNAVAILABLE, "SHUTTING_DOWN"):
                await task


@pytest.mark.timeout(120)
async def test_a_holder_that_is_killed_frees_the_lease(sqlite_settings: Settings, tmp_path: Path) -> None:
    """Two processes on one SQLite file: the caller of the one dies with it, the other one gets the lease."""
    data, blobs = sqlite_settings.data, str(sqlite_settings.blob_folder)

    def process() -> ServiceProcess:
        return ServiceProcess("services.cache", "SUTLER_CACHE_", folder=tmp_path, data=data, blobs=blobs)

    with process() as first, process() as second:
        await first.serving()
        await second.serving()
        async with connect(first.address, attempts=1) as here, connect(second.address) as there:
            await here.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache()))
            one, two = Shelf(here, "caches/c"), Shelf(there, "caches/c")
            held = await lease(one, lease_duration=Duration(seconds=2))
            waiting = asyncio.create_task(ask(two, wait_timeout=LONG))
            assert await is_held(two)
            first.kill()
            answer = await waiting
            assert answer.lease.lease_token
            with refused(Code.ABORTED, "LEASE_LOST"):
                await put_with(two, held)
            await put_with(two, answer.lease)


async def stats_of(shelf: Shelf) -> pb.CacheStats:
    return await shelf.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name))


async def test_what_calls_find_is_counted(stale_cache: Any) -> None:
    shelf = await stale_cache()
    held = await lease(shelf, lease_duration=LONG)
    await ask(shelf, max_stale=LONG)
    waiting = [asyncio.create_task(ask(shelf, wait_timeout=LONG)) for _ in range(3)]

    async def three_wait() -> bool:
        return (await stats_of(shelf)).waiter_count == 3

    await eventually(three_wait)
    await put_with(shelf, held)
    for task in waiting:
        assert (await task).entry.inline_value == b"computed"
    await lease(shelf, "absent")

    async def nobody_waits() -> bool:
        return (await stats_of(shelf)).waiter_count == 0

    await eventually(nobody_waits)
    stats = await stats_of(shelf)
    assert (stats.lease_count, stats.stale_hit_count, stats.hit_count) == (2, 1, 3)
    assert (stats.absent_count, stats.expired_count) == (1, 5)


async def test_leases_without_a_put_of_their_holder_count_as_lost(twins: tuple[Shelf, Shelf]) -> None:
    shelf, other = twins
    for key in ("good", "released", "taken", "invalidated", "deleted"):
        held = await lease(shelf, key, lease_duration=LONG)
        if key == "good":
            await put_with(shelf, await extend(shelf, held))
        elif key == "released":
            await release(other, held)
            await release(other, held)
    await lease(shelf, "over", lease_duration=SOON)
    await other.put("taken", b"mine")
    await shelf.invalidate(prefix="inv")
    await other.delete("deleted", allow_missing=True)

    async def counts() -> bool:
        stats = await shelf.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name))
        return (stats.lease_count, stats.lease_lost_count) == (6, 5)

    await eventually(counts)
