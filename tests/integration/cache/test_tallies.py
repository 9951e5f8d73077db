from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sutler.store import Database, open_database

from services.cache.adapters.database import MIGRATIONS, StoredCatalogue, StoredTallies
from services.cache.caches import Cache
from services.cache.counting import Count
from services.cache.gauges import Gauge
from services.cache.results import Deletion
from tests.integration.cache.places import place_of


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    with place_of(request.param, tmp_path) as place:
        async with open_database(place.data, name="cache", migrations=MIGRATIONS) as opened:
            yield opened


async def test_what_goes_on_in_all_processes_adds_up_while_they_report(database: Database) -> None:
    tallies, catalogue = StoredTallies(database), StoredCatalogue(database, timedelta(days=1))
    cache = await catalogue.create(Cache(tenant="default", id="c"), None, validate_only=False)
    await tallies.report("one", {(cache.space, Count.HIT): 2}, {cache.space: Gauge(2, 1)})
    await tallies.report("two", {(cache.space, Count.HIT): 3}, {cache.space: Gauge(1, 0)})
    assert await tallies.read(cache.space) == ({Count.HIT: 5}, Gauge(3, 1))
    await tallies.report("one", {}, {})
    assert (await tallies.read(cache.space))[1] == Gauge(1, 0)
    await database.write(lambda tx: tx.execute("UPDATE gauges SET report_time = report_time - 6"))
    assert (await tallies.read(cache.space))[1] == Gauge(0, 0)


async def test_what_comes_too_late_for_a_deleted_cache_leaves_nothing(database: Database) -> None:
    tallies, catalogue = StoredTallies(database), StoredCatalogue(database, timedelta(days=1))
    cache = await catalogue.create(Cache(tenant="default", id="c"), None, validate_only=False)
    late = {(cache.space, Count.PUT): 1}, {cache.space: Gauge(1, 1)}
    await tallies.report("one", *late)
    await catalogue.delete(Deletion("default", "c", "", force=True, allow_missing=False), None, validate_only=False)
    await tallies.report("two", *late)
    for table in ("counters", "gauges"):
        assert await database.read(lambda tx, table=table: tx.one(f"SELECT COUNT(*) FROM {table}")) == (0,)  # type: ignore[misc]
