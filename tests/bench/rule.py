"""What RuleService does in a second, beside KRules: ``make bench-rule`` runs it.

Rates depend on the machine, so they are scaled by the rate of a bare grpc.aio echo of the same run, relative to
:data:`~tests.bench.resource.REFERENCE_ECHO`; what was really measured stands beside each. Ratios are of rates that were
measured in turn. Times are not scaled: they are promises to people.

``PART=events`` (or rules, latency, timers, increments) measures one part; ``SHARE=0.1`` makes less of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from sutler.rule.v1 import rule_pb2 as pb
from sutler.testing import postgresql_schema

from tests.bench import chassis, rule_crowd, rule_peers
from tests.bench.harness import Line, Side, console, measure, report, told
from tests.bench.resource import REFERENCE_ECHO
from tests.bench.rule_load import Load, Rates
from tests.bench.rule_serving import service, small

ROUNDS = 5
FEW = 10
MANY = 10_000
HANDLERS = (10, 100, 1_000)
"""With how many handlers KRules is measured."""

PENDING = 100_000
PART = os.environ.get("PART") or ""
"""The part that is measured; all if empty."""


async def events(folder: Path, scale: float) -> list[Line]:
    """Publishes in batches and one by one on SQLite, and in batches on PostgreSQL, in turn."""
    batches, singles, others = Rates(), Rates(), Rates()
    with postgresql_schema() as url:
        async with service(folder / "sqlite") as sqlite, service(folder / "postgresql", data=url) as postgresql:
            here, there = Load(sqlite), Load(postgresql)
            for load in (here, there):
                await load.write_rules(1)
                await load.batches(Rates(), small(500))
            for _ in range(ROUNDS):
                await here.batches(batches, small(2_000))
                await here.singles(singles, small(1_000))
                await there.batches(others, small(600))
    return [
        Line(name, rates.rate * scale, target, f"scaled; measured {rates}", "/s")
        for name, rates, target in (
            ("events in batches of 100, SQLite", batches, 3_000),
            ("events one by one, 32 calls at once, SQLite", singles, 1_800),
            ("events in batches of 100, PostgreSQL", others, 1_500),
        )
    ]


async def rules(folder: Path, scale: float) -> list[Line]:
    """Publishes where few rules are, and many, in turn; and the same to KRules in memory."""
    curve: dict[int, Rates] = {count: Rates() for count in (*HANDLERS, small(MANY))}
    theirs: dict[int, list[float]] = {count: [] for count in HANDLERS}
    async with AsyncExitStack() as stack:
        loads = {}
        for count in curve:
            loads[count] = Load(await stack.enter_async_context(service(folder / str(count))))
            await loads[count].write_rules(count)
            await loads[count].batches(Rates(), small(500))
        for _ in range(ROUNDS):
            for count, load in loads.items():
                await load.batches(curve[count], small(800))
            for count in HANDLERS:
                theirs[count].append(await rule_peers.in_memory(count, small(1_000)))
    few, many = curve[FEW], curve[small(MANY)]
    known = ", ".join(f"{count:,}: {rates.rate:,.0f}/s" for count, rates in curve.items())
    krules = ", ".join(f"{count:,}: {median(each):,.0f}/s" for count, each in theirs.items())
    last = HANDLERS[-1]
    return [
        Line(f"rate with {small(MANY):,} rules / with {FEW}", many.rate / few.rate, 0.9, known),
        Line(
            f"KRules in memory, not durable: rate with {last:,} handlers / with {FEW}",
            median(theirs[last]) / median(theirs[FEW]),
            None,
            krules,
        ),
    ]


async def latency(folder: Path, scale: float) -> list[Line]:
    """Publishes 200 events a second."""
    async with service(folder / "paced") as running:
        load = Load(running)
        await load.write_rules(1)
        await load.paced(200, small(400))
        cuts = quantiles(await load.paced(200, small(3_000)), n=100)
    name = "from the publish to its effect, 200 events/s"
    return [
        Line(f"{name}, p50", cuts[49], 10, "its caller knows that all is stored", " ms", at_most=True),
        Line(f"{name}, p99", cuts[98], 50, "not scaled", " ms", at_most=True),
    ]


async def timers(folder: Path, scale: float) -> list[Line]:
    """Publishes where nothing else waits, and where 100,000 events are to be delivered tomorrow, in turn."""
    alone, beside = Rates(), Rates()
    async with service(folder / "alone") as one, service(folder / "beside") as other:
        calm, pending = Load(one), Load(other)
        for load in (calm, pending):
            await load.write_rules(1)
            await load.batches(Rates(), small(500))
        await pending.pend(small(PENDING))
        for _ in range(2 * ROUNDS):
            await calm.batches(alone, small(600))
            await pending.batches(beside, small(600))
        late = [await pending.due(0.3) for _ in range(20)]
    known = f"{beside.rate:,.0f}/s and {alone.rate:,.0f}/s; CPU {median(alone.cpu) / median(beside.cpu):.2f}"
    return [
        Line(f"rate with {small(PENDING):,} timers pending / with none", beside.rate / alone.rate, 0.95, known),
        Line("a due timer: until its effect is stored", max(late), 100, "the longest of 20", " ms", at_most=True),
    ]


async def increments(folder: Path, scale: float) -> list[Line]:
    """Increments one property from eight processes, in turn with KRules on Redis."""
    ours, theirs = list[float](), list[float]()
    each, fewer = small(300), small(100)
    with rule_peers.counter() as prefix:
        async with service(folder / "counting") as running:
            for _ in range(ROUNDS):
                command = rule_crowd.incrementing(running.process.address, each)
                ours.append(rule_crowd.PROCESSES * each / await rule_crowd.crowd(command))
                command = await rule_peers.incrementing(prefix, fewer)
                theirs.append(rule_crowd.PROCESSES * fewer / await rule_crowd.crowd(command))
            subject = await running.s.rules.GetSubject(pb.GetSubjectRequest(name=rule_crowd.SUBJECT))
    counted, made = subject.properties[rule_crowd.PROPERTY], ROUNDS * rule_crowd.PROCESSES * each
    rate = median(ours)
    known = f"scaled; measured {rate:,.0f}; KRules on Redis {median(theirs):,.0f}/s, measured"
    return [
        Line("increments of one property by 8 processes", rate * scale, 3_000, known, "/s"),
        Line("increments that were lost or made twice", abs(counted - made), 0, f"of {made:,}", at_most=True),
    ]


PARTS: Mapping[str, Callable[[Path, float], Awaitable[list[Line]]]] = {
    part.__name__: part for part in (events, rules, latency, timers, increments)
}


def echo(folder: Path) -> Side:
    """Measures the bare echo that rates are scaled by."""
    bare = [sys.executable, "-m", "tests.bench.chassis", "bare", "grpcio", "{port}", str(folder / "bare.jsonl")]
    side = Side("bare echo, grpcio", bare, chassis.PATH, chassis.BODY)
    measure([side], calls=small(10_000))
    return side


def main() -> int:
    """Measures and judges."""
    if PART not in ("", *PARTS):
        raise SystemExit(f"PART={PART}: there are the parts {', '.join(PARTS)}")
    lines = list[Line]()
    with TemporaryDirectory() as name, told():
        side = echo(Path(name))
        scale = REFERENCE_ECHO / side.rate
        for part, measured in PARTS.items():
            if PART in ("", part):
                lines += asyncio.run(measured(Path(name) / part, scale))
        console.print(
            f"scale {scale:.2f}: the bare echo of this run made {side.rate:,.0f} calls/s, the reference is "
            f"{REFERENCE_ECHO:,.0f}"
        )
        return report("RuleService", [side], lines)


if __name__ == "__main__":
    sys.exit(main())
