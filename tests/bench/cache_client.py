"""The Python client's part of ``make bench-cache``: look-ups in the near cache, and hits on arrays beside diskcache.

All of it is measured where the client runs, in turn with its reference, and not scaled.
"""

from __future__ import annotations

import asyncio
import functools
import json
import timeit
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache import NearCache, cached, open, open_sync
from sutler.testing import redis_prefix, redis_url
from sutler.testing.waiting import wait_blocking, wait_until

from tests.bench.cache_client_hits import FAR, Addresses, by_threads, functions, processes
from tests.bench.cache_load import TOKEN, VALUE
from tests.bench.cache_peers import diskcache_rates
from tests.bench.cache_serving import started
from tests.bench.harness import Line

ROUNDS = 5
LOOKUP_ROUNDS, LOOKUPS = 300, 100
"""Many short rounds, so that most of them are not interrupted where the machine is busy."""
LOOKUP_US, CALL_US = 2.0, 15.0
KINDS = {
    "copy": "near-cache hit, writable copy",
    "shared": "near-cache hit, shared object",
    "grpc": "hit over gRPC",
    "redis": "hit over gRPC, metadata in Redis",
}


def client(folder: Path) -> list[Line]:
    """Measures the client.

    Raises:
        BenchError: If diskcache cannot be installed.
    """
    with redis_prefix() as prefix:
        backends = {"redis": {"type": "redis", "url": redis_url(), "prefix": prefix}}
        return asyncio.run(_client(folder, {"SUTLER_CACHE_METADATA_BACKENDS": json.dumps(backends)}))


async def _client(folder: Path, environment: Mapping[str, str]) -> list[Line]:
    folders = [folder / name for name in ("own", "redis", "diskcache")]
    for each in folders:
        each.mkdir()
    async with AsyncExitStack() as stack:
        own, _ = await stack.enter_async_context(started(folders[0]))
        redis, _ = await stack.enter_async_context(started(folders[1], environment))
        awaited = await _awaited(own)
        return await asyncio.to_thread(lambda: [*_lookups(own, awaited), *_arrays(Addresses(own, redis), folders[2])])


async def _awaited(address: str) -> Mapping[str, float]:
    """Returns how many µs look-ups and calls take with asyncio."""
    near, took = NearCache(), defaultdict[str, list[float]](list)
    async with open("lookups", address, near=near, rules=pb.Cache(), token=TOKEN) as cache:
        await wait_until(lambda: near.is_live)

        @cached(cache=cache)
        async def value(a: int, b: str = "x", *, c: float = 1.0) -> bytes:
            return VALUE

        await cache.put("k", VALUE)
        await value(1, c=2.5)
        for _ in range(LOOKUP_ROUNDS):
            start = perf_counter()
            for _ in range(LOOKUPS):
                await cache.get("k")
            took["lookup"].append(perf_counter() - start)
            start = perf_counter()
            for _ in range(LOOKUPS):
                await value(1, c=2.5)
            took["call"].append(perf_counter() - start)
        assert value.info().near_hits == LOOKUP_ROUNDS * LOOKUPS
    return {name: median(times) / LOOKUPS * 1e6 for name, times in took.items()}


def _lookups(address: str, awaited: Mapping[str, float]) -> list[Line]:
    """Measures look-ups of 100 bytes, by a ready key and by arguments."""
    near = NearCache()
    with open_sync("lookups", address, near=near, token=TOKEN) as cache:
        wait_blocking(lambda: near.is_live)

        @cached(cache=cache)
        def value(a: int, b: str = "x", *, c: float = 1.0) -> bytes:
            return VALUE

        cache.put("k", VALUE)
        value(1, c=2.5)
        known = {"get": cache.get, "value": value, "lru": functools.lru_cache(value.__wrapped__)}  # type: ignore[attr-defined]
        calls = {"lookup": "get('k')", "call": "value(1, c=2.5)", "lru_cache": "lru(1, c=2.5)"}
        took = defaultdict[str, list[float]](list)
        for _ in range(LOOKUP_ROUNDS):
            for name, call in calls.items():
                took[name].append(timeit.timeit(call, globals=known, number=LOOKUPS) / LOOKUPS * 1e6)
        assert value.info().near_hits >= LOOKUP_ROUNDS * LOOKUPS
    beside = f"functools.lru_cache {median(took['lru_cache']):.2f} µs"
    return [
        Line("near-cache look-up by a ready key", median(took["lookup"]), LOOKUP_US, beside, " µs", at_most=True),
        Line("the same with asyncio", awaited["lookup"], LOOKUP_US, beside, " µs", at_most=True),
        Line("near-cache hit of @cached, three arguments", median(took["call"]), CALL_US, beside, " µs", at_most=True),
        Line("the same with asyncio", awaited["call"], CALL_US, beside, " µs", at_most=True),
    ]


def _arrays(at: Addresses, folder: Path) -> list[Line]:
    """Measures hits of ``@cached`` on an array of 1 MiB, in turn with diskcache."""
    took = defaultdict[tuple[str, str], list[float]](list)
    with functions(at) as made, processes(at) as by_processes:
        for _ in range(ROUNDS):
            disk = diskcache_rates(folder)
            took["diskcache", "threads"].append(disk.threads)
            took["diskcache", "processes"].append(disk.processes)
            for kind, function in made.items():
                took[kind, "threads"].append(by_threads(kind, function))
                took[kind, "processes"].append(by_processes(kind))
    lines = []
    for kind, name in KINDS.items():
        for who, many in (("threads", "8 threads"), ("processes", "4 processes")):
            disk_rate = median(took["diskcache", who])
            target, beside = (None, "") if kind in FAR else (disk_rate, f"diskcache, {many}, in turn")
            lines.append(Line(f"1 MiB array, {many}: {name}", median(took[kind, who]), target, beside, "/s"))
    return lines
