"""One call for what many ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gathering(Generic[Q, A]):
    """Gathers questions while a call is under way, and asks them all with the next one. Nobody waits for a timer.

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
            while self._waiting.get(tenant):
                await asyncio.sleep(0)  # those that came with this one join
                waiting = self._waiting[tenant]
                turn, self._waiting[tenant] = waiting[: self._limit], waiting[self._limit :]
                await self._answer(tenant, turn)
        finally:
            self._waiting.pop(tenant, None)
            del self._working[tenant]

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
