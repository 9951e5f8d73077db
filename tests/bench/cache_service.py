"""The service that ``make bench-cache`` measures, with its answers to GetEntry counted."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from sutler.cache.v1 import cache_pb2 as pb
from sutler.server import Runtime, Service, serve

from services.cache.app import app
from services.cache.settings import Settings

SECRET = "a secret of more than thirty-two bytes"
NAME = "sutler.cache.v1.CacheService"


async def run(transport: str, port: int, folder: str) -> None:
    """Serves until SIGTERM, and prints how often GetEntry was answered."""
    answers = 0

    @asynccontextmanager
    async def counting(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        async with app(settings, runtime) as service:
            servicer = service.servicers[NAME][1]
            get = servicer.GetEntry

            async def counted(request: pb.GetEntryRequest, context: Any) -> Any:
                nonlocal answers
                found = await get(request, context)
                answers += 1
                return found

            servicer.GetEntry = counted
            yield service

    values = {
        "transport": transport,
        "port": port,
        "data": f"sqlite:///{folder}/cache.db",
        "log_file": f"{folder}/{port}.jsonl",
        "auth_secret": SECRET,
    }
    await serve(counting, Settings.model_validate(values), "cache")
    print(f"OK answers: {answers}")


if __name__ == "__main__":
    transport, port, folder = sys.argv[1:]
    uvloop.run(run(transport, int(port), folder))
