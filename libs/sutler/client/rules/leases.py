"""Holds tasks while they are worked on, and ends the work if a task is lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from sutler.client import Sutler
from sutler.errors import Conflict, NotFound, SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration

log = structlog.get_logger("sutler.worker")

BEATS = 3
"""How often a lease is extended in its time."""


class Lease:
    """The lease of one task.

    Args:
        s: A connection.
        task: The task, as it was pulled.
        seconds: How long the lease lasts from each extension.

    Attributes:
        lost: Whether the task may be another worker's by now.
    """

    def __init__(self, s: Sutler, task: pb.Task, seconds: float) -> None:
        self._s = s
        self._task = task
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self.lost = False

    async def keep(self, work: asyncio.Task[Any]) -> None:
        """Extends the lease until cancelled; once it is lost, cancels the work and returns."""
        while not self.lost:
            await asyncio.sleep(self._seconds / BEATS)
            await self._extend()
        log.warning("worker.lease_lost", task=self._task.name, handler=self._task.handler)
        work.cancel()

    async def _extend(self) -> None:
        asked = time.monotonic()
        request = pb.ExtendTaskRequest(
            name=self._task.name, lease_token=self._task.lease_token, lease_duration=duration(self._seconds)
        )
        try:
            await self._s.rules.ExtendTask(request, timeout=self._seconds / BEATS)
            self._ends = asked + self._seconds
        except (Conflict, NotFound):
            self.lost = True
        except SutlerError as error:
            log.warning("worker.lease_not_extended", task=self._task.name, reason=error.reason, error=str(error))
            self.lost = time.monotonic() >= self._ends
