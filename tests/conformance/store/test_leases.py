from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sutler.errors import Conflict, Unavailable
from sutler.store import Database, Transaction, leases
from sutler.store.holders import is_dead, new_holder
from sutler.store.holding import Lease, hold, lead
from sutler.testing import wait_blocking, wait_until

from tests.conformance.store.changing import put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place

LIBS = Path(__file__).resolve().parents[3] / "libs"
TTL = timedelta(seconds=10)
SHORT = timedelta(milliseconds=400)


async def acquire(db: Database, name: str, holder: str) -> int | None:
    return await db.write(lambda tx: leases.acquire(tx, name, holder, TTL))


async def refused(db: Database, name: str, fence: int) -> bool:
    checked, renewed = await asyncio.gather(
        db.write(lambda tx: leases.check(tx, name, fence)),
        db.write(lambda tx: leases.renew(tx, name, fence, TTL)),
        return_exceptions=True,
    )
    if checked is None and renewed is None:
        return False
    for result in (checked, renewed):
        assert isinstance(result, Conflict)
        assert result.reason == "LEASE_LOST"
        assert result.metadata == {"lease": name}
    return True


async def test_one_holds_and_numbers_rise(place: Place, opens: Opens) -> None:
    time = 1000.0
    async with opens(place, clock=lambda: time) as db:
        first = await acquire(db, "work", "anna")
        assert first is not None
        assert await acquire(db, "work", "bert") is None
        time = 1005.0
        assert await acquire(db, "work", "anna") == first
        time = 1014.9
        assert await acquire(db, "work", "bert") is None
        assert not await refused(db, "work", first)
        time = 1025.0
        second = await acquire(db, "work", "bert")
        assert second is not None
        assert second > first
        assert await refused(db, "work", first)
        assert not await refused(db, "work", second)
        await db.write(lambda tx: leases.release(tx, "work", "anna"))
        assert not await refused(db, "work", second)
        await db.write(lambda tx: leases.release(tx, "work", "bert"))
        assert await refused(db, "work", second)
        third = await acquire(db, "work", "bert")
        assert third is not None
        assert third > second


async def test_a_lease_that_ran_out_is_lost_although_nobody_took_it(place: Place, opens: Opens) -> None:
    time = 1000.0
    async with opens(place, clock=lambda: time) as db:
        fence = await acquire(db, "work", "anna")
        assert fence is not None
        time = 1010.0
        assert await refused(db, "work", fence)
        again = await acquire(db, "work", "anna")
        assert again is not None
        assert again > fence


async def test_leases_of_other_names_are_apart(db: Database) -> None:
    first, second = await acquire(db, "a", "anna"), await acquire(db, "b", "bert")
    assert first is not None
    assert second is not None
    assert first != second
    assert await refused(db, "b", first)


async def test_of_many_that_want_a_lease_one_gets_it(db: Database) -> None:
    fences = await asyncio.gather(*(acquire(db, "work", str(n)) for n in range(20)))
    assert sum(fence is not None for fence in fences) == 1


async def test_a_held_lease_is_renewed_and_given_back(db: Database) -> None:
    def expires(tx: Transaction) -> float:
        row = tx.one("SELECT expire_time FROM leases WHERE name = 'work'")
        return row[0] if row else 0.0

    async with hold(db, "work", ttl=SHORT) as lease:
        first = await db.read(expires)

        async def renewed_twice() -> bool:
            return await db.read(expires) > first + SHORT.total_seconds() / 2

        await wait_until(renewed_twice)
        assert lease.held
        assert not lease.lost.is_set()
        await db.write(lambda tx: leases.check(tx, "work", lease.fence))
    assert lease.lost.is_set()
    assert not lease.held
    assert await db.read(expires) == 0


async def test_the_next_waits_until_the_lease_is_given_back(db: Database) -> None:
    order: list[str] = []

    async def work(name: str, entered: asyncio.Event, leave: asyncio.Event) -> int:
        async with hold(db, "work", ttl=TTL) as lease:
            order.append(f"{name} in")
            entered.set()
            await leave.wait()
            order.append(f"{name} out")
            return lease.fence

    events = [asyncio.Event() for _ in range(4)]
    first = asyncio.create_task(work("first", events[0], events[1]))
    await events[0].wait()
    second = asyncio.create_task(work("second", events[2], events[3]))
    events[1].set()
    await asyncio.wait_for(events[2].wait(), 10)
    events[3].set()
    assert await first < await second
    assert order == ["first in", "first out", "second in", "second out"]


