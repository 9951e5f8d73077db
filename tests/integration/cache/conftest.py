from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.server import running

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf
from tests.integration.cache.places import Place, place_of, settings_of

MakeCache = Callable[..., Awaitable[str]]
ENGINES = ["sqlite", "postgresql"]


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=ENGINES)
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A database and a folder of blobs, of each engine."""
    with place_of(request.param, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(place: Place) -> AsyncIterator[Sutler]:
    """A server that many tests share, each with a cache of its own."""
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as connection:
        yield connection


@pytest.fixture
def make_cache(client: Sutler) -> MakeCache:
    """Makes a cache with a name of its own, and returns the name."""

    async def make(**rules: object) -> str:
        made = await client.cache.CreateCache(
            pb.CreateCacheRequest(cache_id=f"c{uuid4().hex[:12]}", cache=pb.Cache(**rules))  # type: ignore[arg-type]
        )
        return made.name

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def shelf(client: Sutler, make_cache: MakeCache) -> Shelf:
    """A cache of its own, with the default rules."""
    return Shelf(client, await make_cache())


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """Settings of a server of one's own."""
    return settings_of(Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs"))
