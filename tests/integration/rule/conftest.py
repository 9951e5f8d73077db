"""One service for each engine, and one target, for all tests of a worker; every test is a tenant of its own."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running
from sutler.testing import nats_names, nats_url, postgresql_schema

from services.rule.app import app
from services.rule.settings import Settings
from tests.integration.rule.foreign import SERVICE, Shop, descriptor_set, serving_nothing, serving_shop
from tests.integration.rule.target import Script, Target, serving
from tests.integration.rule.web import Pages, Web, serving_web

SECRET = "a secret of more than thirty-two bytes"
SIGNING_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""That of the examples of Standard Webhooks."""
ENGINES = ["sqlite", "postgresql"]
NATS = "nats"
SERVING = health_pb2.HealthCheckResponse.SERVING
PATIENCE_SECONDS = 20.0
RESOURCES = "sutler.resource.v1.ResourceService"


def token(tenant: str, *permissions: str, subject: str = "user:anna") -> str:
    return make_token(SECRET, subject, permissions=permissions or ("*.*.*",), tenant=tenant)


@asynccontextmanager
async def database_url(engine: str, folder: Path) -> AsyncIterator[str]:
    """An empty database, gone afterwards."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/rule.db"
        return
    with postgresql_schema() as url:
        yield url


@asynccontextmanager
async def engine_settings(engine: str) -> AsyncIterator[dict[str, object]]:
    """The settings of an engine beside its database; its streams are gone afterwards."""
    if engine != NATS:
        yield {}
        return
    async with nats_names() as name:
        yield {"engine": "nats", "nats_url": nats_url(), "nats_stream": name, "nats_prefix": f"{name.lower()}.events"}


async def health(address: str, service: str) -> int:
    """What a server says of a service, or of one of its neighbours."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)).status)


async def _connected_to_nats(address: str) -> bool:
    return await health(address, "neighbour.nats") == SERVING


