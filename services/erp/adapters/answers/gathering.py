"""One call for what many ask at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


LOOK_SECONDS = 0.001
"""The pause between two looks whether more questions come."""

MOST_SECONDS = 0.01
"""For how long questions are gathered that keep coming."""


class Gathering(Generic[Q, A]):
    """Gathers questions while a call is under way, and asks them all with the next one.

    Who asks alone is asked for at once. Where others came meanwhile, more of a burst are waited for, as long as they
    keep coming: a call for each few of them would take longer.

    Args:
        call: Answers many questions of one tenant, in their order.
        limit: How many one call takes.
    """

    def __init__(self, call: Callable[[str, Sequence[Q]], Awaitable[Sequence[A]]], limit: int) -> None:
        self._call = call
        self._limit = limit
        self._waiting: dict[str, list[tuple[Q, asyncio.Future[A]]]] = {}
        self._working: dict[str, asyncio.Task[None]] = {}

    async def ask(self, tenant: str, questions: Sequence[Q]) -> list[A]:
        """Returns the answers, in order. Raises what the call raised that was to answer them."""
        loop = asyncio.get_running_loop()
        asked = [(question, loop.create_future()) for question in questions]
        self._waiting.setdefault(tenant, []).extend(asked)
        if tenant not in self._working:
            self._working[tenant] = asyncio.create_task(self._work(tenant), name="gathered calls")
        return [await answer for _, answer in asked]

    async def _work(self, tenant: str) -> None:
        try:
            await self._gather(tenant)
            while waiting := self._waiting.get(tenant):
                turn, self._waiting[tenant] = waiting[: self._limit], waiting[self._limit :]
                await self._answer(tenant, turn)
                await self._gather(tenant)
        finally:
            self._waiting.pop(tenant, None)
            del self._working[tenant]

    async def _gather(self, tenant: str) -> None:
        """Returns when no more questions come, or those that came have waited long enough."""
        known, ends = 0, time.monotonic() + MOST_SECONDS
        while known < len(self._waiting[tenant]) and time.monotonic() < ends:
            known = len(self._waiting[tenant])
            await asyncio.sleep(LOOK_SECONDS)

    async def _answer(self, tenant: str, turn: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._call(tenant, [question for question, _ in turn])
        except Exception as error:
            for _, waiting in turn:
                if not waiting.done():
                    waiting.set_exception(error)
                    waiting.exception()  # noted also where nobody waits for it any more
            return
        for (_, waiting), answer in zip(turn, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
