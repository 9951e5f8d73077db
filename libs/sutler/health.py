"""Health that follows what a service needs: its own adapters decide, missing neighbours are told but do not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from sutler.background import WorkEnded

log = structlog.get_logger("sutler.health")

Check = Callable[[], Awaitable[None]]
"""Returns if the thing works, raises a :class:`~sutler.errors.SutlerError` if not."""

INTERVAL_SECONDS = 1.0
CHECK_TIMEOUT_SECONDS = 2.0

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthMonitor:
    """Runs checks every second and tells their results through ``grpc.health.v1``.

    The services, and ``""`` for the whole process, are SERVING while every needed check passes. A neighbour is told
    under ``neighbour.<name>`` and changes nothing else.

    Args:
        services: The full names of the services in this process.
        needed: Checks without which no call can succeed, such as the store.
        neighbours: Checks of other services; without them the process does what it can.

    Attributes:
        servicer: Tells the results.
        ended: Set when a check finds that the process can only begin anew.
    """

    def __init__(self, services: Sequence[str], needed: Mapping[str, Check], neighbours: Mapping[str, Check]) -> None:
        self.servicer = HealthServicer()
        self.ended = asyncio.Event()
        self._services = ("", *services)
        self._needed = needed
        self._neighbours = neighbours
        self._told: dict[str, str] = {}

    async def update(self) -> None:
        """Runs every check once and publishes the results."""
        needed = await asyncio.gather(*(self._passes(name, check) for name, check in self._needed.items()))
        state = SERVING if all(needed) else NOT_SERVING
        for service in self._services:
            await self.servicer.set(service, state)
        names = list(self._neighbours)
        passed = await asyncio.gather(*(self._passes(f"neighbour.{name}", self._neighbours[name]) for name in names))
        for name, ok in zip(names, passed, strict=True):
            await self.servicer.set(f"neighbour.{name}", SERVING if ok else NOT_SERVING)

    async def run(self) -> None:
        """Updates until cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def drain(self) -> None:
        """Says NOT_SERVING from now on, whatever the checks say."""
        await self.servicer.enter_graceful_shutdown()

    async def _passes(self, name: str, check: Check) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await check()
        except TimeoutError:
            problem = "no answer in time"
        except WorkEnded as error:
            problem = str(error)
            self.ended.set()
        except Exception as error:  # a check that is broken itself must not make the last good answer stay for ever
            problem = str(error) or type(error).__name__
        else:
            problem = ""
        if self._told.get(name, "") != problem:
            log.warning("health", check=name, problem=problem) if problem else log.info("health", check=name)
            self._told[name] = problem
        return not problem
