"""Lets commands go on to their end, whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Shield:
    """Runs commands in tasks of their own, so that whoever waits for one can be cancelled at any time.

    Within redis-py a cancellation can get lost, in asyncio.wait_for (https://bugs.python.org/issue37658): the task
    would go on as if nothing had been said, and who cancelled it would wait for ever.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, command: Coroutine[Any, Any, T]) -> T:
        """Returns what a command returns. It goes on if the caller is cancelled."""
        task = asyncio.create_task(command)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Waits for all commands that are under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # so that nobody complains about one that nobody waited for
