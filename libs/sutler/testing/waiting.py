"""Waits for conditions, with a bound: what tests do instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

PAUSE_SECONDS = 0.01

T = TypeVar("T")


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], seconds: float = ...) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], seconds: float = ...) -> T: ...
async def wait_until(condition: Callable[[], T | Awaitable[T]], seconds: float = 15.0) -> T:
    """Returns what the condition returns as soon as that is true.

    Args:
        condition: A function, or one that returns an awaitable; it is called every 10 ms.
        seconds: How long it may take.

    Raises:
        AssertionError: If it does not hold in time; shows its source.
    """
    ends = time.monotonic() + seconds
    while True:
        found = condition()
        holds = cast(T, await found if inspect.isawaitable(found) else found)
        if holds:
            return holds
        _check(ends, condition, seconds)
        await asyncio.sleep(PAUSE_SECONDS)


def wait_blocking(condition: Callable[[], T], seconds: float = 15.0) -> T:
    """As :func:`wait_until`, for tests without an event loop."""
    ends = time.monotonic() + seconds
    while not (holds := condition()):
        _check(ends, condition, seconds)
        time.sleep(PAUSE_SECONDS)
    return holds


def _check(ends: float, condition: Callable[[], object], seconds: float) -> None:
    if time.monotonic() < ends:
        return
    try:
        source = inspect.getsource(condition).strip()
    except (OSError, TypeError):
        source = repr(condition)
    raise AssertionError(f"not within {seconds:g} s: {source}")
