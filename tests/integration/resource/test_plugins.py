"""Types whose handler is a plug-in: a class of an installed package, within the service."""

import asyncio
from typing import Any

import pytest
from google.longrunning.operations_pb2 import (
    CancelOperationRequest,
    GetOperationRequest,
    Operation,
    WaitOperationRequest,
)
from sutler.client import connect
from sutler.errors import (
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    Invalid,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from sutler.handlers import resources
from sutler.ids import derive
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import duration, from_struct, to_struct

from services.resource.app import app
from tests.integration.resource.conftest import Tenant, everywhere, settings_for, token, until
from tests.integration.resource.plugins import Probe

S = pb.Resource.State
TYPE = "Custom.Org/probes"
CHILD = "Custom.Org/parts"


@pytest.fixture(autouse=True)
def _held() -> None:
    Probe.release.clear()


async def place(tenant: Tenant, **fields: object) -> str:
    """Registers the probe's type, and returns a group."""
    await tenant.type("Custom.Org.probes", plugin="probe", **fields)
    return await tenant.group()


def calls(tenant: Tenant, what: str) -> list[Any]:
    return [call for said, call in Probe.calls if said == what and call.tenant == tenant.name]


def named(group: str, id: str = "a") -> str:
    return f"{group}/providers/{TYPE}/{id}"


async def ended(tenant: Tenant, begun: Operation) -> Operation:
    async def done() -> bool:
        return (await tenant.s.resources.GetOperation(GetOperationRequest(name=begun.name))).done

    await until(done)
    return await tenant.s.resources.GetOperation(GetOperationRequest(name=begun.name))


async def attempted(tenant: Tenant, times: int) -> None:
    async def so_often() -> bool:
        return len(calls(tenant, "apply")) >= times

    await until(so_often)


@everywhere
async def test_the_whole_way(tenant: Tenant) -> None:
    group = await place(tenant)
    begun = await tenant.create(group, "a", TYPE, {"size": 4, "tier": "GEO"}, tags={"team": "x"})
    made = await tenant.s.wait(begun)
    assert isinstance(made, pb.Resource)
    assert (made.provisioning_state, from_struct(made.outputs)) == (S.STATE_SUCCEEDED, {"size": 4})
    (call,) = calls(tenant, "apply")
    assert (call.properties.size, call.properties.tier, call.previous) == (4, "geo", None)
    assert call.idempotency_key == derive(begun.name.removeprefix("resourceOperations/"), "apply")
    assert (call.attempt, call.operation, call.principal) == (1, begun.name, "user:anna")
    assert call.fencing_token > 0 and 3000 < call.left <= 3600
    assert call.resource.tags == {"team": "x"}
    changed = await tenant.s.wait(await tenant.update(made.name, {"size": 5}))
    assert isinstance(changed, pb.Resource) and from_struct(changed.outputs) == {"size": 5}
    call = calls(tenant, "apply")[1]
    assert (call.previous.size, call.properties.size, call.outputs) == (4, 5, {"size": 4})
    await tenant.s.wait(await tenant.delete(made.name))
    with pytest.raises(NotFound):
        await tenant.get(made.name)
    assert len(calls(tenant, "delete")) == 1


async def test_the_models_are_the_schemas_of_the_type(tenant: Tenant) -> None:
    await place(tenant)
    found = await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.probes"))
    schema = from_struct(found.versions[0].schema)
    assert schema["properties"]["size"]["default"] == 1 and schema["additionalProperties"] is False
    assert from_struct(found.versions[0].output_schema)["required"] == ["size"]
    (grow,) = found.actions
    assert (grow.id, grow.description) == ("grow", "Grows it.")
    assert from_struct(grow.parameter_schema)["properties"]["by"]["default"] == 1


async def test_schemas_of_ones_own_stay(tenant: Tenant) -> None:
    own = {"type": "object", "properties": {"size": {"type": "integer", "maximum": 2}}}
    action = pb.TypeAction(id="grow", parameter_schema=to_struct({"required": ["by"]}))
    group = await place(tenant, versions=[pb.TypeVersion(version="v1", schema=to_struct(own))], actions=[action])
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", TYPE, {"size": 3})
    assert caught.value.reason == "RESOURCE_INVALID"
    made = await tenant.made(group, "a", TYPE, {"size": 2})
    with pytest.raises(Invalid) as caught:
        await tenant.invoke(made.name, "grow", {})
    assert caught.value.reason == "PARAMETERS_INVALID"


async def test_defaults_of_the_model_are_filled_in(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"size": 3})
    assert from_struct(made.properties) == {
        "behave": "ok",
        "hook": "",
        "end": "ok",
        "presence": "ABSENT",
        "size": 3,
        "tier": "basic",
        "lists": [],
        "unfit": False,
    }


