"""What ResourceService does in a second, alone and beside a peer: ``make bench-resource`` runs it.

Ratios are by the server's CPU time per call, against a bare grpc.aio echo of the same run. Absolute rates depend on the
machine, so they are scaled: by the rate of that echo in this run, relative to :data:`REFERENCE_ECHO`. Times are not
scaled: they are promises to people. What was really measured stands beside each scaled rate.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sutler.client import Sutler, connect
from sutler.resource.v1 import resource_pb2 as pb
from sutler.testing import free_port, postgresql_schema

from tests.bench import chassis
from tests.bench.harness import ROOT, Line, Side, console, measure, report, told
from tests.bench.resource_load import CONCURRENT, TOKEN, TYPE, Load, group
from tests.bench.resource_peer import STEP, crossing, peer_rates

REFERENCE_ECHO = 6300.0
"""Calls per second of a bare grpc.aio echo on the machine for which the targets were set."""

MANY = int(os.environ.get("STORED") or 100_000)
"""How many resources are stored in the end; fewer make a quick trial, whose figures prove nothing."""

FEW = 1_000
GET = "/sutler.resource.v1.ResourceService/GetResource"


def serving(transport: str, port: str, url: str, folder: Path) -> list[str]:
    """Returns the command of the service."""
    return [sys.executable, "-m", "tests.bench.resource_service", transport, port, url, str(folder / f"{port}.jsonl")]


@asynccontextmanager
async def service(url: str, folder: Path) -> AsyncIterator[Sutler]:
    """Runs the service in a process of its own, and connects to it."""
    port = str(free_port())
    with (folder / f"{port}.out").open("w") as output:
        command = serving("grpcio", port, url, folder)
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=output, stderr=output)
        try:
            async with connect(f"127.0.0.1:{port}", token=TOKEN) as s:
                await asyncio.wait_for(s.channel.channel_ready(), 30)
                yield s
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)


def gets(url: str, folder: Path) -> list[Side]:
    """Measures GetResource on both transports beside the bare echo."""
    body = pb.GetResourceRequest(name=f"{group(0)}/providers/{TYPE}/s0").SerializeToString()
    token = {"authorization": f"Bearer {TOKEN}"}
    bare = [sys.executable, "-m", "tests.bench.chassis", "bare", "grpcio", "{port}", str(folder / "bare.jsonl")]
    sides = [Side("bare echo, grpcio", bare, chassis.PATH, chassis.BODY)]
    for transport in ("grpcio", "native"):
        command = serving(transport, "{port}", url, folder)
        sides.append(Side(f"GetResource, {transport}", command, GET, body, token))
    measure(sides)
    return sides


async def creating(load: Load) -> tuple[list[float], float]:
    """Creates 100,000 resources and some more; returns the rates of the first 10,000, and that at the end."""
    curve = [await load.create(STEP) for _ in range(10)]
    await load.create(MANY - 10 * STEP)
    return curve, await load.create(5 * STEP)


async def on_sqlite(url: str, folder: Path, scale: float) -> tuple[list[Line], list[float]]:
    """Measures all that needs a filled store; returns the lines, and the rates of the first 10,000 creates."""
    async with service(url, folder) as s:
        load = Load(s)
        await load.prepare()
        curve, late = await creating(load)
        first = sum(curve[1:6]) / 5
        listed = min(1000, (MANY + 5 * STEP) // 100)
        batches, lists = await load.batches(), await load.lists(listed)
        watches, stack = await load.watches(), await load.stack()
    console.print("creates per second at 1,000, 2,000 …:", ", ".join(f"{rate:,.0f}" for rate in curve))
    return [
        Line("CreateResource, SQLite", first * scale, 1500, f"scaled; measured {first:,.0f}", "/s"),
        Line(f"rate at {MANY:,} stored / at 1,000", late / first, 0.9, f"{late:,.0f}/s and {first:,.0f}/s"),
        Line("BatchGetResources of 500", batches * scale, 40_000, f"scaled; measured {batches:,.0f}", "/s"),
        Line(f"list {listed:,} of {MANY:,} by scope and tag, p99", lists, 60, "not scaled", " ms", at_most=True),
        Line("100 watchers, 200 changes/s, p99", watches, 300, "not scaled", " ms", at_most=True),
        Line("stack of 100 records", stack, 1.5, "not scaled", " s", at_most=True),
    ], curve


async def on_postgresql(folder: Path, scale: float) -> Line:
    """Measures creates on PostgreSQL."""
    with postgresql_schema() as url:
        async with service(url, folder) as s:
            load = Load(s)
            await load.prepare()
            await load.create(FEW)
            rate = await load.create(3 * FEW)
    return Line("CreateResource, PostgreSQL", rate * scale, 800, f"scaled; measured {rate:,.0f}", "/s")


def main() -> int:
    """Measures and judges."""
    with TemporaryDirectory() as name, told():
        folder = Path(name)
        small, large = f"sqlite:///{folder}/small.db", f"sqlite:///{folder}/large.db"
        asyncio.run(fill(small, folder))
        sides = gets(small, folder)
        echo, get, native = sides
        scale = REFERENCE_ECHO / echo.rate
        lines, ours = asyncio.run(on_sqlite(large, folder, scale))
        lines.append(asyncio.run(on_postgresql(folder, scale)))
        theirs = peer_rates()
        console.print("the peer's:", ", ".join(f"{rate:,.0f}" for rate in theirs))
        lines = [
            Line("grpcio: GetResource / bare echo, by CPU", echo.cpu_us / get.cpu_us, 0.6, "bare grpcio echo"),
            Line(
                "native: GetResource / bare grpcio echo, by CPU", echo.cpu_us / native.cpu_us, 1.5, "bare grpcio echo"
            ),
            *lines,
            Line("faster than the peer from", crossing(ours, theirs), 5000, "itl-controlplane-sdk", at_most=True),
        ]
        console.print(
            f"scale {scale:.2f}: the bare echo of this run made {echo.rate:,.0f} calls/s, the reference is "
            f"{REFERENCE_ECHO:,.0f}; {CONCURRENT} calls at once"
        )
        return report("ResourceService", sides, lines)


async def fill(url: str, folder: Path) -> None:
    """Makes the resource that is got."""
    async with service(url, folder) as s:
        load = Load(s)
        await load.prepare()
        await load.create(FEW)


if __name__ == "__main__":
    sys.exit(main())
