"""The service that ``make bench-resource`` measures, with its answers to GetResource counted."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import Runtime, Service, serve

from services.resource.app import app
from services.resource.settings import Settings

SECRET = "a secret of more than thirty-two bytes"
NAME = "sutler.resource.v1.ResourceService"


async def run(transport: str, port: int, url: str, log: str) -> None:
    """Serves until SIGTERM, and prints how often GetResource was answered."""
    answers = 0

    @asynccontextmanager
    async def counting(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        async with app(settings, runtime) as service:
            servicer = service.servicers[NAME][1]
            get = servicer.GetResource

            async def counted(request: pb.GetResourceRequest, context: Any) -> pb.Resource:
                nonlocal answers
                found: pb.Resource = await get(request, context)
                answers += 1
                return found

            servicer.GetResource = counted
            yield service

    values = {"transport": transport, "port": port, "data": url, "log_file": log, "auth_secret": SECRET}
    await serve(counting, Settings.model_validate(values), "resource")
    print(f"OK answers: {answers}")


if __name__ == "__main__":
    transport, port, url, log = sys.argv[1:]
    uvloop.run(run(transport, int(port), url, log))
