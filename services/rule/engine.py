"""Works on executions: claims what is due, and runs it concurrently."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
from sutler.errors import SutlerError

from services.rule.endings import Endings
from services.rule.executions import Job
from services.rule.outcomes import Aftermath
from services.rule.ports import Work
from services.rule.working import Worker

log = structlog.get_logger("sutler.rule")

IDLE_SECONDS = 30.0
TROUBLE_SECONDS = 1.0
"""How long to rest when the store cannot be used."""

BROKEN_SECONDS = 30.0
"""How long an execution rests that the program cannot work on."""


class Tenure(Protocol):
    """The right of a process to work on executions, until it is lost.

    Attributes:
        fence: The fencing number that marks what this process holds.
        lost: Set when the right is lost.
    """

    fence: int
    lost: asyncio.Event


class Signal(Protocol):
    """Wakes who waits for commits."""

    @property
    def generation(self) -> int:
        """The number of commits noticed so far."""
        ...

    async def wait(self, timeout: float | None = None, since: int | None = None) -> int:
        """Returns after the next commit, or after ``timeout`` seconds."""
        ...


class Engine:
    """Runs the executions of all tenants, in every process.

    Args:
        work: The executions.
        worker: Does one job.
        tenure: Takes the right to work, and gives it back at the end.
        signal: Wakes the engine after commits.
        endings: Told of cascades that have ended.
        concurrency: How many executions run at once.
        lease_seconds: After how long another process may take over from one that died.
        clock: Gives epoch seconds: those by which the store says when something is due.

    Attributes:
        holder: The fencing number of this process; 0 while it may not work.
    """

    def __init__(
        self,
        work: Work,
        worker: Worker,
        tenure: Callable[[], AbstractAsyncContextManager[Tenure]],
        signal: Signal,
        endings: Endings,
        *,
        concurrency: int,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.holder = 0
        self._work = work
        self._worker = worker
        self._tenure = tenure
        self._signal = signal
        self._endings = endings
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._slots = asyncio.Semaphore(concurrency)  # calls that accept at the same time each see all the room

    @property
    def room(self) -> int:
        """How many more executions this process may take."""
        return max(0, self._concurrency - len(self._running)) if self.holder else 0

    def follow(self, aftermath: Aftermath) -> None:
        """Begins what follows from a change that was committed."""
        self._begin(aftermath.jobs)
        self._endings.tell(aftermath.ended)

    async def run(self) -> None:
        """Works until cancelled; then gives up what it holds, to be taken over at once by another process.

        It begins again when it has lost its right to work, and when the store answers again.

        Raises:
            Exception: The fault of the program that ended the work.
        """
        while True:
            try:
                async with self._tenure() as tenure:
                    await self._work_until_lost(tenure)
            except SutlerError as error:
                log.warning("rule.store_trouble", error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _work_until_lost(self, tenure: Tenure) -> None:
        self.holder = tenure.fence
        self._freed.set()
        losing = asyncio.create_task(tenure.lost.wait())
        working = [asyncio.create_task(self._serve()), asyncio.create_task(self._adopt())]
        try:
            ended, _ = await asyncio.wait([losing, *working], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (losing, *working):
                task.cancel()
            await asyncio.gather(losing, *working, return_exceptions=True)
            await self._give_up(tenure.fence)
        log.warning("rule.engine_begins_again", holder=tenure.fence)

    async def _serve(self) -> None:
        while True:
            seen = self._signal.generation
            try:
                pause = await self._step()
            except SutlerError as error:
                log.warning("rule.store_trouble", error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)
                continue
            if pause > 0:
                await self._signal.wait(pause, since=seen)

    async def has_room(self) -> None:
        """Returns when this process may take an execution."""
        while not self.room:
            self._freed.clear()
            await self._freed.wait()

    async def _step(self) -> float:
        """Takes what is due, and returns how long to sleep unless something changes."""
        await self.has_room()
        due = await self._work.next_time()
        if due is None:
            return IDLE_SECONDS
        if (wait := due - self._clock()) > 0:
            return min(IDLE_SECONDS, wait)
        jobs = await self._work.claim(self.holder, self.room)
        self._begin(jobs)
        aftermath, delivered = await self._work.deliver(self.holder, self.room)
        self.follow(aftermath)
        return 0.0 if jobs or delivered else 0.01

    async def _adopt(self) -> None:
        """Frees what dead processes hold, now and again and again."""
        while True:
            try:
                freed = await self._work.adopt()
                if freed:
                    log.info("rule.adopted", executions=freed)
            except SutlerError as error:
                log.warning("rule.store_trouble", error=str(error))
            await asyncio.sleep(self._lease_seconds / 2)

    async def _give_up(self, fence: int) -> None:
        self.holder = 0
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._work.release(fence)
        except SutlerError as error:  # another process frees it when the lease has run out
            log.warning("rule.store_trouble", error=str(error))

    def _begin(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            task = asyncio.create_task(self._do(job), name=job.execution.name)
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()

    async def _do(self, job: Job) -> None:
        try:
            async with self._slots:
                aftermath = await self._worker.do(job, lambda: self.holder)
            if aftermath is not None:
                self.follow(aftermath)
        except Exception as error:
            # A fault of the program. The execution must not be lost for it, nor be tried in a busy loop.
            log.error("rule.job_broken", execution=job.execution.name, exc_info=error)
            await asyncio.sleep(BROKEN_SECONDS)
            await self._worker.put_back(job)
