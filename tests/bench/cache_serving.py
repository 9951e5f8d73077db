"""CacheService in a process of its own, for ``make bench-cache``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sutler.client import Sutler, connect
from sutler.testing import free_port

from tests.bench.cache_load import TOKEN
from tests.bench.harness import ROOT


def serving(transport: str, port: str, folder: Path) -> list[str]:
    """Returns the command of the service."""
    return [sys.executable, "-m", "tests.bench.cache_service", transport, port, str(folder)]


@asynccontextmanager
async def started(folder: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[tuple[str, int]]:
    """Runs the service, with settings beside ours, and yields its address and its process id."""
    port = str(free_port())
    with (folder / f"{port}.out").open("w") as output:
        command, variables = serving("grpcio", port, folder), {**os.environ, **(environment or {})}
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=variables, stdout=output, stderr=output)
        try:
            async with connect(f"127.0.0.1:{port}") as s:
                await asyncio.wait_for(s.channel.channel_ready(), 30)
            yield f"127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[tuple[Sutler, int]]:
    """Runs the service, and connects to it; yields its process id too."""
    async with started(folder) as (address, pid), connect(address, token=TOKEN) as s:
        yield s, pid
