"""Long work in small pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.005


async def until_done(step: Callable[[], Awaitable[bool]]) -> None:
    """Repeats a step while it says that there is more to do, with pauses, so that calls come in between."""
    while True:
        if not await step():
            return
        await asyncio.sleep(PAUSE_SECONDS)
