"""The example of a plug-in, installed as its README says, in a service that is a process of its own."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from google.longrunning.operations_pb2 import GetOperationRequest
from sutler.client import connect
from sutler.errors import Conflict, Invalid, NotFound
from sutler.handlers.servicer import HandlerServicer
from sutler.handlers.serving import load
from sutler.resource.v1 import handler_pb2
from sutler.resource.v1 import resource_pb2 as pb
from sutler.testing import ServiceProcess
from sutler.wire import from_struct, timestamp, to_struct

from tests.integration.resource.conftest import SECRET, Tenant, database_url, token

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "services/resource/examples/dns_plugin"
TYPE = "Custom.Dns/zones"
WWW = {"name": "www", "type": "A", "value": "192.0.2.1"}
KEYS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]

pytestmark = [pytest.mark.xdist_group("zones"), pytest.mark.timeout(120)]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example as pip installs it."""
    folder = tmp_path_factory.mktemp("zones") / "packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    more = ["--no-build-isolation", "--no-index", "--target", str(folder), str(EXAMPLE)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@asynccontextmanager
async def zones(folder: Path, packages: Path, engine: str = "sqlite") -> AsyncIterator[tuple[Tenant, ServiceProcess]]:
    """A service with the plug-in, its type, and a group."""
    async with database_url(engine, folder) as url:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ZONE_FILES", str(folder / "zones"))
            process = ServiceProcess(
                "services.resource",
                "SUTLER_RESOURCE_",
                folder=folder,
                checkout=ROOT,
                packages=[packages],
                data=url,
                auth_secret=SECRET,
                lease_seconds=1,
            )
        with process:
            await process.serving()
            async with connect(process.address, token=token(folder.name), attempts=1) as s:
                tenant = Tenant(folder.name, s, None)  # type: ignore[arg-type]
                await tenant.type("Custom.Dns.zones", plugin="zone-files")
                yield tenant, process


@pytest_asyncio.fixture(loop_scope="session")
async def here(tmp_path: Path, packages: Path) -> AsyncIterator[Tenant]:
    async with zones(tmp_path, packages) as (tenant, _):
        yield tenant


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_the_whole_way(tmp_path: Path, packages: Path, engine: str) -> None:
    async with zones(tmp_path, packages, engine) as (here, _):
        group = await here.group()
        made = await here.made(group, "a", TYPE, {"domain": "Example.ORG.", "records": [WWW]})
        file = tmp_path / "zones" / f"{made.uid}.zone"
        assert from_struct(made.outputs) == {"file": file.name, "serial": 1}
        lines = file.read_text().splitlines()
        assert lines[1:] == [
            "$ORIGIN example.org.",
            "$TTL 3600",
            "@ SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 3600",
            "www A 192.0.2.1",
        ]
        changed = await here.s.wait(await here.update(made.name, {"tier": "premium", "ttl": 60}))
        assert isinstance(changed, pb.Resource) and from_struct(changed.outputs)["serial"] == 2
        assert "$TTL 60" in file.read_text()
        answer = await here.s.wait(await here.invoke(made.name, "touch"))
        assert isinstance(answer, pb.InvokeActionResponse)
        assert from_struct(answer.result) == {"serial": 3}
        assert from_struct(answer.resource.outputs) == {"file": file.name, "serial": 3}
        await here.s.wait(await here.delete(made.name))
        with pytest.raises(NotFound):
            await here.get(made.name)
        assert not file.exists()


@pytest.mark.parametrize(
    ("properties", "reason", "found"),
    [
        ({"domain": "example"}, "HANDLER_REJECTED", [("domain", "VALUE_ERROR")]),
        ({"domain": "example.org", "ttl": 60}, "HANDLER_REJECTED", [("ttl", "TIER")]),
        ({"domain": "example.org", "ttl": 5}, "RESOURCE_INVALID", [("ttl", "MINIMUM")]),
        (
            {"domain": "example.org", "records": [{**WWW, "name": "a\n$INCLUDE x"}]},
            "RESOURCE_INVALID",
            [("records[0].name", "PATTERN")],
        ),
        (
            {"domain": "-a.org", "records": [{**WWW, "value": "here"}]},
            "HANDLER_REJECTED",
            [("domain", "VALUE_ERROR"), ("records[0].value", "VALUE_ERROR")],
        ),
        (
            {"domain": "example.org", "records": [WWW, {"name": "www", "type": "CNAME", "value": "@"}]},
            "HANDLER_REJECTED",
            [("records[1].name", "ALIAS")],
        ),
    ],
)
async def test_what_is_refused(here: Tenant, properties: object, reason: str, found: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid) as caught:
        await here.create(await here.group(), "a", TYPE, properties)
    assert caught.value.reason == reason
    told = [(v.field.removeprefix("resource.properties."), v.reason) for v in caught.value.violations]
    assert told == found


