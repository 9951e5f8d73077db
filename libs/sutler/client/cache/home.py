"""Calls into the event loop that a cache belongs to, from other loops and from threads, until it is closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ClosableStub:
    """A stub that can be closed, and that no forked process uses: what answers its calls runs in this one only.

    Args:
        stub: The stub.
        name: What it is of, for errors.
    """

    def __init__(self, stub: Any, name: str) -> None:
        self._stub = stub
        self._name = name
        self._closed = False
        self._process = os.getpid()

    def close(self) -> None:
        """Lets every later call fail."""
        self._closed = True

    def check(self) -> None:
        """Raises RuntimeError if it is closed, or this process was forked from the one that opened it."""
        if self._closed:
            raise RuntimeError(f"{self._name} is closed: use it inside the block of sutler.client.cache.open")
        if self._process != os.getpid():
            raise RuntimeError(f"{self._name} was opened before this process was forked: open it in here")

    def __getattr__(self, method: str) -> Any:
        self.check()
        return getattr(self._stub, method)


class Home:
    """An object that belongs to the event loop in which it is made.

    Args:
        name: What it is, for errors.
        stub: What it calls; closed together with it.

    Attributes:
        name: What it is.
    """

    def __init__(self, name: str, stub: Any) -> None:
        self.name = name
        self._stub = ClosableStub(stub, name)
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Lets every later call fail."""
        self._stub.close()

    async def here(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the event loop of this cache, whichever loop awaits it.

        Raises:
            RuntimeError: If it is closed, or this is a process that was forked since.
        """
        self._check(work)
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the event loop of this cache, and waits for it.

        Raises:
            RuntimeError: If it is closed, this is the thread of that loop, or a process that was forked since.
        """
        self._check(work)
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

    def _check(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._stub.check()
        except RuntimeError:
            work.close()
            raise

    def _inside(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False
