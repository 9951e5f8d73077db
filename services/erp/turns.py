"""Turns for calls to one ERP: so many at once, so many in a time, and fair between callers."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sutler.errors import Exhausted

from services.erp.connections import RateLimit

MAX_WAITING = 10_000
"""How many calls wait at the most; more are refused at once."""


class Allowance:
    """How many calls a rate allows now: a bucket that holds ``burst`` of them and fills with time.

    Args:
        limit: The rate; None for no limit.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self.text = f"{limit.calls} in {limit.interval or 1.0:g} s" if limit else ""
        self._most = float(limit.burst or limit.calls) if limit else float("inf")
        self._rate = limit.calls / (limit.interval or 1.0) if limit else float("inf")
        self._left = self._most
        self._time = time.monotonic()

    def take(self) -> bool:
        """Takes one call, if one is allowed now."""
        if self.wait() > 0:
            return False
        self._left -= 1
        return True

    def wait(self) -> float:
        """Returns in how many seconds a call is allowed; 0 for now."""
        if self._most == float("inf"):
            return 0.0
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._time) * self._rate)
        self._time = now
        return max(0.0, (1.0 - self._left) / self._rate) if self._left < 1.0 - 1e-9 else 0.0


class Turns:
    """Gives turns to callers one after the other, to each in the order in which its calls came.

    Args:
        name: What is called, for errors.
        limit: How many calls at once.
        rate: How many in a time.
        max_wait: Seconds that a call waits in all.
    """

    def __init__(self, name: str, limit: int, rate: RateLimit | None, max_wait: float) -> None:
        self._name = name
        self._free = limit
        self._allowance = Allowance(rate)
        self._max_wait = max_wait
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return sum(len(queue) for queue in self._queues.values())

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Holds a turn while the block runs.

        Raises:
            Exhausted: If none comes in time: OVERLOADED if all places are taken, RATE_LIMITED if too many calls were
                made.
        """
        if self._queues or not self._may_go():
            await self._wait(caller)
        try:
            yield
        finally:
            self._free += 1
            self._next()

    async def _wait(self, caller: str) -> None:
        if self.waiting >= MAX_WAITING:
            raise self._refusal()
        turn = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(caller, deque())
        queue.append(turn)
        self._next()
        try:
            async with asyncio.timeout(self._max_wait):
                await asyncio.shield(turn)
        except TimeoutError as error:
            if not turn.done():
                raise self._refusal() from error
        except asyncio.CancelledError:
            if turn.done():
                self._free += 1
            raise
        finally:
            if not turn.done():
                turn.cancel()
                self._drop(caller, turn)
            self._next()

    def _next(self) -> None:
        """Gives out turns: one to each caller who waits, around and around."""
        while self._queues and self._may_go():
            caller, queue = next(iter(self._queues.items()))
            turn = queue.popleft()
            if queue:
                self._queues.move_to_end(caller)
            else:
                del self._queues[caller]
            turn.set_result(None)
        if self._queues and self._free and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._allowance.wait(), self._ring)

    def _may_go(self) -> bool:
        if not self._free or not self._allowance.take():
            return False
        self._free -= 1
        return True

    def _ring(self) -> None:
        self._timer = None
        self._next()

    def _drop(self, caller: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(caller)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[caller]

    def _refusal(self) -> Exhausted:
        if self._free:
            return Exhausted(
                f"more than {self._allowance.text} calls to {self._name}; try again later, or raise its rate_limit",
                reason="RATE_LIMITED",
                metadata={"limit": self._allowance.text},
                retry_after=timedelta(seconds=max(0.001, self._allowance.wait())),
            )
        return Exhausted(
            f"all places for calls to {self._name} were taken for {self._max_wait:g} s; try again later, or raise its "
            "max_concurrency or max_queue_wait",
            metadata={"queue": self._name},
            retry_after=timedelta(seconds=max(1.0, self._max_wait)),
        )
