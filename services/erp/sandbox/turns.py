"""Turns of calls: at most as many at a time as there are workers, each as long as it is set to take."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from services.erp.sandbox.rpc import Clock, Outcome
from services.erp.sandbox.settings import Settings


class Turns:
    """Gives each call its turn, in the order they came; the rest wait. `clock` tells when a call began."""

    def __init__(self, pool: Executor, settings: Settings, clock: Clock) -> None:
        self.clock = clock
        self._pool = pool
        self._service = settings.service_ms / 1000
        self._row = settings.row_ms / 1000
        self._free = asyncio.Semaphore(settings.workers)

    async def take(self, call: Callable[..., Outcome], *args: Any) -> Outcome:
        """Run a call in a thread, with the time that it begins as its last argument.

        That is now: `write_date` says so even if the service time lets it commit later. The time of the rows is
        counted from the first moment, so what the work itself takes is part of it.
        """
        async with self._free:
            began, now = time.perf_counter(), self.clock()
            await asyncio.sleep(self._service)
            work = partial(call, *args, now)
            outcome = await asyncio.get_running_loop().run_in_executor(self._pool, work)
            await asyncio.sleep(max(0.0, self._service + self._row * outcome.rows - (time.perf_counter() - began)))
            return outcome
