"""One suite for the port ``ProviderKind``: ``process``, ``aws`` on moto, ``fake`` and the Node example."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sutler.client import connect
from sutler.errors import FailedPrecondition, Invalid
from sutler.ids import new_id
from sutler.providers import ProviderPluginServicer
from sutler.testing import wait_until
from sutler.testing.fake_provider import FakeProvider, serve_provider

from services.provider.adapters.aws import aws_type
from services.provider.adapters.plugin import PluginKind, own_kind
from services.provider.adapters.plugin.calling import PluginCalls
from services.provider.adapters.plugin.loading import SERVICE, InProcess
from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.programs import Programs
from services.provider.machines import Machine, MachineState, Observation, Sight
from services.provider.output import Stream
from services.provider.ports import ProviderKind
from services.provider.providers import Provider, ProviderState, TypeSource
from services.provider.templates import Template, effective
from tests.conformance.cache.s3_server import s3_server
from tests.integration.node import node_modules
from tests.integration.provider.test_node_plugin import EXAMPLE, Node

SECONDS = 30.0
KINDS = ["process", "aws", "fake in this process", "fake behind a port", "node"]
pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(180)]


@dataclass
class Here:
    """A type, with a template and a config that are right for it."""

    kind: ProviderKind
    template: Template
    config: dict[str, Any]
    wrong: dict[str, Any]

    async def launch(self, machine: Machine) -> Observation:
        async def known() -> Observation | None:
            found = await self.kind.launch(machine, self.template, self.config)
            return None if found.sight is Sight.COMING else found

        seen = await wait_until(known, SECONDS)
        assert seen is not None
        assert seen.sight is Sight.ALIVE and (seen.machine, seen.launch) == (machine.name, machine.launch)
        return seen

    async def end(self, machine: Machine) -> None:
        """Ends a machine, and waits until it is seen to have ended."""
        seen = await self.kind.end(machine, self.template, self.config, force=True)
        assert seen.sight in (Sight.ALIVE, Sight.ENDED)

        async def gone() -> bool:
            return (await self.kind.look(machine, self.config)).sight is Sight.ENDED

        await wait_until(gone, SECONDS)


@asynccontextmanager
async def making(name: str, folder: Path, cloud: str) -> AsyncIterator[ProviderKind]:
    async with AsyncExitStack() as stack:
        stub: Any = None
        if name == "process":
            own = Folder(folder / "machines")
            own.make()
            yield ProcessKind(own, Programs())
            return
        if name == "aws":
            one = await stack.enter_async_context(aws_type(cloud))
            yield await own_kind(one, SECONDS)
            return
        if name == "fake in this process":
            stub = InProcess(ProviderPluginServicer([FakeProvider()]))
        elif name == "fake behind a port":
            _, address = await stack.enter_async_context(serve_provider())
            stub = (await stack.enter_async_context(connect(address, attempts=1))).stub(SERVICE)
        else:
            node = Node(folder, node_modules(EXAMPLE))
            node.start()
            stack.callback(node.end)
            stub = (await stack.enter_async_context(connect(node.address, attempts=1))).stub(SERVICE)

        async def reach() -> Any:
            return stub

        type = name.split()[0].replace("node", "sheds")
        kind = PluginKind(PluginCalls(type, reach, SECONDS), TypeSource.PLUGIN, name)
        await kind.describe()
        yield kind


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest_asyncio.fixture(params=KINDS)
async def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    url = request.getfixturevalue("cloud") if request.param == "aws" else ""
    async with making(request.param, tmp_path, url) as kind, kind.owned():
        template = replace(effective(Template(), [kind.facts.template_defaults]), api=kind.facts.apis[0].api)
        config = dict(kind.check_config({}))
        yield Here(kind, template, config, {"surely-no-field-of-it": 1})


def machine(**more: Any) -> Machine:
    uid = new_id()
    basic: dict[str, Any] = {"machine_request": "machineRequests/r", "template": "templates/t"}
    names = {"tenant": "acme", "name": f"machines/m-{uid[:8]}", "uid": uid, "provider": "providers/lab"}
    return Machine(**{**basic, **names, "state": MachineState.LAUNCHING, **more})


def told(one: Machine, seen: Observation, state: MachineState) -> Machine:
    return replace(one, native_id=seen.native_id, attributes=seen.attributes, state=state)


async def test_it_says_what_it_is_and_fills_in_defaults(here: Here) -> None:
    facts = here.kind.facts
    assert facts.apis and facts.error is None and facts.config_schema["properties"]
    for name, field in facts.config_schema["properties"].items():
        assert here.config[name] == field["default"]
    assert here.kind.check_config(here.config) == here.config
    with pytest.raises(Invalid) as caught:
        here.kind.check_config(here.wrong)
    assert caught.value.reason == "CONFIG_INVALID"
    assert caught.value.violations[0].field.startswith("provider.config")
    assert not here.kind.check_template(here.template)
    assert not await here.kind.check_there(here.template, here.config)
    provider = Provider(tenant="acme", name="providers/lab", uid=new_id(), type=facts.type, config=here.config)
    assert (await here.kind.check(provider)).state is ProviderState.HEALTHY


async def test_a_launch_happens_once(here: Here) -> None:
    one, other = machine(), machine()
    first = await here.launch(one)
    assert await here.launch(one) == first
    second = await here.launch(other)
    assert second.native_id != first.native_id
    for made, seen in ((one, first), (other, second)):
        running = told(made, seen, MachineState.RUNNING)
        assert (await here.kind.look(running, here.config)).sight is Sight.ALIVE
        await here.end(replace(running, state=MachineState.SHUTTING_DOWN))


async def test_what_was_never_launched_is_not_there(here: Here) -> None:
    never = machine(state=MachineState.SHUTTING_DOWN)
    assert (await here.kind.look(never, here.config)).sight is Sight.NOTHING
    seen = await here.kind.end(never, here.template, here.config, force=False)
    assert seen.sight in (Sight.NOTHING, Sight.ENDED)


async def test_a_machine_whose_launch_was_not_stored_is_found_and_ended(here: Here) -> None:
    one = machine()
    await here.launch(one)
    unknown = replace(one, state=MachineState.SHUTTING_DOWN)
    assert (await here.kind.look(unknown, here.config)).sight is Sight.ALIVE
    await here.end(unknown)


async def test_a_machine_stops_and_starts(here: Here) -> None:
    one = machine()
    running = told(one, await here.launch(one), MachineState.RUNNING)
    await here.end(replace(running, state=MachineState.STOPPING))
    again = replace(running, state=MachineState.LAUNCHING, launch=2, attributes={})
    seen = await here.launch(again)
    await here.end(told(again, seen, MachineState.SHUTTING_DOWN))


async def test_output_is_there_or_said_not_to_be(here: Here) -> None:
    one = machine()
    running = told(one, await here.launch(one), MachineState.RUNNING)
    try:
        async for chunk in here.kind.read_output(running, Stream.STDOUT, None, 0):
            assert chunk.data
    except FailedPrecondition as error:
        assert error.reason == "OUTPUT_UNAVAILABLE"  # noqa: PT017
    await here.end(replace(running, state=MachineState.SHUTTING_DOWN))
    await here.kind.forget(running)


async def test_a_role_of_aws_is_taken(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with aws_type(cloud) as one:
        kind = await own_kind(one, SECONDS)
        config = kind.check_config({"role_arn": "arn:aws:iam::123456789012:role/machines", "external_id": "sutler"})
        found = await kind.check(Provider(tenant="acme", name="providers/lab", uid=new_id(), type="aws", config=config))
        assert found.state is ProviderState.HEALTHY, found.state_reason
        assert ":assumed-role/machines/" in found.identity
