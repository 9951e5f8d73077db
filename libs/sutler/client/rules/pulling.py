"""Pulls tasks, has them done, and stops without losing any."""

from __future__ import annotations

import asyncio
import random

import structlog

from sutler.client import Sutler
from sutler.client.rules.handlers import Handlers
from sutler.client.rules.leases import Lease
from sutler.client.rules.running import Run
from sutler.errors import Code, SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration

log = structlog.get_logger("sutler.worker")

WAIT_SECONDS = 20.0
FINAL = frozenset(
    (
        Code.INVALID_ARGUMENT,
        Code.PERMISSION_DENIED,
        Code.UNAUTHENTICATED,
        Code.UNIMPLEMENTED,
        Code.NOT_FOUND,
        Code.FAILED_PRECONDITION,
    )
)
"""Answers to a pull that will always be the same."""

MAX_PAUSE_SECONDS = 2.0
LAST_PULL_SECONDS = 0.1
"""How long an answer to the last pull is waited for: tasks that nobody got would be free only when their lease ends."""

GIVE_BACK_SECONDS = 5.0
"""How long giving back may take, for handlers that do not end when they are cancelled, or a server that is away."""


class Puller:
    """Pulls the tasks of handlers, and has them done.

    Args:
        s: A connection.
        handlers: The handlers.
        concurrency: How many tasks are done at once.
        lease_seconds: After how long without a sign of life another worker gets a task.
        worker_id: What it calls itself.
    """

    def __init__(
        self, s: Sutler, handlers: Handlers, *, concurrency: int, lease_seconds: float, worker_id: str
    ) -> None:
        self._s = s
        self._handlers = handlers
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._id = worker_id
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._room = asyncio.Event()
        self._stopping = False

    async def pull(self) -> None:
        """Takes tasks and has them done, until cancelled.

        Raises:
            SutlerError: If pulling is refused, and not only for now.
        """
        failures = 0
        while not self._stopping:
            self._room.clear()
            if len(self._runs) >= self._concurrency:
                await self._room.wait()
                continue
            try:
                tasks = await self._take()
                failures = 0
            except SutlerError as error:
                if error.code in FINAL:
                    raise
                failures += 1
                if failures == 1:
                    log.warning("worker.no_tasks", queue=self._handlers.name, reason=error.reason, error=str(error))
                await asyncio.sleep(random.uniform(0, min(MAX_PAUSE_SECONDS, 0.1 * 2 ** min(failures, 10))))
                continue
            for task in tasks:
                self._begin(task)

    async def stop(self, pulling: asyncio.Task[None], seconds: float) -> None:
        """Ends pulling, and waits for handlers that run; those that do not end are cancelled, their tasks given back.

        Args:
            pulling: What pulls.
            seconds: How long handlers may take.
        """
        self._stopping = True
        await asyncio.wait([pulling], timeout=LAST_PULL_SECONDS)
        pulling.cancel()
        await asyncio.wait([pulling])
        if self._runs:
            await asyncio.wait(list(self._runs), timeout=seconds)
        left = dict(self._runs)
        for run in left.values():
            run.give_back()
        if left:
            await asyncio.wait(list(left), timeout=GIVE_BACK_SECONDS)
        for task in self._runs:
            task.cancel()
        if self._runs:
            await asyncio.wait(list(self._runs))

    async def _take(self) -> list[pb.Task]:
        request = pb.PullTasksRequest(
            parent=f"queues/{self._handlers.name}",
            max_tasks=min(self._concurrency - len(self._runs), 1000),
            wait_timeout=duration(WAIT_SECONDS),
            lease_duration=duration(self._lease_seconds),
            worker_id=self._id,
            handlers=self._handlers.names(),
        )
        answer = await self._s.rules.PullTasks(request, timeout=WAIT_SECONDS + 30)
        return list(answer.tasks)

    def _begin(self, task: pb.Task) -> None:
        handler = self._handlers.find(task.handler)
        lease = Lease(self._s, task, self._lease_seconds)
        run = Run(self._s, task, handler, self._handlers.checks(handler), self._handlers.chain(), lease)
        running = asyncio.create_task(run.run())
        self._runs[running] = run
        running.add_done_callback(self._ended)
        if self._stopping:
            run.give_back()

    def _ended(self, running: asyncio.Task[None]) -> None:
        del self._runs[running]
        self._room.set()
