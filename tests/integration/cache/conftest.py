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
ELSEWHERE = ["json", "redis"]
"""Metadata backends that are not beside the catalogue."""

ANYWHERE = {
    "entries",
    "batches",
    "blobs",
    "packed_blobs",
    "counters",
    "invalidations",
    "limits",
    "lists",
    "sliding",
    "recent",
    "replicas",
    "leases",
    "unreadable",
}
"""The modules whose tests pass on every backend; most look through the API only."""


@pytest_asyncio.fixture(scope="package", loop_scope="session", params=ENGINES + ELSEWHERE)
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A place for metadata, of each engine, and a folder of blobs."""
    with place_of(request.param, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def client(place: Place) -> AsyncIterator[Sutler]:
    """A server that many tests share, each with a cache of its own."""
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as connection:
        yield connection


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not _is_elsewhere(item) or _module(item) in ANYWHERE]


def _is_elsewhere(item: pytest.Item) -> bool:
    chosen = getattr(item, "callspec", None)
    here = item.path.parent == Path(__file__).parent
    return here and chosen is not None and chosen.params.get("place") in ELSEWHERE


def _module(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_")


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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(client: Sutler, place: Place) -> AsyncIterator[Sutler]:
    """A second server over the data of the first."""
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as connection:
        yield connection


@pytest.fixture
def twins(shelf: Shelf, other: Sutler) -> tuple[Shelf, Shelf]:
    """One cache through two servers."""
    return shelf, Shelf(other, shelf.name)


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """Settings of a server of one's own."""
    return settings_of(Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs"))
