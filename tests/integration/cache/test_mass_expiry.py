"""A hundred thousand entries that expire at once: none is served, others are, and it takes little memory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect

from tests.integration.cache.calls import Shelf
from tests.integration.cache.damage import database, verify
from tests.integration.cache.places import Place, place_of, process, settings_of
from tests.integration.cache.test_memory import memory

COUNTS = [("sqlite", 100_000), ("postgresql", 30_000)]
BOUND = 64 << 20
SLOWEST = 1.0
"""Seconds that a call may take meanwhile, on a machine that does other things too."""

COPIES = """
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count})
INSERT INTO entries ({columns}) SELECT {values} FROM entries, numbers WHERE key = 'k'
"""


def multiply(place: Place, count: int, expire_time: float) -> None:
    """Copies an entry, with new keys and one end for all."""
    with database(place) as run:
        if place.data.startswith("sqlite"):
            names = [row[1] for row in run("PRAGMA table_info(entries)")]
        else:
            names = [row[0] for row in run(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = current_schema() AND table_name = 'entries'"
            )]  # fmt: skip
        others = {"key": "'k' || number", "expire_time": str(expire_time), "purge_time": str(expire_time)}
        values = ", ".join(others.get(name, name) for name in names)
        run(COPIES.format(count=count, columns=", ".join(names), values=values))
        for name, one in (("entries", 1), ("size_bytes", 4), ("stored_bytes", 4)):
            run(f"UPDATE spaces SET {name} = {name} + {one * count}")


async def left(client: Sutler) -> int:
    return (await client.cache.GetCacheStats(pb.GetCacheStatsRequest(name="caches/c"))).entry_count


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "count"), COUNTS)
async def test_very_many_entries_expire_at_once(engine: str, count: int, tmp_path: Path, free_port: int) -> None:
    with place_of(engine, tmp_path) as place:
        async with (
            process(settings_of(place), free_port) as server,
            connect(f"127.0.0.1:{free_port}", attempts=50) as client,
        ):
            await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache()))
            shelf = Shelf(client, "caches/c")
            await shelf.put("k", b"1234", ttl=Duration(seconds=600))
            end = time.time() + 3
            multiply(place, count, end)
            assert await left(client) == count + 1
            before, slowest = memory(server.pid, "VmRSS"), 0.0
            while await left(client) > 1:
                began = time.monotonic()
                assert (await shelf.get("k")).inline_value == b"1234"
                slowest = max(slowest, time.monotonic() - began)
                over = time.time() > end
                assert not over or await shelf.reason(f"k{count}") in ("ENTRY_EXPIRED", "ENTRY_NOT_FOUND")
            assert slowest < SLOWEST
            assert memory(server.pid, "VmHWM") - before < BOUND
            assert (await verify(shelf)).problem_count == 0
