from __future__ import annotations

import asyncio

import pytest
from grpc_health.v1 import health_pb2
from sutler.errors import Unavailable
from sutler.health import NOT_SERVING, SERVING, HealthMonitor
from sutler.testing import wait_until


class Checks:
    """Checks that fail, or hang, on demand."""

    def __init__(self) -> None:
        self.problems: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.made = 0

    async def check(self, name: str) -> None:
        self.made += 1
        if name in self.hanging:
            await asyncio.Event().wait()
        if name in self.problems:
            raise self.problems[name]

    async def store(self) -> None:
        await self.check("store")

    async def rule(self) -> None:
        await self.check("rule")


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def monitor(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> HealthMonitor:
    monkeypatch.setattr("sutler.health.CHECK_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr("sutler.health.INTERVAL_SECONDS", 0.01)
    return HealthMonitor(["a.B"], {"store": checks.store}, {"rule": checks.rule})


async def states(monitor: HealthMonitor) -> tuple[int, ...]:
    """Returns the state of the process, the service and the neighbour."""
    asked = [health_pb2.HealthCheckRequest(service=name) for name in ("", "a.B", "neighbour.rule")]
    return tuple([(await monitor.servicer.Check(request, None)).status for request in asked])


async def test_follows_what_is_needed(monitor: HealthMonitor, checks: Checks) -> None:
    await monitor.update()
    assert await states(monitor) == (SERVING, SERVING, SERVING)
    checks.problems["store"] = Unavailable("down")
    await monitor.update()
    assert await states(monitor) == (NOT_SERVING, NOT_SERVING, SERVING)
    checks.problems.clear()
    await monitor.update()
    assert await states(monitor) == (SERVING, SERVING, SERVING)


async def test_a_neighbour_is_told_and_changes_nothing_else(monitor: HealthMonitor, checks: Checks) -> None:
    checks.problems["rule"] = Unavailable("down")
    await monitor.update()
    assert await states(monitor) == (SERVING, SERVING, NOT_SERVING)


@pytest.mark.parametrize("problem", [ValueError("a fault of the check"), OSError("x"), KeyError(), TimeoutError()])
async def test_whatever_a_check_raises_is_a_failure(monitor: HealthMonitor, checks: Checks, problem: Exception) -> None:
    checks.problems["store"] = problem
    await monitor.update()
    assert await states(monitor) == (NOT_SERVING, NOT_SERVING, SERVING)


async def test_no_answer_in_time_is_a_failure(monitor: HealthMonitor, checks: Checks) -> None:
    checks.hanging |= {"store", "rule"}
    await asyncio.wait_for(monitor.update(), 10)
    assert await states(monitor) == (NOT_SERVING, NOT_SERVING, NOT_SERVING)


async def test_goes_on_checking_after_faults(monitor: HealthMonitor, checks: Checks) -> None:
    checks.problems["store"] = ValueError("a fault of the check")
    running = asyncio.create_task(monitor.run())
    await wait_until(lambda: checks.made > 10)
    checks.problems.clear()

    async def serves() -> bool:
        return await states(monitor) == (SERVING, SERVING, SERVING)

    await wait_until(serves)
    running.cancel()


async def test_drain_is_final(monitor: HealthMonitor) -> None:
    await monitor.update()
    await monitor.drain()
    await monitor.update()
    assert await states(monitor) == (NOT_SERVING, NOT_SERVING, NOT_SERVING)
