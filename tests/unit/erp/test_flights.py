"""Calls that miss the same record share one read, unless something has changed since that was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sutler.errors import Unavailable

from services.erp.caching import Answers
from services.erp.coalescing import Ready
from services.erp.records import Record
from tests.unit.erp.models import ORDER
from tests.unit.erp.test_caching import WANTED, MemoryCache, a_link, a_view


class SlowReader:
    """Answers with how often it was asked, when it may."""

    def __init__(self) -> None:
        self.count = 0
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, ids: Sequence[int], ready: Ready) -> Any:
        self.count += 1
        mine = self.count
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return {one: (Record(model=ORDER.name, id=one, values={"n": mine}), {(ORDER.name, one)}) for one in ids}


class LateCache(MemoryCache):
    """Looks, and tells what it saw a while later."""

    async def get_many(self, tenant: str, keys: Sequence[str]) -> Any:
        found = await super().get_many(tenant, keys)
        await asyncio.sleep(0.02)
        return found


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def reader() -> SlowReader:
    return SlowReader()


async def test_many_calls_share_one_read(reader: SlowReader) -> None:
    answers, view = Answers(MemoryCache()), a_view(a_link())
    calls = [asyncio.create_task(answers.records(view, [30], WANTED, reader)) for _ in range(100)]
    await settle()
    reader.go_on.set()
    assert {found[30].values["n"] for found in await asyncio.gather(*calls)} == {1}
    assert reader.count == 1


async def test_who_looked_before_the_read_ended_and_missed_takes_its_answer(reader: SlowReader) -> None:
    answers, view = Answers(LateCache()), a_view(a_link())
    reader.go_on.set()
    first = asyncio.create_task(answers.records(view, [30], WANTED, reader))
    await asyncio.sleep(0.01)
    assert (await answers.records(view, [30], WANTED, reader))[30] == (await first)[30]
    assert reader.count == 1


async def test_what_begins_after_a_write_asks_anew(reader: SlowReader) -> None:
    link = a_link()
    answers, view = Answers(MemoryCache()), a_view(link)
    before = asyncio.create_task(answers.records(view, [30], WANTED, reader))
    await settle()
    await answers.changed(link, ORDER.name, [30])
    after = asyncio.create_task(answers.records(view, [30], WANTED, reader))
    await settle()
    reader.go_on.set()
    assert [(await call)[30].values["n"] for call in (before, after)] == [1, 2]


async def test_who_takes_nothing_old_asks_anew(reader: SlowReader) -> None:
    answers, view = Answers(MemoryCache()), a_view(a_link())
    first = asyncio.create_task(answers.records(view, [30], WANTED, reader))
    await settle()
    newest = asyncio.create_task(answers.records(view, [30], replace(WANTED, max_staleness=0), reader))
    await settle()
    reader.go_on.set()
    assert [(await call)[30].values["n"] for call in (first, newest)] == [1, 2]


async def test_a_caller_that_goes_away_takes_the_others_answer_with_it_not(reader: SlowReader) -> None:
    answers, view = Answers(MemoryCache()), a_view(a_link())
    leaving = asyncio.create_task(answers.records(view, [30], WANTED, reader))
    await settle()
    staying = asyncio.create_task(answers.records(view, [30], WANTED, reader))
    await settle()
    leaving.cancel()
    reader.go_on.set()
    assert (await staying)[30].values["n"] == 2


async def test_all_get_the_error(reader: SlowReader) -> None:
    answers, view = Answers(MemoryCache()), a_view(a_link())
    reader.error = Unavailable("down")
    calls = [asyncio.create_task(answers.records(view, [30], WANTED, reader)) for _ in range(3)]
    await settle()
    reader.go_on.set()
    assert [str(one) for one in await asyncio.gather(*calls, return_exceptions=True)] == ["down"] * 3
    reader.error = None
    assert (await answers.records(view, [30], WANTED, reader))[30].values["n"] == 2