@pytest.mark.parametrize(
    ("properties", "reason", "fields"),
    [
        ({"size": "many"}, "RESOURCE_INVALID", ["resource.properties.size"]),
        ({"speed": 1}, "RESOURCE_INVALID", ["resource.properties.speed"]),
        ({"tier": "gold"}, "HANDLER_REJECTED", ["resource.properties.tier"]),
        ({"tier": "geo", "size": 2}, "HANDLER_REJECTED", ["resource.properties.size"]),
        ({"unfit": True}, "HANDLER_REJECTED", ["resource.properties.size", "resource.properties.tier"]),
    ],
)
@everywhere
async def test_what_the_handler_refuses(tenant: Tenant, properties: object, reason: str, fields: list[str]) -> None:
    group = await place(tenant)
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", TYPE, properties)
    assert caught.value.reason == reason
    assert [violation.field for violation in caught.value.violations] == fields
    assert not calls(tenant, "apply")


async def test_reasons_of_violations(tenant: Tenant) -> None:
    group = await place(tenant)
    for properties, reasons in (({"tier": "geo"}, ["TIER"]), ({"unfit": True}, ["CAPACITY", ""])):
        with pytest.raises(Invalid) as caught:
            await tenant.create(group, "a", TYPE, properties)
        assert [violation.reason for violation in caught.value.violations] == reasons


async def test_a_handler_that_cannot_tell(tenant: Tenant) -> None:
    group = await place(tenant)
    with pytest.raises(Unavailable) as caught:
        await tenant.create(group, "a", TYPE, {"behave": "cannot tell"})
    assert (caught.value.reason, caught.value.metadata["dependency"]) == ("DEPENDENCY_UNAVAILABLE", "probe")
    assert "secret" not in str(caught.value)


async def test_validate_only_shows_the_plan(tenant: Tenant) -> None:
    group = await place(tenant)
    answer = await tenant.s.resources.CreateResource(
        pb.CreateResourceRequest(
            parent=group,
            resource_id="a",
            resource=pb.Resource(type=TYPE, properties=to_struct({"size": 7})),
            validate_only=True,
        )
    )
    metadata = OperationMetadata()
    answer.metadata.Unpack(metadata)
    assert [(step.target, step.count) for step in metadata.plan] == [("probes", 7)]
    assert calls(tenant, "validate")[0].validate_only and not calls(tenant, "apply")


@everywhere
async def test_unavailable_is_tried_again_under_one_key(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"behave": "busy:2"})
    assert made.provisioning_state == S.STATE_SUCCEEDED
    found = calls(tenant, "apply")
    assert [call.attempt for call in found] == [1, 2, 3]
    assert len({call.idempotency_key for call in found}) == 1
    assert [call.outputs for call in found] == [{}, {"size": 0}, {"size": 0}]


@pytest.mark.parametrize("behave", ["bug:2", "cancels itself"])
async def test_a_bug_is_tried_again(tenant: Tenant, behave: str) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"behave": behave})
    assert made.provisioning_state == S.STATE_SUCCEEDED


