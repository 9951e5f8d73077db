"""Several processes, and processes that are killed."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from sutler.store import leases
from sutler.store.holding import hold
from sutler.testing import wait_until

from tests.conformance.store.changing import add, keys, number, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place
from tests.conformance.store.processes import line, rest, told, worker
from tests.conformance.store.worker import SHORT

PROCESSES = 8
KILLS = 5


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def test_increments_of_many_processes_add_up(shared_place: Place, opens: Opens) -> None:
    times, tasks = 25, 4
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(worker("increment", shared_place.url, times, tasks))
            for _ in range(PROCESSES)
        ]
        assert await asyncio.gather(*(each.wait() for each in workers)) == [0] * PROCESSES
    async with opens(shared_place) as db:
        assert await db.read(number("n")) == PROCESSES * times * tasks


async def test_busy_processes_let_another_write(shared_place: Place, opens: Opens) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(worker("occupy", shared_place.url))
        db = await stack.enter_async_context(opens(shared_place, lock_timeout=timedelta(seconds=4)))

        async def all_are_busy() -> bool:
            return (await db.read(number("n")) or 0) > 100

        await wait_until(all_are_busy)
        for n in range(10):
            await db.write(put(str(n)))


async def test_nothing_was_committed_while_the_mark_stays(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place) as db:
        await db.write(add("n"))
        marks = {}
        async with worker("increment", shared_place.url, 400, 1) as writing, worker("occupy", shared_place.url):
            while writing.returncode is None:
                mark, found = db.mark(), await db.read(number("n"))
                if mark is not None and mark == db.mark():
                    assert marks.setdefault(mark, found) == found
                await asyncio.sleep(0)
        await db.write(add("n"))
        if db.dialect == "sqlite":
            assert len(marks) > 1
            assert db.mark() is not None  # however the writers ended: one of them was killed
        else:
            assert not marks


async def test_what_was_answered_is_there_after_a_kill(shared_place: Place, opens: Opens) -> None:
    answered: set[str] = set()
    for attempt in range(KILLS):
        async with worker("write", shared_place.url, f"w{attempt}", 8, 1_000_000) as writing:
            for _ in range(random.randrange(1, 300)):
                answered.update(await line(writing))
            writing.kill()
            await writing.wait()
            answered.update(await rest(writing))
        async with opens(shared_place) as db:
            assert answered <= set(await db.scan(keys))
    assert len(answered) >= KILLS


async def test_a_commit_of_another_process_wakes_a_waiter(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place) as db, worker("write", shared_place.url, "w", 1, 1):

        async def follow() -> None:
            while True:
                seen = db.changes.generation
                if await db.read(keys) == ["w-0-0"]:
                    return
                assert await db.changes.wait(20, since=seen) != seen

        await asyncio.wait_for(follow(), 30)


async def test_of_two_processes_with_the_same_requests_exactly_one_wins_each(shared_place: Place, opens: Opens) -> None:
    count = 100
    async with (
        worker("remember", shared_place.url, count) as first,
        worker("remember", shared_place.url, count) as second,
    ):
        for process in (first, second):
            assert await line(process) == ["ready"]
        for process in (first, second):
            await told(process)
        said = [said.split() for process in (first, second) for said in await asyncio.wait_for(rest(process), 30)]
    answers: dict[str, set[str]] = {}
    for _, request, answer in said:
        answers.setdefault(request, set()).add(answer)
    assert sorted(word for word, _, _ in said) == ["lost"] * count + ["won"] * count
    assert len(answers) == count
    assert all(len(answer) == 1 for answer in answers.values())
    async with opens(shared_place) as db:
        assert await db.read(number("n")) == count


async def test_a_holder_that_was_stopped_changes_nothing(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place) as db, worker("hold", shared_place.url, "work") as late:
        word, fence = await line(late)
        late.send_signal(signal.SIGSTOP)
        async with hold(db, "work", ttl=SHORT) as lease:
            assert lease.fence > int(fence)
            late.send_signal(signal.SIGCONT)
            await told(late)
            assert await line(late) == ["refused", "LEASE_LOST", "False"]
            assert await line(late) == ["lost", "False"]
            await db.write(lambda tx: leases.check(tx, "work", lease.fence))
            await db.write(put("mine"))
        assert word == "fence"
        assert await db.read(keys) == ["mine"]


async def test_a_lease_passes_on_when_its_holder_is_killed(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place) as db, worker("hold", shared_place.url, "work") as other:
        _, fence = await line(other)
        other.kill()
        async with asyncio.timeout(30), hold(db, "work", ttl=SHORT) as lease:
            assert lease.fence > int(fence)


async def test_events_of_killed_relays_arrive_in_order_and_none_is_missing(shared_place: Place, tmp_path: Path) -> None:
    target = tmp_path / "published"
    stored: list[int] = []
    for _ in range(3):
        async with worker("relay", shared_place.url, target) as relaying:
            enough = size_of(target) + random.randrange(500, 5000)
            while size_of(target) < enough:
                stored.extend(map(int, await line(relaying)))
            relaying.kill()
            await relaying.wait()
            stored.extend(int(each) for each in await rest(relaying))
    async with worker("relay", shared_place.url, target) as relaying:
        while not set(stored) <= (published := set(map(int, target.read_text().split()))):
            await line(relaying)
    arrived = list(map(int, target.read_text().split()))
    firsts = list(dict.fromkeys(arrived))
    assert firsts == sorted(firsts)
    assert published >= set(stored)
