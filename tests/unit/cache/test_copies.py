"""What a database that is not beside the catalogue knows of caches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sutler.store import open_database

from services.cache.adapters.database import MIGRATIONS, rows
from services.cache.adapters.database.elsewhere import CopiedCaches
from services.cache.caches import Cache
from services.cache.faults import CacheMovedError

OLD = Cache(tenant="t", id="c", uid="old", space=1, revision=3)
NEW = replace(OLD, uid="new", space=2, revision=1)


async def test_one_cache_of_a_name_is_known_at_a_time() -> None:
    async with open_database("sqlite:///:memory:", name="cache", migrations=MIGRATIONS) as database:
        copies = CopiedCaches(database)
        for cache, other in ((OLD, NEW), (NEW, OLD), (OLD, NEW)):  # the last by a call that found it before
            await copies.copy(cache)
            await database.read(lambda tx, cache=cache: rows.check_cache(tx, cache))
            with pytest.raises(CacheMovedError):  # whoever knows better brings the copy up to date
                await database.read(lambda tx, other=other: rows.check_cache(tx, other))
