"""The peer of ``make bench-rule``: KRules, in an environment that is kept between runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from sutler.testing import redis_prefix, redis_url

from tests.bench.harness import ROOT, BenchError

PACKAGES = ("krules-framework==3.3.0", "hiredis")
HOME = ROOT / ".build" / "peers" / "rule"

MEMORY = """
import asyncio, json, sys, time
from krules_core.container import KRulesContainer

async def main(handlers, events):
    container = KRulesContainer()
    on, when, middleware, emit = container.handlers()
    done = 0
    for number in range(handlers):
        @on(f"bench.kind{number}")
        async def handle(ctx):
            nonlocal done
            await ctx.subject.set("value", ctx.payload["value"])
            await ctx.emit("bench.done", {"value": ctx.payload["value"]})
            done += 1
    subjects = [container.subject(f"device/{number}") for number in range(1000)]
    kinds = range(0, handlers, max(1, handlers // 10))
    start = time.perf_counter()
    for number in range(events):
        kind = f"bench.kind{kinds[number % len(kinds)]}"
        await emit(kind, subjects[number % 1000], {"value": number})
    print(json.dumps(events / (time.perf_counter() - start)))
    assert done == events

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""

REDIS = """
import asyncio, sys
from dependency_injector import providers
from krules_core.container import KRulesContainer
from redis_subjects_storage.storage_impl import create_redis_client, create_redis_storage

async def main(url, prefix, count):
    client = await create_redis_client(url)
    container = KRulesContainer()
    container.subject_storage.override(providers.Object(create_redis_storage(client, prefix)))
    counter = container.subject("counter")
    await client.ping()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for _ in range(count):
        await counter.set("count", lambda old: (old or 0) + 1, use_cache=False)
    print("done", flush=True)
    await client.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def in_memory(handlers: int, events: int) -> float:
    """Returns how many events a second KRules handles in memory, with so many handlers.

    Raises:
        BenchError: If it cannot be installed, or fails.
    """
    process = await asyncio.create_subprocess_exec(
        await python(), "-c", MEMORY, str(handlers), str(events), stdout=subprocess.PIPE
    )
    answer, _ = await asyncio.wait_for(process.communicate(), 300)
    if process.returncode:
        raise BenchError("KRules in memory failed")
    return float(json.loads(answer))


async def incrementing(prefix: str, count: int) -> list[str]:
    """Returns the command of a process that increments a property on Redis so often.

    Raises:
        BenchError: If KRules cannot be installed.
    """
    return [await python(), "-c", REDIS, redis_url(), prefix, str(count)]


@contextmanager
def counter() -> Iterator[str]:
    """Yields a prefix of one's own for the property on Redis, and removes what KRules keeps under it."""
    with redis_prefix() as prefix:
        try:
            yield prefix
        finally:
            with redis.Redis.from_url(redis_url()) as client:
                client.delete(f"s:{prefix}counter")


async def python() -> str:
    """Returns the Python of the environment.

    Raises:
        BenchError: If it cannot be made.
    """
    return await asyncio.to_thread(_installed)


def _installed() -> str:
    path = HOME / "bin" / "python"
    try:
        if not (HOME / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True, capture_output=True)
            install = [str(path), "-m", "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(install, check=True, capture_output=True, text=True)
            (HOME / ".ready").touch()
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{' and '.join(PACKAGES)}: {error.stderr}") from error
    return str(path)
