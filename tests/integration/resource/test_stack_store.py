"""Runs of stacks against the store: a process that dies before or after any of its writes, and one that comes late."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sutler.errors import Conflict, Invalid, Unavailable
from sutler.operations import records
from sutler.operations.model import Operation
from sutler.operations.model import State as OperationState
from sutler.secret_box import SecretBox
from sutler.store import Database, open_database

from services.resource.adapters.store import DatabaseStore, seed
from services.resource.adapters.tables import MIGRATIONS
from services.resource.compatibility import Compatibility
from services.resource.compiling import Compiler
from services.resource.conducting import Conductor
from services.resource.declaring import Declarations
from services.resource.handling import Done, Found, HandlerCall, Refused, Said, Verdict
from services.resource.judging import PolicyBook
from services.resource.problems import Problem
from services.resource.registering import Registrations, SentType
from services.resource.resource import Resource
from services.resource.resource_type import Handler, ResourceType, Version
from services.resource.stacks.applying import MAX_BYTES, SentStack, StackRemoval, Stacks
from services.resource.stacks.stack import Became, FailurePolicy, Member, StackState, Template
from tests.integration.resource.conftest import database_url
from tests.integration.resource.test_store import CALLER, TENANT, Clock, claim

NAME = "stacks/shop"
BOX = SecretBox([bytes(32)])
MACHINES, RECORDS = "A.B/machines", "A.B/records"
MEMBERS = (
    Member("a", RECORDS, properties={"n": 1}),
    Member("b", MACHINES, properties={"of": "${members.a.name}"}),
    Member("c", RECORDS, properties={"of": "${members.b.outputs.made}"}),
    Member("d", RECORDS, properties={"of": "${members.c.name}"}),
)
FAILING = Member("z", MACHINES, properties={"behave": "final", "of": "${members.d.name}"})


class Quick:
    """Handlers that are done at once, and remember each thing by the key of its call."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], set[str]] = {}

    def check(self, handler: Handler) -> None:
        """Allows every handler."""

    def describe(self, handler: Handler) -> None:
        """Knows nothing of any handler."""

    async def validate(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Verdict:
        return Verdict()

    async def apply(
        self, call: HandlerCall, desired: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        self.keys.setdefault(("apply", desired.uid), set()).add(call.idempotency_key)
        if desired.declared.properties.get("behave") == "final":
            yield Refused(Problem(9, "NO_CAPACITY", "no room"))
        else:
            yield Done({"made": desired.uid})

    async def delete(
        self, call: HandlerCall, resource: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        self.keys.setdefault(("delete", resource.uid), set()).add(call.idempotency_key)
        yield Done()

    async def find(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Found:
        return Found("ABSENT")


class Died(Exception):
    """The process is no more."""


class Mortal(DatabaseStore):
    """A store whose process dies before or after one of its writes; from then on nothing works."""

    def __init__(self, database: Database, writes: int, *, after: bool) -> None:
        super().__init__(database, BOX)
        self.left, self._after = writes, after

    async def write(self, tenant: str, fn: Callable[[Any], Any], *, quick: bool = False) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self._after):
            raise Died
        found = await super().write(tenant, fn, quick=quick)
        if self.left == 0:
            raise Died
        return found


class Meddled(DatabaseStore):
    """A store in which something else happens before one of its writes."""

    def __init__(self, database: Database, at: int, meddle: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database, BOX)
        self._left, self._meddle = at, meddle

    async def write(self, tenant: str, fn: Callable[[Any], Any], *, quick: bool = False) -> Any:
        self._left -= 1
        if self._left == 0:
            await self._meddle()
        return await super().write(tenant, fn, quick=quick)


class Forgetful(DatabaseStore):
    """A store that makes a change and then cannot say so."""

    def __init__(self, database: Database, at: int) -> None:
        super().__init__(database, BOX)
        self._left = at

    async def write(self, tenant: str, fn: Callable[[Any], Any], *, quick: bool = False) -> Any:
        self._left -= 1
        found = await super().write(tenant, fn, quick=quick)
        if self._left == 0:
            raise Unavailable("the connection was lost", reason="STORAGE_UNAVAILABLE")
        return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def database(tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    tables = {"resource": MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with (
        database_url("sqlite", tmp_path) as url,
        open_database(url, name="resource", migrations=tables, clock=clock) as opened,
    ):
        await seed(opened)
        yield opened


async def types(database: Database, handlers: Quick) -> None:
    store = DatabaseStore(database, BOX)
    registrations = Registrations(store, handlers, BOX, Compatibility(store))
    for name, handler in ((MACHINES, Handler(address="h:1", timeout=1e9)), (RECORDS, None)):
        type = ResourceType(TENANT, name, versions=(Version("v1"),), handler=handler)
        sent = SentType(name.replace("/", "."), "", lambda _, type=type: type)  # type: ignore[misc]
        await registrations.create(CALLER, sent, once=None, validate_only=False)


def stacks(database: Database, handlers: Quick) -> Stacks:
    store = DatabaseStore(database, BOX)
    return Stacks(store, Declarations(store, Compiler(), PolicyBook(), handlers))


async def apply(database: Database, handlers: Quick, *members: Member) -> Operation:
    template = Template(members=members, failure_policy=FailurePolicy.UNDO)
    sent = SentStack(NAME, "", template)
    outcome = await stacks(database, handlers).apply(CALLER, sent, once=None, validate_only=False)
    assert outcome.operation is not None
    return outcome.operation


async def work(database: Database, clock: Clock, store: DatabaseStore, handlers: Quick) -> None:
    """Does what is to be done, one attempt after the other, until nothing is open; later ones take over."""
    conductor = Conductor(store, handlers, Compiler(), PolicyBook(), BOX)
    for _ in range(100):
        clock.ahead += 60
        claimed = await database.write(lambda tx: records.claim(tx, "holder", 10, 50))
        if not claimed:
            return
        for operation in claimed:
            await conductor.attempt(operation, asyncio.Event())
    raise AssertionError("it never ends")


async def log(database: Database) -> Counter[tuple[str, str]]:
    """Returns how often each resource was created and how often it went."""
    rows = await database.read(lambda tx: tx.all("SELECT resource, kind FROM revisions"))
    return Counter((name.rpartition("/")[2], kind) for name, kind in rows if kind in ("CREATED", "DELETED"))


async def deaths(database: Database, clock: Clock, handlers: Quick, begin: Callable[[], Awaitable[Any]]) -> int:
    """Has the process die at each of its writes in turn, each time in the middle of what ``begin`` begins."""
    for writes in range(1, 100):
        for after in (False, True):
            operation = await begin()
            store = Mortal(database, writes, after=after)
            try:
                await work(database, clock, store, handlers)
            except Died:
                await work(database, clock, DatabaseStore(database, BOX), handlers)
            ended = await database.read(lambda tx, name=operation.name: records.get(tx, TENANT, name))  # type: ignore[misc]
            assert ended.state.ended
            if store.left > 0:
                return writes
    raise AssertionError("it never gets through")


async def test_a_process_that_dies_anywhere_in_an_apply(database: Database, clock: Clock) -> None:
    handlers = Quick()
    await types(database, handlers)
    lives = 0

    async def applied() -> Operation:
        nonlocal lives
        if lives:
            await stacks(database, handlers).delete(CALLER, StackRemoval(NAME), once=None, validate_only=False)
            await work(database, clock, DatabaseStore(database, BOX), handlers)
        lives += 1
        return await apply(database, handlers, *MEMBERS)

    writes = await deaths(database, clock, handlers, applied)
    assert writes > 8
    assert await log(database) == {
        **{(id, "CREATED"): lives for id in "abcd"},
        **{(id, "DELETED"): lives - 1 for id in "abcd"},
    }
    assert {len(keys) for keys in handlers.keys.values()} == {1}
    stack = await DatabaseStore(database, BOX).read(TENANT, lambda view: view.stack(NAME))
    assert stack is not None and stack.state is StackState.SUCCEEDED
    assert {state.became for state in stack.member_states} == {Became.SUCCEEDED}


async def test_a_process_that_dies_anywhere_in_a_delete(database: Database, clock: Clock) -> None:
    handlers = Quick()
    await types(database, handlers)
    lives = 0

    async def deleted() -> Operation:
        nonlocal lives
        lives += 1
        await apply(database, handlers, *MEMBERS)
        await work(database, clock, DatabaseStore(database, BOX), handlers)
        outcome = await stacks(database, handlers).delete(CALLER, StackRemoval(NAME), once=None, validate_only=False)
        assert outcome.operation is not None
        return outcome.operation

    assert await deaths(database, clock, handlers, deleted) > 8
    assert await log(database) == {(id, kind): lives for id in "abcd" for kind in ("CREATED", "DELETED")}
    assert {len(keys) for keys in handlers.keys.values()} == {1}
    assert await DatabaseStore(database, BOX).read(TENANT, lambda view: view.stack(NAME)) is None
    assert await DatabaseStore(database, BOX).read(TENANT, lambda view: view.children("", 10)) == 0


async def test_a_process_that_dies_anywhere_in_an_undo(database: Database, clock: Clock) -> None:
    handlers = Quick()
    await types(database, handlers)
    lives = 0

    async def failing() -> Operation:
        nonlocal lives
        lives += 1
        return await apply(database, handlers, *MEMBERS, FAILING)

    assert await deaths(database, clock, handlers, failing) > 12
    assert await log(database) == {(id, kind): lives for id in "abcdz" for kind in ("CREATED", "DELETED")}
    assert {len(keys) for keys in handlers.keys.values()} == {1}
    stack = await DatabaseStore(database, BOX).read(TENANT, lambda view: view.stack(NAME))
    assert stack is not None and stack.error is not None and stack.state is StackState.FAILED
    assert (stack.error.reason, stack.error.metadata["undone"]) == ("STACK_MEMBER_FAILED", "5")
    became = {state.member: state.became for state in stack.member_states}
    assert became == {**dict.fromkeys("abcd", Became.UNDONE), "z": Became.FAILED}


async def test_a_late_holder_of_a_run_changes_nothing(database: Database, clock: Clock) -> None:
    """Another process takes the run over just before this one stores what it began."""
    handlers = Quick()
    await types(database, handlers)
    await apply(database, handlers, MEMBERS[0])
    first, taken = await claim(database), []

    async def take_over() -> None:
        clock.ahead += 60
        taken.append(await claim(database))

    store = Meddled(database, 2, take_over)  # the first write sees whose turn it is
    with pytest.raises(Conflict) as caught:
        await Conductor(store, handlers, Compiler(), PolicyBook(), BOX).attempt(first, asyncio.Event())
    assert caught.value.reason == "LEASE_LOST"
    assert await log(database) == {}
    await Conductor(DatabaseStore(database, BOX), handlers, Compiler(), PolicyBook(), BOX).attempt(
        taken[0], asyncio.Event()
    )
    ended = await database.read(lambda tx: records.get(tx, TENANT, first.name))
    assert ended.state is OperationState.SUCCEEDED
    assert await log(database) == {("a", "CREATED"): 1}


async def test_an_end_that_nobody_saw_is_not_overlooked(database: Database, clock: Clock) -> None:
    """A member ends before the run that waits for it rests; it is seen all the same, and the run goes on at once."""
    handlers = Quick()
    await types(database, handlers)
    await apply(database, handlers, MEMBERS[0], MEMBERS[1])
    others = Conductor(DatabaseStore(database, BOX), handlers, Compiler(), PolicyBook(), BOX)
    run = await claim(database)

    async def end_members() -> None:
        for operation in await database.write(lambda tx: records.claim(tx, "other", 10, 5)):
            await others.attempt(operation, asyncio.Event())

    store = Meddled(database, 4, end_members)  # after those that begin the members: when the run is to rest
    await Conductor(store, handlers, Compiler(), PolicyBook(), BOX).attempt(run, asyncio.Event())
    ended = await database.read(lambda tx: records.get(tx, TENANT, run.name))
    assert ended.state is OperationState.SUCCEEDED


async def test_the_end_of_a_member_wakes_its_run(database: Database, clock: Clock) -> None:
    handlers = Quick()
    await types(database, handlers)
    await apply(database, handlers, MEMBERS[0], MEMBERS[1])
    conductor = Conductor(DatabaseStore(database, BOX), handlers, Compiler(), PolicyBook(), BOX)
    run = await claim(database)
    await conductor.attempt(run, asyncio.Event())
    own = await claim(database)
    assert own.target.endswith("/b")
    await conductor.attempt(own, asyncio.Event())
    again = await claim(database)
    assert again.name == run.name
    await conductor.attempt(again, asyncio.Event())
    ended = await database.read(lambda tx: records.get(tx, TENANT, run.name))
    assert ended.state is OperationState.SUCCEEDED


async def test_a_stack_that_would_not_fit_into_an_answer(database: Database) -> None:
    """Each part of it is small enough, but not all of them together with what is told of its members."""
    handlers = Quick()
    await types(database, handlers)
    own = stacks(database, handlers)
    await own.preview(CALLER, SentStack(NAME, "", Template(), MAX_BYTES - 100))
    with pytest.raises(Invalid) as caught:
        await own.preview(CALLER, SentStack(NAME, "", Template(members=MEMBERS[:1]), MAX_BYTES - 100))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("TOO_LARGE", "stack")


async def test_a_change_whose_answer_was_lost_counts(database: Database, clock: Clock) -> None:
    """The member was created by the run all the same, so it is undone with the others."""
    handlers = Quick()
    await types(database, handlers)
    failing = Member("z", MACHINES, properties={"behave": "final", "of": "${members.a.name}"})
    run = await apply(database, handlers, MEMBERS[0], failing)
    await work(database, clock, Forgetful(database, 2), handlers)
    await work(database, clock, DatabaseStore(database, BOX), handlers)
    stack = await DatabaseStore(database, BOX).read(TENANT, lambda view: view.stack(NAME))
    assert stack is not None and stack.error is not None and stack.operation == ""
    assert (stack.error.metadata["member"], stack.error.metadata["undone"]) == ("z", "2")
    assert await log(database) == {(id, kind): 1 for id in "az" for kind in ("CREATED", "DELETED")}
    ended = await database.read(lambda tx: records.get(tx, TENANT, run.name))
    assert ended.state is OperationState.FAILED
