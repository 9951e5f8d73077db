"""Listens to a handler: its progress is stored as it comes, and silence, a cancel or the deadline end the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from sutler.errors import Code, SutlerError

from services.resource.handling import Done, Progress, Refused, Said
from services.resource.problems import Problem, problem
from services.resource.unreachable import no_answer

PROGRESS_SECONDS = 0.1
"""The pause between two writes of progress; what comes between them is not stored."""

Tell = Callable[[Progress], Awaitable[None]]
"""Stores progress; raises if this process does not hold the operation any more."""


class Ended(Enum):
    """Why a call was ended by us."""

    CANCELLED = "cancelled"
    SILENT = "silent"
    LATE = "late"
    WITHOUT_RESULT = "without result"


async def listen(
    said: AsyncGenerator[Said, None], tell: Tell, cancelled: asyncio.Event, *, idle: float, left: float
) -> Done | Refused | Ended:
    """Follows a call until it has a result, and stores its progress.

    Args:
        said: What the handler says.
        tell: Stores progress.
        cancelled: Ends the call when set.
        idle: Seconds that the handler may say nothing.
        left: Seconds until the operation must have ended.

    Returns:
        The result or failure that the handler gave last; or why there is none. An error of the call itself counts as
        a failure.

    Raises:
        Exception: What ``tell`` raised.
    """
    teller = _Teller(tell)
    telling, stopping = asyncio.create_task(teller.run()), asyncio.create_task(cancelled.wait())
    ends = asyncio.get_running_loop().time() + left
    try:
        while True:
            answer = await _next(said, {telling, stopping}, idle, ends)
            if telling.done():
                telling.result()
            if isinstance(answer, Done | Refused):
                return _with_known(answer, teller.latest)
            if isinstance(answer, Ended):
                return answer
            teller.note(answer)
    except SutlerError as error:
        if telling.done() and not telling.cancelled() and telling.exception() is error:
            raise
        return _with_known(Refused(problem(error), unreachable=no_answer(error)), teller.latest)
    finally:
        for task in (telling, stopping):
            task.cancel()
        await asyncio.gather(telling, stopping, return_exceptions=True)
        await said.aclose()


async def _next(
    said: AsyncGenerator[Said, None], others: set[asyncio.Task[None] | asyncio.Task[bool]], idle: float, ends: float
) -> Said | Ended:
    now = asyncio.get_running_loop().time()
    answer = asyncio.ensure_future(_first(said))
    try:
        await asyncio.wait({answer, *others}, timeout=max(0.0, min(idle, ends - now)), return_when="FIRST_COMPLETED")
        if answer.done():
            return answer.result()
        if any(task.done() for task in others):
            return Ended.CANCELLED
        return Ended.LATE if ends - now <= idle else Ended.SILENT
    finally:
        if not answer.done():
            answer.cancel()
            with suppress(asyncio.CancelledError, SutlerError):
                await answer


async def _first(said: AsyncGenerator[Said, None]) -> Said | Ended:
    async for answer in said:
        return answer
    return Ended.WITHOUT_RESULT


def _with_known(answer: Done | Refused, latest: Progress | None) -> Done | Refused:
    """Returns the answer with the outputs that progress told of, if it has none itself."""
    if answer.outputs is not None or latest is None or latest.outputs is None:
        return answer
    return replace(answer, outputs=latest.outputs)


class _Teller:
    """Stores the latest progress, not too often; percentages never go back."""

    def __init__(self, tell: Tell) -> None:
        self.latest: Progress | None = None
        self._tell = tell
        self._news = asyncio.Event()

    def note(self, progress: Progress) -> None:
        known = self.latest
        outputs = progress.outputs if progress.outputs is not None or known is None else known.outputs
        percent = max(progress.percent, known.percent if known else 0)
        self.latest = Progress(percent, progress.step, outputs)
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            assert self.latest is not None
            await self._tell(self.latest)
            await asyncio.sleep(PROGRESS_SECONDS)


def silence(idle: float) -> Problem:
    """Returns the error of a call that said nothing for too long; another attempt may help."""
    return Problem(int(Code.DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED", f"it said nothing for {idle:g} s")
