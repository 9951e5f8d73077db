from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.server import Running, running
from sutler.testing import postgresql_schema

from tests.integration.libs.dummy import Dummy, Settings

SECRET = "a secret of more than thirty-two bytes"


def token(*permissions: str, **claims: object) -> str:
    return make_token(SECRET, "user:anna", permissions=permissions, **claims)  # type: ignore[arg-type]


@pytest.fixture(params=["grpcio", "native"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each engine, which other processes can open too."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/test.db"
        return
    with postgresql_schema() as url:
        yield url


@pytest.fixture
def settings(transport: str, tmp_path: Path) -> Settings:
    return Settings(
        transport=transport,
        log_file=tmp_path / "log.jsonl",
        drain_pause_seconds=0.05,
        drain_seconds=5,
        auth_secret=SECRET,
    )


@pytest.fixture
def dummy() -> Dummy:
    return Dummy()


@pytest_asyncio.fixture
async def server(dummy: Dummy, settings: Settings) -> AsyncIterator[Running]:
    async with running(dummy.app, settings, "dummy") as up:
        yield up


@pytest_asyncio.fixture
async def client(server: Running) -> AsyncIterator[Sutler]:
    async with connect(server.address, token=token("*.*.*"), attempts=1) as connection:
        yield connection