def settings_for(url: str, target: str = "", **changes: object) -> Settings:
    values: dict[str, object] = {
        "port": 0,
        "data": url,
        "auth_secret": SECRET,
        "targets": {RESOURCES: target, "sutler.provider.v1.ProviderService": "127.0.0.1:1"} if target else {},
        "drain_pause_seconds": 0,
        "drain_seconds": 3,
        "log_level": "error",
        "lease_seconds": 1,
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Server:
    address: str
    engine: str
    url: str
    target_address: str
    target: Target
    web: Web = field(default_factory=Web)
    shop: Shop = field(default_factory=Shop)


F = TypeVar("F", bound=Callable[..., Any])


def on_both(test: F) -> F:
    """Lets a test run on PostgreSQL as well as on SQLite."""
    test.engines = ENGINES  # type: ignore[attr-defined]
    return test


def on_all(test: F) -> F:
    """Lets a test run on SQLite, on PostgreSQL, and on PostgreSQL with NATS: the core of what every engine must do."""
    test.engines = [*ENGINES, NATS]  # type: ignore[attr-defined]
    return test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        engines = getattr(metafunc.function, "engines", ENGINES[:1])
        metafunc.parametrize("server", engines, indirect=True, scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    target = Target()
    folder = tmp_path_factory.mktemp("rule")
    (folder / "shop.binpb").write_bytes(descriptor_set())
    async with (
        database_url(request.param, folder) as url,
        engine_settings(request.param) as more,
        serving(target, SECRET) as address,
        serving_web() as web,
        serving_shop() as shop,
        serving_nothing() as mute,
    ):
        methods = [f"{SERVICE}/[!D]*", "acme.shop.v1.Nope/*"]
        targets = {
            RESOURCES: address,
            "sutler.provider.v1.ProviderService": "127.0.0.1:1",
            "shop": {"address": shop.address, "methods": methods},
            "shop-by-file": {"address": shop.address, "descriptors": str(folder / "shop.binpb"), "trusted": True},
            "mute": mute,
            "gone": "127.0.0.1:1",
        }
        outside = {
            "targets": targets,
            "allowed_urls": ["http://127.0.0.1:*", "http://169.254.*:*", "http://[*]:*", "http://0xa000001:*"],
            "allowed_networks": ["127.0.0.0/8"],
            "signing_keys": {
                "shop": SIGNING_KEY,
                "others": {"key": SIGNING_KEY, "tenants": ["other-*"]},
                "elsewhere": {"key": SIGNING_KEY, "urls": ["https://hooks.example.com"]},
            },
        }
        async with running(app, settings_for(url, **outside, **more), "rule") as up:
            if request.param == NATS:
                await eventually(lambda: _connected_to_nats(up.address))
            yield Server(up.address, request.param, url, address, target, web, shop)


def rule(**fields: Any) -> pb.Rule:
    return json_format.ParseDict(fields, pb.Rule())


def event(id: str = "", type: str = "order.confirmed", subject: str = "", data: Any = None, **fields: Any) -> pb.Event:
    values = {"id": id or uuid.uuid4().hex, "source": "/shop", "type": type, "subject": subject, **fields}
    if data is not None:
        values["data"] = data
    return json_format.ParseDict(values, pb.Event())


def emit(type: str, **fields: Any) -> dict[str, Any]:
    return {"emitEvent": {"event": {"type": type, **fields}}}


def create(id: str, **fields: Any) -> dict[str, Any]:
    request = {"parent": "subscriptions/shop", "resourceId": id, "resource": {"type": "Custom.Org/things"}}
    return {"callMethod": {"method": f"{RESOURCES}/CreateResource", "request": {**request, **fields}}}


async def eventually(check: Callable[[], Awaitable[Any]]) -> Any:
    """Waits until a check gives something true, and returns it."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < ends, f"{check} gave {found!r} for {PATIENCE_SECONDS} s"
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Tenant:
    """What a test works with: a connection as its own tenant."""

    name: str
    s: Sutler
    server: Server

    @property
    def script(self) -> Script:
        return self.server.target.scripts[self.name]

    @property
    def pages(self) -> Pages:
        return self.server.web.pages[self.name]

    async def rule(self, id: str, **fields: Any) -> pb.Rule:
        return await self.s.rules.CreateRule(pb.CreateRuleRequest(rule_id=id, rule=rule(**fields)))

    async def publish(self, *events: pb.Event, wait: bool = True) -> list[pb.PublishResult]:
        request = pb.BatchPublishEventsRequest(events=events, wait=wait)
        if wait:
            request.wait_timeout.FromSeconds(int(PATIENCE_SECONDS))
        return list((await self.s.rules.BatchPublishEvents(request)).results)

    async def cascade(self, event: str) -> pb.Cascade:
        request = pb.GetCascadeRequest(name=f"{event}/cascade", view=pb.EVENT_VIEW_FULL)
        return await self.s.rules.GetCascade(request)

    async def executions(self, filter: str = "", **fields: Any) -> list[pb.Execution]:
        request = pb.ListExecutionsRequest(filter=filter, **fields)
        return list((await self.s.rules.ListExecutions(request)).executions)

    async def execution(self, rule: str) -> pb.Execution:
        """Returns the only execution of a rule, when there is one."""
        found = await eventually(lambda: self.executions(f'rule = "rules/{rule}"'))
        (only,) = found
        assert isinstance(only, pb.Execution)
        return only

    async def in_state(self, rule: str, state: str) -> pb.Execution:
        """Returns an execution of a rule when it is in a state."""
        wanted = f'rule = "rules/{rule}" AND state = {state}'
        found = await eventually(lambda: self.executions(wanted))
        assert isinstance(found[0], pb.Execution)
        return found[0]

    async def subject(self, id: str) -> dict[str, Any]:
        found = await self.s.rules.GetSubject(pb.GetSubjectRequest(name=f"subjects/{id}"))
        return json_format.MessageToDict(found.properties)

    async def letters(self) -> list[pb.DeadLetter]:
        return list((await self.s.rules.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters)

    async def events(self, filter: str = "") -> list[pb.Event]:
        request = pb.ListEventsRequest(filter=filter, view=pb.EVENT_VIEW_FULL, order_by="create_time", page_size=1000)
        return list((await self.s.rules.ListEvents(request)).events)


@pytest_asyncio.fixture(loop_scope="session")
async def t(server: Server) -> AsyncIterator[Tenant]:
    name = f"t{uuid.uuid4().hex[:12]}"
    async with connect(server.address, token=token(name)) as s:
        yield Tenant(name, s, server)
