"""The event ``cache.invalidated``, as RuleService gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.cache.v1 import cache_pb2_grpc
from sutler.client import Sutler, connect
from sutler.rule.v1 import rule_pb2
from sutler.server import running
from sutler.wire import from_value

from services.cache.adapters.database import DatabaseEntries
from services.cache.adapters.elsewhere import Elsewhere
from services.cache.app import app
from services.cache.faults import CacheMovedError
from services.rule.app import app as rule_app
from services.rule.settings import Settings as RuleSettings
from tests.integration.cache.calls import Shelf, eventually
from tests.integration.cache.damage import database
from tests.integration.cache.places import place_of, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMED = {"keys": [], "tags": [], "prefix": "", "filter": "", "all": False}


@dataclass(frozen=True)
class Told:
    """A server whose events go to a RuleService."""

    client: Sutler
    rules: Sutler
    address: str

    async def cache(self, *, publish: bool = True) -> Shelf:
        made = await self.client.cache.CreateCache(
            pb.CreateCacheRequest(cache_id=f"c{uuid4().hex[:12]}", cache=pb.Cache(publish_invalidations=publish))
        )
        return Shelf(self.client, made.name)

    async def of(self, shelf: Shelf) -> list[rule_pb2.Event]:
        """The events about a cache, oldest first."""
        wanted = rule_pb2.ListEventsRequest(filter=f'subject = "{shelf.name}"', page_size=100)
        found = list((await self.rules.rules.ListEvents(wanted)).events)
        return sorted(found, key=lambda event: event.time.ToNanoseconds())

    async def data(self, shelf: Shelf, count: int) -> list[Any]:
        """The data of so many events about a cache."""

        async def come() -> bool:
            return len(await self.of(shelf)) >= count

        await eventually(come)
        events = await self.of(shelf)
        assert {(event.type, event.source) for event in events} == {("cache.invalidated", "//cache.sutler.dev")}
        whole = [await self.rules.rules.GetEvent(rule_pb2.GetEventRequest(name=event.name)) for event in events]
        return [from_value(event.data) for event in whole]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["sqlite", "postgresql", "json"])
async def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    folder: Path = tmp_path_factory.mktemp("events")
    ruling = RuleSettings(
        port=0, data=f"sqlite:///{folder}/rule.db", log_level="error", drain_seconds=1, drain_pause_seconds=0
    )
    with place_of(request.param, folder) as place:
        async with (
            running(rule_app, ruling, "rule") as rule,
            connect(rule.address) as rules,
            running(app, settings_of(place, rule_address=rule.address), "cache") as server,
            connect(server.address) as client,
        ):
            yield Told(client, rules, server.address)


async def test_each_call_is_told_with_what_it_named(told: Told) -> None:
    shelf = await told.cache()
    for key in ("a", "b", "c", "d", "p/1", "p/2"):
        await shelf.put(key, b"x", tags=["t", key], data_type="numpy")
    await shelf.delete("a")
    await shelf.delete("a", allow_missing=True)
    rows = [pb.DeleteEntryRow(key=key) for key in ("b", "nothing")]
    await shelf.client.cache.BatchDeleteEntries(pb.BatchDeleteEntriesRequest(cache=shelf.name, rows=rows))
    await shelf.invalidate(keys=["c", "nothing"], validate_only=True)
    await shelf.invalidate(keys=["c", "nothing"])
    await shelf.invalidate(tags=["d", "nothing"])
    await shelf.invalidate(prefix="p/")
    await shelf.invalidate(filter='data_type = "numpy"')
    await shelf.put("e", b"x")
    await shelf.invalidate(all=True)
    assert await told.data(shelf, 7) == [
        {**NAMED, "keys": ["a"], "invalidated_count": 1},
        {**NAMED, "keys": ["b"], "invalidated_count": 1},
        {**NAMED, "keys": ["c", "nothing"], "invalidated_count": 1},
        {**NAMED, "tags": ["d", "nothing"], "invalidated_count": 1},
        {**NAMED, "prefix": "p/", "invalidated_count": 2},
        {**NAMED, "filter": 'data_type = "numpy"', "invalidated_count": 0},
        {**NAMED, "all": True, "invalidated_count": 1},
    ]


async def test_a_deleted_cache_is_told(told: Told) -> None:
    shelf, empty = await told.cache(), await told.cache()
    for key in ("a", "b"):
        await shelf.put(key, b"x")
    for each in (shelf, empty):
        await told.client.cache.DeleteCache(pb.DeleteCacheRequest(name=each.name, force=True))
    assert await told.data(shelf, 1) == [{**NAMED, "all": True, "invalidated_count": 2}]
    assert await told.data(empty, 1) == [{**NAMED, "all": True, "invalidated_count": 0}]


async def test_a_repeat_is_told_once(told: Told) -> None:
    shelf, request_id = await told.cache(), str(uuid4())
    await shelf.put("a", b"x")
    for _ in range(3):
        assert await shelf.invalidate(all=True, request_id=request_id) == 1
    await shelf.invalidate(keys=["end"])
    assert [data["all"] for data in await told.data(shelf, 2)] == [True, False]


async def test_a_cache_that_changes_meanwhile_is_told_once(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, announce = await told.cache(), []

    async def moved(self: Elsewhere | DatabaseEntries, *args: Any, **fields: Any) -> int:
        announce.append(fields)
        if len(announce) == 2:  # the step after the event
            raise CacheMovedError
        return 0

    for kind in (Elsewhere, DatabaseEntries):
        monkeypatch.setattr(kind, "announce", moved)
    async with grpc.aio.insecure_channel(told.address) as channel:  # a client that gives its calls no ids
        request = pb.InvalidateEntriesRequest(cache=shelf.name, all=True)
        await cache_pb2_grpc.CacheServiceStub(channel).InvalidateEntries(request)
    assert len(announce) == 3
    await shelf.invalidate(keys=["end"])
    assert [data["all"] for data in await told.data(shelf, 2)] == [True, False]


async def test_what_no_event_can_carry_is_left_out(told: Told) -> None:
    shelf = await told.cache()
    await shelf.invalidate(keys=["a\0b"])
    await shelf.invalidate(keys=[f"{number:04}" + "k" * 1020 for number in range(1000)])
    assert await told.data(shelf, 2) == [{**NAMED, "invalidated_count": 0, "truncated": True}] * 2


async def test_others_tell_nothing(told: Told) -> None:
    shelf, last = await told.cache(publish=False), await told.cache()
    await shelf.put("a", b"x")
    await shelf.delete("a")
    await shelf.invalidate(all=True)
    await told.client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))
    await last.invalidate(all=True)
    await told.data(last, 1)  # events are told in order
    assert await told.of(shelf) == []


async def test_without_rule_service_nothing_waits(client: Sutler, place: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(publish_invalidations=True))
    await shelf.put("a", b"x")
    await shelf.invalidate(all=True)
    with database(place) as execute:
        assert execute("SELECT COUNT(*) FROM outbox") == [(0,)]
