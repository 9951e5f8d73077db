"""Scopes with thousands of resources: no single change of the store takes long, whatever is done with all of it."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from sutler.errors import Exhausted, PermissionDenied
from sutler.ids import new_id
from sutler.operations import records
from sutler.store import Database, open_database, requests

from services.resource.adapters.governing import Facts
from services.resource.adapters.store import DatabaseStore, seed
from services.resource.adapters.tables import MIGRATIONS
from services.resource.adapters.unit import TenantUnit
from services.resource.compatibility import Change as Compared
from services.resource.compatibility import Compatibility
from services.resource.compiling import Compiler
from services.resource.declaring import Declarations
from services.resource.history import Cause, Change, Entry
from services.resource.judging import PolicyBook
from services.resource.ports import Unit
from services.resource.proposing import Sent
from services.resource.registering import Registrations, SentType
from services.resource.removing import Removal, Removals
from services.resource.resource import Declared
from services.resource.resource_type import ResourceType, Version
from services.resource.scopes import Scope
from services.resource.states import State
from tests.integration.resource.test_store import BOX, CALLER, TENANT, Slow, clock, database

__all__ = ["clock", "database"]

BUILT_IN = "Sutler.Resource"
GROUP = "subscriptions/s/resourceGroups/g"
T = TypeVar("T")


@pytest_asyncio.fixture(loop_scope="session")
async def large(tmp_path: Path) -> AsyncIterator[Database]:
    """For tests with thousands of resources: SQLite only, to save time."""
    tables = {"resource": MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with open_database(f"sqlite:///{tmp_path}/large.db", name="resource", migrations=tables) as opened:
        await seed(opened)
        yield opened


class Timed(DatabaseStore):
    """Remembers how much CPU its longest change took."""

    longest = 0.0

    async def write(self, tenant: str, fn: Callable[[Unit], T], *, quick: bool = False) -> T:
        def timed(unit: Unit) -> T:
            begun = time.thread_time()
            try:
                return fn(unit)
            finally:
                self.longest = max(self.longest, time.thread_time() - begun)

        return await super().write(tenant, timed, quick=quick)


class Place:
    """A subscription in one of two management groups, with very many records."""

    def __init__(self, database: Database) -> None:
        self.database, self.made = database, 0
        self.store, self.policies = Timed(database, BOX), PolicyBook()
        self.declarations = Declarations(self.store, Compiler(), self.policies, Slow())
        self.removals = Removals(self.store, self.policies)

    async def make(self, parent: str, id: str, kind: str, **properties: Any) -> None:
        sent = Sent(kind, "", lambda _: Declared(properties=properties))
        caller = replace(CALLER, request_id=str(uuid.uuid4()))
        await self.declarations.create(caller, parent, id, sent, once=None, validate_only=False)

    async def fill(self, count: int, *scopes: Scope) -> None:
        for group in "ab":
            await self.make("", group, f"{BUILT_IN}/managementGroups")
        await self.make("", "s", f"{BUILT_IN}/subscriptions", management_group="managementGroups/a")
        await self.make("subscriptions/s", "g", f"{BUILT_IN}/resourceGroups")
        type = ResourceType(TENANT, "A.B/c", versions=(Version("v1"),), uniqueness_scopes=frozenset(scopes))
        registrations = Registrations(self.store, Slow(), BOX, Compatibility(self.store))
        await registrations.create(CALLER, SentType("A.B.c", "", lambda _: type), once=None, validate_only=False)
        await self.make(GROUP, "first", "A.B/c", size=1)
        await self.more(count)

    async def more(self, count: int) -> None:
        """Makes records that nothing refers to, up to a number, and forgets how long that took."""
        for start in range(self.made, count, 500):
            await self.database.write(lambda tx, start=start: self._copy(tx, start, min(start + 500, count)))  # type: ignore[misc]
        self.made = max(self.made, count)
        self.store.longest = 0.0

    def _copy(self, tx: Any, start: int, end: int) -> None:
        unit = TenantUnit(tx, TENANT, Facts(), BOX, requests.KEEP)
        first = unit.resource(f"{GROUP}/providers/A.B/c/first")
        assert first is not None
        for n in range(start, end):
            name = f"{GROUP}/providers/A.B/c/n{n}"
            unit.put(None, replace(first, name=name, uid=new_id()), Entry(Change.CREATED, Cause.REQUEST, "user:anna"))

    async def move(self, group: str) -> None:
        sent = Sent("", "", lambda before: _moved(before, group))
        await self.declarations.update(
            CALLER, "subscriptions/s", sent, allow_missing=False, once=None, validate_only=False
        )

    async def used(self, quota: str) -> float:
        found = await self.store.read(TENANT, lambda view: view.resource(quota))
        assert found is not None
        used: float = found.outputs["used"]
        return used


def _moved(before: Any, group: str) -> Declared:
    declared: Declared = before.declared
    return replace(declared, properties={"management_group": f"managementGroups/{group}"})


async def test_a_force_delete_is_judged_in_portions(large: Database) -> None:
    place = Place(large)
    await place.fill(2000)
    rule = {"id": "no", "effect": "EFFECT_DENY", "condition": "method == 'delete' && self.properties.size > 1"}
    await place.make("subscriptions/s", "p", f"{BUILT_IN}/policies", types=["A.B/*"], rules=[rule])
    removal = Removal("subscriptions/s", force=True)
    last = f"{GROUP}/providers/A.B/c/n1"
    grow = Sent("", "", lambda before: replace(before.declared, properties={"size": 2}) if before else Declared())
    await place.declarations.update(CALLER, last, grow, allow_missing=False, once=None, validate_only=False)
    with pytest.raises(PermissionDenied) as caught:
        await place.removals.delete(CALLER, removal, once=None, validate_only=False)
    assert (caught.value.reason, caught.value.metadata["resource"]) == ("POLICY_DENIED", last)
    shrink = Sent("", "", lambda before: replace(before.declared, properties={"size": 1}) if before else Declared())
    await place.declarations.update(CALLER, last, shrink, allow_missing=False, once=None, validate_only=False)
    place.store.longest = 0.0
    outcome = await place.removals.delete(CALLER, removal, once=None, validate_only=False)
    assert outcome.operation is not None and not outcome.operation.state.ended
    assert place.store.longest < 0.5


async def test_what_changes_while_it_is_judged_is_judged_again(database: Database) -> None:
    place = Place(database)
    await place.fill(300)
    rule = {"id": "no", "effect": "EFFECT_DENY", "condition": "method == 'delete' && self.properties.size > 1"}
    await place.make("subscriptions/s", "p", f"{BUILT_IN}/policies", types=["A.B/*"], rules=[rule])
    grow = Sent("", "", lambda before: replace(before.declared, properties={"size": 2}) if before else Declared())
    name = f"{GROUP}/providers/A.B/c/n299"
    judged = await place.removals._judged_below(CALLER, Removal(GROUP, force=True))
    assert judged is not None
    await place.declarations.update(CALLER, name, grow, allow_missing=False, once=None, validate_only=False)

    async def none_new(*_: Any) -> Any:
        return judged

    place.removals._judged_below = none_new  # type: ignore[method-assign]
    with pytest.raises(PermissionDenied) as caught:
        await place.removals.delete(CALLER, Removal(GROUP, force=True), once=None, validate_only=False)
    assert caught.value.metadata["resource"] == name


async def test_a_move_keeps_what_is_used_of_quotas(database: Database) -> None:
    place = Place(database)
    await place.fill(50)
    for group in "ab":
        await place.make(f"managementGroups/{group}", "n", f"{BUILT_IN}/quotas", limit=1000, type="A.B/*")
        await place.make(
            f"managementGroups/{group}", "m", f"{BUILT_IN}/quotas", limit=1000, type="A.B/*", field="properties.size"
        )
    for group, other in ("ba", "ab", "ba"):
        await place.move(group)
        assert [await place.used(f"managementGroups/{group}/quotas/{id}") for id in "nm"] == [51, 51]
        assert [await place.used(f"managementGroups/{other}/quotas/{id}") for id in "nm"] == [0, 0]


async def test_a_move_that_would_take_long_is_refused(large: Database) -> None:
    place = Place(large)
    await place.fill(2001, Scope.MANAGEMENT_GROUP)
    with pytest.raises(Exhausted) as caught:
        await place.move("b")
    assert caught.value.reason == "LIMIT_REACHED"
    assert caught.value.metadata == {
        "resource": "subscriptions/s",
        "type": "A.B/c",
        "scope": "subscriptions/s",
        "limit": "2000",
    }
    assert place.store.longest < 1


async def test_a_move_without_keys_and_sums_is_not(large: Database) -> None:
    place = Place(large)
    await place.fill(2001)
    await place.make("managementGroups/b", "n", f"{BUILT_IN}/quotas", limit=10_000, type="A.B/*")
    await place.move("b")
    assert await place.used("managementGroups/b/quotas/n") == 2002
    assert place.store.longest < 0.5


async def test_a_sum_over_very_many_is_refused(large: Database) -> None:
    place = Place(large)
    await place.fill(2000)
    await place.make("managementGroups/b", "q", f"{BUILT_IN}/quotas", limit=10_000, field="properties.size")
    with pytest.raises(Exhausted) as caught:
        await place.move("b")
    assert (caught.value.reason, caught.value.metadata["limit"]) == ("LIMIT_REACHED", "2000")
    await place.store.write(TENANT, lambda unit: _drop(unit, f"{GROUP}/providers/A.B/c/", 5))
    await place.move("b")
    assert await place.used("managementGroups/b/quotas/q") == 1996


async def test_other_scopes_for_very_many_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.resource.compatibility.MAX_RENEWED", 300)
    place = Place(database)
    await place.fill(300, Scope.MANAGEMENT_GROUP)
    registrations = Registrations(place.store, Slow(), BOX, Compatibility(place.store))

    async def change(*scopes: Scope) -> ResourceType:
        sent = SentType(
            "A.B.c", "", lambda before: replace(before or ResourceType(TENANT, ""), uniqueness_scopes=scopes)
        )
        return await registrations.update(CALLER, sent, allow_missing=False, once=None, validate_only=False)

    with pytest.raises(Exhausted) as caught:
        await change(Scope.SUBSCRIPTION)
    assert (caught.value.reason, caught.value.metadata["limit"]) == ("LIMIT_REACHED", "300")
    before = await place.store.read(TENANT, lambda view: view.type("A.B/c"))
    assert before is not None
    after = replace(before, uniqueness_scopes=(Scope.SUBSCRIPTION,))
    with pytest.raises(Exhausted):  # what was made since the check counts too
        await place.store.write(
            TENANT, lambda unit: Compatibility(place.store).store(Compared(before, after, unit.newest()), None, unit)
        )
    await change()
    await place.store.write(TENANT, lambda unit: _drop(unit, f"{GROUP}/providers/A.B/c/", 1))
    assert (await change(Scope.SUBSCRIPTION)).uniqueness_scopes == (Scope.SUBSCRIPTION,)


def _drop(unit: Unit, prefix: str, count: int) -> None:
    for n in range(count):
        found = unit.resource(f"{prefix}n{n}")
        assert found is not None
        last = replace(found, state=State.DELETING)
        unit.remove(found, last, Entry(Change.DELETED, Cause.REQUEST, "user:anna"))
