"""``sutler status``: whether the gateway and each service answer."""

from __future__ import annotations

import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sutler import headers
from sutler.cli.output import as_yaml, print_json, print_table
from sutler.cli.screen import Format, console
from sutler.cli.target import is_lost
from sutler.client import Sutler
from sutler.client.connection import services
from sutler.errors import Unavailable

CHECK_SECONDS = 3.0

_FIRST = ("resource", "cache", "erp", "rule", "provider")

AREAS = tuple(sorted(services(), key=lambda area: (_FIRST.index(area) if area in _FIRST else len(_FIRST), area)))
"""Every area of the contracts, in the order of the ports of a local stack; others after them, by name."""

NOT_HERE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)
"""What answers for a service that it does not have: a server, and the gateway."""


async def show_status(client: Sutler, output: Format) -> bool:
    """Asks each service for its health, prints the answers, and returns whether all serve.

    Raises:
        Unavailable: If there is no connection; JSON and YAML are printed before.
    """
    rows: list[dict[str, Any]] = []
    cause = ""
    for area in AREAS:
        if cause:
            rows.append({"service": area, "state": "UNAVAILABLE"})
            continue
        rows.append(await _check(client, area))
        cause = rows[-1]["problem"] if is_lost(client) else ""
    if output is Format.JSON:
        print_json(rows)
    elif output is Format.YAML:
        console.print(as_yaml(rows).rstrip(), markup=False)
    elif not cause:
        print_table(("service", "state", "ms", "problem"), rows)
    if cause:
        raise Unavailable(cause)
    return all(row["state"] == "SERVING" for row in rows)


async def _check(client: Sutler, area: str) -> dict[str, Any]:
    stub = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]
    request = health_pb2.HealthCheckRequest(service=services()[area].full_name)
    started = time.perf_counter()
    problem = ""
    try:
        answer = await stub.Check(request, timeout=CHECK_SECONDS, metadata=[(headers.AREA, area)])
        state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    except grpc.aio.AioRpcError as error:
        missing = error.code() in NOT_HERE
        state = "NOT_HERE" if missing else error.code().name
        problem = f"{request.service} is not behind this address" if missing else error.details() or ""
    row = {"service": area, "state": state, "ms": round((time.perf_counter() - started) * 1000, 1)}
    return {**row, "problem": problem} if problem else row