async def test_a_bug_that_stays_ends_with_the_attempts_and_tells_no_secret(tenant: Tenant) -> None:
    group = await place(tenant)
    type = await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.probes"))
    type.handler.max_attempts = 2
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
    with pytest.raises(Unavailable) as caught:
        await tenant.made(group, "a", TYPE, {"behave": "bug:9"})
    assert (caught.value.reason, caught.value.metadata["handler_reason"]) == ("HANDLER_FAILED", "INTERNAL")
    assert caught.value.metadata["incident"] and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("behave", "error", "reason"),
    [("final", FailedPrecondition, "HANDLER_FAILED"), ("no json", Internal, "HANDLER_MISBEHAVED")],
)
async def test_final_errors(tenant: Tenant, behave: str, error: type[Exception], reason: str) -> None:
    group = await place(tenant)
    with pytest.raises(error) as caught:
        await tenant.made(group, "a", TYPE, {"behave": behave})
    assert caught.value.reason == reason  # type: ignore[attr-defined]
    assert len(calls(tenant, "apply")) == 1


@pytest.mark.parametrize(
    ("presence", "state"), [("ABSENT", S.STATE_CANCELED), ("PARTIAL", S.STATE_FAILED), ("WHOLE", S.STATE_SUCCEEDED)]
)
@everywhere
async def test_cancel_ends_the_coroutine_and_read_decides(tenant: Tenant, presence: str, state: int) -> None:
    group = await place(tenant)
    begun = await tenant.create(group, "a", TYPE, {"behave": "hang", "presence": presence})
    await attempted(tenant, 1)
    await tenant.s.resources.CancelOperation(CancelOperationRequest(name=begun.name))
    await ended(tenant, begun)
    assert (tenant.name, named(group)) in Probe.ended
    assert (await tenant.get(named(group))).provisioning_state == state
    assert len(calls(tenant, "read")) == 1


async def test_silence_is_tried_again(tenant: Tenant) -> None:
    group = await place(tenant)
    type = await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.probes"))
    type.handler.idle_timeout.FromSeconds(1)
    type.handler.max_attempts = 1
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
    with pytest.raises(DeadlineExceeded):
        await tenant.made(group, "a", TYPE, {"behave": "hang"})
    assert Probe.open[tenant.name] == 0


@pytest.mark.parametrize(("hook", "state"), [("before_apply", S.STATE_FAILED), ("after_apply", S.STATE_SUCCEEDED)])
@everywhere
async def test_hooks_of_apply(tenant: Tenant, hook: str, state: int) -> None:
    group = await place(tenant)
    await ended(tenant, await tenant.create(group, "a", TYPE, {"hook": hook}))
    found = await tenant.get(named(group))
    assert found.provisioning_state == state
    if hook == "before_apply":
        assert found.state_reason == "HANDLER_FAILED" and not calls(tenant, "apply")
    else:
        (finding,) = found.findings
        assert (finding.source, from_struct(found.outputs)) == ("resourceTypes/Custom.Org.probes", {"size": 1})
        assert finding.message.startswith("after_apply")


async def test_a_bug_in_a_hook_afterwards_tells_no_secret(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"hook": "bug in after_apply"})
    (finding,) = made.findings
    assert finding.message.startswith("after_apply") and "secret" not in finding.message


async def test_hooks_of_delete(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"hook": "before_delete"})
    with pytest.raises(FailedPrecondition):
        await tenant.s.wait(await tenant.delete(made.name))
    assert not calls(tenant, "delete")
    await tenant.s.wait(await tenant.update(made.name, {"hook": "after_delete"}))
    await tenant.s.wait(await tenant.delete(made.name))
    with pytest.raises(NotFound):
        await tenant.get(made.name)
    last = (await tenant.revisions(made.name))[0]
    assert last.kind == pb.ResourceRevision.KIND_DELETED
    assert [finding.message.partition(" ")[0] for finding in last.before.findings] == ["after_delete"]


