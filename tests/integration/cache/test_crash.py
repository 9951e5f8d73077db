"""SIGKILL at any moment: what was answered is there, and nothing else is half there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
from sutler.client import connect

from tests.integration.cache.calls import eventually
from tests.integration.cache.files import check_files
from tests.integration.cache.ledgers import WORKERS, Ledger, at_work, check, check_whole, ready
from tests.integration.cache.places import Place, place_of, process, settings_of
from tests.integration.cache.redis_server import RedisServer

SEED = 20261121
FEW = [("sqlite", 2), ("postgresql", 1), ("redis", 2), ("json", 1)]
MANY = [("sqlite", 80), ("postgresql", 20), ("redis", 80), ("json", 20)]
"""How often the service is killed over each backend of metadata; ``KILLS`` says it for all."""

OUTAGES = 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("engine", "kills"), FEW)
async def test_what_was_answered_is_there_after_a_kill(engine: str, kills: int, tmp_path: Path, free_port: int) -> None:
    with place_of(engine, tmp_path) as place:
        await kill_the_service(kills, random.Random(SEED), place, free_port)


@pytest.mark.crash
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("engine", "kills"), MANY)
async def test_what_was_answered_is_there_after_many_kills(
    engine: str, kills: int, tmp_path: Path, free_port: int
) -> None:
    with place_of(engine, tmp_path) as place:
        await kill_the_service(_times(kills), _chance(), place, free_port)


@pytest.mark.timeout(60)
async def test_what_was_answered_is_there_after_redis_was_killed(tmp_path: Path, free_port: int) -> None:
    await kill_redis(3, random.Random(SEED), tmp_path, free_port)


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_what_was_answered_is_there_after_redis_was_killed_many_times(tmp_path: Path, free_port: int) -> None:
    await kill_redis(_times(OUTAGES), _chance(), tmp_path, free_port)


async def kill_the_service(kills: int, chance: random.Random, place: Place, port: int) -> None:
    """Kills a server again and again while workers change entries, and checks each time what they were told."""
    ledgers = [Ledger() for _ in range(WORKERS)]
    settings, address = settings_of(place), f"127.0.0.1:{port}"
    for kill in range(kills + 1):
        async with process(settings, port) as server, connect(address) as client:
            await eventually(lambda client=client: ready(client), 60)  # type: ignore[misc]
            await check(client, ledgers)
            if kill == kills:
                await check_whole(client, ledgers)
                await eventually(lambda: check_files(place), 60)
                return
            async with at_work(client, ledgers, chance) as workers:
                await asyncio.sleep(chance.uniform(0.1, 0.6))  # the moment of the kill, not a wait
                server.send_signal(signal.SIGKILL)
                await server.wait()
                for worker in workers:
                    worker.cancel()


async def kill_redis(kills: int, chance: random.Random, folder: Path, port: int) -> None:
    """Kills the Redis of a server again and again, and checks each time what workers were told."""
    ledgers = [Ledger() for _ in range(WORKERS)]
    with RedisServer(folder, appendonly="yes") as redis:
        backends = {"kv": {"type": "redis", "url": redis.url, "timeout_seconds": 1}}
        place = Place(f"sqlite:///{folder}/cache.db", folder / "blobs", "kv", backends)
        async with process(settings_of(place), port), connect(f"127.0.0.1:{port}") as client:
            await eventually(lambda: ready(client), 60)
            for _ in range(kills):
                async with at_work(client, ledgers, chance):
                    await asyncio.sleep(chance.uniform(0.1, 0.6))  # the moment of the kill, not a wait
                    redis.kill()
                    await asyncio.sleep(chance.uniform(0.0, 0.3))
                    redis.start()
                await eventually(lambda: ready(client), 60)
                await check(client, ledgers)
            await check_whole(client, ledgers)
            await eventually(lambda: check_files(place), 60)


def _times(kills: int) -> int:
    return int(os.environ.get("KILLS") or kills)


def _chance() -> random.Random:
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEED={seed}")
    return random.Random(seed)
