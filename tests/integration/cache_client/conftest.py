from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.client.cache import Cache, Handlers, NearCache, open
from sutler.server import Running, running
from sutler.testing import wait_until

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.places import Place, place_of, settings_of

STALE_SECONDS = 3600


@pytest_asyncio.fixture(scope="package", loop_scope="session", params=["sqlite", "postgresql"])
async def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A server that many tests share, on each engine; each test has a cache of its own."""
    with place_of(request.param, tmp_path_factory.mktemp("cache")) as place:
        async with running(app, settings_of(place), "cache") as started:
            yield started


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def sutler(server: Running) -> AsyncIterator[Sutler]:
    async with connect(server.address) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    """The name of a cache of its own."""
    return f"c{uuid4().hex[:12]}"


@pytest.fixture
def rules() -> pb.Cache:
    """What a cache of a test is: it keeps expired values for an hour."""
    made = pb.Cache()
    made.stale_retention.FromSeconds(STALE_SECONDS)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def cache(sutler: Sutler, name: str, rules: pb.Cache) -> AsyncIterator[Cache]:
    """A cache without a near cache, with handlers of its own."""
    async with open(name, sutler, rules=rules, handlers=Handlers()) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def near_cache(sutler: Sutler, name: str, rules: pb.Cache) -> AsyncIterator[Cache]:
    """The same cache as ``cache``, seen by another client with a near cache that is being fed."""
    near = NearCache()
    async with open(name, sutler, rules=rules, handlers=Handlers(), near=near) as opened:
        await wait_until(lambda: near.is_live)
        yield opened


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """Settings of a server of one's own."""
    return settings_of(Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs"))
