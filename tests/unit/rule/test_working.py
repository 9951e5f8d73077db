"""What becomes of an execution when the store is away for a while, on a database in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from sutler.auth import encode_principal
from sutler.context import ANONYMOUS, Principal
from sutler.errors import Exhausted, Unavailable
from sutler.store import Database, open_database

from services.rule import engine, working
from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.indexes import Indexes
from services.rule.adapters.database.log import DatabaseLog
from services.rule.adapters.database.migrations import COMPONENT, MIGRATIONS
from services.rule.adapters.database.rules import DatabaseRules
from services.rule.adapters.database.tenure import tenure
from services.rule.adapters.database.work import DatabaseWork
from services.rule.attempts import Attempts
from services.rule.definitions import Action, CallMethod, Definition, DeleteProperty, EmitEvent, SetProperty
from services.rule.endings import Endings
from services.rule.engine import Engine
from services.rule.events import Cause, Content
from services.rule.executions import Execution, ExecutionState, Job
from services.rule.measures import Measures
from services.rule.outcomes import Aftermath, Claim, Finished
from services.rule.rules import Rule, Writing
from services.rule.values import ABSENT
from services.rule.working import Worker

HOLDER = 7


class Calls:
    """Answers every call, and counts."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def call(self, do: CallMethod, *, key: str, **_: Any) -> Any:
        self.keys.append(key)
        return {"n": len(self.keys)}


class Failing(DatabaseWork):
    """Cannot store ends, or cannot be asked, for some times."""

    unstored = unread = unreturned = 0

    async def finish(self, job: Job, result: Finished, holder: int) -> Aftermath:
        if self.unstored:
            self.unstored -= 1
            raise Unavailable("the store is away", reason="STORAGE_UNAVAILABLE")
        return await super().finish(job, result, holder)

    async def context(self, job: Job, *, with_subject: bool) -> Any:
        if self.unread:
            self.unread -= 1
            raise Unavailable("the store is away", reason="STORAGE_UNAVAILABLE")
        return await super().context(job, with_subject=with_subject)

    async def put_back(self, execution: Execution) -> None:
        if self.unreturned:
            self.unreturned -= 1
            raise Exhausted("the disk is full", reason="STORAGE_FULL")
        await super().put_back(execution)


CALL = Action("call", CallMethod("x.Y/Z"))


@asynccontextmanager
async def opened(
    action: Action = CALL, author: Principal = ANONYMOUS, data: Any = ABSENT
) -> AsyncIterator[tuple[Database, Failing, Job]]:
    """A database with a rule of one action, and one execution of it that we hold."""
    async with open_database("sqlite:///:memory:", name="rule", migrations={COMPONENT: MIGRATIONS}) as database:
        acceptor = Acceptor(Indexes(), 32)
        definition = Definition(("a",), (action,))
        rule = Rule("rules/r", "t", "uid", definition, active=1, latest=1)
        await DatabaseRules(database).create(Writing(rule, definition, encode_principal(author)), None)
        content = Content("1", "/s", "a", data=data)
        claim = Claim(HOLDER, 10)
        log = DatabaseLog(database, acceptor)
        _, aftermath = await log.accept("t", [content], Cause("p", "c"), claim, lambda: None)
        (job,) = aftermath.jobs
        yield database, Failing(database, acceptor), job


def worker(work: DatabaseWork, calls: Calls, kind: type[Worker] = Worker) -> Worker:
    measures = Measures(NoOpMeterProvider().get_meter("t"), NoOpTracerProvider().get_tracer("t"))
    return kind(work, Attempts(work, calls), measures)


def engine_of(
    database: Database, work: DatabaseWork, taken: Callable[[], Any] | None = None, doing: type[Worker] = Worker
) -> Engine:
    return Engine(
        work,
        worker(work, Calls(), doing),
        taken or (lambda: tenure(database, 4)),
        database.changes,
        Endings(),
        concurrency=5,
        lease_seconds=4,
    )


async def stored(database: Database) -> tuple[int, int]:
    row = await database.read(lambda tx: tx.one("SELECT state, holder FROM executions"))
    assert row is not None
    return row[0], row[1]


async def until(database: Database, state: ExecutionState, holder: int) -> None:
    """Waits until the only execution stands so."""
    async with asyncio.timeout(20):
        while await stored(database) != (state, holder):
            await database.changes.wait(1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "TROUBLE_SECONDS", 0.001)
    monkeypatch.setattr(engine, "TROUBLE_SECONDS", 0.001)
    monkeypatch.setattr(engine, "BROKEN_SECONDS", 0.001)


async def test_an_end_that_cannot_be_stored_is_stored_later_without_another_call() -> None:
    calls = Calls()
    async with opened() as (database, work, job):
        work.unstored = 3
        aftermath = await worker(work, calls).do(job, lambda: HOLDER)
        assert aftermath is not None
        assert aftermath.ended == (job.event.name,)
        assert await stored(database) == (ExecutionState.SUCCEEDED, 0)
    assert len(calls.keys) == 1


async def test_an_attempt_that_cannot_read_gives_the_execution_back() -> None:
    calls = Calls()
    async with opened() as (database, work, job):
        work.unread = 1
        assert await worker(work, calls).do(job, lambda: HOLDER) is None
        assert await stored(database) == (ExecutionState.PENDING, 0)
        (again,) = await work.claim(HOLDER, 5)
        await worker(work, calls).do(again, lambda: HOLDER)
        assert await stored(database) == (ExecutionState.SUCCEEDED, 0)


