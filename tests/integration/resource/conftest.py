"""One service for each engine, and one handler, for all tests of a worker; every test is a tenant of its own."""

import asyncio
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from google.longrunning.operations_pb2 import Operation
from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.testing import postgresql_schema
from sutler.wire import to_struct

from services.resource.app import app
from services.resource.settings import Settings
from tests.integration.resource.machines import Machines, serving
from tests.integration.resource.plugins import packages

SECRET = "a secret of more than thirty-two bytes"
Test = TypeVar("Test", bound=Callable[..., Any])
ENGINES = ["sqlite", "postgresql"]


def token(tenant: str, *permissions: str, subject: str = "user:anna") -> str:
    return make_token(SECRET, subject, permissions=permissions or ("*.*.*",), tenant=tenant)


@asynccontextmanager
async def database_url(engine: str, folder: Path) -> AsyncIterator[str]:
    """An empty database, gone afterwards."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/resource.db"
        return
    with postgresql_schema() as url:
        yield url


def settings_for(url: str, *handlers: str, **changes: object) -> Settings:
    values: dict[str, object] = {
        "port": 0,
        "data": url,
        "auth_secret": SECRET,
        "handler_addresses": handlers,
        "drain_pause_seconds": 0,
        "drain_seconds": 3,
        "log_level": "error",
        "expiry_seconds": 0.05,
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Server:
    address: str
    engine: str
    url: str
    handler: str
    machines: Machines


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    machines = Machines()
    folder = tmp_path_factory.mktemp("resource")
    keys = {"secret_keys": b64encode(bytes(32)).decode()} if request.param == "postgresql" else {}
    async with (
        database_url(request.param, folder) as url,
        serving(machines) as handler,
        packages(folder / "packages"),
        running(app, settings_for(url, handler, "127.0.0.1:1", **keys), "resource") as up,
    ):
        yield Server(up.address, request.param, url, handler, machines)


@dataclass(frozen=True)
class Tenant:
    """What a test works with: a connection as its own tenant."""

    name: str
    s: Sutler
    server: Server

    @property
    def machines(self) -> Machines:
        return self.server.machines

    def calls(self, method: str, name: str = "") -> list[Any]:
        """Returns the requests of a method that the handler got for a resource, or for any."""
        found = [r for m, r, _ in self.machines.calls if m == method and r.context.tenant == self.name]
        return [r for r in found if not name or (r.desired if hasattr(r, "desired") else r.resource).name == name]

    def effects(self, name: str) -> int:
        """Returns how many effects the handler had for a resource."""
        return self.machines.made(self.name, name)

    async def group(self, subscription: str = "shop", group: str = "orders") -> str:
        """Makes a subscription with a resource group."""
        await self.create("", subscription, "Sutler.Resource/subscriptions")
        await self.create(f"subscriptions/{subscription}", group, "Sutler.Resource/resourceGroups")
        return f"subscriptions/{subscription}/resourceGroups/{group}"

    async def type(
        self, id: str = "Custom.Org.servers", *, address: str = "", plugin: str = "", **fields: object
    ) -> pb.ResourceType:
        """Registers a type; with ``address`` or ``plugin`` one of a handler that tries again at once."""
        message = pb.ResourceType(**{"versions": [pb.TypeVersion(version="v1")], **fields})  # type: ignore[arg-type]
        if plugin:
            message.handler.plugin.plugin = plugin
        if address:
            message.handler.remote.address = address
        if address or plugin:
            message.handler.min_backoff.FromMilliseconds(20)
            message.handler.max_backoff.FromMilliseconds(50)
        return await self.s.resources.CreateResourceType(
            pb.CreateResourceTypeRequest(resource_type_id=id, resource_type=message)
        )

    async def machine_type(self, **fields: object) -> str:
        """Registers a type of the test's handler, with the schema of its outputs."""
        schema = {"type": "object", "properties": {"machines": {"type": "array"}}, "required": ["machines"]}
        version = pb.TypeVersion(version="v1", output_schema=to_struct(schema))
        await self.type("Custom.Org.machines", address=self.server.handler, versions=[version], **fields)
        return "Custom.Org/machines"

    async def create(self, parent: str, id: str, type: str, properties: object = None, **fields: object) -> Operation:
        """Creates a resource and returns the operation."""
        resource = pb.Resource(type=type, **fields)  # type: ignore[arg-type]
        if properties is not None:
            resource.properties.CopyFrom(to_struct(properties))  # type: ignore[arg-type]
        return await self.s.resources.CreateResource(
            pb.CreateResourceRequest(parent=parent, resource_id=id, resource=resource)
        )

    async def made(self, parent: str, id: str, type: str, properties: object = None, **fields: object) -> pb.Resource:
        """Creates a resource and returns it when its operation has succeeded."""
        found = await self.s.wait(await self.create(parent, id, type, properties, **fields))
        assert isinstance(found, pb.Resource)
        return found

    async def update(self, name: str, properties: object = None, **fields: object) -> Operation:
        resource = pb.Resource(name=name, **fields)  # type: ignore[arg-type]
        if properties is not None:
            resource.properties.CopyFrom(to_struct(properties))  # type: ignore[arg-type]
        return await self.s.resources.UpdateResource(pb.UpdateResourceRequest(resource=resource))

    async def delete(self, name: str, **fields: object) -> Operation:
        return await self.s.resources.DeleteResource(pb.DeleteResourceRequest(name=name, **fields))  # type: ignore[arg-type]

    async def invoke(self, name: str, action: str, parameters: object = None, **fields: object) -> Operation:
        request = pb.InvokeActionRequest(name=name, action=action, **fields)  # type: ignore[arg-type]
        if parameters is not None:
            request.parameters.CopyFrom(to_struct(parameters))  # type: ignore[arg-type]
        return await self.s.resources.InvokeAction(request)

    async def get(self, name: str) -> pb.Resource:
        return await self.s.resources.GetResource(pb.GetResourceRequest(name=name))

    async def revisions(self, name: str, **fields: object) -> list[pb.ResourceRevision]:
        request = pb.ListResourceRevisionsRequest(parent=name, **fields)  # type: ignore[arg-type]
        return list((await self.s.resources.ListResourceRevisions(request)).resource_revisions)


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(server: Server) -> AsyncIterator[Tenant]:
    name = f"t{uuid.uuid4().hex}"
    async with connect(server.address, token=token(name), attempts=1) as connection:
        yield Tenant(name, connection, server)


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for is on the other side of a connection
            await asyncio.sleep(0.02)


def everywhere(test: Test) -> Test:
    """Marks a test that runs on every engine; the others run on SQLite only, to save time."""
    test.everywhere = True  # type: ignore[attr-defined]
    return test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        engines = ENGINES if getattr(metafunc.function, "everywhere", False) else ENGINES[:1]
        metafunc.parametrize("server", engines, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share the session's loop, because they share its servers."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and isinstance(item, pytest.Function) and asyncio.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
