"""What a change that was undone had stored counts for nobody, though its revision numbers come again."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.context import Principal
from sutler.operations import records
from sutler.secret_box import SecretBox
from sutler.store import open_database

from services.resource import lifecycle
from services.resource.adapters.store import DatabaseStore, seed
from services.resource.adapters.tables import MIGRATIONS
from services.resource.callers import Caller
from services.resource.compiling import Compiler
from services.resource.history import Change
from services.resource.judging import PolicyBook
from services.resource.names import parse
from services.resource.policies import TYPE, Policy
from services.resource.ports import Unit, View
from services.resource.resource import Declared, Resource
from services.resource.resource_type import ResourceType, Version
from tests.integration.resource.conftest import ENGINES, database_url

TENANT = "default"
CALLER = Caller(TENANT, Principal("user:anna", grants=("*.*.*",)), "CreateResource", str(uuid.uuid4()), "c")


class Undone(Exception):
    """Why a change was undone."""


@pytest_asyncio.fixture(loop_scope="session", params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseStore]:
    tables = {"resource": MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with (
        database_url(request.param, tmp_path) as url,
        open_database(url, name="resource", migrations=tables) as database,
    ):
        await seed(database)
        yield DatabaseStore(database, SecretBox([bytes(32)]))


async def undone(store: DatabaseStore, change: Callable[[Unit], object]) -> None:
    def fail(unit: Unit) -> None:
        change(unit)
        raise Undone

    with pytest.raises(Undone):
        await store.write(TENANT, fail)


def put(unit: Unit, name: str, type: str, properties: dict[str, object]) -> Resource:
    new = Resource(TENANT, name, "u", type, Declared(properties=properties), creator="a", updater="a")
    return unit.put(None, lifecycle.succeed(new), CALLER.entry(Change.CREATED, "operations/x"))


def put_policy(unit: Unit, condition: str) -> Resource:
    rule = {"id": "r", "condition": condition, "effect": "EFFECT_DENY"}
    return put(unit, "policies/p", TYPE, {"rules": [rule]})


def put_type(unit: Unit, most: int, type: str = "A.B/c") -> None:
    unit.put_type(None, ResourceType(TENANT, type, uid="u", versions=(Version("v1", schema={"maxProperties": most}),)))


async def test_a_policy(store: DatabaseStore) -> None:
    book = PolicyBook()

    def policy(view: View) -> Policy:
        (found,) = book.of(view, "providers/A.B/c/x", ())
        return found

    def change(unit: Unit, condition: str) -> tuple[int, Policy]:
        return put_policy(unit, condition).revision, policy(unit)

    tried: list[tuple[int, Policy]] = []
    await undone(store, lambda unit: tried.append(change(unit, "true")))
    stored = await store.write(TENANT, lambda unit: change(unit, "false"))
    assert stored[0] == tried[-1][0]
    found = await store.read(TENANT, policy)
    assert found == stored[1] and found.rules[0].condition.text == "false"
    assert found != tried[-1][1]


async def test_a_type(store: DatabaseStore) -> None:
    compiler = Compiler()

    def allows_two(view: View) -> bool:
        type = view.type("A.B/c")
        assert type is not None
        schema = compiler.compiled(type, type.versions[0]).schema
        return schema is not None and schema.is_valid({"a": 1, "b": 2})

    def change(unit: Unit, most: int) -> bool:
        put_type(unit, most)
        return allows_two(unit)

    await undone(store, lambda unit: change(unit, 2))
    await store.write(TENANT, lambda unit: put_type(unit, 1))
    assert not await store.read(TENANT, allows_two)


async def test_what_an_undone_change_found_above(store: DatabaseStore) -> None:
    """A new resource begins no epoch, so what is kept of the one before must not tell of it."""
    child = parse("providers/A.B/c/x/d/y")

    def found(view: View) -> list[str]:
        return [above.name for above in view.above(child)]

    def change(unit: Unit) -> list[str]:
        put(unit, "providers/A.B/c/x", "A.B/c", {})
        return found(unit)

    tried: list[list[str]] = []
    await undone(store, lambda unit: tried.append(change(unit)))
    assert tried[-1] == ["providers/A.B/c/x"]
    assert await store.write(TENANT, found) == []
    assert await store.write(TENANT, change) == tried[-1]
    assert await store.read(TENANT, found) == tried[-1]


async def test_nobody_recalls_what_is_not_committed(store: DatabaseStore) -> None:
    def most(view: View) -> object:
        type = view.type("A.B/c")
        return type and type.versions[0].schema

    recalled: list[object] = []

    def change(unit: Unit) -> None:
        put_type(unit, 1)
        assert most(unit) == {"maxProperties": 1}
        recalled.append(store.recall(TENANT, most))

    await undone(store, change)
    recalled.append(store.recall(TENANT, most))
    await store.write(TENANT, change)
    assert all(each is None for each in recalled)
    assert store.recall(TENANT, most) == {"maxProperties": 1}
