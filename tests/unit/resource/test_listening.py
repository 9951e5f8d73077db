import asyncio
from collections.abc import AsyncGenerator

import pytest
from sutler.errors import Conflict, Unavailable

from services.resource.handling import Done, Progress, Refused, Said
from services.resource.listening import Ended, listen
from services.resource.problems import Problem


class Told:
    def __init__(self, error: Exception | None = None) -> None:
        self.progress: list[Progress] = []
        self._error = error

    async def __call__(self, progress: Progress) -> None:
        if self._error is not None:
            raise self._error
        self.progress.append(progress)


class Line:
    """What a handler says, and whether its call was ended."""

    def __init__(self, *said: Said | Exception, hangs: bool = False) -> None:
        self.said, self.hangs, self.ended = said, hangs, False

    async def speak(self) -> AsyncGenerator[Said, None]:
        try:
            for each in self.said:
                if isinstance(each, Exception):
                    raise each
                yield each
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.ended = True


async def heard(line: Line, told: Told | None = None, *, idle: float = 5, left: float = 5, cancel: float | None = None):  # type: ignore[no-untyped-def]
    cancelled = asyncio.Event()
    if cancel is not None:
        asyncio.get_running_loop().call_later(cancel, cancelled.set)
    found = await listen(line.speak(), told or Told(), cancelled, idle=idle, left=left)
    assert line.ended
    return found


async def test_result_ends_it() -> None:
    told = Told()
    assert await heard(Line(Progress(10, "a"), Done({"x": 1})), told) == Done({"x": 1})


async def test_progress_is_told_and_never_goes_back() -> None:
    told = Told()

    async def speak() -> AsyncGenerator[Said, None]:
        for percent in (50, 20, 80):
            yield Progress(percent, f"at {percent}")
            await asyncio.sleep(0.15)
        yield Done()

    await listen(speak(), told, asyncio.Event(), idle=5, left=5)
    assert [progress.percent for progress in told.progress] == [50, 50, 80]


async def test_outputs_of_progress_are_kept() -> None:
    assert await heard(Line(Progress(1, "", {"a": 1}), Progress(2, ""), Done())) == Done({"a": 1})
    why = Problem(9, "X", "x")
    assert await heard(Line(Progress(1, "", {"a": 1}), Refused(why))) == Refused(why, {"a": 1})
    assert await heard(Line(Progress(1, "", {"a": 1}), Done({}))) == Done({})


async def test_error_of_the_call_is_a_failure() -> None:
    found = await heard(Line(Unavailable("gone")))
    assert isinstance(found, Refused) and found.problem.code == 14


@pytest.mark.parametrize(
    ("error", "unreachable"),
    [
        (Unavailable("gone"), True),
        (Unavailable("not on the list", reason="ADDRESS_NOT_ALLOWED"), True),
        (Unavailable("no store", domain="resource.sutler.dev"), False),
        (Unavailable("busy", reason="BUSY"), False),
    ],
)
async def test_an_error_that_the_handler_gives_is_an_answer(error: Unavailable, unreachable: bool) -> None:
    found = await heard(Line(error))
    assert isinstance(found, Refused) and found.unreachable is unreachable


@pytest.mark.parametrize(
    ("line", "arguments", "why"),
    [
        (Line(Progress(1, "")), {}, Ended.WITHOUT_RESULT),
        (Line(), {}, Ended.WITHOUT_RESULT),
        (Line(hangs=True), {"idle": 0.05}, Ended.SILENT),
        (Line(Progress(1, ""), hangs=True), {"left": 0.05}, Ended.LATE),
        (Line(hangs=True), {"cancel": 0.05}, Ended.CANCELLED),
    ],
    ids=["no result", "nothing", "silent", "late", "cancelled"],
)
async def test_ends_without_result(line: Line, arguments: dict[str, float], why: Ended) -> None:
    assert await heard(line, **arguments) is why


async def test_losing_the_operation_ends_the_call() -> None:
    line = Line(Progress(1, ""), hangs=True)
    lost = Conflict("lost", reason="LEASE_LOST")
    with pytest.raises(Conflict) as caught:
        await listen(line.speak(), Told(lost), asyncio.Event(), idle=5, left=5)
    assert caught.value is lost
    assert line.ended
