"""What CacheService does in a second, beside redis-py and diskcache: ``make bench-cache`` runs it.

Ratios are by the server's CPU time per call, against a bare grpc.aio echo of the same run. Rates depend on the machine,
so they are scaled by the rate of that echo, relative to :data:`~tests.bench.resource.REFERENCE_ECHO`. Times and
throughputs of blobs are not scaled, nor is what the Python client does.

``PART=server`` and ``PART=client`` measure only the service or only its Python client; ``STORED=12000`` stores fewer
entries.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sutler.cache.v1 import cache_pb2 as pb

from tests.bench import chassis
from tests.bench.cache_client import client
from tests.bench.cache_load import CACHE, TOKEN, VALUE, Load, peak_memory, plain_write, reset_peak
from tests.bench.cache_peers import RedisRates, redis_rates
from tests.bench.cache_serving import service, serving
from tests.bench.harness import Line, Side, console, measure, report, told
from tests.bench.resource import REFERENCE_ECHO

MANY = int(os.environ.get("STORED") or 1_000_000)
"""How many entries are stored in the end; fewer make a quick trial, whose figures prove nothing."""

PART = os.environ.get("PART") or ""
"""The part that is measured; both if empty."""

FEW = 1_000
KEY = "a key"
SERVICE = "/sutler.cache.v1.CacheService"
BLOB_MIB = 256
EXPIRING = 100_000
ROUNDS = 5


async def fill(folder: Path) -> None:
    """Makes the entry that is got."""
    async with service(folder) as (s, _):
        load = Load(s)
        await load.prepare()
        await load.put(KEY)


def calls(folder: Path, other: Path) -> list[Side]:
    """Measures GetEntry of 100 bytes on both transports, and PutEntry, beside the bare echo.

    Every put replaces the entry of the one before: a durable change like that of a new key, and as fast (2,540 and
    2,690 a second of one Python client, in turn).
    """
    get = pb.GetEntryRequest(cache=CACHE, key=KEY).SerializeToString()
    put = pb.PutEntryRequest(cache=CACHE, key=KEY, entry=pb.Entry(inline_value=VALUE)).SerializeToString()
    token = {"authorization": f"Bearer {TOKEN}"}
    bare = [sys.executable, "-m", "tests.bench.chassis", "bare", "grpcio", "{port}", str(folder / "bare.jsonl")]
    sides = [Side("bare echo, grpcio", bare, chassis.PATH, chassis.BODY)]
    for transport in ("grpcio", "native"):
        server = serving(transport, "{port}", folder)
        sides.append(Side(f"GetEntry, {transport}", server, f"{SERVICE}/GetEntry", get, token))
    server = serving("grpcio", "{port}", other)
    sides.append(Side("PutEntry, grpcio", server, f"{SERVICE}/PutEntry", put, token))
    measure(sides)
    return sides


async def entries(folder: Path, put: Side, scale: float, redis: RedisRates) -> list[Line]:
    """Measures batches, and what one Python client puts in a second."""
    async with service(folder) as (s, _):
        load = Load(s)
        await load.prepare()
        await load.fill(0, FEW)
        await load.puts(500)
        puts = median([await load.puts(3_000) for _ in range(ROUNDS)])
        batches = median([await load.batches() for _ in range(ROUNDS)])
    return [
        Line(
            "PutEntry, durable",
            put.rate * scale,
            2500,
            f"scaled; measured {put.rate:,.0f}; new keys of one Python client {puts:,.0f}",
            "/s",
        ),
        Line(
            "BatchGetEntries of 1,000, keys",
            batches * scale,
            200_000,
            f"scaled; measured {batches:,.0f}; redis-py MGET {redis.mget:,.0f}, pipeline {redis.pipeline:,.0f}",
            "/s",
        ),
    ]


async def flatness(few_folder: Path, many_folder: Path) -> list[Line]:
    """Measures how much longer calls take with many entries: two services, in turn."""
    async with service(few_folder) as (few_s, _), service(many_folder) as (many_s, _):
        sides = {FEW: Load(few_s), MANY: Load(many_s)}
        for stored, load in sides.items():
            await load.prepare()
            await load.fill(0, stored)
            await load.latencies(stored)
        found: dict[int, list[tuple[float, float]]] = {FEW: [], MANY: []}
        for _ in range(ROUNDS):
            for stored, load in sides.items():
                found[stored].append(await load.latencies(stored))
    lines = []
    for place, call in enumerate(("GetEntry", "PutEntry")):
        few, many = (median([one[place] for one in found[stored]]) for stored in sides)
        known = f"{many:.2f} ms / {few:.2f} ms"
        lines.append(Line(f"{call}, p99 at {MANY:,} / at {FEW:,}", many / few, 1.3, known, at_most=True))
    return lines


async def sweeps(folder: Path) -> list[Line]:
    """Measures what expiry and eviction add to the longest of many calls."""
    async with service(folder) as (s, _):
        load = Load(s)
        await load.prepare()
        calm = await load.meanwhile(asyncio.sleep(5))
        await load.fill(0, EXPIRING, ttl=20)
        expiry = await load.meanwhile(_gone(load, 1))
        await load.fill(0, EXPIRING)
        await load.prepare(max_entries=EXPIRING // 2)
        eviction = await load.meanwhile(_gone(load, EXPIRING // 2))
    known = f"longest in calm {calm:.1f} ms"
    return [
        Line(f"longest call while {EXPIRING:,} expire, added", expiry - calm, 50, known, " ms", at_most=True),
        Line(
            f"longest call while {EXPIRING // 2:,} are evicted, added", eviction - calm, 50, known, " ms", at_most=True
        ),
    ]


async def _gone(load: Load, left: int) -> None:
    async with asyncio.timeout(180):
        while await load.count() > left:  # noqa: ASYNC110 - the server's own work
            await asyncio.sleep(0.2)


async def blobs(folder: Path) -> list[Line]:
    """Measures large blobs beside a plain file of the same size, in turn, and the memory that they take."""
    plain, writes, reads = [], [], []
    async with service(folder) as (s, pid):
        load = Load(s)
        await load.prepare()
        await load.write(8)
        reset_peak(pid)
        before = peak_memory(pid)
        for _ in range(ROUNDS):
            plain.append(await asyncio.to_thread(plain_write, folder / "plain", BLOB_MIB))
            writes.append(await load.write(BLOB_MIB))
            reads.append(await load.read(BLOB_MIB))
        grown = peak_memory(pid) - before
    known = f"a plain file, synced: {median(plain):,.0f} MB/s"
    return [
        Line(f"WriteBlob of {BLOB_MIB} MiB", median(writes), 250, known, " MB/s"),
        Line(f"ReadBlob of {BLOB_MIB} MiB", median(reads), 250, "not scaled", " MB/s"),
        Line("memory that both add", grown, 64, "the server's peak", " MiB", at_most=True),
    ]


def server(folder: Path) -> tuple[list[Side], list[Line]]:
    """Measures the service."""
    folders = [folder / part for part in ("gets", "puts", "entries", "few", "many", "sweeps", "blobs")]
    for each in folders:
        each.mkdir()
    for each in folders[:2]:
        asyncio.run(fill(each))
    sides = calls(*folders[:2])
    echo, get, native, put = sides
    scale = REFERENCE_ECHO / echo.rate
    redis = redis_rates()
    lines = [
        Line("grpcio: GetEntry / bare echo, by CPU", echo.cpu_us / get.cpu_us, 0.6, "bare grpcio echo"),
        Line(
            "native: GetEntry / bare grpcio echo, by CPU",
            echo.cpu_us / native.cpu_us,
            2.0,
            f"{native.rate:,.0f}/s; redis-py asyncio GET {redis.gets:,.0f}/s",
        ),
        *asyncio.run(entries(folders[2], put, scale, redis)),
        *asyncio.run(flatness(folders[3], folders[4])),
        *asyncio.run(sweeps(folders[5])),
        *asyncio.run(blobs(folders[6])),
    ]
    console.print(
        f"scale {scale:.2f}: the bare echo of this run made {echo.rate:,.0f} calls/s, the reference is "
        f"{REFERENCE_ECHO:,.0f}"
    )
    return sides, lines


def main() -> int:
    """Measures and judges."""
    if PART not in ("", "server", "client"):
        raise SystemExit(f"PART={PART}: there are the parts server and client")
    with TemporaryDirectory() as name, told():
        sides, lines = ([], []) if PART == "client" else server(Path(name))
        return report("CacheService", sides, lines if PART == "server" else [*lines, *client(Path(name))])


if __name__ == "__main__":
    sys.exit(main())
