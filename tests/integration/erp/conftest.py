from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.testing import postgresql_schema, serve, wait_until
from sutler.wire import duration

from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.rules import Recorder, recording
from tests.integration.erp.servers import Proxy, serving

KEY = base64.b64encode(bytes(range(32))).decode()
MAIN = "connections/main"
RULES = [
    erp_pb2.MethodRule(model="sale.order", method="action_*"),
    erp_pb2.MethodRule(model="res.users", method="context_get", effect=erp_pb2.MethodRule.EFFECT_READ_ONLY),
]

Serving = Callable[..., AbstractAsyncContextManager[Sutler]]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxProcess]:
    """A sandbox that the tests of one worker share: each works on records of its own."""
    with started() as process:
        yield process


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Both engines, for the main paths."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/erp.db"
        return
    with postgresql_schema() as url:
        yield url


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/erp.db"


@asynccontextmanager
async def gateway(data: str, **settings: Any) -> AsyncIterator[Sutler]:
    """A gateway in this process, with a client."""
    settings = {"secret_keys": KEY, "poll_interval_seconds": 0.1, "lease_seconds": 2.0, **settings}
    async with serve(app, Settings, data=data, **settings) as (client, _):
        yield client


@pytest.fixture
async def erp(sqlite: str, sandbox: SandboxProcess) -> AsyncIterator[Sutler]:
    """A gateway on SQLite with the connection ``main`` to the sandbox."""
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url)
        yield client


@pytest.fixture
async def fed(database: str, sandbox: SandboxProcess) -> AsyncIterator[tuple[Sutler, Recorder]]:
    """A gateway with a stand-in RuleService, on both engines."""
    recorder = Recorder()
    async with recording(recorder) as address, gateway(database, rule_address=address) as client:
        await connect(client, sandbox.url)
        yield client, recorder


@pytest.fixture
async def lossy(sqlite: str, proxy: tuple[Proxy, str]) -> AsyncIterator[tuple[Sutler, Proxy]]:
    """A gateway whose ERP may lose answers."""
    server, url = proxy
    async with gateway(sqlite) as client:
        quick = erp_pb2.RetryPolicy(initial_backoff=duration(0.01))
        never = erp_pb2.BreakerPolicy(failure_limit=1000)
        await connect(client, url, retry_policy=quick, breaker_policy=never, method_rules=RULES)
        yield client, server


@pytest.fixture
async def proxy(sandbox: SandboxProcess) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the sandbox, and its address."""
    lossy = Proxy(sandbox.url)
    async with serving(lossy.answer) as url:
        yield lossy, url


async def connect(client: Sutler, url: str, connection_id: str = "main", **more: Any) -> erp_pb2.Connection:
    """Makes a connection to the sandbox's demo database as admin."""
    connection = erp_pb2.Connection(
        url=url,
        **{"driver": "odoo-jsonrpc", "database": "demo", "username": "admin", "secret": "admin", **more},
    )
    request = erp_pb2.CreateConnectionRequest(connection_id=connection_id, connection=connection)
    return await client.erp.CreateConnection(request)


async def get_connection(client: Sutler, name: str = MAIN) -> erp_pb2.Connection:
    return await client.erp.GetConnection(erp_pb2.GetConnectionRequest(name=name))


async def connection_in_state(client: Sutler, *states: int) -> erp_pb2.Connection:
    found = None

    async def there() -> bool:
        nonlocal found
        found = await get_connection(client)
        return found.state in states

    await wait_until(there, 20)
    assert found is not None
    return found
