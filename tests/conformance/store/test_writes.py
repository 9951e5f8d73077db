from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sutler.errors import Exhausted, NotFound, Unavailable, not_found
from sutler.store import ConstraintError, Database, StatementError, Transaction
from sutler.testing import wait_until

from tests.conformance.store.changing import add, busy_writer, keys, number, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place

WORD: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="")


async def test_a_change_is_readable_when_it_is_answered(db: Database) -> None:
    assert await db.write(put("a", 7)) == 1
    assert await db.read(number("a")) == 7
    assert await db.scan(number("a")) == 7


async def test_changes_that_wait_share_a_commit(db: Database, one_batch: None) -> None:
    before = db.statistics()
    async with busy_writer(db) as go_on:
        writing = [asyncio.create_task(db.write(put(f"{n:03}"))) for n in range(100)]
        await wait_until(lambda: db.statistics().waiting == 100)
        go_on.set()
        await asyncio.gather(*writing)
    after = db.statistics()
    assert after.changes - before.changes == 101
    assert after.commits - before.commits == (2 if db.dialect == "postgresql" else 1)
    assert len(await db.read(keys)) == 100


async def test_one_failing_change_among_many_fails_alone(db: Database, one_batch: None) -> None:
    def fails(tx: Transaction) -> None:
        put("bad")(tx)
        raise not_found("things/bad")

    async with busy_writer(db) as go_on:
        writing = [asyncio.create_task(db.write(fails if n == 20 else put(f"{n:03}"))) for n in range(40)]
        await wait_until(lambda: db.statistics().waiting == 40)
        go_on.set()
        results = await asyncio.gather(*writing, return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != 1] == [20]
    assert isinstance(results[20], NotFound)
    assert await db.read(keys) == [f"{n:03}" for n in range(40) if n != 20]
    assert db.statistics().failures == 1


async def test_a_wrong_statement_fails_only_its_change(db: Database, one_batch: None) -> None:
    async with busy_writer(db) as go_on:
        changes = [put("a"), lambda tx: tx.execute("UPDATE nothing SET x = 1"), put("a"), put("b")]
        writing = [asyncio.create_task(db.write(change)) for change in changes]
        await wait_until(lambda: db.statistics().waiting == 4)
        go_on.set()
        results = await asyncio.gather(*writing, return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], StatementError)
    assert isinstance(results[2], ConstraintError)
    assert results[3] == 1
    assert await db.read(keys) == ["a", "b"]


async def test_a_change_that_hides_a_failed_statement_fails(db: Database) -> None:
    await db.write(put("a"))

    def hides(tx: Transaction) -> str:
        put("b")(tx)
        try:
            put("a")(tx)
        except ConstraintError:
            return "fine"
        return "no error"

    with pytest.raises(ConstraintError):
        await db.write(hides)
    assert await db.read(keys) == ["a"]


async def test_concurrent_read_modify_writes_lose_nothing(db: Database) -> None:
    results = await asyncio.gather(*(db.write(add("n")) for _ in range(300)))
    assert sorted(results) == list(range(1, 301))


async def test_a_change_happens_although_its_caller_is_cancelled(db: Database) -> None:
    async with busy_writer(db) as go_on:
        writing = asyncio.create_task(db.write(put("a")))
        await wait_until(lambda: db.statistics().waiting == 1)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()
    await db.write(put("b"))
    assert await db.read(keys) == ["a", "b"]


async def test_more_than_the_allowed_number_may_not_wait(place: Place, opens: Opens) -> None:
    async with opens(place, max_waiting=5) as db:
        async with busy_writer(db) as go_on:
            writing = [asyncio.create_task(db.write(put(str(n)))) for n in range(5)]
            await wait_until(lambda: db.statistics().waiting == 5)
            with pytest.raises(Exhausted) as caught:
                await db.write(put("too many"))
            go_on.set()
            await asyncio.gather(*writing)
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.metadata == {"queue": "writes", "limit": "5"}
        assert caught.value.retry_after is not None
        assert len(await db.read(keys)) == 5


async def test_closing_makes_the_changes_that_wait(shared_place: Place, opens: Opens) -> None:
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(opens(shared_place))
        async with busy_writer(db) as go_on:
            writing = [asyncio.create_task(db.write(put(str(n)))) for n in range(5)]
            await wait_until(lambda: db.statistics().waiting == 5)
            closing = asyncio.create_task(stack.aclose())
            go_on.set()
        await closing
        await asyncio.gather(*writing)
        with pytest.raises(Unavailable) as caught:
            await db.write(put("late"))
        assert caught.value.reason == "SHUTTING_DOWN"
    async with opens(shared_place) as db:
        assert await db.read(keys) == list("01234")


async def test_a_change_runs_with_the_variables_of_its_caller(db: Database) -> None:
    async def call(word: str) -> str:
        WORD.set(word)
        return await db.write(lambda tx: WORD.get())

    assert await asyncio.gather(*(call(word) for word in "abc")) == ["a", "b", "c"]


async def test_time_stands_still_within_a_change_and_never_goes_back(place: Place, opens: Opens) -> None:
    times = iter([100.0, 101.0, 99.0, 98.0, 200.0])
    async with opens(place, clock=lambda: next(times)) as db:
        first, second, third = [await db.write(lambda tx: tx.now) for _ in range(3)]
        fourth = await db.read(lambda tx: tx.now)
        assert (first, second) == (100.0, 101.0)
        assert second < third < fourth < 200.0
        assert await db.write(lambda tx: (tx.now, tx.one("SELECT 1"), tx.now)) == (200.0, (1,), 200.0)


async def test_an_async_function_is_refused(db: Database) -> None:
    async def change(tx: Transaction) -> None:
        put("a")(tx)

    for attempt in (db.write, db.read):
        with pytest.raises(TypeError):
            await attempt(change)  # type: ignore[unused-coroutine]
    assert await db.read(keys) == []


async def test_stop_iteration_reaches_the_caller(db: Database) -> None:
    with pytest.raises(RuntimeError):
        await db.write(lambda tx: next(iter(())))


async def test_a_transaction_is_of_no_use_after_its_function(db: Database) -> None:
    tx = await db.write(lambda tx: tx)
    with pytest.raises(RuntimeError):
        tx.one("SELECT 1")


async def test_two_event_loops_may_share_a_database(db: Database) -> None:
    results: list[int] = []

    def other_loop() -> None:
        async def main() -> None:
            results.append(await db.write(add("n")))
            results.append(await db.read(lambda tx: number("n")(tx) or 0))

        asyncio.run(main())

    thread = threading.Thread(target=other_loop)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert results == [1, 1]
    assert await db.write(add("n")) == 2


async def test_a_writer_that_waits_too_long_for_another_says_so(shared_place: Place, opens: Opens) -> None:
    async with (
        opens(shared_place, lock_timeout=timedelta(seconds=30)) as first,
        opens(shared_place, lock_timeout=timedelta(milliseconds=200)) as second,
    ):
        async with busy_writer(first):
            with pytest.raises(Unavailable) as caught:
                await second.write(put("a"))
            assert await second.read(keys) == []
            assert await second.scan(keys) == []
        assert caught.value.reason == "STORAGE_UNAVAILABLE"
        assert caught.value.retry_after is not None
        assert await second.write(put("a")) == 1
        assert await first.read(keys) == ["a"]
