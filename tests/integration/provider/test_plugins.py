"""Provider types of others: a fake one behind a port, whose faults and deaths the service lives through."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sutler.client import Sutler, connect
from sutler.errors import Exhausted, FailedPrecondition, Internal, Invalid, SutlerError, Unavailable
from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import from_status
from sutler.testing import free_port, wait_until
from sutler.testing.fake_provider import FakeProvider, serve_provider
from sutler.testing.provider_plugins import SERVICE, ProviderPluginTests, Subject
from sutler.wire import from_struct, to_struct

from tests.integration.provider.conftest import Serve, ask, begin, give_back, machine, machines

D, M, P = pb.Diagnostic, pb.Machine, pb.Provider
CLOUD, SMALL = "providers/cloud", "templates/vm"
SECONDS = 30


class TestSuite(ProviderPluginTests):
    """What authors run, on the fake."""

    @pytest_asyncio.fixture
    async def subject(self, served: tuple[FakeProvider, str]) -> AsyncIterator[Subject]:
        async with connect(served[1], attempts=1) as client:
            yield Subject(client.stub(SERVICE), "fake", {"capacity": 20}, pb.Template(image="debian"), seconds=SECONDS)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[FakeProvider, str]]:
    async with serve_provider() as both:
        yield both


@pytest.fixture
def fake(served: tuple[FakeProvider, str]) -> FakeProvider:
    return served[0]


@pytest_asyncio.fixture
async def client(serving: Serve, served: tuple[FakeProvider, str]) -> AsyncIterator[Sutler]:
    async with serving(plugin_addresses={"fake": served[1]}, sweep_seconds=0.2) as found:
        await set_up(found)
        yield found


async def set_up(client: Sutler, **config: Any) -> None:
    provider = pb.Provider(type="fake", config=to_struct(config))
    await client.providers.CreateProvider(pb.CreateProviderRequest(provider_id="cloud", provider=provider))
    template = pb.Template(provider=CLOUD, image="debian", tags={"team": "a"})
    await client.providers.CreateTemplate(pb.CreateTemplateRequest(template_id="vm", template=template))


async def fake_type(client: Sutler) -> pb.ProviderType:
    answer = await client.providers.ListProviderTypes(pb.ListProviderTypesRequest(filter='type = "fake"'))
    (found,) = answer.provider_types
    return found


async def test_the_whole_life(client: Sutler, fake: FakeProvider) -> None:
    told = await fake_type(client)
    assert told.source == pb.ProviderType.SOURCE_PLUGIN and not told.HasField("error")
    provider = await client.providers.GetProvider(pb.GetProviderRequest(name=CLOUD))
    assert from_struct(provider.config) == {"enabled": True, "capacity": 1000}
    request = await ask(client, 3, SMALL)
    assert request.state == pb.MachineRequest.STATE_COMPLETE
    made = await machines(client)
    assert {each.native_id for each in made} == {each.native_id for each in fake.machines()}
    assert all(each.image == "debian" and each.tags["team"] == "a" for each in fake.machines())
    assert from_struct(made[0].attributes)["image"] == "debian"
    one = made[0].name
    await client.wait(await client.providers.StopMachines(pb.StopMachinesRequest(names=[one])))
    assert (await machine(client, one)).state == M.STATE_STOPPED
    await client.wait(await client.providers.StartMachines(pb.StartMachinesRequest(names=[one])))
    assert (await machine(client, one)).state == M.STATE_RUNNING
    with pytest.raises(FailedPrecondition) as caught:
        async for _ in client.providers.ReadMachineOutput(pb.ReadMachineOutputRequest(name=one)):
            pass
    assert caught.value.reason == "OUTPUT_UNAVAILABLE"
    fake.lose(made[1].native_id, exit_code=7)

    async def lost() -> bool:
        return (await machine(client, made[1].name)).state == M.STATE_FAILED

    await wait_until(lost, SECONDS)
    assert (await machine(client, made[1].name)).exit_code == 7
    await give_back(client, machine_request=request.name)
    assert {each.state for each in fake.machines()} == {M.STATE_TERMINATED, M.STATE_FAILED}
    assert len(fake.machines()) == 3


async def test_configs_and_templates_are_checked(client: Sutler) -> None:
    for config, field in (({"capacity": -1}, "provider.config.capacity"), ({"typo": 1}, "provider.config.typo")):
        wrong = pb.Provider(type="fake", config=to_struct(config))
        with pytest.raises(Invalid) as caught:
            await client.providers.CreateProvider(pb.CreateProviderRequest(provider_id="x", provider=wrong))
        assert caught.value.reason == "CONFIG_INVALID"
        assert [violation.field for violation in caught.value.violations] == [field]
    for template in (
        pb.Template(provider=CLOUD, percent_on_demand=50),
        pb.Template(provider=CLOUD, machine_types=[pb.WeightedMachineType(type="large", weight=2)]),
    ):
        with pytest.raises(Invalid) as caught:
            await client.providers.CreateTemplate(pb.CreateTemplateRequest(template_id="y", template=template))
        assert caught.value.reason == "TEMPLATE_INVALID"
    kept = await client.providers.GetTemplate(pb.GetTemplateRequest(name=SMALL))
    assert kept.image == "debian"
    validated = await client.providers.ValidateTemplate(pb.ValidateTemplateRequest(name=SMALL))
    assert validated.valid and validated.effective_template.image == "debian"


async def test_lost_answers_and_outages_start_nothing_twice(client: Sutler, fake: FakeProvider) -> None:
    fake.lose_answers = 2
    fake.fail("List", Unavailable("the cloud is down"), times=3)
    request = await ask(client, 2, SMALL)
    assert request.fulfilled == 2 and len(fake.machines()) == 2
    fake.fail("Terminate", Exhausted("slowly", reason="THROTTLED", retry_after=timedelta(seconds=0.1)), times=2)
    await give_back(client, machine_request=request.name)
    assert all(each.state == M.STATE_TERMINATED for each in fake.machines())
    fake.pending = 2
    request = await ask(client, 1, SMALL)
    assert request.running_count == 1 and len(fake.machines()) == 3


@pytest.mark.parametrize(
    ("error", "category", "kind"),
    [
        (FailedPrecondition("no", reason="CREDENTIALS_REJECTED"), D.CATEGORY_AUTH, D.KIND_PERMANENT),
        (FailedPrecondition("no", reason="PROVIDER_REFUSED"), D.CATEGORY_VALIDATION, D.KIND_PERMANENT),
        (Exhausted("no", reason="PROVIDER_QUOTA_EXCEEDED"), D.CATEGORY_CAPACITY, D.KIND_CAPACITY),
    ],
)
async def test_errors_are_sorted(
    client: Sutler, fake: FakeProvider, error: SutlerError, category: int, kind: int
) -> None:
    fake.fail("Provision", error, times=99)
    operation = await begin(client, 1, SMALL, timeout={"seconds": 2})
    with pytest.raises(SutlerError):
        await client.wait(operation)
    (request,) = (await client.providers.ListMachineRequests(pb.ListMachineRequestsRequest())).machine_requests
    assert (request.diagnostics[0].category, request.diagnostics[0].kind) == (category, kind)
    assert request.diagnostics[0].code == error.reason and not fake.machines()


async def test_a_lack_is_told_and_what_is_missing_is_asked_for_again(serving: Serve) -> None:
    async with serve_provider() as (fake, address), serving(plugin_addresses={"fake": address}) as client:
        await set_up(client, capacity=1)
        operation = await begin(client, 2, SMALL, timeout={"seconds": 20})

        async def short() -> bool:
            found = await client.providers.ListMachineRequests(pb.ListMachineRequestsRequest())
            return bool(found.machine_requests[0].diagnostics)

        await wait_until(short, SECONDS)
        assert len(fake.machines()) == 1
        wider = pb.Provider(name=CLOUD, config=to_struct({"capacity": 2}))
        await client.providers.UpdateProvider(
            pb.UpdateProviderRequest(provider=wider, update_mask={"paths": ["config"]})
        )
        request = await client.wait(operation)
        assert isinstance(request, pb.MachineRequest)
        assert request.fulfilled == 2 and request.diagnostics[0].code == "FULL"


async def test_a_restart_in_the_middle_finds_what_was_started(serving: Serve) -> None:
    async with serve_provider() as (fake, address):
        settings: dict[str, Any] = {"plugin_addresses": {"fake": address}, "lease_seconds": 1.0}
        fake.gate.clear()
        async with serving(**settings) as client:
            await set_up(client)
            operation = await begin(client, 2, SMALL)
            await wait_until(lambda: len(fake.machines()) == 2, SECONDS)
        fake.gate.set()
        async with serving(**settings) as client:
            request = await client.wait(operation)
            assert isinstance(request, pb.MachineRequest)
            assert request.fulfilled == 2 and len(fake.machines()) == 2
            await give_back(client, machine_request=request.name)


async def test_a_plug_in_that_is_down_keeps_no_other_and_comes_back(serving: Serve) -> None:
    port = free_port()
    async with serving(plugin_addresses={"fake": f"127.0.0.1:{port}"}, check_seconds=0.2) as client:
        told = await fake_type(client)
        assert told.HasField("error")
        with pytest.raises(Unavailable) as caught:
            await set_up(client)
        assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
        await client.providers.CreateProvider(
            pb.CreateProviderRequest(provider_id="lab", provider=pb.Provider(type="process"))
        )

        async def known() -> bool:
            return not (await fake_type(client)).HasField("error")

        async def state() -> int:
            return (await client.providers.GetProvider(pb.GetProviderRequest(name=CLOUD))).state

        async with serve_provider(port=port) as (fake, _):
            await wait_until(known, SECONDS)
            await set_up(client)
            assert (await ask(client, 1, SMALL)).fulfilled == 1
            checked = await client.providers.CheckProvider(pb.CheckProviderRequest(name=CLOUD))
            assert checked.state == P.STATE_HEALTHY and checked.identity == "nobody"
            operation = await begin(client, 1, SMALL)
            request = await client.wait(operation)
            assert isinstance(request, pb.MachineRequest)
        checked = await client.providers.CheckProvider(pb.CheckProviderRequest(name=CLOUD))
        assert checked.state == P.STATE_UNHEALTHY
        assert {each.state for each in await machines(client)} == {M.STATE_RUNNING}
        async with serve_provider(fake, port=port):

            async def healthy() -> bool:
                return await state() == P.STATE_HEALTHY

            await wait_until(healthy, SECONDS)
            await give_back(client, all=True)
            assert {each.state for each in fake.machines()} == {M.STATE_TERMINATED}


async def test_a_built_in_name_is_no_plug_in(serving: Serve) -> None:
    with pytest.raises(FailedPrecondition):
        async with serving(plugin_addresses={"process": "127.0.0.1:1"}):
            pass


CODE = """
from sutler.errors import FailedPrecondition
from sutler.provider.v1 import provider_pb2
from sutler.testing.fake_provider import FakeProvider


