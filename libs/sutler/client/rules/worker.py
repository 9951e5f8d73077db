"""Runs handlers: declares their rules, and does their tasks until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.field_mask_pb2 import FieldMask

from sutler.client import Sutler
from sutler.client.rules.handlers import Handlers
from sutler.client.rules.pulling import Puller
from sutler.errors import invalid
from sutler.rule.v1 import rule_pb2 as pb

DECLARED = ["on", "subject", "when", "actions", "retry", "breaker", "priority"]
"""What a worker says of a rule. Whether it is enabled, its title and its timeout are for people."""


async def declared(s: Sutler, handlers: Handlers) -> None:
    """Writes the rules of handlers. One that is as it was keeps its revision.

    Raises:
        SutlerError: If a rule is not accepted.
    """
    for rule in handlers.rules():
        await s.rules.UpdateRule(
            pb.UpdateRuleRequest(rule=rule, update_mask=FieldMask(paths=DECLARED), allow_missing=True)
        )


class Worker:
    """A worker that runs.

    Args:
        pulling: Its work.
    """

    def __init__(self, pulling: asyncio.Task[None]) -> None:
        self._pulling = pulling

    async def serve(self) -> None:
        """Returns when the process is told to stop, by SIGTERM or SIGINT.

        Raises:
            SutlerError: If the worker cannot go on, such as without permission.
        """
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        waiting = asyncio.create_task(told.wait())
        try:
            await asyncio.wait([waiting, self._pulling], return_when=asyncio.FIRST_COMPLETED)
            if self._pulling.done():
                self._pulling.result()
        finally:
            waiting.cancel()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


@asynccontextmanager
async def worker(
    s: Sutler,
    handlers: Handlers,
    *,
    concurrency: int = 10,
    lease_seconds: float = 30.0,
    stop_seconds: float = 30.0,
    worker_id: str = "",
    declare: bool = True,
) -> AsyncIterator[Worker]:
    """Runs handlers while the block runs; then lets them finish, and gives back the tasks of those that do not.

    Any number of processes may run the same handlers: they share the tasks.

    Args:
        s: A connection to the gateway or to RuleService.
        handlers: The handlers.
        concurrency: How many tasks are done at once, at most 1000.
        lease_seconds: After how long without a sign of life another worker gets a task; at least 1. It is extended
            while a handler runs. A handler that blocks the event loop so long loses its task.
        stop_seconds: How long handlers may take to finish when the block ends.
        worker_id: What the worker calls itself, for people who look at tasks; host and process if empty.
        declare: Writes the rules of the handlers first. False if who runs the worker may not.

    Raises:
        SutlerError: If a rule is not accepted, or pulling is refused.
    """
    worker_id = worker_id or f"{socket.gethostname()}:{os.getpid()}"
    if not handlers.names():
        raise invalid("handlers", f"{handlers.name} has no handler")
    puller = Puller(s, handlers, concurrency=concurrency, lease_seconds=lease_seconds, worker_id=worker_id)
    with handlers.at_work():
        if declare:
            await declared(s, handlers)
        pulling = asyncio.create_task(puller.pull())
        try:
            yield Worker(pulling)
        finally:
            await puller.stop(pulling, stop_seconds)
    if not pulling.cancelled():
        pulling.result()
