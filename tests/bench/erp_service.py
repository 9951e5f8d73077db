"""The gateway that ``make bench-erp`` puts beside a bare echo, with its answers to GetRecord counted."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from sutler.erp.v1 import erp_pb2 as pb
from sutler.server import Runtime, Service, serve

from services.erp.app import app
from services.erp.settings import Settings

SECRET = "a secret of more than thirty-two bytes"
NAME = "sutler.erp.v1.ErpGateway"


async def run(transport: str, port: int, folder: str, cache: str) -> None:
    """Serves until SIGTERM, and prints how often GetRecord was answered."""
    answers = 0

    @asynccontextmanager
    async def counting(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        async with app(settings, runtime) as service:
            servicer = service.servicers[NAME][1]
            get = servicer.GetRecord

            async def counted(request: pb.GetRecordRequest, context: Any) -> Any:
                nonlocal answers
                found = await get(request, context)
                answers += 1
                return found

            servicer.GetRecord = counted
            yield service

    values = {
        "transport": transport,
        "port": port,
        "data": f"sqlite:///{folder}/erp.db",
        "cache_address": cache,
        "log_file": f"{folder}/{port}.jsonl",
        "auth_secret": SECRET,
    }
    await serve(counting, Settings.model_validate(values), "erp")
    print(f"OK answers: {answers}")


if __name__ == "__main__":
    transport, port, folder, cache = sys.argv[1:]
    uvloop.run(run(transport, int(port), folder, cache))
