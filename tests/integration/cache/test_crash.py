"""SIGKILL at any moment: what was answered is there, and nothing else is half there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import SutlerError

from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually

KILLS = 5
WORKERS = 6
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


@asynccontextmanager
async def process(settings: Settings, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "PYTHONPATH": "libs:.",
        "SUTLER_CACHE_PORT": str(port),
        "SUTLER_CACHE_DATA": settings.data,
        "SUTLER_CACHE_BLOBS": str(settings.blob_folder),
        "SUTLER_CACHE_LOG_LEVEL": "error",
        "SUTLER_CACHE_SWEEP_SECONDS": "0.1",
        "SUTLER_CACHE_BLOB_GRACE_SECONDS": "0",
    }
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.cache", env=environment)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.send_signal(signal.SIGKILL)
        await running.wait()


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
    chance, ledgers = random.Random(SEED), [Ledger() for _ in range(WORKERS)]
    for kill in range(KILLS + 1):
        async with process(sqlite_settings, free_port) as server, connect(f"127.0.0.1:{free_port}") as client:
            await eventually(lambda: _ready(Shelf(client, "caches/c")), 60)
            shelf = Shelf(client, "caches/c")
            for ledger in ledgers:
                await check(shelf, ledger)
            answered = sum(ledger.counted for ledger in ledgers)
            if answered:
                counted = (await shelf.get("counter")).counter_value
                assert answered <= counted <= answered + WORKERS * kill
            if kill == KILLS:
                assert answered
                everything_fits(sqlite_settings)
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
    try:
        await shelf.client.cache.UpdateCache(
            pb.UpdateCacheRequest(cache=pb.Cache(name=shelf.name, inline_limit_bytes=1000), allow_missing=True),
            timeout=1,
        )
    except SutlerError:
        return False
    return True


def everything_fits(settings: Settings) -> None:
    """Checks that totals, tags, blobs and files agree."""
    path, folder = Path(settings.data.removeprefix("sqlite:///")), settings.blob_folder

    def one(sql: str) -> tuple[int, ...]:
        with sqlite3.connect(path) as raw:
            return tuple(raw.execute(sql).fetchone())

    entries = one("SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM entries")
    inline = one("SELECT COALESCE(SUM(stored_bytes), 0) FROM entries WHERE blob_id IS NULL")
    blobs = one("SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM blobs")
    assert one("SELECT entries, size_bytes FROM spaces") == entries
    assert one("SELECT blobs, stored_bytes FROM spaces") == (blobs[0], blobs[1] + inline[0])
    assert one("SELECT COUNT(DISTINCT blob_id) FROM entries WHERE blob_id IS NOT NULL") == (blobs[0],)
    tagged = one("SELECT COUNT(*) FROM entries WHERE tags <> '[]'")
    assert one("SELECT COUNT(*) FROM entry_tags") == tagged
    with sqlite3.connect(path) as raw:
        wanted = {folder / row[0] for row in raw.execute("SELECT locator FROM blobs")}
    assert wanted <= {file for file in folder.rglob("*") if file.is_file()}
