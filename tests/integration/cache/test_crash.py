"""SIGKILL at any moment: what was answered is there, and nothing else is half there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import SutlerError

from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually
from tests.integration.cache.places import process

KILLS = 5
MANY_KILLS = 200
WORKERS = 6
EVICTING = "caches/evicting"
ORPHAN_SECONDS = 60
SEED = 20261121


class Ledger:
    """What one worker was told, about keys that nobody else touches.

    Attributes:
        values: What must be under each key; None stands for nothing.
        doubtful: What a call without an answer may have left under its key.
        counted: How many increments were answered.
    """

    def __init__(self) -> None:
        self.values: dict[str, bytes | None] = {}
        self.doubtful: dict[str, bytes | None] = {}
        self.counted = 0


async def work(shelf: Shelf, ledger: Ledger, name: str, chance: random.Random) -> None:
    """Changes entries until the server dies, and notes every answer."""
    number = 0
    while True:
        number += 1
        key = f"{name}/{chance.randrange(8)}"
        size = chance.choice([10, 10, 5_000, 90_000])
        value: bytes | None = chance.randbytes(8) * (size // 8)
        if chance.random() < 0.2:
            value = None
        ledger.doubtful[key] = value
        if value is None:
            await shelf.delete(key, allow_missing=True)
        elif chance.random() < 0.3:
            await shelf.write(key, value)
        else:
            await shelf.put(key, value, tags=[name])
        ledger.values[key] = ledger.doubtful.pop(key)
        await shelf.increment("counter", request_id=str(uuid4()))
        ledger.counted += 1
        await Shelf(shelf.client, EVICTING).write(f"{name}/{number}", chance.randbytes(chance.choice([10, 2_000])))


async def check(shelf: Shelf, ledger: Ledger) -> None:
    """Compares the cache with a ledger; what was in doubt is one of two things, and certain afterwards."""
    for key in ledger.values | ledger.doubtful:
        absent = await shelf.reason(key) == "ENTRY_NOT_FOUND"
        found = None if absent else (await shelf.get(key)).inline_value
        allowed = [ledger.values.get(key)]
        if key in ledger.doubtful:
            allowed.append(ledger.doubtful[key])
        assert found in allowed, key
        ledger.values[key] = found
    ledger.doubtful.clear()


@pytest.mark.timeout(120)
async def test_what_was_answered_is_there_after_a_kill(sqlite_settings: Settings, free_port: int) -> None:
    await killed(KILLS, SEED, sqlite_settings, free_port)


@pytest.mark.crash
@pytest.mark.timeout(1200)
async def test_what_was_answered_is_there_after_many_kills(sqlite_settings: Settings, free_port: int) -> None:
    chosen = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEED={chosen}")
    await killed(MANY_KILLS, chosen, sqlite_settings, free_port)


async def killed(kills: int, seed: int, settings: Settings, port: int) -> None:
    """Kills a server again and again while workers change entries, and checks each time what they were told."""
    chance, ledgers = random.Random(seed), [Ledger() for _ in range(WORKERS)]
    for kill in range(kills + 1):
        async with process(settings, port) as server, connect(f"127.0.0.1:{port}") as client:
            shelf = Shelf(client, "caches/c")
            await eventually(lambda shelf=shelf: _ready(shelf), 60)  # type: ignore[misc]
            for ledger in ledgers:
                await check(shelf, ledger)
            answered = sum(ledger.counted for ledger in ledgers)
            if answered:
                counted = (await shelf.get("counter")).counter_value
                assert answered <= counted <= answered + WORKERS * kill
            if kill == kills:
                assert answered
                await eventually(lambda client=client: _within_limit(client))  # type: ignore[misc]
                for name in (shelf.name, EVICTING):
                    await verified(client, name)
                everything_fits(settings)
                return
            workers = [
                asyncio.create_task(work(shelf, ledger, f"w{number}", random.Random(chance.random())))
                for number, ledger in enumerate(ledgers)
            ]
            await asyncio.sleep(chance.uniform(0.1, 0.6))  # the moment of the kill, not a wait
            server.send_signal(signal.SIGKILL)
            await server.wait()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def _ready(shelf: Shelf) -> bool:
    caches = (
        pb.Cache(name=shelf.name, inline_limit_bytes=1000),
        pb.Cache(name=EVICTING, inline_limit_bytes=1000, max_entries=20),
    )
    try:
        for cache in caches:
            await shelf.client.cache.UpdateCache(pb.UpdateCacheRequest(cache=cache, allow_missing=True), timeout=1)
    except SutlerError:
        return False
    return True


async def _within_limit(client: Sutler) -> bool:
    stats = await client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=EVICTING))
    return stats.entry_count <= 20


async def verified(client: Sutler, name: str) -> None:
    """Checks that VerifyCache finds nothing."""
    found = await client.wait(await client.cache.VerifyCache(pb.VerifyCacheRequest(name=name)))
    assert isinstance(found, pb.VerifyCacheResponse)
    assert list(found.problems) == []
    assert found.problem_count == 0


def everything_fits(settings: Settings) -> None:
    """Checks that blobs and files agree: none is missing, and none that nobody refers to is older than a minute."""
    path, folder = Path(settings.data.removeprefix("sqlite:///")), settings.blob_folder
    with sqlite3.connect(path) as raw:
        wanted = {folder / row[0] for row in raw.execute("SELECT locator FROM blobs")}
        garbage = {folder / row[0] for row in raw.execute("SELECT locator FROM garbage")}
    files = {file: file.stat().st_mtime for file in folder.rglob("*") if file.is_file()}
    assert wanted <= set(files)
    oldest = time.time() - ORPHAN_SECONDS
    assert {file for file, written in files.items() if written < oldest} <= wanted | garbage
