from __future__ import annotations

import asyncio

import pytest
from sutler.errors import FailedPrecondition
from sutler.store import Dialect, Migration, StatementError, Transaction, schema

from tests.conformance.store.changing import keys, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import TABLES, Place

OWN = len(schema.MIGRATIONS)
FIRST = Migration(1, "items", TABLES)
SECOND = Migration(2, "colours", ("ALTER TABLE items ADD COLUMN colour TEXT", "UPDATE items SET colour = 'red'"))
BROKEN = Migration(2, "broken", ("ALTER TABLE items ADD COLUMN colour TEXT", "UPDATE nothing SET x = 1"))


def versions(tx: Transaction) -> dict[str, int]:
    return dict(tx.all("SELECT component, version FROM schema_versions"))


async def test_a_newer_release_brings_the_tables_up_to_date(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place, migrations={"test": (FIRST,)}) as db:
        assert await db.read(versions) == {"sutler": OWN, "test": 1}
        await db.write(put("a"))
    async with opens(shared_place, migrations={"test": (FIRST, SECOND)}) as db:
        assert await db.read(versions) == {"sutler": OWN, "test": 2}
        assert await db.read(lambda tx: tx.all("SELECT key, colour FROM items")) == [("a", "red")]
    async with opens(shared_place, migrations={"test": (FIRST, SECOND)}) as db:
        assert await db.read(keys) == ["a"]


async def test_tables_that_are_newer_than_the_release_are_refused(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place, migrations={"test": (FIRST, SECOND)}):
        pass
    with pytest.raises(FailedPrecondition) as caught:
        async with opens(shared_place, migrations={"test": (FIRST,)}):
            pass
    assert caught.value.metadata == {"database": "test", "component": "test", "found": "2", "known": "1"}


async def test_a_failed_migration_leaves_nothing_behind(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place, migrations={"test": (FIRST,)}) as db:
        await db.write(put("a"))
    with pytest.raises(Exception, match="nothing"):
        async with opens(shared_place, migrations={"test": (FIRST, BROKEN)}):
            pass
    async with opens(shared_place, migrations={"test": (FIRST, SECOND)}) as db:
        assert await db.read(versions) == {"sutler": OWN, "test": 2}
        assert await db.read(keys) == ["a"]


async def test_components_have_versions_of_their_own(place: Place, opens: Opens) -> None:
    other = Migration(1, "others", ("CREATE TABLE others (key TEXT PRIMARY KEY)",))
    async with opens(place, migrations={"test": (FIRST, SECOND), "other": (other,)}) as db:
        assert await db.read(versions) == {"sutler": OWN, "test": 2, "other": 1}


async def test_a_component_follows_one_that_changes_a_table(place: Place, opens: Opens) -> None:
    """After ALTER, psycopg forgets what it has prepared, and what it prepares next."""
    change = Migration(2, "more", ("ALTER TABLE items ADD COLUMN more TEXT",))
    others = Migration(1, "others", ("CREATE TABLE others (key TEXT PRIMARY KEY)",))
    async with opens(place, migrations={"test": (FIRST, change), "other": (others,)}) as db:
        assert await db.read(versions) == {"sutler": OWN, "test": 2, "other": 1}


async def test_a_step_may_be_for_one_engine_only(place: Place, opens: Opens) -> None:
    table = "CREATE TABLE {} (key TEXT PRIMARY KEY)"
    engines: tuple[Dialect, ...] = ("sqlite", "postgresql")
    steps = [
        Migration(2 + n, "own", (table.format(f"in_{engine}"),), engine=engine) for n, engine in enumerate(engines)
    ]
    async with opens(place, migrations={"test": (FIRST, *steps)}) as db:
        assert await db.read(versions) == {"sutler": OWN, "test": 3}
        assert await db.read(lambda tx: tx.all(f"SELECT key FROM in_{db.dialect}")) == []
        other = next(engine for engine in engines if engine != db.dialect)
        with pytest.raises(StatementError):
            await db.read(lambda tx: tx.all(f"SELECT key FROM in_{other}"))


async def test_gaps_in_the_numbers_are_a_fault_of_the_program(place: Place, opens: Opens) -> None:
    with pytest.raises(ValueError):
        async with opens(place, migrations={"test": (FIRST, Migration(3, "gap", ()))}):
            pass


async def test_several_may_open_a_new_database_at_once(shared_place: Place, opens: Opens) -> None:
    async def use(key: str) -> None:
        async with opens(shared_place, migrations={"test": (FIRST, SECOND)}) as db:
            await db.write(put(key))

    await asyncio.gather(*(use(str(n)) for n in range(6)))
    async with opens(shared_place, migrations={"test": (FIRST, SECOND)}) as db:
        assert await db.read(keys) == list("012345")


async def test_schemas_in_one_database_are_apart(postgresql_place: Place, opens: Opens) -> None:
    other = postgresql_place.url + "_other"
    async with opens(postgresql_place) as first, opens(other) as second:
        await first.write(put("a"))
        assert await second.read(keys) == []
    async with opens(postgresql_place.url.partition("?")[0]) as named:
        assert await named.read(lambda tx: tx.one("SELECT current_schema()")) == ("test",)