class Sheds(FakeProvider):
    type = "sheds"
    regions = ()
    apis = (provider_pb2.ProviderApi(api="make"),)

    async def check(self, call):
        raise RuntimeError("a bug")


class Secret(FakeProvider):
    type = "secret"

    class Config(FakeProvider.Config):
        token: str = __import__("pydantic").Field("", json_schema_extra={"writeOnly": True})
"""
POINTS = """[sutler.providers]
sheds = own_sheds:Sheds
secret = own_sheds:Secret
other = own_sheds:Sheds
missing = own_sheds:Missing
process = own_sheds:Sheds
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a package with types where Python finds it and its entry points."""
    described = folder / "own_sheds-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / "own_sheds.py").write_text(CODE)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: own-sheds\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "own_sheds", raising=False)
    invalidate_caches()


async def test_types_of_packages(serving: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "packages", monkeypatch)
    async with serving() as client:
        listed = await client.providers.ListProviderTypes(pb.ListProviderTypesRequest())
        found = {each.type: (each.source, each.HasField("error")) for each in listed.provider_types}
        package = pb.ProviderType.SOURCE_PACKAGE
        built_in = pb.ProviderType.SOURCE_BUILT_IN
        own = {"process": (built_in, False), "aws": (built_in, False)}
        assert found == {**own, "sheds": (package, False), "secret": (package, True)}
        secret = pb.Provider(type="secret")
        with pytest.raises(Internal) as caught:
            await client.providers.CreateProvider(pb.CreateProviderRequest(provider_id="s", provider=secret))
        assert caught.value.reason == "PLUGIN_INVALID"
        sheds = pb.Provider(type="sheds")
        await client.providers.CreateProvider(pb.CreateProviderRequest(provider_id="cloud", provider=sheds))
        template = pb.Template(provider=CLOUD, image="debian")
        await client.providers.CreateTemplate(pb.CreateTemplateRequest(template_id="vm", template=template))
        checked = await client.providers.CheckProvider(pb.CheckProviderRequest(name=CLOUD))
        assert checked.state == P.STATE_UNHEALTHY and "a bug" not in str(checked)
        request = await ask(client, 2, SMALL)
        stopping = await client.providers.StopMachines(pb.StopMachinesRequest(names=request.machines))
        stopped = await client.wait(stopping)
        assert isinstance(stopped, pb.StopMachinesResponse)
        assert [from_status(each.status).reason for each in stopped.results] == ["CAPABILITY_MISSING"] * 2
        await give_back(client, machine_request=request.name)
    async with serving(plugins=["none"]) as client:
        listed = await client.providers.ListProviderTypes(pb.ListProviderTypesRequest())
        assert {each.type for each in listed.provider_types} == {"process", "aws"}
