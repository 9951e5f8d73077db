from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status
from sutler.auth import encode_principal
from sutler.context import Principal, current
from sutler.errors import Conflict, FailedPrecondition, NotFound, SutlerError, Unavailable
from sutler.operations import Execution, State, records
from sutler.status import from_status
from sutler.store import Database
from sutler.testing import wait_until

from tests.integration.libs.operating import inserted, opened, runs, stored, succeed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def db(engine_url: str) -> AsyncIterator[Database]:
    async with opened(engine_url) as database:
        yield database


@pytest.fixture
async def other(engine_url: str, db: Database) -> AsyncIterator[Database]:
    """The same database, as another process opens it."""
    async with opened(engine_url) as database:
        yield database


async def ended(db: Database, name: str, state: State = State.SUCCEEDED, seconds: float = 20) -> None:
    async def has() -> bool:
        return (await stored(db, name)).state is state

    await wait_until(has, seconds)


class TestAttempts:
    async def test_carries_out_what_is_there_and_what_comes(self, db: Database) -> None:
        made = [await inserted(db)]
        async with runs(db, succeed):
            made.append(await inserted(db))
            for operation in made:
                await ended(db, operation.name)
        assert [(await stored(db, each.name)).attempt for each in made] == [1, 1]

    async def test_works_for_the_one_who_asked(self, db: Database) -> None:
        seen = []

        async def look(execution: Execution) -> None:
            call = current()
            seen.append((call.principal, call.tenant, call.correlation_id, call.method))
            await succeed(execution)

        anna = Principal("user:anna", "acme", ("rule.*.*",))
        made = await inserted(db, tenant="acme", principal=encode_principal(anna), correlation_id="c-1")
        async with runs(db, look):
            await wait_until(lambda: seen)
        assert seen == [(anna, "acme", "c-1", made.method)]

    async def test_gives_its_place_away_when_it_was_ended_from_outside(self, db: Database, other: Database) -> None:
        stopped: list[str] = []

        async def work(execution: Execution) -> None:
            if execution.operation.target != "rules/silent":
                await succeed(execution)
                return
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(execution.operation.name)

        silent = await inserted(db, "rules/silent")
        async with runs(db, work, concurrency=1):
            await ended(db, silent.name, State.RUNNING)
            waiting = await inserted(db)
            await other.write(lambda tx: records.move(tx, silent.name, None, State.FAILED))
            await ended(db, waiting.name)
            assert stopped == [silent.name]
        assert (await stored(db, silent.name)).state is State.FAILED

    async def test_bounds_how_many_run_at_once(self, db: Database) -> None:
        running, most = 0, 0

        async def work(execution: Execution) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await execution.progress(1, "working")
            running -= 1
            await succeed(execution)

        made = [await inserted(db) for _ in range(12)]
        async with runs(db, work, concurrency=3):
            for operation in made:
                await ended(db, operation.name)
        assert most == 3

    async def test_rests_while_nothing_is_due(self, db: Database) -> None:
        """One that runs must not keep its runner busy with claims: each would be a commit."""
        began = asyncio.Event()

        async def hang(execution: Execution) -> None:
            began.set()
            await asyncio.Event().wait()

        await inserted(db)
        async with runs(db, hang):
            await began.wait()
            before = db.statistics().changes
            await asyncio.sleep(0.5)
            assert db.statistics().changes - before <= 2

    async def test_progress(self, db: Database) -> None:
        told = []

        async def work(execution: Execution) -> None:
            for percent, step in ((10, "first"), (5, "back"), (250, "é" * 2000)):
                await execution.progress(percent, step)
                found = await stored(db, execution.operation.name)
                told.append((found.progress, found.step[:5], len(found.step.encode())))
            await succeed(execution)

        made = await inserted(db)
        async with runs(db, work):
            await ended(db, made.name)
        assert told == [(10, "first", 5), (10, "back", 4), (100, "ééééé", 1024)]
        assert (await stored(db, made.name)).progress == 100


