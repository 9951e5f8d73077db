"""The load of ``make bench-rule``: rules that set a property and emit an event, and events for them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from google.protobuf import json_format
from sutler.rule.v1 import rule_pb2 as pb

from tests.bench.harness import BenchError
from tests.bench.rule_serving import TOKEN, Running

PUBLISH = "/sutler.rule.v1.RuleService/BatchPublishEvents"
BATCH = 100
BATCHES_AT_ONCE = 4
CONCURRENT = 32
SUBJECTS = 1_000
KINDS = 10
"""How many rules get events, of however many there are."""

MOST = 1_000
"""How many events one call may bring."""

PATIENCE = 100
"""Seconds after which a cascade that goes on is a fault."""


@dataclass(slots=True)
class Rates:
    """What was measured in each round.

    Attributes:
        per_second: Source events a second, up to the end of all that they caused.
        cpu: Server CPU µs for each of them.
    """

    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.rate:,.0f}/s, {median(self.cpu):,.0f} µs of the server's CPU for each"

    @property
    def rate(self) -> float:
        """The median."""
        return median(self.per_second)

    def add(self, count: int, seconds: float, cpu_us: float) -> None:
        """Adds a round."""
        self.per_second.append(count / seconds)
        self.cpu.append(cpu_us / count)


class Load:
    """Writes rules, publishes, and waits for the end of all that follows.

    Args:
        running: The service.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._numbers = itertools.count()
        self._kinds: Sequence[int] = (0,)

    async def write_rules(self, count: int) -> None:
        """Writes this many rules, of which each event will match one."""
        bodies = iter([_rule(number) for number in range(count)])

        async def one_after_the_other() -> None:
            for rule in bodies:
                await self._running.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=rule, allow_missing=True))

        await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENT)))
        self._kinds = range(0, count, max(1, count // KINDS))

    async def batches(self, rates: Rates, count: int) -> None:
        """Publishes in batches of 100, each call answered when all that its events caused has ended."""
        events = self._events(count)
        calls = iter([_request(events[at : at + BATCH], wait=True) for at in range(0, count, BATCH)])
        await self._timed(rates, count, self._publish(calls, BATCHES_AT_ONCE, wait=True))

    async def singles(self, rates: Rates, count: int) -> None:
        """Publishes one by one, 32 at once, and then waits until all that the events caused has ended."""
        events = self._events(count)
        calls = iter([_request([event]) for event in events])
        ends = iter([_request(events[at : at + MOST], wait=True) for at in range(0, count, MOST)])

        async def both() -> None:
            await self._publish(calls, CONCURRENT)
            await self._publish(ends, 1, wait=True)

        await self._timed(rates, count, both())

    async def paced(self, rate: float, count: int) -> list[float]:
        """Publishes so many a second; returns after how many ms callers knew that the effect of each was stored."""
        calls = [_request([event], wait=True) for event in self._events(count)]
        began = time.perf_counter() + 0.1

        async def one(number: int, body: bytes) -> float:
            due = began + number / rate
            await asyncio.sleep(due - time.perf_counter())
            await self._publish(iter([body]), 1, wait=True)
            return (time.perf_counter() - due) * 1e3

        return list(await asyncio.gather(*(one(*call) for call in enumerate(calls))))

    async def pend(self, count: int) -> None:
        """Publishes events that are delivered tomorrow."""
        events = self._events(count, deliver_at=time.time() + 86_400)
        await self._publish(iter([_request(events[at : at + MOST]) for at in range(0, count, MOST)]), 2)

    async def due(self, pause: float) -> float:
        """Publishes an event for later; returns how many ms after its time callers knew that its effect was stored."""
        at = time.time() + pause
        await self._publish(iter([_request(self._events(1, deliver_at=at), wait=True)]), 1, wait=True)
        return (time.time() - at) * 1e3

    async def _timed(self, rates: Rates, count: int, work: Any) -> None:
        cpu, start = self._running.cpu_us, time.perf_counter()
        await work
        rates.add(count, time.perf_counter() - start, self._running.cpu_us - cpu)

    async def _publish(self, calls: Any, at_once: int, *, wait: bool = False) -> None:
        """Sends serialised requests, so that the caller's own work is not measured."""
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        call = self._running.s.channel.unary_unary(PUBLISH)

        async def one_after_the_other() -> None:
            for body in calls:
                answer = pb.BatchPublishEventsResponse.FromString(
                    await call(body, metadata=metadata, timeout=PATIENCE + 20)
                )
                for result in answer.results:
                    if not result.event or (wait and not (result.complete and _well(result))):
                        raise BenchError(f"an event was refused, or what it caused did not end well: {result}")

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))

    def _events(self, count: int, deliver_at: float | None = None) -> list[pb.Event]:
        found = []
        for number in itertools.islice(self._numbers, count):
            event = pb.Event(
                id=str(number),
                source="/bench",
                type=f"bench.kind{self._kinds[number % len(self._kinds)]}",
                subject=f"device/{number % SUBJECTS}",
            )
            event.data.struct_value["value"] = number
            if deliver_at is not None:
                event.deliver_time.FromMicroseconds(int(deliver_at * 1e6))
            found.append(event)
        return found


def _request(events: Sequence[pb.Event], *, wait: bool = False) -> bytes:
    request = pb.BatchPublishEventsRequest(events=events, wait=wait)
    if wait:
        request.wait_timeout.FromSeconds(PATIENCE)
    return request.SerializeToString()


def _well(result: pb.PublishResult) -> bool:
    return result.cascade_state == pb.Cascade.STATE_SUCCEEDED


def _rule(number: int) -> pb.Rule:
    rule = {
        "name": f"rules/bench{number}",
        "on": [f"bench.kind{number}"],
        "actions": [
            {"setProperty": {"property": "value", "expression": "payload.value"}},
            {"emitEvent": {"event": {"type": "bench.done", "data": {"value": "${payload.value}"}}}},
        ],
    }
    return json_format.ParseDict(rule, pb.Rule())
