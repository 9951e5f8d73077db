from __future__ import annotations

import asyncio

import pytest
from sutler.store import Database
from sutler.testing import wait_until

from tests.conformance.store.changing import add, keys, number, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place

LONG = 30.0


async def settled(db: Database) -> int:
    """Returns the generation when no more news of earlier commits arrive."""
    seen = db.changes.generation
    while (now := await db.changes.wait(0.3, since=seen)) != seen:
        seen = now
    return seen


async def test_a_commit_wakes_every_waiter(db: Database) -> None:
    seen = await settled(db)
    waiting = [asyncio.create_task(db.changes.wait(LONG, since=seen)) for _ in range(3)]
    waiting.append(asyncio.create_task(db.changes.wait(LONG)))
    await asyncio.sleep(0)
    await db.write(put("a"))
    assert all(now > seen for now in await asyncio.wait_for(asyncio.gather(*waiting), 5))


async def test_a_commit_before_the_wait_is_not_missed(db: Database) -> None:
    seen = await settled(db)
    await db.write(put("a"))
    assert await asyncio.wait_for(db.changes.wait(LONG, since=seen), 5) > seen


async def test_a_wait_ends_when_its_time_is_over(db: Database) -> None:
    seen = await settled(db)
    assert await db.changes.wait(0.01, since=seen) == seen


async def test_a_change_that_fails_wakes_nobody(db: Database) -> None:
    seen = await settled(db)
    with pytest.raises(ZeroDivisionError):
        await db.write(lambda tx: 1 // 0)
    assert await db.changes.wait(0.2, since=seen) == seen


async def test_a_waiter_may_be_cancelled(db: Database) -> None:
    seen = await settled(db)
    waiting = asyncio.create_task(db.changes.wait(LONG, since=seen))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await db.write(put("a"))
    assert db.changes.generation > seen


async def test_a_foreign_commit_wakes_a_waiter(shared_place: Place, opens: Opens) -> None:
    """Of another connection here, of another process in test_processes."""
    async with opens(shared_place) as here, opens(shared_place) as there:
        seen = await settled(here)
        waiting = asyncio.create_task(here.changes.wait(LONG, since=seen))
        await asyncio.sleep(0)
        await there.write(put("a"))
        assert await asyncio.wait_for(waiting, 5) > seen
        assert await here.read(keys) == ["a"]


async def test_no_foreign_commit_is_missed_between_looking_and_waiting(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place) as here, opens(shared_place) as there:
        late = 0

        async def follow() -> None:
            nonlocal late
            while True:
                seen = here.changes.generation
                if await here.read(number("n")) == 50:
                    return
                if await here.changes.wait(5, since=seen) == seen:
                    late += 1

        following = asyncio.create_task(follow())
        for _ in range(50):
            await there.write(add("n"))
            await asyncio.sleep(0)
        await asyncio.wait_for(following, LONG)
        assert late == 0


async def test_closing_wakes_who_waits(place: Place, opens: Opens) -> None:
    async with opens(place) as db:
        await settled(db)
        waiting = asyncio.create_task(db.changes.wait(LONG))
        await wait_until(db.changes.wanted.is_set)
    await asyncio.wait_for(waiting, 5)