async def test_a_holder_learns_that_another_took_its_lease(db: Database) -> None:
    async with hold(db, "work", ttl=SHORT) as lease:
        await db.write(lambda tx: tx.execute("UPDATE leases SET fence = fence + 1, holder = 'thief'"))
        await asyncio.wait_for(lease.lost.wait(), 10)
        assert not lease.held
    # What is no more one's own is not given back.
    assert await db.read(lambda tx: tx.one("SELECT holder FROM leases")) == ("thief",)


async def test_a_cancelled_holder_gives_its_lease_back(db: Database) -> None:
    holding = asyncio.Event()

    async def work() -> None:
        async with hold(db, "work", ttl=TTL):
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await holding.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await acquire(db, "work", "next") is not None


async def test_leading_starts_again_after_a_loss_and_after_an_outage(db: Database) -> None:
    fences: list[int] = []
    cancelled = 0
    done = asyncio.Event()

    async def work(lease: Lease) -> None:
        nonlocal cancelled
        fences.append(lease.fence)
        if len(fences) == 1:
            await db.write(lambda tx: tx.execute("DELETE FROM leases"))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                raise
        if len(fences) == 2:
            raise Unavailable("try again")
        await db.write(put("done"))
        done.set()

    await asyncio.wait_for(lead(db, "work", work, ttl=SHORT), 20)
    assert done.is_set()
    assert cancelled == 1
    assert len(fences) == 3
    assert fences == sorted(set(fences))


async def test_a_fault_of_the_work_is_not_hidden(db: Database) -> None:
    async def work(lease: Lease) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(lead(db, "work", work, ttl=SHORT), 10)
    assert await acquire(db, "work", "next") is not None


async def test_two_leaders_never_work_at_once(shared_place: Place, opens: Opens) -> None:
    working = most = turns = 0

    async def work(lease: Lease) -> None:
        nonlocal working, most, turns
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        turns += 1
        working -= 1

    async with opens(shared_place) as first, opens(shared_place) as second:
        await asyncio.gather(*(lead(db, "work", work, ttl=SHORT) for db in (first, second, first, second)))
    assert (most, turns) == (1, 4)


async def test_a_dead_holder_is_followed_at_once(db: Database) -> None:
    with new_process() as (process, holder):
        first = await acquire(db, "work/one", holder)
        assert first is not None
        await db.write(lambda tx: leases.end_dead(tx, "work/"))
        assert not await refused(db, "work/one", first)
        assert await acquire(db, "work/one", new_holder()) is None
        assert not await db.read(lambda tx: leases.is_free(tx, "work/one"))
        process.kill()
        process.wait()
    assert await db.read(lambda tx: leases.is_free(tx, "work/one"))
    second = await acquire(db, "work/one", new_holder())
    assert second is not None and second > first
    assert await refused(db, "work/one", first)


async def test_leases_of_dead_holders_can_be_ended(db: Database) -> None:
    with new_process() as (process, holder):
        fence = await acquire(db, "work/one", holder)
        other = await acquire(db, "elsewhere/one", holder)
        assert fence is not None and other is not None
        process.kill()
        process.wait()
    await db.write(lambda tx: leases.end_dead(tx, "work/"))
    assert await refused(db, "work/one", fence)
    assert not await refused(db, "elsewhere/one", other)


@contextmanager
def new_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs a process and gives its name as a holder."""
    program = (
        "import time; from sutler.store.holders import new_holder; print(new_holder(), flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(LIBS)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_who_is_dead() -> None:
    own = new_holder()
    assert own != new_holder()
    assert not is_dead(own)
    place, process, id = own.split("/")
    pid, start = process.split("-")
    assert is_dead(f"{place}/{pid}-{int(start) - 1}/{id}"), "the pid was given to another process"
    assert not is_dead(f"elsewhere/{pid}-1/{id}"), "another machine's"
    assert not any(map(is_dead, ("", "anna", f"{place}/", f"{place}/{pid}-/x")))


def test_nobody_is_dead_who_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    own = new_holder()

    def no_file_left(path: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_text", no_file_left)
    assert not is_dead(own)


def test_a_zombie_is_dead() -> None:
    with new_process() as (process, holder):
        assert not is_dead(holder)
        os.kill(process.pid, signal.SIGKILL)
        wait_blocking(lambda: is_dead(holder))
        assert process.returncode is None