async def test_the_domain_stays(here: Tenant) -> None:
    made = await here.made(await here.group(), "a", TYPE, {"domain": "example.org"})
    with pytest.raises(Invalid) as caught:
        await here.update(made.name, {"domain": "example.net"})
    assert [violation.reason for violation in caught.value.violations] == ["IMMUTABLE"]


async def test_a_kill_leaves_one_effect_each(tmp_path: Path, packages: Path) -> None:
    async with zones(tmp_path, packages) as (here, process):
        group = await here.group()
        begun = [await here.create(group, f"z{n}", TYPE, {"domain": f"z{n}.example.org"}) for n in range(10)]
        process.kill()
        process.start()
        await process.serving()
        for operation in begun:
            made = await here.s.wait(await here.s.resources.GetOperation(GetOperationRequest(name=operation.name)))
            assert isinstance(made, pb.Resource) and from_struct(made.outputs)["serial"] == 1
        assert len(list((tmp_path / "zones").glob("*.zone"))) == 10


@pytest.fixture
def servicer(tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlerServicer]:
    """The handler alone."""
    monkeypatch.setenv("ZONE_FILES", str(tmp_path))
    monkeypatch.syspath_prepend(packages)
    yield HandlerServicer(load("zone_files:Zones")(), lambda _: None)
    sys.modules.pop("zone_files", None)


def context(fence: int) -> handler_pb2.HandlerContext:
    return handler_pb2.HandlerContext(
        tenant="t", principal="user:anna", attempt=1, fencing_token=fence, deadline_time=timestamp(2e9)
    )


def zone(ttl: int) -> pb.Resource:
    return pb.Resource(name="a", uid="a", properties=to_struct({"domain": "example.org", "ttl": ttl}))


async def test_keys_fences_and_what_is_there(servicer: HandlerServicer) -> None:
    async def serial(key: str, fence: int, ttl: int) -> int:
        request = handler_pb2.ApplyRequest(context=context(fence), idempotency_key=key, desired=zone(ttl))
        said = [said async for said in servicer.Apply(request, None)][-1]
        return int(from_struct(said.result.outputs)["serial"])

    async def presence(ttl: int, previous: int = 0) -> str:
        before = zone(previous) if previous else None
        request = handler_pb2.ReadRequest(context=context(9), desired=zone(ttl), previous=before)
        answer = await servicer.Read(request, None)
        return handler_pb2.ReadResponse.Presence.Name(answer.presence).removeprefix("PRESENCE_")

    assert await presence(300) == "ABSENT"
    assert [await serial(KEYS[0], 1, 300), await serial(KEYS[0], 2, 300), await serial(KEYS[1], 3, 600)] == [1, 1, 2]
    with pytest.raises(Conflict) as caught:
        await serial(KEYS[2], 2, 900)
    assert caught.value.reason == "LEASE_LOST"
    assert [await presence(600), await presence(900, 600), await presence(900, 300)] == ["WHOLE", "ABSENT", "PARTIAL"]


async def test_the_same_class_as_a_remote_handler(tmp_path: Path, packages: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZONE_FILES", str(tmp_path / "zones"))
        handler = ServiceProcess(
            "sutler.handlers",
            "SUTLER_HANDLER_",
            folder=tmp_path,
            checkout=ROOT,
            packages=[packages],
            target="zone_files:Zones",
            auth_secret=SECRET,
        )
    address = handler.address
    service = ServiceProcess(
        "services.resource",
        "SUTLER_RESOURCE_",
        folder=tmp_path,
        checkout=ROOT,
        data=f"sqlite:///{tmp_path}/r.db",
        auth_secret=SECRET,
        handler_addresses=f'["{address}"]',
    )
    with handler, service:
        await handler.serving()
        await service.serving()
        async with connect(service.address, token=token("t"), attempts=1) as s:
            here = Tenant("t", s, None)  # type: ignore[arg-type]
            await here.type("Custom.Dns.zones", address=address)
            made = await here.made(await here.group(), "a", TYPE, {"domain": "example.org"})
        assert (tmp_path / "zones" / from_struct(made.outputs)["file"]).exists()
        handler.terminate()
        assert await handler.ended() == 0


def test_it_is_short() -> None:
    assert len((EXAMPLE / "zone_files/__init__.py").read_text().splitlines()) < 150
