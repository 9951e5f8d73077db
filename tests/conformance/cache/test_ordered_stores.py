from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sutler.backends import OrderedStore
from sutler.backends.memory import MemoryStore
from sutler.errors import Unavailable
from sutler.testing import redis_prefix, redis_url
from sutler.testing.ordered_stores import OrderedStoreTests

from services.cache.adapters.json_file import JsonOptions, JsonStore
from services.cache.adapters.redis.options import RedisOptions
from services.cache.adapters.redis.store import RedisStore


class TestMemory(OrderedStoreTests):
    shared = False

    @pytest.fixture
    async def opens(self) -> Callable[[], OrderedStore]:
        return MemoryStore


class TestJsonFile(OrderedStoreTests):
    @pytest.fixture
    async def opens(self, tmp_path: Path) -> Callable[[], OrderedStore]:
        return lambda: JsonStore(JsonOptions(file=tmp_path / "cache.json"))


class TestRedis(OrderedStoreTests):
    @pytest.fixture
    def opens(self) -> Iterator[Callable[[], OrderedStore]]:
        with redis_prefix() as prefix:
            yield lambda: RedisStore(RedisOptions(url=redis_url(), prefix=prefix))


async def test_a_json_file_that_is_gone_is_no_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "cache.json"
    store = JsonStore(JsonOptions(file=file))
    assert await store.commit((b"k", None), {b"k": b"1"})
    for outage in (file.unlink, lambda: file.symlink_to(file)):
        outage()
        with pytest.raises(Unavailable):
            await store.get([b"k"])
        with pytest.raises(Unavailable):
            await store.commit((b"other", None), {b"other": b"2"})
        with pytest.raises(Unavailable):
            await store.health()
    await store.close()
