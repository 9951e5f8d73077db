"""Begins executions once more, as an operation: some after others, then waits until all of them have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from sutler.operations import Execution, Operation, State

from services.rule.backlog import Backlog

BATCH = 100
PACE_SECONDS = 0.1
POLL_SECONDS = 0.2
"""How long to rest between two looks at what has ended."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a replay would begin.

    Attributes:
        count: How many things would be replayed.
        by_rule: How many for each rule.
    """

    count: int
    by_rule: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events are given to which rules.

    Attributes:
        rules: The names of the rules.
        filter: Which events (AIP-160); all if empty.
        start: Only those accepted then or later, in epoch seconds; None for no bound.
        end: Only those accepted before, in epoch seconds; None for no bound.
    """

    rules: Sequence[str]
    filter: str = ""
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay has done so far.

    Attributes:
        events: How many events it has given to rules.
        begun: How many executions it has begun.
        succeeded: How many of them have succeeded.
        skipped: How many a condition has ended.
        failed: How many have failed, were cancelled, or could not be begun.
    """

    events: int = 0
    begun: int = 0
    succeeded: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def settled(self) -> int:
        """How many have ended."""
        return self.succeeded + self.skipped + self.failed


class Replays(Protocol):
    """Begins executions for replays, and keeps count of how they end. Each fails with Conflict (LEASE_LOST) if another
    process goes on with the operation."""

    async def begin_some(self, operation: Operation, limit: int) -> int | None:
        """Begins up to ``limit`` of what is left, and returns how many executions that made; None if nothing is."""
        ...

    async def settle(self, operation: Operation) -> bool:
        """Counts what has ended, and returns whether something goes on."""
        ...

    async def end(self, operation: Operation, state: State) -> None:
        """Ends a replay."""
        ...


async def replay(execution: Execution, replays: Replays, backlog: Backlog) -> None:
    """Carries a replay out, from where an earlier attempt left it.

    It begins no faster than it was told to, and nothing while too much waits already.
    """
    operation = execution.operation
    rate = int(operation.work["max_rate"])
    batch = min(BATCH, max(1, int(rate * PACE_SECONDS))) if rate else BATCH
    going: bool | None = True
    while going:
        if execution.cancelled.is_set():
            await replays.end(operation, State.CANCELLED)
            return
        await backlog.below(execution.cancelled.is_set)
        begun = await replays.begin_some(operation, batch)
        if begun is None:
            going = await replays.settle(operation)
            await _rest(execution, POLL_SECONDS if going else 0)
        else:
            backlog.add(begun)
            await _rest(execution, batch / rate if rate else 0)
    await replays.end(operation, State.SUCCEEDED)


async def _rest(execution: Execution, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await execution.cancelled.wait()
