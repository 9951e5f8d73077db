"""Wakes workers that wait for tasks: one look for all of them, however many wait and however much is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

import structlog
from sutler.errors import SutlerError

from services.rule.engine import Signal
from services.rule.tasks import Wish

log = structlog.get_logger("sutler.rule")

GATHER_SECONDS = 0.003
"""How long to rest between two looks."""

RECHECK_SECONDS = 5.0
"""After how long to look although nothing was committed."""


class Arrivals:
    """Tells those who wait when there may be a task for them.

    Args:
        ready: Says for which of some wishes there is a task.
        signal: Wakes after commits, also of other processes.
    """

    def __init__(self, ready: Callable[[Collection[Wish]], Awaitable[Collection[Wish]]], signal: Signal) -> None:
        self._ready = ready
        self._signal = signal
        self._waiting: dict[Wish, set[asyncio.Event]] = {}
        self._wanted = asyncio.Event()

    @contextmanager
    def expecting(self, wish: Wish) -> Iterator[asyncio.Event]:
        """Gives an event that is set when there may be a task. Who enters first and looks then misses none."""
        woken = asyncio.Event()
        self._waiting.setdefault(wish, set()).add(woken)
        self._wanted.set()
        try:
            yield woken
        finally:
            waiting = self._waiting[wish]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[wish]

    async def run(self) -> None:
        """Looks until cancelled, whenever something was committed and somebody waits."""
        while True:
            await self._wanted.wait()
            seen = self._signal.generation
            try:
                for wish in await self._ready(list(self._waiting)):
                    for woken in self._waiting.get(wish, ()):
                        woken.set()
            except SutlerError as error:
                log.warning("rule.store_trouble", error=str(error))
            await asyncio.sleep(GATHER_SECONDS)
            if self._waiting:
                await self._signal.wait(RECHECK_SECONDS, since=seen)
            else:
                self._wanted.clear()
