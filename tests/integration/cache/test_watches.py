"""WatchInvalidations: near caches are told of all that they must forget, soon and without a gap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code, OutOfRange, SutlerError
from sutler.filtering import parse
from sutler.server import running
from sutler.testing import ServiceProcess

from services.cache import watching as watching_module
from services.cache.adapters.database import feed
from services.cache.app import app
from services.cache.listing import INVALIDATIONS
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.inside import DATABASES, desk
from tests.integration.cache.places import Place, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

Said = tuple[str, str, str]
"""What, which and why: ``("key", "k", "PUT")``."""


class Watch:
    """One watch, and what it has said."""

    def __init__(self, shelf: Shelf, **fields: Any) -> None:
        request = pb.WatchInvalidationsRequest(cache=shelf.name, **fields)
        self.stream = shelf.client.cache.WatchInvalidations(request)
        self.token = ""
        self.last = pb.WatchInvalidationsResponse()
        self.resets = 0

    async def message(self) -> pb.WatchInvalidationsResponse:
        """Returns the next message, whatever it says."""
        async with asyncio.timeout(20):
            self.last = await anext(self.stream)
        self.token = self.last.resume_token or self.token
        self.resets += self.last.reset
        return self.last

    async def next(self, count: int) -> list[Said]:
        """Returns the next things to forget."""
        found: list[Said] = []
        while len(found) < count:
            found += map(said, (await self.message()).invalidations)
        return found

    async def told(self) -> list[pb.Invalidation]:
        """Returns what the next message that tells something says."""
        while not (await self.message()).invalidations:
            pass
        return list(self.last.invalidations)


def said(told: pb.Invalidation) -> Said:
    scope = told.WhichOneof("scope")
    assert scope is not None
    return scope, str(getattr(told, scope)), pb.Invalidation.Cause.Name(told.cause).removeprefix("CAUSE_")


@asynccontextmanager
async def watching(shelf: Shelf, **fields: Any) -> AsyncIterator[Watch]:
    """Begins a watch; it has begun when the block does."""
    watch = Watch(shelf, **fields)
    if "resume_token" not in fields:
        first = await watch.message()
        assert (list(first.invalidations), first.reset) == ([], True)
    try:
        yield watch
    finally:
        await watch.stream.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(client: Sutler, place: Place) -> AsyncIterator[Sutler]:
    """A second server over the data of the first."""
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as connection:
        yield connection


async def test_every_change_is_told_in_order(shelf: Shelf, other: Sutler) -> None:
    async with watching(shelf) as here, watching(Shelf(other, shelf.name)) as there:
        first = await shelf.put("a\0", b"1")
        second = await shelf.put("a\0", b"2")
        counted = await shelf.increment("n")
        wrote = await shelf.write("large", b"x" * 200_000)
        await shelf.touch("large", ttl=Duration(seconds=10**6))
        await shelf.touch("large", ttl=Duration(seconds=100))
        await shelf.delete("a\0")
        await shelf.delete("none", allow_missing=True)
        await shelf.put("a\0", b"3", condition=pb.PutCondition(absent=True))
        for condition in (pb.PutCondition(absent=True), pb.PutCondition(etag="x"), pb.PutCondition(lease_token="x")):
            with pytest.raises(SutlerError):
                await shelf.put("a\0", b"4", condition=condition)
        expected = [
            ("key", "a\0", "PUT"),
            ("key", "a\0", "PUT"),
            ("key", "n", "PUT"),
            ("key", "large", "PUT"),
            ("key", "large", "TOUCH"),
            ("key", "a\0", "DELETE"),
            ("key", "a\0", "PUT"),
        ]
        for watch in (here, there):
            told: list[pb.Invalidation] = []
            while len(told) < len(expected):
                told += await watch.told()
            assert list(map(said, told)) == expected
            assert [one.etag for one in told[:6]] == [first.etag, second.etag, counted.etag, wrote.etag, "", ""]
            assert all(abs(one.event_time.ToMicroseconds() / 1e6 - time.time()) < 60 for one in told)
            assert watch.resets == 1


async def test_batches_tell_each_row_that_took_effect(shelf: Shelf) -> None:
    async with watching(shelf) as watch:
        rows = [pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=b"x")) for key in "abc"]
        rows[1].condition.etag = "other"
        await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
        gone = [pb.DeleteEntryRow(key=key) for key in "cba"]
        await shelf.client.cache.BatchDeleteEntries(pb.BatchDeleteEntriesRequest(cache=shelf.name, rows=gone))
        assert await watch.next(4) == [
            ("key", "a", "PUT"),
            ("key", "c", "PUT"),
            ("key", "c", "DELETE"),
            ("key", "a", "DELETE"),
        ]


@pytest.mark.parametrize("expire_only", [False, True])
@pytest.mark.parametrize(
    ("selector", "told"),
    [
        ({"keys": ["a", "none\0"]}, {("key", "a"), ("key", "none\0")}),
        ({"tags": ["t", "u"]}, {("tag", "t"), ("tag", "u")}),
        ({"prefix": "a\0"}, {("prefix", "a\0")}),
        ({"filter": "key = a OR key = b"}, {("key", "a"), ("key", "b")}),
        ({"all": True}, {("all", "True")}),
    ],
)
async def test_invalidations_are_told_as_they_were_named(
    shelf: Shelf, selector: dict[str, Any], told: set[tuple[str, str]], expire_only: bool
) -> None:
    """Also those of entries that a near cache may have and this one has not any more, because they were evicted."""
    for key in "abc":
        await shelf.put(key, b"x")
    async with watching(shelf) as watch:
        await shelf.invalidate(**selector, validate_only=True)
        await shelf.invalidate(**selector, expire_only=expire_only)
        await shelf.put("end", b"x")
        found: list[Said] = []
        while ("key", "end", "PUT") not in found:
            found += await watch.next(1)
        assert {(scope, which) for scope, which, cause in found if cause == "INVALIDATE"} == told
        assert {cause for _, _, cause in found} == {"INVALIDATE", "PUT"}


async def test_a_filter_that_matches_many_tells_to_forget_all(shelf: Shelf) -> None:
    for start in range(0, 1300, 650):
        rows = [
            pb.PutEntryRow(key=f"k{number:04}", entry=pb.Entry(inline_value=b"x"))
            for number in range(start, start + 650)
        ]
        await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
    async with watching(shelf) as watch:
        assert await shelf.invalidate(filter='key = "k*"') == 1300
        found = await watch.next(1)
        while found[-1] != ("all", "True", "INVALIDATE"):
            found += await watch.next(1)
        assert len(found) <= 1201


async def test_a_change_is_told_within_a_tenth_of_a_second(shelf: Shelf) -> None:
    async with watching(shelf) as watch:
        late = []
        for _ in range(9):
            await shelf.put("k", b"x")
            began = time.monotonic()
            await watch.next(1)
            late.append(time.monotonic() - began)
    assert sorted(late)[len(late) // 2] < 0.15, late  # the promise, and what a busy test machine adds


async def test_expiry_and_eviction_are_not_told(client: Sutler, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(max_entries=10))
    async with watching(shelf) as watch:
        await shelf.put("short", b"x", ttl=Duration(nanos=50_000_000))
        for number in range(20):
            await shelf.put(f"k{number}", b"x")

        async def evicted() -> bool:
            return len(await shelf.keys(page_size=100)) < 11

        await eventually(evicted)
        await shelf.put("end", b"x")
        found = await watch.next(22)
        assert [which for _, which, _ in found] == ["short", *(f"k{number}" for number in range(20)), "end"]
        assert {cause for _, _, cause in found} == {"PUT"}


async def test_filters(shelf: Shelf) -> None:
    before = Timestamp()
    before.GetCurrentTime()
    filters = {
        'key = "a/*"': ["a/1", "a/1", "t", "True"],
        "cause = CAUSE_DELETE": ["a/1", "t", "True"],
        f'event_time >= "{before.ToJsonString()}" AND NOT key = b': ["a/1", "a/1", "t", "True"],
    }
    async with AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(watching(shelf, filter=text)) for text in filters]
        await shelf.put("a/1", b"x")
        await shelf.put("b", b"x")
        await shelf.delete("a/1")
        await shelf.invalidate(tags=["t"])
        await shelf.invalidate(all=True)
        for watch, expected in zip(watches, filters.values(), strict=True):
            found: list[str] = []
            while "True" not in found:
                found += [which for _, which, _ in await watch.next(1)]
            assert list(dict.fromkeys(found)) == list(dict.fromkeys(expected))
    with refused(Code.INVALID_ARGUMENT, "FILTER_INVALID"):
        await Watch(shelf, filter="etag = x").message()
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await Watch(Shelf(shelf.client, "caches/none")).message()


async def test_who_resumes_misses_nothing(shelf: Shelf, other: Sutler) -> None:
    async with watching(shelf) as watch:
        await shelf.put("a", b"x")
        assert await watch.next(1) == [("key", "a", "PUT")]
    for key in "bcd":
        await shelf.put(key, b"x")
    async with watching(Shelf(other, shelf.name), resume_token=watch.token) as again:
        assert await again.next(3) == [("key", key, "PUT") for key in "bcd"]
        assert again.resets == 0


async def test_tokens_of_another_watch_are_refused(shelf: Shelf, make_cache: Any) -> None:
    async with watching(shelf) as watch:
        pass
    elsewhere = Shelf(shelf.client, await make_cache())
    for where, fields in (
        (elsewhere, {"resume_token": watch.token}),
        (shelf, {"resume_token": watch.token, "filter": "key = a"}),
        (shelf, {"resume_token": "1." + watch.token}),
        (shelf, {"resume_token": "7" + watch.token}),
        (shelf, {"resume_token": "nonsense"}),
    ):
        with refused(Code.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID"):
            await Watch(where, **fields).message()


async def test_a_cache_that_changes_is_to_be_forgotten(shelf: Shelf, other: Sutler) -> None:
    async with watching(shelf) as here, watching(Shelf(other, shelf.name)) as there:
        old = here.token
        await shelf.client.cache.UpdateCache(
            pb.UpdateCacheRequest(cache=pb.Cache(name=shelf.name, default_ttl=Duration(seconds=33)))
        )
        for watch in (here, there):
            assert await watch.next(1) == [("all", "True", "CACHE")]
        await shelf.put("k", b"x")
        for watch in (here, there):
            assert await watch.next(1) == [("key", "k", "PUT")]
            assert watch.resets == 1
    async with watching(shelf, resume_token=old) as late:
        assert await late.next(2) == [("all", "True", "CACHE"), ("key", "k", "PUT")]
        await late.stream.aclose()
        async with watching(shelf, resume_token=late.token) as again:
            await shelf.put("l", b"x")
            assert await again.next(1) == [("key", "l", "PUT")]


async def test_a_cache_that_is_deleted_ends_its_watches(shelf: Shelf, other: Sutler) -> None:
    async with watching(shelf) as here, watching(Shelf(other, shelf.name)) as there:
        await shelf.client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))
        await shelf.client.cache.CreateCache(pb.CreateCacheRequest(cache_id=shelf.name[7:], cache=pb.Cache()))
        for watch in (here, there):
            with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND", cache=shelf.name):
                while True:
                    await watch.message()
            assert watch.last.status.code == Code.NOT_FOUND
    with refused(Code.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID"):
        await Watch(shelf, resume_token=here.token).message()


async def test_a_place_that_is_not_kept_any_more_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEPT_SECONDS", 0.3)
    async with watching(shelf) as watch:
        for number in range(5):
            await shelf.put(f"k{number}", b"x")
        await watch.next(5)
        await shelf.put("later", b"x")
        await eventually(lambda: is_expired(shelf, watch.token))
        with refused(Code.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED") as caught:
            await Watch(shelf, resume_token=watch.token).message()
        assert caught.value.metadata["oldest"]


async def is_expired(shelf: Shelf, token: str) -> bool:
    """Whether a watch cannot be resumed any more."""
    try:
        async with watching(shelf, resume_token=token) as again:
            await again.message()
    except OutOfRange:
        return True
    return False


async def test_what_happened_while_nobody_followed_is_not_hidden(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RENEWED_SECONDS", 0.0)
    async with watching(shelf) as watch:
        pass
    monkeypatch.undo()
    await shelf.put("k", b"x")
    with refused(Code.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"):
        await Watch(shelf, resume_token=watch.token).message()


async def test_a_watch_whose_feed_was_lost_begins_anew(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RENEWED_SECONDS", 1.0)
    monkeypatch.setattr(feed, "FOLLOWED_SECONDS", 0.5)
    monkeypatch.setattr("services.cache.watching.RENEW_SECONDS", 1.5)
    async with watching(shelf) as watch:
        while watch.resets < 2:
            await watch.message()
        monkeypatch.undo()
        await shelf.put("k", b"x")
        assert await watch.next(1) == [("key", "k", "PUT")]


@pytest.mark.parametrize("engine", DATABASES)
async def test_a_reader_that_is_too_slow_is_told(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr("sutler.tails.MAX_KEPT", 3)
    async with desk(engine, tmp_path) as here:
        wanted = watching_module.Watch("caches/c", "", parse("", INVALIDATIONS).predicate())
        slow, quick = (here.watches.follow("default", wanted, "") for _ in range(2))
        for told in (slow, quick):
            assert (await anext(told)).reset
        for number in range(10):
            await here.put(f"k{number}")
        count = 0
        while count < 10:
            count += len((await anext(quick)).invalidations)
        await here.entries.expire()
        with refused(Code.RESOURCE_EXHAUSTED, "READER_TOO_SLOW") as caught:
            await anext(slow)
        assert caught.value.metadata["oldest"]


async def test_what_nobody_follows_is_not_recorded(shelf: Shelf, make_cache: Any, place: Place) -> None:
    async with watching(shelf) as watch:
        before = watch.token
        elsewhere = Shelf(shelf.client, await make_cache())
        await elsewhere.put("k", b"x")
        await shelf.put("k", b"x")
        assert await watch.next(1) == [("key", "k", "PUT")]
    async with watching(elsewhere) as fresh:
        await elsewhere.put("k", b"y")
        assert await fresh.next(1) == [("key", "k", "PUT")]
    assert before != watch.token


async def test_a_watch_gives_signs_of_life(shelf: Shelf) -> None:
    async with watching(shelf) as watch:
        began = time.monotonic()
        message = await watch.message()
        assert (list(message.invalidations), message.reset) == ([], False)
        assert message.resume_token
        assert time.monotonic() - began < 7


async def test_a_server_that_stops_ends_watches_at_once(place: Place) -> None:
    async with AsyncExitStack() as stack:
        async with running(app, settings_of(place, drain_seconds=60), "cache") as server:
            client = await stack.enter_async_context(connect(server.address, attempts=1))
            wanted = pb.CreateCacheRequest(cache_id=f"c{uuid4().hex[:12]}", cache=pb.Cache())
            shelf = Shelf(client, (await client.cache.CreateCache(wanted)).name)
            watch = await stack.enter_async_context(watching(shelf))
        with refused(Code.UNAVAILABLE, "SHUTTING_DOWN"):
            while True:
                await watch.message()
        assert watch.last.status.code == Code.UNAVAILABLE


@pytest.mark.timeout(120)
async def test_a_watch_hears_of_another_process_on_the_same_file(sqlite_settings: Settings, tmp_path: Path) -> None:
    data, blobs = sqlite_settings.data, str(sqlite_settings.blob_folder)
    with ServiceProcess("services.cache", "SUTLER_CACHE_", folder=tmp_path, data=data, blobs=blobs) as process:
        await process.serving()
        async with (
            running(app, sqlite_settings, "cache") as server,
            connect(server.address) as here,
            connect(process.address) as there,
        ):
            await here.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache()))
            async with watching(Shelf(here, "caches/c")) as watch:
                for number in range(5):
                    await Shelf(there, "caches/c").put(f"k{number}", b"x")
                    began = time.monotonic()
                    assert await watch.next(1) == [("key", f"k{number}", "PUT")]
                    assert time.monotonic() - began < 1.0


async def test_open_watches_are_counted(shelf: Shelf, other: Sutler) -> None:
    async def watchers(count: int) -> bool:
        stats = await shelf.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name))
        return stats.watcher_count == count

    async with watching(shelf), watching(Shelf(other, shelf.name)):
        await eventually(lambda: watchers(2))
    await eventually(lambda: watchers(0))
