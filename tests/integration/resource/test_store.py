"""What the store itself guards: moves of states, lost updates, and late holders of an operation."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.context import Principal
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound
from sutler.operations import records
from sutler.operations.model import Operation
from sutler.secret_box import SecretBox
from sutler.store import Database, open_database
from sutler.store.engine import ConstraintError

from services.resource.adapters.store import DatabaseStore, seed
from services.resource.adapters.tables import MIGRATIONS
from services.resource.callers import Caller
from services.resource.compatibility import Compatibility
from services.resource.compiling import Compiler
from services.resource.conducting import Conductor
from services.resource.declaring import Declarations
from services.resource.handling import Done, Found, HandlerCall, Said, Verdict
from services.resource.history import Change
from services.resource.judging import PolicyBook
from services.resource.proposing import Sent
from services.resource.registering import Registrations, SentType
from services.resource.removing import Removal, Removals
from services.resource.resource import Declared, Resource
from services.resource.resource_type import Handler, ResourceType, Version
from services.resource.states import State
from tests.integration.resource.conftest import ENGINES, database_url

TENANT = "default"
BOX = SecretBox([bytes(32)])
CALLER = Caller(TENANT, Principal("user:anna", grants=("*.*.*",)), "CreateResource", str(uuid.uuid4()), "c")


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Slow:
    """Handlers that finish when they are let go, and note how they were called."""

    def __init__(self) -> None:
        self.calls: list[HandlerCall] = []
        self.called, self.release = asyncio.Event(), asyncio.Event()

    def check(self, handler: Handler) -> None:
        """Allows every handler."""

    def describe(self, handler: Handler) -> None:
        """Says nothing of itself."""

    async def validate(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Verdict:
        return Verdict()

    async def apply(
        self, call: HandlerCall, desired: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        self.calls.append(call)
        number = len(self.calls)
        self.called.set()
        await self.release.wait()
        yield Done({"by": number})

    async def delete(
        self, call: HandlerCall, resource: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        self.calls.append(call)
        yield Done()

    async def find(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Found:
        return Found("ABSENT")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="session", params=ENGINES)
async def database(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    tables = {"resource": MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with (
        database_url(request.param, tmp_path) as url,
        open_database(url, name="resource", migrations=tables, clock=clock) as opened,
    ):
        await seed(opened)
        yield opened


async def accepted(store: DatabaseStore, handlers: Slow) -> Operation:
    """Accepts the creation of a resource that a handler is to make."""
    compiler = Compiler()
    type = ResourceType(TENANT, "A.B/c", versions=(Version("v1"),), handler=Handler(address="h:1", timeout=100_000))
    registrations = Registrations(store, handlers, BOX, Compatibility(store))
    await registrations.create(CALLER, SentType("A.B.c", "", lambda _: type), once=None, validate_only=False)
    sent = Sent("A.B/c", "", lambda _: Declared())
    outcome = await Declarations(store, compiler, PolicyBook(), handlers).create(
        CALLER, "", "x", sent, once=None, validate_only=False
    )
    assert outcome.operation is not None
    return outcome.operation


async def claim(database: Database) -> Operation:
    (claimed,) = await database.write(lambda tx: records.claim(tx, uuid.uuid4().hex, 10, 5))
    return claimed


async def test_a_late_holder_changes_nothing(database: Database, clock: Clock) -> None:
    store, handlers = DatabaseStore(database, BOX), Slow()
    await accepted(store, handlers)
    conductor = Conductor(store, handlers, Compiler(), PolicyBook(), BOX)
    first = await claim(database)
    late = asyncio.create_task(conductor.attempt(first, asyncio.Event()))
    await asyncio.wait_for(handlers.called.wait(), 10)
    clock.ahead += 60
    second = await claim(database)
    assert (second.name, second.fence, second.attempt) == (first.name, first.fence + 1, first.attempt + 1)
    handlers.release.set()
    with pytest.raises(Conflict) as caught:
        await late
    assert caught.value.reason == "LEASE_LOST"
    between = await store.read(TENANT, lambda view: view.resource("providers/A.B/c/x"))
    assert between is not None and (between.state, between.outputs) == (State.PROVISIONING, {})
    await conductor.attempt(second, asyncio.Event())
    after = await store.read(TENANT, lambda view: view.resource("providers/A.B/c/x"))
    assert after is not None and (after.state, after.outputs) == (State.SUCCEEDED, {"by": 2})
    one, two = handlers.calls
    assert one.idempotency_key == two.idempotency_key and one.fencing_token < two.fencing_token
    with pytest.raises(Conflict):
        await conductor.attempt(first, asyncio.Event())


async def test_moves_that_are_not_allowed_cannot_be_stored(database: Database) -> None:
    store, handlers = DatabaseStore(database, BOX), Slow()
    await accepted(store, handlers)
    name = "providers/A.B/c/x"
    entry = CALLER.entry(Change.PROGRESSED, "")
    before = await store.read(TENANT, lambda view: view.resource(name))
    assert before is not None and before.state is State.ACCEPTED
    for state in (State.UPDATING,):
        with pytest.raises(FailedPrecondition):
            await store.write(TENANT, lambda unit, state=state: unit.put(before, replace(before, state=state), entry))  # type: ignore[misc]
    with pytest.raises(FailedPrecondition):
        await store.write(TENANT, lambda unit: unit.remove(before, before, entry))
    assert await store.read(TENANT, lambda view: view.resource(name)) == before


async def test_a_stale_change_cannot_be_stored(database: Database) -> None:
    store, handlers = DatabaseStore(database, BOX), Slow()
    await accepted(store, handlers)
    name = "providers/A.B/c/x"
    entry = CALLER.entry(Change.UPDATED, "")
    before = await store.read(TENANT, lambda view: view.resource(name))
    assert before is not None
    await store.write(TENANT, lambda unit: unit.put(before, replace(before, outputs={"a": 1}), entry))
    with pytest.raises(Conflict):
        await store.write(TENANT, lambda unit: unit.put(before, replace(before, outputs={"a": 2}), entry))
    with pytest.raises(ConstraintError):
        await store.write(TENANT, lambda unit: unit.put(None, replace(before, name=name.upper()), entry))
    after = await store.read(TENANT, lambda view: view.resource(name))
    assert after is not None and after.outputs == {"a": 1}


async def test_another_tenant_sees_nothing(database: Database) -> None:
    store, handlers = DatabaseStore(database, BOX), Slow()
    await accepted(store, handlers)

    def look(view):  # type: ignore[no-untyped-def]
        return view.resource("providers/A.B/c/x"), view.type("A.B/c"), view.newest(), view.children("", 5)

    assert await store.read("other", look) == (None, None, 0, 0)
    builtin = await store.read("other", lambda view: view.type("sutler.resource/SUBSCRIPTIONS"))
    assert builtin is not None and builtin.builtin


class Meddled(DatabaseStore):
    """A store in which something else happens just before the next change."""

    meddle: Callable[[], Awaitable[object]] | None = None

    async def write(self, tenant, fn, *, quick=False):  # type: ignore[no-untyped-def]
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            await meddle()
        return await super().write(tenant, fn, quick=quick)


async def test_what_changes_between_check_and_write_is_checked_again(database: Database) -> None:
    store, others = Meddled(database, BOX), DatabaseStore(database, BOX)
    registrations = Registrations(others, Slow(), BOX, Compatibility(others))
    loose, strict = Version("v1"), Version("v1", schema={"required": ["size"]})

    async def register(version: Version) -> None:
        type = ResourceType(TENANT, "A.B/c", versions=(version,))
        sent = SentType("A.B.c", "", lambda _: type)
        await registrations.update(CALLER, sent, allow_missing=True, once=None, validate_only=False)

    async def create(id: str, parent: str = "", type: str = "A.B/c") -> None:
        sent = Sent(type, "", lambda _: Declared())
        await Declarations(store, Compiler(), PolicyBook(), Slow()).create(
            CALLER, parent, id, sent, once=None, validate_only=False
        )

    await register(loose)
    await create("s", type="Sutler.Resource/subscriptions")
    await create("a")
    store.meddle = lambda: Removals(others, PolicyBook()).delete(
        CALLER, Removal("subscriptions/s"), once=None, validate_only=False
    )
    with pytest.raises(NotFound):
        await create("b", "subscriptions/s")
    store.meddle = lambda: register(Version("v1", schema={"maxProperties": 5}))
    await create("b")
    await Removals(others, PolicyBook()).delete(CALLER, Removal("providers/A.B/c/a"), once=None, validate_only=False)
    await Removals(others, PolicyBook()).delete(CALLER, Removal("providers/A.B/c/b"), once=None, validate_only=False)
    store.meddle = lambda: register(strict)
    with pytest.raises(Invalid) as caught:
        await create("c")
    assert caught.value.reason == "RESOURCE_INVALID"
