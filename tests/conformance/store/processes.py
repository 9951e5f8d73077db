"""Starts worker processes."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'libs'}{os.pathsep}{ROOT}"}


def command_of(command: str, url: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.conformance.store.worker", command, url, *map(str, arguments)]


@asynccontextmanager
async def worker(command: str, url: str, *arguments: object) -> AsyncIterator[Process]:
    """Runs a worker, and kills it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *command_of(command, url, *arguments), stdin=PIPE, stdout=PIPE, env=ENVIRONMENT, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Process, seconds: float = 30) -> list[str]:
    """Returns the words of the next line that a worker says."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), seconds)).decode().split()


async def told(process: Process, word: str = "go") -> None:
    """Writes a line to a worker."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n".encode())
    await process.stdin.drain()


async def rest(process: Process) -> list[str]:
    """Returns all further whole lines of a worker that has ended or been killed."""
    assert process.stdout is not None
    return (await process.stdout.read()).decode().splitlines()
