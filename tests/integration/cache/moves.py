"""What those who wait in a cache hear when it is changed or deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler import tails
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import NotFound

from services.cache import lines
from tests.integration.cache.calls import Shelf, eventually

LATE_SECONDS = 60.0
SOON_SECONDS = 3.0
"""Less than the pause between two signs of life of a watch, which would notice too."""


async def hears_of_a_move(
    shelves: Sequence[Shelf], mover: Shelf, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks that waiters and watches hear of it, although none looks on its own."""
    for module in (lines, tails):
        monkeypatch.setattr(module, "RECHECK_SECONDS", LATE_SECONDS)
    held = pb.LeaseEntryRequest(cache=mover.name, key="k", lease_duration=Duration(seconds=600))
    await mover.client.cache.LeaseEntry(held)
    waits = [asyncio.create_task(_waited(shelf)) for shelf in shelves]
    watches = [
        shelf.client.cache.WatchInvalidations(pb.WatchInvalidationsRequest(cache=shelf.name)) for shelf in shelves
    ]
    for watch in watches:
        await anext(watch)

    async def all_wait() -> bool:
        stats = await mover.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=mover.name))
        return stats.waiter_count == len(shelves)

    await eventually(all_wait)
    if deleted:
        await mover.client.cache.DeleteCache(pb.DeleteCacheRequest(name=mover.name, force=True))
    else:
        await mover.client.cache.UpdateCache(pb.UpdateCacheRequest(cache=pb.Cache(name=mover.name, display_name="new")))
    async with asyncio.timeout(SOON_SECONDS):
        for watch in watches:
            assert await _told(watch) == ("gone" if deleted else "all")
        if deleted:
            assert await asyncio.gather(*waits) == ["CACHE_NOT_FOUND"] * len(shelves)
        else:
            await mover.put("k", b"1")
            assert await asyncio.gather(*waits) == [""] * len(shelves)


async def _waited(shelf: Shelf) -> str:
    """Returns why a wait for the lease ended without an entry; empty if it did not."""
    wait = Duration(seconds=int(LATE_SECONDS))
    try:
        await shelf.client.cache.LeaseEntry(pb.LeaseEntryRequest(cache=shelf.name, key="k", wait_timeout=wait))
    except NotFound as error:
        return error.reason
    return ""


async def _told(watch: object) -> str:
    try:
        async for message in watch:  # type: ignore[attr-defined]
            if message.invalidations:
                return str(message.invalidations[0].WhichOneof("scope"))
    except NotFound:
        return "gone"
    return ""
