"""A clock that jumps: nothing ended comes back, and nothing lasts for ever."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import Code
from sutler.server import running

import services.cache.app as composition
from services.cache.adapters import configuring, database, filesystem, objects, ordered
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.damage import verify
from tests.integration.cache.places import place_of, settings_of

HOUR = 3600.0
LARGE = b"large" * 50_000


class Jump:
    """The system's clock, which can be set.

    Attributes:
        by: How many seconds it is ahead.
    """

    def __init__(self) -> None:
        self.by = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return self._real() + self.by


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """A clock for the service alone: gRPC, in the same process, goes by that of the machine."""
    jump = Jump()
    monkeypatch.setattr(composition, "open_database", partial(composition.open_database, clock=jump))
    monkeypatch.setattr(configuring, "OrderedEntries", partial(configuring.OrderedEntries, clock=jump))
    for module in (objects.blobs, database.blobs, ordered.blobs, filesystem.aging):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=jump))
    set_time = os.utime
    monkeypatch.setattr(filesystem.writing.os, "utime", lambda file: set_time(file, (jump(), jump())))
    return jump


@pytest.fixture(params=["sqlite", "postgresql", "redis", "json"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path, jump: Jump) -> AsyncIterator[Shelf]:
    """A cache of a server of its own, that began before the clock jumps."""
    with place_of(request.param, tmp_path) as place:
        async with running(composition.app, settings_of(place), "cache") as server, connect(server.address) as client:
            rules = pb.Cache(stale_retention=Duration(seconds=2 * int(HOUR)), inline_limit_bytes=1000)
            await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=rules))
            yield Shelf(client, "caches/c")


async def lease(shelf: Shelf, key: str, seconds: int) -> pb.LeaseEntryResponse:
    return await shelf.client.cache.LeaseEntry(
        pb.LeaseEntryRequest(
            cache=shelf.name, key=key, lease_duration=Duration(seconds=seconds), wait_timeout=Duration()
        )
    )


async def test_a_clock_that_jumps_brings_nothing_back_and_stops_nothing(shelf: Shelf, jump: Jump) -> None:
    await shelf.put("short", b"x", ttl=Duration(seconds=60))
    await shelf.put("long", LARGE, ttl=Duration(seconds=5 * int(HOUR)))
    held = await lease(shelf, "leased", 60)
    jump.by = HOUR
    assert await shelf.reason("short") == "ENTRY_EXPIRED"
    assert (await shelf.get("long")).inline_value == LARGE
    assert (await lease(shelf, "leased", 1)).lease.lease_token != held.lease.lease_token
    jump.by = 0.0
    assert await shelf.reason("short") == "ENTRY_EXPIRED"
    with refused(Code.ABORTED, "LEASE_LOST"):
        await shelf.put("leased", b"x", condition=pb.PutCondition(lease_token=held.lease.lease_token))

    async def freed() -> bool:
        return await shelf.reason("brief") == "ENTRY_EXPIRED"

    await shelf.put("brief", b"x", ttl=Duration(seconds=1))
    await eventually(freed, 5)
    assert (await lease(shelf, "leased", 1)).lease.lease_token
    for jump.by in (0.0, HOUR, -HOUR, 0.0):
        value = LARGE + str(jump.by).encode()
        await shelf.put("large", value)
        assert (await shelf.get("large")).inline_value == value
    assert (await verify(shelf)).problem_count == 0
