"""The one who changes a tenant's entries in this process: gathers what waits into one commit."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.steps import MissingError, Reads, Step

T = TypeVar("T")

MOST = 100
"""How many steps go into one commit."""

MAX_LINES = 1000
"""How many tenants' lines are kept while nothing waits in them."""

CONFLICT_SECONDS = 0.002
"""How long to wait, at the most, after another process was first; longer after each time."""

MAX_CONFLICT_SECONDS = 0.1


@dataclass(slots=True)
class _Waiting(Generic[T]):
    work: Callable[[Step], T]
    reads: Collection[bytes]
    result: asyncio.Future[T]
    outcome: T | None = None
    failure: BaseException | None = field(default=None)


class Line:
    """Makes steps on what one tenant has in a store.

    Processes do not wait for each other: a commit says on which state of the tenant it is based, and is made again if
    another process was first. The tasks of this process never get into each other's way, for their steps go together.

    Args:
        store: Where.
        tenant: Whose entries.
        clock: The time, in seconds since 1970.
        committed: Called after each commit.
    """

    def __init__(
        self, store: OrderedStore, tenant: str, clock: Callable[[], float], committed: Callable[[], None]
    ) -> None:
        self._store = store
        self._head = keys.tenant_head(tenant)
        self._clock = clock
        self._committed = committed
        self._queue: deque[_Waiting[Any]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._queue and (self._task is None or self._task.done())

    async def run(self, work: Callable[[Step], T], reads: Collection[bytes] = ()) -> T:
        """Returns what ``work`` returns, when what it wrote is committed. It is called again, until all fits.

        Args:
            work: The step; if it raises, it has written nothing.
            reads: Keys that it will look at.

        Raises:
            Exception: What ``work`` raises.
            SutlerError: If the store fails.
        """
        waiting: _Waiting[T] = _Waiting(work, reads, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await waiting.result

    async def _drain(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(MOST, len(self._queue)))]
            batch = [waiting for waiting in batch if not waiting.result.done()]
            try:
                await self._make(batch)
            except Exception as error:
                _finish(batch, error)
            else:
                _finish(batch)

    async def _make(self, batch: list[_Waiting[Any]]) -> None:
        longest = CONFLICT_SECONDS
        while not await self._try(batch):
            await asyncio.sleep(random.uniform(0, longest))
            longest = min(longest * 2, MAX_CONFLICT_SECONDS)

    async def _try(self, batch: list[_Waiting[Any]]) -> bool:
        reads, now = Reads(self._store), self._clock()
        reads.want([self._head])
        for waiting in batch:
            reads.want(waiting.reads)
        writes: dict[bytes, bytes | None] = {}
        while not reads.complete:
            await reads.load()
            writes = _run(batch, reads, now)
        if not writes and reads.count == 1:
            return True
        head = reads.values[self._head]
        if writes:
            writes[self._head] = orjson.dumps({"changes": (orjson.loads(head)["changes"] if head else 0) + 1})
        done = await self._store.commit((self._head, head), writes)
        if done and writes:
            self._committed()
        return done


class Lines:
    """The lines of all tenants in a store.

    Args:
        store: Where.
        clock: The time, in seconds since 1970.
        committed: Called after each commit.
    """

    def __init__(self, store: OrderedStore, clock: Callable[[], float], committed: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._committed = committed
        self._lines: dict[str, Line] = {}

    async def run(self, tenant: str, work: Callable[[Step], T], reads: Collection[bytes] = ()) -> T:
        """Makes a step on what a tenant has. See :meth:`Line.run`."""
        line = self._lines.get(tenant)
        if line is None:
            if len(self._lines) >= MAX_LINES:
                self._lines = {name: line for name, line in self._lines.items() if not line.idle}
            line = self._lines[tenant] = Line(self._store, tenant, self._clock, self._committed)
        return await line.run(work, reads)


def _run(batch: list[_Waiting[Any]], reads: Reads, now: float) -> dict[bytes, bytes | None]:
    """Returns what the steps write that had read all that they looked at. The time stands still until the commit, so
    that a step which is run again looks at the same."""
    written: dict[bytes, bytes | None] = {}
    for waiting in batch:
        step = Step(reads, written, now)
        waiting.outcome = waiting.failure = None
        try:
            waiting.outcome = waiting.work(step)
        except MissingError:
            continue
        except Exception as error:
            waiting.failure = error
        else:
            written.update(step.writes)
    return written


def _finish(batch: list[_Waiting[Any]], error: Exception | None = None) -> None:
    for waiting in batch:
        failure = error or waiting.failure
        if waiting.result.done():
            continue
        if failure is not None:
            waiting.result.set_exception(failure)
        else:
            waiting.result.set_result(waiting.outcome)