async def test_hooks_of_actions(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"hook": "before_action"})
    with pytest.raises(FailedPrecondition):
        await tenant.s.wait(await tenant.invoke(made.name, "grow", {"by": 2}))
    assert not calls(tenant, "grow")
    await tenant.s.wait(await tenant.update(made.name, {"hook": "after_action"}))
    answer = await tenant.s.wait(await tenant.invoke(made.name, "grow", {"by": 2}))
    assert isinstance(answer, pb.InvokeActionResponse)
    assert from_struct(answer.result)["size"] == 3
    assert [finding.message.partition(" ")[0] for finding in answer.resource.findings] == ["after_action"]


@everywhere
async def test_actions(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE)
    answer = await tenant.s.wait(await tenant.invoke(made.name, "grow", {}))
    assert isinstance(answer, pb.InvokeActionResponse)
    assert from_struct(answer.result) == {"size": 2}
    assert from_struct(answer.resource.outputs) == {"size": 2}
    (call,) = calls(tenant, "grow")
    assert (call.action, call.parameters.by, call.properties.size) == ("grow", 1, 1)
    assert len(calls(tenant, "look")) == 1
    await tenant.s.wait(await tenant.invoke(made.name, "grow", {}))
    assert len(calls(tenant, "look")) == 2
    for by, reason in (("fast", "PARAMETERS_INVALID"), (101, "HANDLER_REJECTED")):
        with pytest.raises(Invalid) as caught:
            await tenant.invoke(made.name, "grow", {"by": by})
        assert (caught.value.reason, caught.value.violations[0].field) == (reason, "parameters.by")


async def test_a_type_lists_only_actions_that_the_plug_in_has(tenant: Tenant) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await place(tenant, actions=[pb.TypeAction(id="shrink")])
    assert caught.value.reason == "ACTION_UNKNOWN"
    assert caught.value.metadata == {"type": TYPE, "action": "shrink", "known": "grow"}


