"""Reads the request streams of long calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from sutler.errors import Unavailable

T = TypeVar("T")


async def until_shutdown(requests: AsyncIterator[T], shutdown: asyncio.Event) -> AsyncIterator[T]:
    """Yields requests as they come; what was read is answered before the stream ends.

    Raises:
        Unavailable: If the server stops (SHUTTING_DOWN).
    """
    iterator = aiter(requests)
    stopping = asyncio.ensure_future(shutdown.wait())
    reading: asyncio.Future[T | None] = stopping.get_loop().create_future()
    try:
        while True:
            reading = asyncio.ensure_future(anext(iterator, None))
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                raise Unavailable("the server is stopping; go on elsewhere", reason="SHUTTING_DOWN")
            request = reading.result()
            if request is None:
                return
            yield request
    finally:
        stopping.cancel()
        reading.cancel()
