"""A handler's class behind a port of its own: the same class as the plug-in, the same answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.client import connect
from sutler.errors import FailedPrecondition, Invalid, NotFound, Unauthenticated
from sutler.handlers.serving import HandlerSettings, load
from sutler.handlers.serving import app as serving_app
from sutler.resource.v1 import handler_pb2
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.wire import from_struct

from services.resource.app import app
from tests.integration.resource.conftest import SECRET, Tenant, settings_for, token
from tests.integration.resource.plugins import Probe
from tests.integration.resource.test_plugins import CHILD, TYPE, calls

PROBE = "tests.integration.resource.plugins:Probe"


def settings(target: str = PROBE, **changes: object) -> HandlerSettings:
    values: dict[str, object] = {"auth_secret": SECRET, "drain_pause_seconds": 0, "log_level": "error", **changes}
    return HandlerSettings(target=target, **values)  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="session")
async def here(tmp_path: Path, free_port: int) -> AsyncIterator[Tenant]:
    """A service with the probe as a remote handler, and the type of it."""
    own = f"127.0.0.1:{free_port}"
    async with running(serving_app, settings(resource_address=own), "handler") as served:
        store = f"sqlite:///{tmp_path}/r.db"
        async with (
            running(app, settings_for(store, served.address, port=free_port), "resource") as up,
            connect(up.address, token=token(tmp_path.name), attempts=1) as s,
        ):
            tenant = Tenant(tmp_path.name, s, None)  # type: ignore[arg-type]
            await tenant.type("Custom.Org.probes", address=served.address, actions=[pb.TypeAction(id="grow")])
            await tenant.type("Custom.Org.parts")
            yield tenant


async def test_the_whole_way(here: Tenant) -> None:
    group = await here.group()
    with pytest.raises(Invalid) as caught:
        await here.create(group, "a", TYPE, {"tier": "geo"})
    assert caught.value.reason == "HANDLER_REJECTED"
    assert [violation.field for violation in caught.value.violations] == ["resource.properties.size"]
    made = await here.made(group, "a", TYPE, {"size": 2, "behave": "busy:1"})
    assert from_struct(made.outputs) == {"size": 2}
    changed = await here.s.wait(await here.update(made.name, {"size": 3, "behave": "bug:1", "hook": "after_apply"}))
    assert isinstance(changed, pb.Resource) and len(changed.findings) == 1
    assert [call.attempt for call in calls(here, "apply")] == [1, 2, 1, 2]
    answer = await here.s.wait(await here.invoke(made.name, "grow"))
    assert isinstance(answer, pb.InvokeActionResponse)
    assert (from_struct(answer.result), from_struct(answer.resource.outputs)) == ({"size": 4}, {"size": 4})
    await here.s.wait(await here.delete(made.name))
    with pytest.raises(NotFound):
        await here.get(made.name)


async def test_a_final_error(here: Tenant) -> None:
    group = await here.group()
    with pytest.raises(FailedPrecondition) as caught:
        await here.made(group, "a", TYPE, {"behave": "final"})
    assert caught.value.metadata["handler_reason"] == "NO_CAPACITY"


async def test_it_makes_a_resource_of_another_type_on_behalf_of_who_registered_its_own(here: Tenant) -> None:
    group = await here.group()
    made = await here.made(group, "a", TYPE, {"behave": f"make:{CHILD}", "size": 2})
    assert made.provisioning_state == pb.Resource.STATE_SUCCEEDED
    child = await here.get(f"{group}/providers/{CHILD}/made")
    assert (from_struct(child.properties), child.creator) == ({"size": 2}, "user:anna")
    assert len(await here.revisions(child.name)) == 1


async def test_without_an_address_it_makes_nothing_else(tmp_path: Path, free_port: int) -> None:
    lives = len(Probe.lives)
    async with running(serving_app, settings(), "handler") as served:
        async with (
            running(app, settings_for(f"sqlite:///{tmp_path}/r.db", served.address, plugins=()), "resource") as up,
            connect(up.address, token=token(tmp_path.name), attempts=1) as s,
        ):
            tenant = Tenant(tmp_path.name, s, None)  # type: ignore[arg-type]
            await tenant.type("Custom.Org.probes", address=served.address)
            with pytest.raises(FailedPrecondition) as caught:
                await tenant.made(await tenant.group(), "a", TYPE, {"behave": f"make:{CHILD}"})
            assert caught.value.metadata["setting"] == "SUTLER_HANDLER_RESOURCE_ADDRESS"
        assert Probe.lives[lives:] == ["begun"]
    assert Probe.lives[lives:] == ["begun", "ended"]


async def test_it_needs_a_token(here: Tenant) -> None:
    type = await here.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.probes"))
    async with connect(type.handler.remote.address, attempts=1) as s:
        with pytest.raises(Unauthenticated):
            await s.handler.Validate(handler_pb2.ValidateRequest())


@pytest.mark.parametrize(
    "target", ["no.such.module:Handler", "tests:Nothing", "tests.integration.resource.plugins:Wish"]
)
def test_targets_that_are_no_handler(target: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        load(target)
    assert caught.value.metadata["target"] == target
