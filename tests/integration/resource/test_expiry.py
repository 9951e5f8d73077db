"""Resources whose time is over and that cannot go: tried again more and more seldom, and nothing is stored in vain."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from sutler.errors import Code
from sutler.operations import records
from sutler.operations.model import Operation
from sutler.store import Database

from services.resource.adapters.calendar import StoredCalendar
from services.resource.adapters.store import DatabaseStore
from services.resource.compatibility import Compatibility
from services.resource.compiling import Compiler
from services.resource.conducting import Conductor
from services.resource.declaring import Declarations, Outcome
from services.resource.expiring import Expiry
from services.resource.handling import Done, HandlerCall, Refused, Said
from services.resource.judging import PolicyBook
from services.resource.problems import Problem
from services.resource.proposing import Sent
from services.resource.registering import Registrations, SentType
from services.resource.removing import Removals
from services.resource.resource import Declared, Lock, Resource
from services.resource.resource_type import Handler, ResourceType, Version
from services.resource.states import State
from tests.integration.resource.test_store import BOX, CALLER, TENANT, Clock, Slow, clock, database

__all__ = ["clock", "database"]

HOUR = 3600.0


class Stubborn(Slow):
    """Makes everything at once, and removes nothing."""

    async def apply(
        self, call: HandlerCall, desired: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        yield Done({})

    async def delete(
        self, call: HandlerCall, resource: Resource, previous: Resource | None
    ) -> AsyncGenerator[Said, None]:
        self.calls.append(call)
        yield Refused(Problem(int(Code.FAILED_PRECONDITION), "IN_USE", "somebody needs it"))


class Counted(Removals):
    """Deletes, and counts how often that was asked for."""

    asked = 0

    async def delete(self, *args: Any, **kwargs: Any) -> Outcome:
        self.asked += 1
        return await super().delete(*args, **kwargs)


class Place:
    """A service without its servicer: one resource of a handler, and what deletes it when its time is over."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database, self.clock, self.handlers = database, clock, Stubborn()
        self.store = DatabaseStore(database, BOX)
        self.compiler, policies = Compiler(), PolicyBook()
        self.declarations = Declarations(self.store, self.compiler, policies, self.handlers)
        self.conductor = Conductor(self.store, self.handlers, self.compiler, policies, BOX)
        self.removals = Counted(self.store, policies)
        self.expiry = Expiry(StoredCalendar(database), self.removals, clock)

    async def make(self, **declared: object) -> None:
        type = ResourceType(TENANT, "A.B/c", versions=(Version("v1"),), handler=Handler(address="h:1"))
        registrations = Registrations(self.store, self.handlers, BOX, Compatibility(self.store))
        await registrations.create(CALLER, SentType("A.B.c", "", lambda _: type), once=None, validate_only=False)
        wished = replace(Declared(expire_time=self.clock() + 0.5), **declared)  # type: ignore[arg-type]
        sent = Sent("A.B/c", "", lambda _: wished)
        await self.declarations.create(CALLER, "", "x", sent, once=None, validate_only=False)
        await self.work()

    async def work(self) -> None:
        """Carries out whatever is due."""
        claimed: list[Operation] = await self.database.write(lambda tx: records.claim(tx, "me", 10, 5))
        for operation in claimed:
            await self.conductor.attempt(operation, asyncio.Event())

    async def resource(self) -> Resource:
        found = await self.store.read(TENANT, lambda view: view.resource("providers/A.B/c/x"))
        assert found is not None
        return found

    async def pass_time(self, seconds: float, step: float) -> list[float]:
        """Lets time pass, with a sweep after each step, and returns when the handler was called, counted from now."""
        called, began = [], self.clock.ahead
        while self.clock.ahead < began + seconds:
            self.clock.ahead += step
            known = len(self.handlers.calls)
            await self.expiry.sweep()
            await self.work()
            called += [self.clock.ahead - began] * (len(self.handlers.calls) - known)
        return called


async def test_pauses_double_up_to_an_hour_where_a_handler_refuses(database: Database, clock: Clock) -> None:
    place = Place(database, clock)
    await place.make()
    called = await place.pass_time(128, 1)
    assert 5 <= len(called) <= 9
    pauses = [later - earlier for earlier, later in itertools.pairwise(called)]
    assert pauses == sorted(pauses) and pauses[-1] >= 30
    assert (await place.resource()).state is State.FAILED
    called = await place.pass_time(6 * HOUR, HOUR / 4)
    pauses = [later - earlier for earlier, later in itertools.pairwise(called)]
    assert max(pauses) <= HOUR * 1.5 and len(called) <= 12


async def test_another_process_keeps_to_the_pause(database: Database, clock: Clock) -> None:
    place = Place(database, clock)
    await place.make()
    await place.pass_time(100, 1)
    known = len(place.handlers.calls)
    for _ in range(3):
        place.expiry = Expiry(StoredCalendar(database), place.removals, clock)
        await place.pass_time(5, 1)
    assert len(place.handlers.calls) - known <= 1


async def test_what_is_refused_stores_nothing_and_is_asked_for_seldom(database: Database, clock: Clock) -> None:
    place = Place(database, clock)
    await place.make(lock=Lock.CAN_NOT_DELETE)
    revision = (await place.resource()).revision
    await place.pass_time(200, 1)
    assert 6 <= place.removals.asked <= 12
    assert (await place.resource()).revision == revision and not place.handlers.calls


async def test_what_has_changed_is_asked_for_at_once(database: Database, clock: Clock) -> None:
    place = Place(database, clock)
    await place.make(lock=Lock.CAN_NOT_DELETE)
    await place.pass_time(100, 1)
    lifted = Sent("", "", lambda before: replace(before.declared, lock=Lock.NONE) if before else Declared())
    await place.declarations.update(
        CALLER, "providers/A.B/c/x", lifted, allow_missing=False, once=None, validate_only=False
    )
    assert await place.pass_time(2, 1) and (await place.resource()).state is State.FAILED


@pytest.mark.parametrize("late", [0.0, HOUR])
async def test_what_failed_before_its_time_is_tried_when_it_comes(
    database: Database, clock: Clock, late: float
) -> None:
    place = Place(database, clock)
    await place.make(expire_time=clock() + 50)
    await place.pass_time(49, 49)
    assert not place.handlers.calls
    assert await place.pass_time(3 + late, 3 + late)
