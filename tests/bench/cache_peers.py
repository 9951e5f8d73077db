"""The peers of ``make bench-cache``: redis-py and diskcache, in an environment that is kept between runs."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.bench.harness import ROOT, BenchError

PACKAGES = ("redis[hiredis]==7.1.0", "diskcache==5.6.3", "numpy")
HOME = ROOT / ".build" / "peers" / "cache"

REDIS = """
import asyncio, json, sys, time
import redis, redis.asyncio
prefix, value = sys.argv[1], bytes(range(100))
client = redis.Redis()
names = [f"{prefix}{number}" for number in range(1000)]
client.mset({name: value for name in names})
def rate(count, work, rounds=60):
    work()
    start = time.perf_counter()
    for _ in range(rounds):
        work()
    return rounds * count / (time.perf_counter() - start)
def piped():
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.get(name)
    assert len(pipe.execute()) == 1000
async def gets(calls=20000, tasks=32):
    pool = redis.asyncio.Redis(max_connections=tasks)
    async def some():
        for _ in range(calls // tasks):
            assert await pool.get(names[0]) == value
    await some()
    start = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(tasks)))
    took = time.perf_counter() - start
    await pool.aclose()
    return calls / took
try:
    print(json.dumps([asyncio.run(gets()), rate(1000, lambda: client.mget(names)), rate(1000, piped)]))
finally:
    client.delete(*names)
"""

DISKCACHE = """
import functools, json, sys, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import diskcache, numpy
folder, gets = sys.argv[1], 200
@functools.cache
def opened():
    return diskcache.Cache(folder)
opened()["array"] = numpy.arange(131072, dtype="float64")
opened.cache_clear()
def some(_):
    mine = opened()
    for _ in range(gets):
        assert mine["array"].nbytes == 1 << 20
def rate(pool, workers):
    with pool(workers) as running:
        list(running.map(some, range(workers)))
        start = time.perf_counter()
        list(running.map(some, range(workers)))
        return workers * gets / (time.perf_counter() - start)
if __name__ == "__main__":
    print(json.dumps([rate(ThreadPoolExecutor, 8), rate(ProcessPoolExecutor, 4)]))
"""


@dataclass(frozen=True, slots=True)
class RedisRates:
    """What redis-py does in a second.

    Attributes:
        gets: asyncio GETs, 32 at once.
        mget: Keys by MGET of 1,000.
        pipeline: Keys by a pipeline of 1,000 GETs.
    """

    gets: float
    mget: float
    pipeline: float


@dataclass(frozen=True, slots=True)
class DiskcacheRates:
    """How often diskcache gives a numpy array of 1 MiB in a second.

    Attributes:
        threads: To 8 threads.
        processes: To 4 processes.
    """

    threads: float
    processes: float


def redis_rates() -> RedisRates:
    """Measures redis-py against the Redis on 127.0.0.1:6379; its keys are removed afterwards.

    Raises:
        BenchError: If it cannot be installed, or there is no Redis.
    """
    return RedisRates(*_measured(REDIS, f"sutler-bench-{uuid.uuid4().hex}:"))


def diskcache_rates(folder: Path) -> DiskcacheRates:
    """Measures diskcache in a folder.

    Raises:
        BenchError: If it cannot be installed.
    """
    return DiskcacheRates(*_measured(DISKCACHE, str(folder)))


def _measured(program: str, argument: str) -> list[float]:
    python = HOME / "bin" / "python"
    try:
        if not (HOME / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(install, check=True, capture_output=True, text=True)
            (HOME / ".ready").touch()
        script = HOME / "program.py"
        script.write_text(program)
        command = [str(python), str(script), argument]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{' and '.join(PACKAGES)}: {error.stderr}") from error
    rates: list[float] = json.loads(answer.splitlines()[-1])
    return rates
