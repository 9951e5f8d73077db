"""Workers that change entries and note what they were told, and the comparison of a cache with their notes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import SutlerError

from tests.integration.cache.calls import Shelf, eventually

WORKERS = 6
KEYS = 8
MAX_ENTRIES = 20
NAME = "caches/c"
EVICTING = "caches/evicting"
COUNTER = "counter"


@dataclass
class Ledger:
    """What one worker was told, about keys that nobody else touches.

    Attributes:
        values: What must be under each key; None stands for nothing.
        doubtful: What calls without an answer may have left under their key.
        counted: How many increments were answered.
        unsure: How many were not.
    """

    values: dict[str, bytes | None] = field(default_factory=dict)
    doubtful: dict[str, bytes | None] = field(default_factory=dict)
    counted: int = 0
    unsure: int = 0


async def work(client: Sutler, ledger: Ledger, name: str, chance: random.Random, stop: asyncio.Event) -> None:
    """Changes entries until a call fails, and notes every answer."""
    shelf, evicting, number = Shelf(client, NAME), Shelf(client, EVICTING), 0
    while not stop.is_set():
        number += 1
        key = f"{name}/{chance.randrange(KEYS)}"
        value = None if chance.random() < 0.2 else chance.randbytes(8) * (chance.choice([10, 10, 5_000, 90_000]) // 8)
        ledger.doubtful[key] = value
        if value is None:
            await shelf.delete(key, allow_missing=True)
        elif chance.random() < 0.3:
            await shelf.write(key, value)
        else:
            await shelf.put(key, value, tags=[name])
        ledger.values[key] = ledger.doubtful.pop(key)
        ledger.unsure += 1
        await shelf.increment(COUNTER, request_id=str(uuid4()))
        ledger.unsure -= 1
        ledger.counted += 1
        await evicting.write(f"{name}/{number}", chance.randbytes(chance.choice([10, 2_000])))


@asynccontextmanager
async def at_work(
    client: Sutler, ledgers: Sequence[Ledger], chance: random.Random
) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
    """Has a worker for each ledger; ends them after the block, each with the answer to its call."""
    stop = asyncio.Event()
    workers = [
        asyncio.create_task(work(client, ledger, f"w{number}", random.Random(chance.random()), stop))
        for number, ledger in enumerate(ledgers)
    ]
    yield workers
    stop.set()
    for outcome in await asyncio.gather(*workers, return_exceptions=True):
        if not isinstance(outcome, (SutlerError, asyncio.CancelledError, type(None))):
            raise outcome


async def ready(client: Sutler) -> bool:
    """Makes the caches; returns whether the server answers."""
    caches = (
        pb.Cache(name=NAME, inline_limit_bytes=1000),
        pb.Cache(name=EVICTING, inline_limit_bytes=1000, max_entries=MAX_ENTRIES),
    )
    try:
        for cache in caches:
            await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=cache, allow_missing=True), timeout=1)
            await client.cache.ListEntries(pb.ListEntriesRequest(cache=cache.name, page_size=1), timeout=1)
    except SutlerError:
        return False
    return True


async def check(client: Sutler, ledgers: Sequence[Ledger]) -> None:
    """Compares the cache with ledgers; what was in doubt is one of two things, and certain afterwards."""
    shelf = Shelf(client, NAME)
    for ledger in ledgers:
        keys = list(ledger.values | ledger.doubtful)
        for key, found in zip(keys, await asyncio.gather(*(_found(shelf, key) for key in keys)), strict=True):
            allowed = [ledger.values.get(key)]
            if key in ledger.doubtful:
                allowed.append(ledger.doubtful[key])
            assert found in allowed, key
            ledger.values[key] = found
        ledger.doubtful.clear()
    answered = sum(ledger.counted for ledger in ledgers)
    if answered:
        counted = (await shelf.get(COUNTER)).counter_value
        assert answered <= counted <= answered + sum(ledger.unsure for ledger in ledgers)


async def check_whole(client: Sutler, ledgers: Sequence[Ledger]) -> None:
    """Checks that something was done, that limits hold again, and that VerifyCache finds nothing."""
    assert sum(ledger.counted for ledger in ledgers)
    assert any(value for ledger in ledgers for value in ledger.values.values())
    await eventually(lambda: _within_limit(client))
    for name in (NAME, EVICTING):
        found = await client.wait(await client.cache.VerifyCache(pb.VerifyCacheRequest(name=name)))
        assert isinstance(found, pb.VerifyCacheResponse)
        assert list(found.problems) == []
        assert found.problem_count == 0


async def _found(shelf: Shelf, key: str) -> bytes | None:
    try:
        return (await shelf.get(key)).inline_value
    except SutlerError as error:
        if error.reason == "ENTRY_NOT_FOUND":
            return None
        raise


async def _within_limit(client: Sutler) -> bool:
    stats = await client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=EVICTING))
    return stats.entry_count <= MAX_ENTRIES
