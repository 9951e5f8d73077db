"""Questions that are gathered into few calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.erp.adapters.answers.gathering import Gathering


class Answerer:
    """Doubles numbers, takes its time, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    async def __call__(self, tenant: str, questions: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(questions))
        await asyncio.sleep(0.001)
        return [2 * one for one in questions]


async def test_questions_that_keep_coming_are_one_call() -> None:
    answerer = Answerer()
    gathering = Gathering(answerer, 100)
    asked = []
    for number in range(30):
        asked.append(asyncio.create_task(gathering.ask("t", [number])))
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == [[2 * number] for number in range(30)]
    assert answerer.calls == [list(range(30))]


async def test_questions_that_never_stop_are_answered_all_the_same() -> None:
    answerer = Answerer()
    gathering = Gathering(answerer, 1000)
    first = asyncio.create_task(gathering.ask("t", [0]))
    others, number = [], 0
    async with asyncio.timeout(10):
        while not first.done():
            number += 1
            others.append(asyncio.create_task(gathering.ask("t", [number])))
            await asyncio.sleep(0)
    assert first.result() == [0]
    assert await asyncio.gather(*others) == [[2 * one] for one in range(1, number + 1)]


async def test_a_call_takes_no_more_than_the_limit() -> None:
    answerer = Answerer()
    gathering = Gathering(answerer, 10)
    assert await gathering.ask("t", list(range(25))) == [2 * one for one in range(25)]
    assert [len(call) for call in answerer.calls] == [10, 10, 5]
