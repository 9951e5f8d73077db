"""Runs a piece of work as a task and yields what it tells on its way; the task ends with whoever follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import structlog

from sutler.errors import Unavailable

log = structlog.get_logger("sutler.handlers")

END_SECONDS = 10.0
"""How long a cancelled handler may tidy up before it is left to itself; its fencing token is old by then."""

N = TypeVar("N")
R = TypeVar("R")


async def follow(work: Callable[[Callable[[N], Awaitable[None]]], Awaitable[R]]) -> AsyncGenerator[N | R, None]:
    """Yields what work tells, and last what it returns. Raises what it raises; cancels it if nobody follows any more.

    Args:
        work: Is given a function that tells something, which waits until the one before was taken.
    """
    news: asyncio.Queue[N] = asyncio.Queue(maxsize=1)
    task = asyncio.ensure_future(work(news.put))
    try:
        while not task.done():
            getting = asyncio.ensure_future(news.get())
            try:
                await asyncio.wait({getting, task}, return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    yield getting.result()
            finally:
                getting.cancel()
        while not news.empty():
            yield news.get_nowait()
        if task.cancelled():
            raise Unavailable("the handler cancelled its own work", reason="INTERNAL")
        yield task.result()
    finally:
        await _end(task)


async def _end(task: asyncio.Future[R]) -> None:
    if task.done():
        return
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=END_SECONDS)
    if not done:
        log.error("a cancelled handler goes on; its code swallows CancelledError or blocks")
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a cancelled handler failed while it ended", exc_info=error)
