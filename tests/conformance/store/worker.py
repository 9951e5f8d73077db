"""A process of its own that uses the store: ``python -m tests.conformance.store.worker COMMAND URL [ARGUMENT …]``.

It writes one line to stdout for each thing that has been answered, at once, so that its parent knows what must be
there however it ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sutler.errors import Conflict
from sutler.events import Event
from sutler.idempotency import Once, RequestRepeated
from sutler.ids import derive
from sutler.store import Database, Migration, Transaction, leases, open_database, outbox
from sutler.store.holding import hold
from sutler.store.relay import OutboxRelay
from sutler.store.requests import remember

from tests.conformance.store.changing import add, put
from tests.conformance.store.places import TABLES

SHORT = timedelta(seconds=1.5)


def say(*words: object) -> None:
    """Writes one line in one system call."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def event(number: int) -> Event:
    return Event(
        id=derive("test", str(number)),
        source="//test.sutler.dev",
        type="item.created",
        subject=f"items/{number}",
        time=datetime.now(UTC),
        data={"number": number},
        tenant="default",
    )


async def increment(db: Database, times: str, tasks: str) -> None:
    """Adds 1 to one number, again and again, from several tasks."""

    async def task() -> None:
        for _ in range(int(times)):
            await db.write(add("n"))

    await asyncio.gather(*(task() for _ in range(int(tasks))))


async def occupy(db: Database) -> None:
    """Makes slow changes without a break, so that the database is locked nearly all the time."""

    def slow(tx: Transaction) -> None:
        add("n")(tx)
        end = time.perf_counter() + 0.004
        while time.perf_counter() < end:
            pass

    async def task() -> None:
        while True:
            await db.write(slow)

    await asyncio.gather(*(task() for _ in range(32)))


async def write(db: Database, prefix: str, tasks: str, count: str) -> None:
    """Inserts items and says each key when it is answered."""

    async def task(name: int) -> None:
        for n in range(int(count)):
            key = f"{prefix}-{name}-{n}"
            await db.write(put(key))
            say(key)

    await asyncio.gather(*(task(name) for name in range(int(tasks))))


async def remember_all(db: Database, count: str) -> None:
    """Answers requests that another process answers too."""
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)

    async def answer(number: int) -> None:
        once = Once("default", "/test", derive("request", str(number)), b"h", lambda result: str(result).encode())

        def change(tx: Transaction) -> int:
            result = add("n")(tx)
            remember(tx, once, result)
            return result

        try:
            say("won", number, await db.write(change))
        except RequestRepeated as repeated:
            say("lost", number, repeated.first.answer.decode())

    for number in range(int(count)):
        await answer(number)


async def hold_lease(db: Database, name: str) -> None:
    """Takes a lease, then on each line of stdin tries to make a change under it."""
    async with hold(db, name, ttl=SHORT) as lease:
        say("fence", lease.fence)
        while await asyncio.to_thread(sys.stdin.readline):
            was_held = lease.held

            def change(tx: Transaction) -> None:
                leases.check(tx, name, lease.fence)
                put("late")(tx)

            try:
                await db.write(change)
                say("wrote", was_held)
            except Conflict as error:
                say("refused", error.reason, was_held)
                await lease.lost.wait()
                say("lost", lease.held)


async def relay(db: Database, target: str) -> None:
    """Adds events and relays them into a file; says each number when it is stored."""
    start = await db.write(add("start")) * 1_000_000

    async def fill() -> None:
        for number in range(start, start + 1_000_000):
            await db.write(lambda tx, number=number: outbox.append(tx, event(number)))  # type: ignore[misc]
            say(number)

    async def publish(events: Sequence[Event]) -> int:
        os.write(file, "".join(f"{event.data['number']}\n" for event in events).encode())
        return len(events)

    file = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    await asyncio.gather(fill(), OutboxRelay(db, publish, ttl=SHORT).run())


async def main(command: str, url: str, *arguments: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with open_database(
        url, name="test", migrations={"test": (Migration(1, "items", TABLES),)}, lock_timeout=timedelta(seconds=30)
    ) as db:
        commands = {
            "increment": increment,
            "occupy": occupy,
            "write": write,
            "remember": remember_all,
            "hold": hold_lease,
            "relay": relay,
        }
        await commands[command](db, *arguments)  # type: ignore[operator]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
