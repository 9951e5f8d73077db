"""The load of ``make bench-cache`` that needs more than one fixed request."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from sutler.auth import make_token
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler

from tests.bench.cache_service import NAME, SECRET

CONCURRENT = 32
CACHE = "caches/bench"
TOKEN = make_token(SECRET, "user:bench", permissions=["*.*.*"])
VALUE = bytes(range(100))
CHUNK = bytes(1 << 20)
MIB = 1 << 20

Call = Callable[[bytes], Awaitable[bytes]]


class Load:
    """Puts and gets, and measures.

    Args:
        s: A connection to the service.
    """

    def __init__(self, s: Sutler) -> None:
        self._s = s
        self._numbers = itertools.count()

    def _raw(self, method: str) -> Call:
        """Returns a call of serialised messages, so that the caller's own work is not measured."""
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        call = self._s.channel.unary_unary(f"/{NAME}/{method}")
        return lambda body: call(body, metadata=metadata)

    async def prepare(self, **rules: Any) -> None:
        """Makes the cache, without limits if none are given."""
        cache = pb.Cache(name=CACHE, **{"max_bytes": 0, **rules})
        await self._s.cache.UpdateCache(pb.UpdateCacheRequest(cache=cache, allow_missing=True))

    async def put(self, key: str) -> None:
        """Puts one entry of 100 bytes."""
        entry = pb.Entry(inline_value=VALUE)
        await self._s.cache.PutEntry(pb.PutEntryRequest(cache=CACHE, key=key, entry=entry))

    async def puts(self, count: int) -> float:
        """Puts this many entries under keys of their own, 32 at once, and returns how many a second."""
        call, entry = self._raw("PutEntry"), pb.Entry(inline_value=VALUE)
        bodies = iter(
            [
                pb.PutEntryRequest(cache=CACHE, key=f"put/{next(self._numbers)}", entry=entry).SerializeToString()
                for _ in range(count)
            ]
        )

        async def one_after_the_other() -> None:
            for body in bodies:
                await call(body)

        start = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENT)))
        return count / (time.perf_counter() - start)

    async def fill(self, first: int, last: int, ttl: int = 0) -> None:
        """Puts entries ``fill/<number>`` in batches."""
        entry = pb.Entry(inline_value=VALUE, ttl=Duration(seconds=ttl))
        for start in range(first, last, 1000):
            rows = [
                pb.PutEntryRow(key=f"fill/{number}", entry=entry) for number in range(start, min(start + 1000, last))
            ]
            answer = await self._s.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=CACHE, rows=rows), timeout=60)
            assert all(result.HasField("entry") for result in answer.results)

    async def batches(self, rounds: int = 60) -> float:
        """Gets 1,000 entries by key at once, four calls at a time, and returns how many keys a second."""
        request = pb.BatchGetEntriesRequest(
            cache=CACHE, keys=[f"fill/{number}" for number in range(1000)], view=pb.ENTRY_VIEW_VALUE
        )
        answer = await self._s.cache.BatchGetEntries(request)
        assert [result.entry.inline_value for result in answer.results] == [VALUE] * 1000
        call, body = self._raw("BatchGetEntries"), request.SerializeToString()

        async def some() -> None:
            for _ in range(rounds // 4):
                assert len(await call(body)) > 1000 * len(VALUE)

        await some()
        start = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(4)))
        return rounds * 1000 / (time.perf_counter() - start)

    async def latencies(self, stored: int, count: int = 3000) -> tuple[float, float]:
        """Returns the 99th percentiles of GetEntry and PutEntry, four at a time, in ms, with ``stored`` entries."""
        get, put = self._raw("GetEntry"), self._raw("PutEntry")
        entry = pb.Entry(inline_value=VALUE)
        keys = [f"fill/{number * 7919 % stored}" for number in range(count)]
        gets = [pb.GetEntryRequest(cache=CACHE, key=key).SerializeToString() for key in keys]
        puts = [pb.PutEntryRequest(cache=CACHE, key=key, entry=entry).SerializeToString() for key in keys]
        return percentile(await timed(get, gets)), percentile(await timed(put, puts))

    async def meanwhile(self, work: Awaitable[object]) -> float:
        """Returns the longest GetEntry, in ms, while something else goes on."""
        await self.put("meanwhile")
        call, body = self._raw("GetEntry"), pb.GetEntryRequest(cache=CACHE, key="meanwhile").SerializeToString()
        task, longest = asyncio.ensure_future(work), 0.0
        while not task.done():
            start = time.perf_counter()
            await call(body)
            longest = max(longest, time.perf_counter() - start)
            await asyncio.sleep(0.001)
        await task
        return longest * 1000

    async def count(self) -> int:
        """Returns how many entries the cache has."""
        stats = await self._s.cache.GetCacheStats(pb.GetCacheStatsRequest(name=CACHE))
        return int(stats.entry_count)

    async def write(self, mib: int) -> float:
        """Writes a blob that was not there before, and returns MB a second."""

        async def parts() -> AsyncIterator[pb.WriteBlobRequest]:
            yield pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=CACHE, key="blob"))
            yield pb.WriteBlobRequest(data=next(self._numbers).to_bytes(8) + CHUNK[8:])
            part = pb.WriteBlobRequest(data=CHUNK)
            for _ in range(mib - 1):
                yield part
            yield pb.WriteBlobRequest(trailer=pb.WriteBlobTrailer(size_bytes=mib * MIB))

        start = time.perf_counter()
        await self._s.cache.WriteBlob(parts(), timeout=120)
        return mib * MIB / 1e6 / (time.perf_counter() - start)

    async def read(self, mib: int) -> float:
        """Reads the blob, and returns MB a second."""
        size, start = 0, time.perf_counter()
        async for message in self._s.cache.ReadBlob(pb.ReadBlobRequest(cache=CACHE, key="blob"), timeout=120):
            size += len(message.data)
        assert size == mib * MIB
        return size / 1e6 / (time.perf_counter() - start)


async def timed(call: Call, bodies: list[bytes], at_once: int = 4) -> list[float]:
    """Makes calls, some at once, and returns how many ms each took."""
    waiting, took = iter(bodies), []

    async def one_after_the_other() -> None:
        for body in waiting:
            start = time.perf_counter()
            await call(body)
            took.append((time.perf_counter() - start) * 1000)

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return took


def percentile(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


def plain_write(path: Path, mib: int) -> float:
    """Writes a file, syncs and removes it, and returns MB a second until it is synced."""
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(mib):
            file.write(CHUNK)
        os.fsync(file.fileno())
    took = time.perf_counter() - start
    path.unlink()
    return mib * MIB / 1e6 / took


def peak_memory(pid: int) -> float:
    """Returns the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def reset_peak(pid: int) -> None:
    """Lets the peak begin anew from what the process has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
