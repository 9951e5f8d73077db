from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from sutler.backends import OrderedStore
from sutler.backends.memory import MemoryStore
from sutler.backends.ordered import Check
from sutler.store import open_database
from sutler.testing import postgresql_schema, redis_prefix, redis_url

from services.cache.adapters.database import MIGRATIONS, DatabaseEntries, StoredCatalogue
from services.cache.adapters.json_file import JsonOptions, JsonStore
from services.cache.adapters.ordered import OrderedEntries
from services.cache.adapters.redis.options import RedisOptions
from services.cache.adapters.redis.store import RedisStore
from services.cache.caches import Cache, Rules
from tests.conformance.cache.places import Place
from tests.conformance.cache.s3_server import s3_server

KEEP = timedelta(days=7)
RULES = {"metadata_backend": "meta", "blob_backend": "files"}


class Distant(MemoryStore):
    """Answers not at once, so that others come between."""

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await asyncio.sleep(0)
        return await super().get(keys)

    async def scan(self, first: bytes, end: bytes, limit: int) -> Sequence[tuple[bytes, bytes]]:
        await asyncio.sleep(0)
        return await super().scan(first, end, limit)

    async def commit(self, check: Check, writes: Mapping[bytes, bytes | None]) -> bool:
        await asyncio.sleep(0)
        return await super().commit(check, writes)


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["memory", "json", "redis", "sqlite", "sqlite_memory", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Every metadata backend, with a way to make caches."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            store = Distant()
            yield ordered_place(store, store)
            return
        if request.param == "json":
            stores = [JsonStore(JsonOptions(file=tmp_path / "cache.json")) for _ in range(2)]
            for opened in stores:
                stack.push_async_callback(opened.close)
            yield ordered_place(*stores)
            return
        if request.param == "redis":
            options = RedisOptions(url=redis_url(), prefix=stack.enter_context(redis_prefix()))
            remote = [RedisStore(options) for _ in range(2)]
            for each in remote:
                stack.push_async_callback(each.close)
            yield ordered_place(*remote)
            return
        url = f"sqlite:///{tmp_path}/cache.db"
        if request.param == "postgresql":
            url = stack.enter_context(postgresql_schema())
        elif request.param == "sqlite_memory":
            url = "sqlite:///:memory:"
        mine, *others = [
            await stack.enter_async_context(open_database(url, name="cache", migrations=MIGRATIONS))
            for _ in range(1 if request.param == "sqlite_memory" else 2)
        ]
        numbers, catalogue = count(1), StoredCatalogue(mine, KEEP)

        async def make(**rules: object) -> Cache:
            cache = Cache(tenant="default", id=f"c{next(numbers)}", rules=Rules(**RULES | rules))  # type: ignore[arg-type]
            return await catalogue.create(cache, None, validate_only=False)

        other = DatabaseEntries(others[0], KEEP, 0.0) if others else None
        yield Place(DatabaseEntries(mine, KEEP, 0.0), other, make)


def ordered_place(mine: OrderedStore, others: OrderedStore) -> Place:
    """A place over an ordered store; its second backend stands for another process."""
    numbers = count(1)

    async def make(**rules: object) -> Cache:
        number, given = next(numbers), Rules(**RULES | rules)  # type: ignore[arg-type]
        return Cache(tenant="default", id=f"c{number}", uid=f"u{number}", space=number, revision=1, rules=given)

    return Place(OrderedEntries(mine, KEEP, 0.0), OrderedEntries(others, KEEP, 0.0), make)
