"""Lines of callers, inside of one process: how many looks they make, and what they leave when they go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from sutler.errors import Conflict, Unavailable

from tests.integration.cache.calls import eventually
from tests.integration.cache.inside import DATABASES, Desk, desk


@pytest.mark.parametrize("engine", DATABASES)
async def test_whoever_goes_at_any_moment_leaves_no_lease(engine: str, tmp_path: Path) -> None:
    async with desk(engine, tmp_path) as here:
        cancelled = 0
        for turns in range(40):
            asking = [asyncio.create_task(here.ask()) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0.0 if engine == "sqlite" else 0.0003)
            for task in asking:
                task.cancel()
            for task in asking:
                with suppress(asyncio.CancelledError):
                    await here.release((await task).lease)
                cancelled += task.cancelled()
            await eventually(here.free)
        assert cancelled > 40


@pytest.mark.parametrize("engine", DATABASES)
async def test_those_who_wait_share_their_looks(engine: str, tmp_path: Path) -> None:
    async with desk(engine, tmp_path) as here:
        held = (await here.ask()).lease
        waiting = [asyncio.create_task(here.ask()) for _ in range(200)]
        await eventually(lambda: _at_least(here, 202))
        before = here.entries.looks
        for _ in range(10):
            assert not await here.free()
        assert here.entries.looks - before <= 10 + 30
        await here.release(held)
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await here.release(done.pop().result().lease)
        assert await here.free()


@pytest.mark.parametrize("engine", DATABASES)
async def test_those_who_wait_are_told_of_an_outage(engine: str, tmp_path: Path) -> None:
    async with desk(engine, tmp_path) as here:
        held = (await here.ask()).lease
        waiting = [asyncio.create_task(here.ask()) for _ in range(5)]
        await eventually(lambda: _at_least(here, 7))
        here.entries.away = True
        for task in waiting:
            with pytest.raises(Unavailable):
                await task
        here.entries.away = False
        waiting = [asyncio.create_task(here.ask()) for _ in range(2)]
        await here.release(held)
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await here.release(done.pop().result().lease)
        await here.release((await rest.pop()).lease)


async def _at_least(here: Desk, looks: int) -> bool:
    return here.entries.looks >= looks


@pytest.mark.parametrize("engine", DATABASES)
async def test_totals_that_are_set_right_keep_leases_and_followers(engine: str, tmp_path: Path) -> None:
    async with desk(engine, tmp_path) as here:
        await here.entries.follow(here.cache)
        held = (await here.ask()).lease
        assert held is not None
        before = await here.entries.feed(here.cache).bounds()
        await here.entries.spoil(here.cache)
        assert await here.entries.recount(here.cache, repair=True)
        assert await here.entries.recount(here.cache, repair=True) == []
        assert await here.entries.feed(here.cache).bounds() == before
        await here.put("other")
        assert await here.entries.feed(here.cache).bounds() == (before[0], before[1] + 1)
        await here.put("k")
        with pytest.raises(Conflict) as lost:
            await here.leases.extend("default", "caches/c", "k", held.token, 1.0, None)
        assert lost.value.reason == "LEASE_LOST"