class TestFailures:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sutler.operations.runner.MAX_BACKOFF_SECONDS", 0.05)

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (Unavailable("down", metadata={"dependency": "erp"}), Unavailable),
            (NotFound("gone"), NotFound),
            (Conflict("changed"), Conflict),
            (ValueError("secret"), Unavailable),
            (None, Unavailable),
        ],
        ids=["unavailable", "not found", "conflict", "unexpected", "no end"],
    )
    async def test_another_attempt_follows_and_the_error_is_seen(
        self, db: Database, error: Exception | None, told: type[SutlerError]
    ) -> None:
        async def work(execution: Execution) -> None:
            if execution.operation.attempt == 3:
                last = from_status(Status.FromString(execution.operation.error))
                assert type(last) is told
                assert "secret" not in last.message
                await succeed(execution)
            elif error is not None:
                raise error

        made = await inserted(db)
        async with runs(db, work):
            await ended(db, made.name)
        assert (await stored(db, made.name)).attempt == 3

    async def test_the_next_attempt_waits_as_long_as_the_error_asks(self, db: Database) -> None:
        async def work(execution: Execution) -> None:
            raise Unavailable("down", retry_after=timedelta(seconds=3600))

        made = await inserted(db)

        async def postponed() -> bool:
            return bool((await stored(db, made.name)).error)

        async with runs(db, work):
            await wait_until(postponed)
            due = await db.read(lambda tx: (records.next_due(tx) or 0) - tx.now)
        assert 3500 < due <= 3600

    async def test_the_pause_doubles_up_to_a_bound(self, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sutler.operations.runner.MAX_BACKOFF_SECONDS", 30.0)

        async def work(execution: Execution) -> None:
            raise Unavailable("down")

        async def pause(attempts: int) -> float:
            made = await inserted(db, attempt=attempts)

            async def postponed() -> bool:
                return bool((await stored(db, made.name)).error)

            await wait_until(postponed)
            query = "SELECT due_time - update_time FROM operations WHERE name = ?"
            row = await db.read(lambda tx: tx.one(query, (made.name,)))
            assert row is not None
            return float(row[0])

        async with runs(db, work):
            for attempts, longest in ((0, 1.0), (1, 2.0), (3, 8.0), (20, 30.0)):
                assert longest / 2 <= await pause(attempts) <= longest

    async def test_one_that_fails_does_not_hold_others_up(self, db: Database) -> None:
        async def work(execution: Execution) -> None:
            if execution.operation.target == "rules/bad":
                raise ValueError("bad")
            await succeed(execution)

        await inserted(db, "rules/bad")
        made = await inserted(db, "rules/good")
        async with runs(db, work):
            await ended(db, made.name)


class TestCancelling:
    async def test_is_seen_by_the_runner_of_another_process(self, db: Database, other: Database) -> None:
        began = asyncio.Event()

        async def work(execution: Execution) -> None:
            began.set()
            await execution.cancelled.wait()
            await execution.progress(80, "undoing")
            assert (await stored(db, execution.operation.name)).state is State.CANCELLING
            await db.write(lambda tx: execution.end(tx, State.CANCELLED))

        made = await inserted(db)
        async with runs(db, work):
            await began.wait()
            await other.write(lambda tx: records.request_cancel(tx, "default", made.name))
            await ended(other, made.name, State.CANCELLED)

    async def test_before_it_began(self, db: Database) -> None:
        made = await inserted(db)
        await db.write(lambda tx: records.request_cancel(tx, "default", made.name))
        seen = []

        async def work(execution: Execution) -> None:
            seen.append(execution.cancelled.is_set())
            await db.write(lambda tx: execution.end(tx, State.CANCELLED))

        async with runs(db, work):
            await ended(db, made.name, State.CANCELLED)
        assert seen == [True]


class TestReplicas:
    async def test_two_runners_share_the_work(self, db: Database, other: Database) -> None:
        attempts: list[str] = []

        async def work(execution: Execution) -> None:
            attempts.append(execution.operation.name)
            await asyncio.sleep(0)
            await succeed(execution)

        made = [(await inserted(db)).name for _ in range(40)]
        async with runs(db, work, concurrency=4), runs(other, work, concurrency=4):
            for name in made:
                await ended(db, name)
        assert sorted(attempts) == sorted(made), "an operation ran twice"

    async def test_runner_that_stops_hands_over_at_once(self, db: Database, other: Database) -> None:
        began = asyncio.Event()

        async def hang(execution: Execution) -> None:
            began.set()
            await asyncio.Event().wait()

        made = await inserted(db)
        async with runs(db, hang, lease_seconds=3600):
            await began.wait()
        async with runs(other, succeed):
            await ended(other, made.name, seconds=10)
        assert (await stored(other, made.name)).attempt == 2

    async def test_lease_is_kept_while_it_runs(self, db: Database, other: Database) -> None:
        began, attempts = asyncio.Event(), []

        async def slow(execution: Execution) -> None:
            attempts.append(execution.operation.attempt)
            began.set()
            await asyncio.sleep(2)
            await succeed(execution)

        made = await inserted(db)
        async with runs(db, slow, lease_seconds=1.2):
            await began.wait()
            async with runs(other, slow, lease_seconds=1.2):
                await ended(db, made.name)
        assert attempts == [1]

    async def test_lease_that_cannot_be_renewed_ends_the_attempt_before_the_next(
        self, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, at_work, most = [], 0, 0

        def refuse(*_: object) -> None:
            raise Unavailable("away for a while", reason="STORAGE_UNAVAILABLE")

        async def work(execution: Execution) -> None:
            nonlocal at_work, most
            begun.append(execution.operation.attempt)
            at_work += 1
            most = max(most, at_work)
            try:
                await asyncio.Event().wait()
            finally:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.3)  # what a handler's call takes to end
                at_work -= 1

        monkeypatch.setattr(records, "renew", refuse)
        await inserted(db)
        async with runs(db, work, lease_seconds=0.5):
            await wait_until(lambda: len(begun) == 3)
        assert (most, at_work) == (1, 0)

    async def test_attempt_that_does_not_end_is_waited_for_no_longer_than_a_lease(
        self, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, go_on, began = await inserted(db), asyncio.Event(), asyncio.Event()

        async def work(execution: Execution) -> None:
            if execution.operation.attempt > 1:
                await succeed(execution)
                return
            began.set()
            while not go_on.is_set():
                with suppress(asyncio.CancelledError):
                    await go_on.wait()

        async with runs(db, work, lease_seconds=0.5):
            await began.wait()
            await db.write(lambda tx: tx.send("UPDATE operations SET lease_time = 0, holder = 'another'"))
            await ended(db, made.name)
            go_on.set()


class TestProcesses:
    """A process of its own claims an operation and hangs; this one takes over."""

    async def test_killed_one_leaves_it_to_the_next_attempt(self, db: Database, engine_url: str) -> None:
        made = await inserted(db)
        async with process(engine_url, lease_seconds=600.0) as worker:
            assert await line(worker) == ["began", made.name, "1"]
            worker.kill()
            await worker.wait()
            async with runs(db, succeed):
                await ended(db, made.name)
        assert (await stored(db, made.name)).attempt == 2

    async def test_paused_one_changes_nothing_when_it_goes_on(self, db: Database, engine_url: str) -> None:
        made = await inserted(db)
        async with process(engine_url, lease_seconds=1.0) as worker:
            assert await line(worker) == ["began", made.name, "1"]
            await pause(worker, db)
            async with runs(db, succeed):
                await ended(db, made.name)
            before = await stored(db, made.name)
            assert await resumed(worker) == ["lost", "LEASE_LOST"]
            assert await stored(db, made.name) == before
        assert before.attempt == 2

    async def test_paused_one_and_an_attempt_that_goes_on(self, db: Database, engine_url: str) -> None:
        made, began, go_on = await inserted(db), asyncio.Event(), asyncio.Event()

        async def work(execution: Execution) -> None:
            await execution.progress(70, "mine")
            began.set()
            await go_on.wait()
            await succeed(execution)

        async with process(engine_url, lease_seconds=1.0) as worker:
            await line(worker)
            await pause(worker, db)
            async with runs(db, work):
                await asyncio.wait_for(began.wait(), 20)
                assert await resumed(worker) == ["lost", "LEASE_LOST"]
                assert (await stored(db, made.name)).progress == 70
                go_on.set()
                await ended(db, made.name)


async def test_store_that_is_away_for_a_while_ends_no_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sutler.operations.runner.OUTAGE_SECONDS", 0.01)
    async with opened(f"sqlite:///{tmp_path}/test.db") as db:
        made, refusals = await inserted(db), 3
        write = db.write

        async def refuse(fn: object, **how: bool) -> object:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise Unavailable("the disk is full", reason="STORAGE_UNAVAILABLE")
            return await write(fn, **how)  # type: ignore[arg-type]

        monkeypatch.setattr(db, "write", refuse)
        async with runs(db, succeed):
            await ended(db, made.name)
        assert refusals == 0


async def test_end_belongs_to_the_holder(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/test.db") as db:
        made = await inserted(db)
        (held,) = await db.write(lambda tx: records.claim(tx, "one", 15, 1))
        execution = Execution(held, db)
        await succeed(execution)
        with pytest.raises(FailedPrecondition):
            await succeed(execution)
        assert (await stored(db, made.name)).state is State.SUCCEEDED


@asynccontextmanager
async def process(url: str, lease_seconds: float) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "tests.integration.libs.operating", url, str(lease_seconds)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'libs'}{os.pathsep}{ROOT}"}
    started = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment, cwd=ROOT)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def pause(worker: Process, db: Database) -> None:
    """Stops a process where it is, but not while it holds SQLite's lock: that would stop everybody."""
    while True:
        worker.send_signal(signal.SIGSTOP)
        try:
            await db.write(lambda tx: None)
            return
        except Unavailable:
            worker.send_signal(signal.SIGCONT)


async def resumed(worker: Process) -> list[str]:
    """Lets a process go on with its work, and returns what it says."""
    assert worker.stdin is not None
    worker.send_signal(signal.SIGCONT)
    worker.stdin.write(b"go\n")
    return await line(worker)


async def line(worker: Process, seconds: float = 30) -> list[str]:
    """Returns the next line that a worker says; what it logs, such as a lost connection, is passed over."""
    assert worker.stdout is not None
    async with asyncio.timeout(seconds):
        while True:
            said = (await worker.stdout.readline()).decode().split()
            if not said or said[0] in ("began", "lost"):
                return said
