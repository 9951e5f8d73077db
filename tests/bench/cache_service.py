"""The service that ``make bench-cache`` measures, with its answers to GetEntry counted."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from sutler.server import Runtime, Service, serve

from services.cache.app import app
from services.cache.settings import Settings

SECRET = "a secret of more than thirty-two bytes"
Method = Callable[[Any, Any], Awaitable[Any]]
NAME = "sutler.cache.v1.CacheService"


async def run(transport: str, port: int, folder: str) -> None:
    """Serves until SIGTERM, and prints how often GetEntry and PutEntry were answered."""
    answers = 0

    @asynccontextmanager
    async def counting(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        async with app(settings, runtime) as service:
            servicer = service.servicers[NAME][1]

            def counted(method: Method) -> Method:
                async def call(request: Any, context: Any) -> Any:
                    nonlocal answers
                    answer = await method(request, context)
                    answers += 1
                    return answer

                return call

            servicer.GetEntry, servicer.PutEntry = counted(servicer.GetEntry), counted(servicer.PutEntry)
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
