"""Runs stand-ins in one process until SIGTERM: ``python -m tests.e2e.gateway cache=50052 erp=50053``."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import uvloop
from sutler.server import running

from tests.e2e.gateway.standins import Settings, make_app


async def _serve_all(ports: dict[str, int]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings()
    async with AsyncExitStack() as servers:
        for area, port in ports.items():
            own = settings.model_copy(update={"port": port})
            await servers.enter_async_context(running(make_app(area), own, area))
        await stop.wait()


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[1:])
    uvloop.run(_serve_all({area: int(port) for area, port in pairs}))
