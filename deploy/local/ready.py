"""Waits until every part of a local stack answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.headers import AREA

from deploy.local.layout import AREAS, Layout, Ports
from deploy.local.manager import StackError, StackStopped, manager_pid

Probe = Callable[[], Awaitable[bool]]


def probes(ports: Ports) -> Mapping[str, Probe]:
    """Returns a probe for every part, by name."""
    services = {area: _serving(ports.of(area)) for area in AREAS}
    return {
        "sandbox": _answers(f"http://127.0.0.1:{ports.sandbox}/web/health"),
        **services,
        "gateway": _all_of([_serving(ports.gateway, area) for area in AREAS]),
    }


async def wait_ready(
    layout: Layout, ports: Ports, seconds: float = 60.0, told: Callable[[str], None] = lambda _: None
) -> None:
    """Returns when every part answers.

    Args:
        layout: The stack.
        ports: Where the parts are.
        seconds: How long to wait.
        told: Called with the name of each part when it answers.

    Raises:
        StackStopped: If the stack is stopped meanwhile.
        StackError: If a part does not answer in time; the text names it.
    """
    ends = time.monotonic() + seconds
    missing = dict(probes(ports))
    while missing:
        if manager_pid(layout) is None:
            raise StackStopped("the stack was stopped before every part answered")
        names = list(missing)
        answers = await asyncio.gather(*(missing[name]() for name in names))
        for name, ready in zip(names, answers, strict=True):
            if ready:
                del missing[name]
                told(name)
        if missing and time.monotonic() > ends:
            raise StackError(f"no answer in {seconds:.0f} s from: {', '.join(missing)}; see {layout.logs}/<name>.log")
        if missing:
            await asyncio.sleep(0.1)


def _all_of(probes: Sequence[Probe]) -> Probe:
    async def probe() -> bool:
        return all(await asyncio.gather(*(each() for each in probes)))

    return probe


def _serving(port: int, area: str = "") -> Probe:
    """Returns a probe that passes when a service, or the one of an area behind the gateway, is healthy."""
    metadata = ((AREA, area),) if area else ()

    async def probe() -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0, metadata=metadata)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def _answers(url: str) -> Probe:
    async def probe() -> bool:
        try:
            async with httpx.AsyncClient(timeout=1.0) as client:
                return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return probe
