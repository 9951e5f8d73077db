"""Calls into the event loop that a cache belongs to, from other loops and from threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Home:
    """An object that belongs to the event loop in which it is made.

    Args:
        name: What it is, for errors.

    Attributes:
        name: What it is.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()

    async def here(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the event loop of this cache, whichever loop awaits it."""
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the event loop of this cache, and waits for it.

        Raises:
            RuntimeError: If this is the thread of that loop, or a process that was forked since.
        """
        if self._process != os.getpid():
            work.close()
            raise RuntimeError(f"{self.name} was opened before this process was forked: open it in here")
        if self._inside():
            work.close()
            raise RuntimeError(
                f"waiting for {self.name} here would stop its event loop: make the function async, "
                "or give it a cache of sutler.client.cache.open_sync"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls a function in the event loop of this cache: now, or as soon as that comes to it."""
        if self._inside():
            function(*args)
        else:
            self._loop.call_soon_threadsafe(function, *args)

    def _inside(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False