async def test_a_bug_in_delete_is_tried_again(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", TYPE, {"end": "bug"})
    await tenant.s.wait(await tenant.delete(made.name))
    assert [call.attempt for call in calls(tenant, "delete")] == [1, 2]


async def test_what_the_model_no_longer_accepts_can_be_deleted(tenant: Tenant) -> None:
    group = await place(tenant, versions=[pb.TypeVersion(version="v1", schema=to_struct({"type": "object"}))])
    made = await tenant.made(group, "a", TYPE, {"size": 2})
    kept = Probe.Properties
    try:
        Probe.Properties = type("Narrow", (Probe.Properties,), {"__annotations__": {"must": str}})  # type: ignore[misc]
        with pytest.raises(Invalid):
            await tenant.update(made.name, {"size": 3})
        await tenant.s.wait(await tenant.delete(made.name))
    finally:
        Probe.Properties = kept  # type: ignore[misc]
    assert calls(tenant, "delete")[0].properties.size == 2


async def test_max_concurrency_counts_for_plug_ins(tenant: Tenant) -> None:
    group = await place(tenant)
    type = await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.probes"))
    type.handler.max_concurrency = 2
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
    begun = [await tenant.create(group, f"a{n}", TYPE, {"behave": "hang"}) for n in range(5)]
    await attempted(tenant, 2)
    Probe.release.set()
    await asyncio.gather(*map(tenant.s.wait, begun))
    assert len(calls(tenant, "apply")) == 5
    assert Probe.most[tenant.name] == 2


@everywhere
async def test_a_handler_makes_a_resource_of_another_type_once(tenant: Tenant) -> None:
    group = await place(tenant)
    await tenant.type("Custom.Org.parts", plugin="plain")
    made = await tenant.made(group, "a", TYPE, {"behave": f"make:{CHILD}", "size": 2})
    assert [call.attempt for call in calls(tenant, "apply")] == [1, 2]
    child = await tenant.get(f"{group}/providers/{CHILD}/made")
    assert (from_struct(child.properties), child.tags) == ({"size": 2}, {"by": "probe"})
    first = (await tenant.revisions(child.name))[-1]
    assert (first.kind, first.cause) == (pb.ResourceRevision.KIND_CREATED, pb.ResourceRevision.CAUSE_HANDLER)
    assert (first.origin, first.actor, first.method) == (made.name, "user:anna", "CreateResource")
    key = calls(tenant, "apply")[0].idempotency_key
    assert first.request_id == derive(key, f"create/{group}/{CHILD}/made")
    await tenant.s.wait(await tenant.update(made.name, {"end": f"providers/{CHILD}/made", "behave": "make none"}))
    await tenant.s.wait(await tenant.delete(made.name))
    last = (await tenant.revisions(child.name))[0]
    assert last.kind == pb.ResourceRevision.KIND_DELETED
    assert (last.cause, last.origin) == (pb.ResourceRevision.CAUSE_HANDLER, made.name)


@pytest.mark.parametrize("granted", [(), ("resource.resources.create:*/parts/other",), ("resource.resources.*",)])
async def test_what_a_handler_makes_needs_the_permission_of_who_registered_the_type(
    tenant: Tenant, granted: tuple[str, ...]
) -> None:
    group = await tenant.group()
    await tenant.type("Custom.Org.parts", plugin="plain")
    allowed = ("resource.handlers.*", "resource.resourceTypes.*", *granted)
    async with connect(tenant.server.address, token=token(tenant.name, *allowed), attempts=1) as s:
        await Tenant(tenant.name, s, tenant.server).type("Custom.Org.probes", plugin="probe")
    if granted == ("resource.resources.*",):
        made = await tenant.made(group, "a", TYPE, {"behave": f"make:{CHILD}"})
        assert made.provisioning_state == S.STATE_SUCCEEDED
        return
    with pytest.raises(PermissionDenied) as caught:
        await tenant.made(group, "a", TYPE, {"behave": f"make:{CHILD}"})
    assert caught.value.metadata["permission"] == "resource.resources.create"
    assert caught.value.metadata["handler_reason"] == "PERMISSION_MISSING"


async def test_a_part_that_fails_fails_the_whole(tenant: Tenant) -> None:
    group = await place(tenant)
    version = pb.TypeVersion(version="v1", output_schema=to_struct({"required": ["cidr"]}))
    await tenant.type("Custom.Org.parts", plugin="plain", versions=[version])
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.made(group, "a", TYPE, {"behave": f"make:{CHILD}"})
    assert (caught.value.reason, caught.value.metadata["handler_reason"]) == ("HANDLER_FAILED", "OPERATION_FAILED")
    assert caught.value.metadata["cause"] == "HANDLER_MISBEHAVED"
    assert caught.value.metadata["operation"].startswith("resourceOperations/")
    assert len(calls(tenant, "apply")) == 1


async def test_waiting_for_a_part_is_no_silence(tenant: Tenant) -> None:
    group = await place(tenant)
    await tenant.type("Custom.Org.parts", plugin="probe")
    type = await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.probes"))
    type.handler.idle_timeout.FromSeconds(1)
    type.handler.max_attempts = 1
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
    begun = await tenant.create(group, "a", TYPE, {"behave": f"wait:{CHILD}"})
    later = await tenant.s.resources.WaitOperation(WaitOperationRequest(name=begun.name, timeout=duration(1.5)))
    metadata = OperationMetadata()
    later.metadata.Unpack(metadata)
    assert not later.done and metadata.attempt == 1
    assert metadata.step.startswith("waiting for resourceOperations/")
    Probe.release.set()
    await tenant.s.wait(begun)


async def test_progress_shows_while_it_works(tenant: Tenant) -> None:
    group = await place(tenant)
    begun = await tenant.create(group, "a", TYPE, {"behave": "hang"})

    async def shows() -> bool:
        found = OperationMetadata()
        (await tenant.s.resources.GetOperation(GetOperationRequest(name=begun.name))).metadata.Unpack(found)
        return (found.progress_percent, found.step) == (30, "hanging")

    await until(shows)
    assert from_struct((await tenant.get(named(group))).outputs) == {"size": 0}
    Probe.release.set()
    await tenant.s.wait(begun)


async def test_waiting_for_a_part_gives_the_place_back(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(resources, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(resources, "RETRY_SECONDS", 0.05)
    settings = settings_for(f"sqlite:///{tmp_path}/r.db", concurrency=1)
    async with (
        running(app, settings, "resource") as up,
        connect(up.address, token=token(tenant.name), attempts=1) as s,
    ):
        alone = Tenant(tenant.name, s, tenant.server)
        group = await place(alone)
        await alone.type("Custom.Org.parts", plugin="plain")
        made = await alone.made(group, "a", TYPE, {"behave": f"make:{CHILD}"})
    assert made.provisioning_state == S.STATE_SUCCEEDED


@pytest.mark.parametrize("plugin", ["nowhere", "missing", "unready", "stranger", "twin"])
async def test_plug_ins_that_cannot_be_used(tenant: Tenant, plugin: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.type(plugin=plugin)
    assert caught.value.reason == "PLUGIN_UNKNOWN"
    assert caught.value.metadata["plugin"] == plugin and caught.value.metadata["cause"]
    assert caught.value.metadata["known"] == "plain, probe"
    assert "secret" not in str(caught.value)


async def test_the_operator_says_which_plug_ins_are_loaded(tenant: Tenant, tmp_path) -> None:  # type: ignore[no-untyped-def]
    settings = settings_for(f"sqlite:///{tmp_path}/r.db", plugins=("pla*",))
    async with (
        running(app, settings, "resource") as up,
        connect(up.address, token=token(tenant.name), attempts=1) as s,
    ):
        with pytest.raises(FailedPrecondition) as caught:
            await Tenant(tenant.name, s, tenant.server).type(plugin="probe")
    assert (caught.value.reason, caught.value.metadata["known"]) == ("PLUGIN_UNKNOWN", "plain")


async def test_work_goes_on_after_a_restart_and_waits_for_a_plug_in_that_is_gone(tenant: Tenant, tmp_path) -> None:  # type: ignore[no-untyped-def]
    url = f"sqlite:///{tmp_path}/r.db"
    lives = len(Probe.lives)
    async with (
        running(app, settings_for(url), "resource") as up,
        connect(up.address, token=token(tenant.name), attempts=1) as s,
    ):
        here = Tenant(tenant.name, s, tenant.server)
        group = await place(here)
        begun = await here.create(group, "a", TYPE, {"behave": "hang"})
        await attempted(tenant, 1)
    assert Probe.lives[lives:] == ["begun", "ended"]
    assert (tenant.name, named(group)) in Probe.ended
    async with (
        running(app, settings_for(url, plugins=()), "resource") as up,
        connect(up.address, token=token(tenant.name), attempts=1) as s,
    ):

        async def waits() -> bool:
            found = OperationMetadata()
            (await s.resources.GetOperation(GetOperationRequest(name=begun.name))).metadata.Unpack(found)
            return found.last_error.code == 14

        await until(waits)
        with pytest.raises(Unavailable) as caught:
            await Tenant(tenant.name, s, tenant.server).create(group, "b", TYPE)
        assert caught.value.metadata == {"dependency": "probe", "cause": "PLUGIN_UNKNOWN"}
    Probe.release.set()
    async with (
        running(app, settings_for(url), "resource") as up,
        connect(up.address, token=token(tenant.name), attempts=1) as s,
    ):
        made = await s.wait(begun)
    assert isinstance(made, pb.Resource) and made.provisioning_state == S.STATE_SUCCEEDED
    keys = {call.idempotency_key for call in calls(tenant, "apply")}
    assert len(calls(tenant, "apply")) == 2 and len(keys) == 1


async def test_one_operation_at_a_time(tenant: Tenant) -> None:
    group = await place(tenant)
    begun = await tenant.create(group, "a", TYPE, {"behave": "hang"})
    with pytest.raises(Conflict):
        await tenant.update(named(group), {"size": 2})
    Probe.release.set()
    await tenant.s.wait(begun)