async def test_who_has_lost_an_execution_changes_nothing_any_more() -> None:
    calls = Calls()
    async with opened() as (database, work, job):
        assert await work.adopt() == 1  # nobody has a lease with our number
        (theirs,) = await work.claim(HOLDER + 1, 5)
        assert await worker(work, calls).do(job, lambda: HOLDER) is None
        assert calls.keys == []
        await worker(work, calls).do(theirs, lambda: HOLDER + 1)
        assert await stored(database) == (ExecutionState.SUCCEEDED, 0)


async def test_a_fault_of_the_program_is_a_visible_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Calls):
        async def call(self, do: CallMethod, *, key: str, **_: Any) -> Any:
            raise KeyError("a bug")

    async with opened() as (database, work, job):
        await worker(work, Broken()).do(job, lambda: HOLDER)
        row = await database.read(lambda tx: tx.one("SELECT attempts, error FROM executions"))
    assert row is not None
    assert row[0] == 1
    assert '"reason":"INTERNAL"' in row[1]
    assert "a bug" not in row[1]


async def failed(database: Database) -> tuple[int, str, int]:
    """How the only execution stands, with the reason of its error and the number of dead letters."""
    row = await database.read(lambda tx: tx.one("SELECT state, error FROM executions"))
    letters = await database.read(lambda tx: tx.one("SELECT COUNT(*) FROM dead_letters"))
    assert row is not None and letters is not None
    return row[0], orjson.loads(row[1])["reason"] if row[1] else "", letters[0]


@pytest.mark.parametrize("do", [EmitEvent("b"), SetProperty("p", "boss", 1), DeleteProperty("p", "boss")])
async def test_rules_that_were_written_before_rights_were_checked_are_checked_at_work(do: Any) -> None:
    author = Principal("eve", "t", ("rule.events.batchPublish:nothing", "rule.subjects.update:subjects/mine*"))
    async with opened(Action("act", do), author) as (database, work, job):
        await worker(work, Calls()).do(job, lambda: HOLDER)
        assert await failed(database) == (ExecutionState.FAILED, "PERMISSION_MISSING", 1)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BIG = [1] * 200_000
"""400 kB of JSON, and more than 2 MB as the API sends it."""


@pytest.mark.parametrize(
    ("do", "data"),
    [
        (SetProperty("p", "s", ["${payload}"]), nested(20)),
        (SetProperty("p", "s", expression="[payload]"), nested(20)),
        (SetProperty("p", "s", "${payload}"), BIG),
        (SetProperty("p", "s", expression="payload"), BIG),
        (EmitEvent("b", data={"a": "${payload}"}, has_data=True), nested(20)),
        (EmitEvent("b", data="${payload}", has_data=True), BIG),
        (EmitEvent("b", extra={"a": "${payload}"}), nested(20)),
        (CallMethod("x.Y/Z", {"a": [[[[[[[[["${payload}"]]]]]]]]]}), nested(19)),
        (CallMethod("x.Y/Z", {"a": ["${payload}", "${payload}"]}), BIG),
    ],
)
async def test_data_that_a_rule_makes_have_the_limits_of_all_data(do: Any, data: Any) -> None:
    calls = Calls()
    async with opened(Action("act", do), data=data) as (database, work, job):
        await worker(work, calls).do(job, lambda: HOLDER)
        assert await failed(database) == (ExecutionState.FAILED, "TOO_LARGE", 1)
    assert calls.keys == []


async def test_an_answer_that_is_too_deep_is_not_shown() -> None:
    class Deep(Calls):
        async def call(self, do: CallMethod, *, key: str, **_: Any) -> Any:
            return nested(60)

    async with opened() as (database, work, job):
        await worker(work, Deep()).do(job, lambda: HOLDER)
        row = await database.read(lambda tx: tx.one("SELECT state, steps FROM executions"))
    assert row is not None
    (step,) = orjson.loads(row[1])
    assert (row[0], step["answered"], step["response"]) == (ExecutionState.SUCCEEDED, True, None)


async def test_what_the_program_cannot_work_on_is_given_back_when_the_store_answers_again() -> None:
    class Broken(Worker):
        async def do(self, job: Job, holder: Any) -> Aftermath | None:
            raise KeyError("a bug")

    async with opened() as (database, work, job):
        work.unreturned = 3
        running = engine_of(database, work, doing=Broken)
        running.follow(Aftermath((job,)))

        await until(database, ExecutionState.PENDING, 0)
        assert work.unreturned == 0


async def test_an_engine_begins_when_the_store_answers() -> None:
    away = 3

    @asynccontextmanager
    async def taken() -> AsyncIterator[Any]:
        nonlocal away
        if away:
            away -= 1
            raise Unavailable("the store is away", reason="STORAGE_UNAVAILABLE")
        async with tenure(database, 4) as lease:
            yield lease

    async with opened() as (database, work, _):
        running = asyncio.create_task(engine_of(database, work, taken).run())
        await until(database, ExecutionState.SUCCEEDED, 0)
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()


async def test_an_engine_that_is_broken_ends_and_holds_nothing() -> None:
    class Broken(Failing):
        async def next_time(self) -> float | None:
            raise KeyError("a bug")

    async with opened() as (database, _, _):
        broken = engine_of(database, Broken(database, Acceptor(Indexes(), 32)))
        with pytest.raises(KeyError):
            async with asyncio.timeout(20):
                await broken.run()
        assert broken.room == 0
        held = "SELECT COUNT(*) FROM leases WHERE expire_time > ?"
        assert await database.read(lambda tx: tx.one(held, (tx.now,))) == (0,)
