from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Unavailable
from sutler.events import Event
from sutler.store import Database, Transaction, open_database, outbox
from sutler.store.relay import OutboxRelay, Publish
from sutler.testing import wait_until

from tests.conformance.store.changing import keys, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place
from tests.conformance.store.worker import event

TTL = timedelta(seconds=1)


@asynccontextmanager
async def relaying(db: Database, publish: Publish) -> AsyncIterator[OutboxRelay]:
    relay = OutboxRelay(db, publish, ttl=TTL)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def append(db: Database, *numbers: int) -> None:
    await db.write(lambda tx: outbox.append(tx, *(event(number) for number in numbers)))


async def test_events_arrive_in_order_and_are_forgotten(db: Database) -> None:
    arrived: list[int] = []
    sizes: list[int] = []

    async def publish(events: Sequence[Event]) -> int:
        arrived.extend(event.data["number"] for event in events)
        sizes.append(len(events))
        return len(events)

    await append(db, *range(250))
    async with relaying(db, publish) as relay:
        await wait_until(lambda: len(arrived) == 250)
        for number in range(250, 300):
            await append(db, number)
        await wait_until(lambda: len(arrived) == 300)

        async def empty() -> bool:
            return await relay.backlog() == 0

        await wait_until(empty)
    assert arrived == list(range(300))
    assert sizes[:3] == [100, 100, 50]


async def test_an_event_is_as_it_was(db: Database) -> None:
    original = replace(
        event(1),
        subject="items/ä\"'%?",
        data={"a": [1, 2.5, None, True, {"ü": "\u2028\x00"}], "": {}},
        tenant="other",
        correlation_id="c",
        traceparent="00-1-2-01",
        actor="user:anna",
    )
    await db.write(lambda tx: outbox.append(tx, original))
    assert await db.read(lambda tx: [event for _, event in outbox.oldest(tx, 10)]) == [original]


@settings(max_examples=50)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(timezone(timedelta(hours=5)))))
def test_times_keep_their_microseconds(time: datetime) -> None:
    async def check() -> None:
        async with open_database("sqlite:///:memory:", name="test", migrations={}) as db:
            await db.write(lambda tx: outbox.append(tx, replace(event(1), time=time)))
            assert await db.read(lambda tx: outbox.oldest(tx, 1)[0][1].time) == time

    asyncio.run(check())


async def test_an_event_is_stored_with_its_change_or_not_at_all(db: Database) -> None:
    def change(key: str, told: Event, divisor: int = 1) -> Callable[[Transaction], float]:
        def both(tx: Transaction) -> float:
            put(key)(tx)
            outbox.append(tx, told)
            return 1 / divisor

        return both

    await db.write(change("a", event(1)))
    with pytest.raises(ZeroDivisionError):
        await db.write(change("b", event(2), divisor=0))
    with pytest.raises(ValueError):
        await db.write(change("c", replace(event(3), data={"x": float("nan")})))
    await append(db, 4)
    assert await db.read(keys) == ["a"]
    assert await db.read(lambda tx: [(n, event.data["number"]) for n, event in outbox.oldest(tx, 9)]) == [
        (1, 1),
        (2, 4),
    ]
    assert await db.read(outbox.backlog) == 2


async def test_a_failing_publisher_delays_but_loses_nothing(db: Database) -> None:
    arrived: list[int] = []
    told: list[str] = []
    failures = [Unavailable("first"), ZeroDivisionError("second"), Unavailable("third")]

    async def publish(events: Sequence[Event]) -> int:
        told.append(relay.failure)
        if len(told) <= len(failures):
            raise failures[len(told) - 1]
        arrived.extend(event.data["number"] for event in events)
        return len(events)

    async with relaying(db, publish) as relay:
        await append(db, *range(5))
        await wait_until(lambda: len(arrived) == 5)
        await wait_until(lambda: relay.failure == "")
    assert arrived == list(range(5))
    assert told[:4] == ["", "first", "second", "third"]


async def test_what_is_not_accepted_is_sent_again(db: Database) -> None:
    accepted: list[int] = []

    async def publish(events: Sequence[Event]) -> int:
        count = len(accepted) % 2 and min(3, len(events))
        if not count:
            count = 1
        accepted.extend(event.data["number"] for event in events[:count])
        return count

    await append(db, *range(20))
    async with relaying(db, publish):
        await wait_until(lambda: len(accepted) == 20)
    assert accepted == list(range(20))


async def test_nothing_accepted_is_a_failure(db: Database) -> None:
    told: list[str] = []

    async def publish(events: Sequence[Event]) -> int:
        told.append(relay.failure)
        return 0 if len(told) == 1 else len(events)

    await append(db, 1)
    async with relaying(db, publish) as relay:

        async def empty() -> bool:
            return await relay.backlog() == 0

        await wait_until(empty)
    assert [bool(failure) for failure in told] == [False, True]


async def test_a_relay_that_dies_after_delivery_delivers_again(db: Database) -> None:
    arrived: list[int] = []

    async def publish_and_hang(events: Sequence[Event]) -> int:
        arrived.extend(event.data["number"] for event in events)
        await asyncio.Event().wait()
        return 0

    async def publish(events: Sequence[Event]) -> int:
        arrived.extend(event.data["number"] for event in events)
        return len(events)

    await append(db, 1, 2)
    async with relaying(db, publish_and_hang):
        await wait_until(lambda: arrived == [1, 2])
    async with relaying(db, publish):
        await wait_until(lambda: arrived == [1, 2, 1, 2])


async def test_of_two_relays_one_delivers_at_a_time(shared_place: Place, opens: Opens) -> None:
    arrived: list[int] = []
    publishing = 0

    async def publish(events: Sequence[Event]) -> int:
        nonlocal publishing
        publishing += 1
        assert publishing == 1
        await asyncio.sleep(0)
        arrived.extend(event.data["number"] for event in events)
        publishing -= 1
        return len(events)

    async with (
        opens(shared_place) as first,
        opens(shared_place) as second,
        relaying(first, publish),
        relaying(second, publish),
    ):
        for number in range(200):
            await append(first if number % 2 else second, number)
        await wait_until(lambda: len(arrived) >= 200)
    assert arrived == list(range(200))


async def test_a_batch_fits_into_one_message(db: Database) -> None:
    big = replace(event(0), data={"x": "y" * (2 * 1024 * 1024)})
    await db.write(lambda tx: outbox.append(tx, event(1), event(2), big, big, event(3)))
    assert len(await db.scan(lambda tx: outbox.oldest(tx, 100))) == 3
    await db.write(lambda tx: outbox.remove(tx, 2))
    assert [seq for seq, _ in await db.scan(lambda tx: outbox.oldest(tx, 100))] == [3]
    await db.write(lambda tx: outbox.remove(tx, 3))
    assert [seq for seq, _ in await db.scan(lambda tx: outbox.oldest(tx, 100))] == [4, 5]
