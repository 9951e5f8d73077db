"""Actions: what a type's handler can do with a resource besides making it."""

import asyncio
import uuid

import pytest
from google.longrunning.operations_pb2 import CancelOperationRequest, GetOperationRequest, Operation
from sutler.errors import Cancelled, Conflict, FailedPrecondition, Internal, Invalid, NotFound, Unavailable
from sutler.ids import derive
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import from_struct, to_struct

from tests.integration.resource.conftest import Tenant, everywhere, until

S = pb.Resource.State
PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "mode": {"type": "string", "enum": ["soft", "hard"], "default": "soft"},
        "behave": {"type": "string"},
        "seconds": {"type": "number"},
    },
}
RESULT = {"type": "object", "required": ["mode"]}
RESTART = pb.TypeAction(id="restart", parameter_schema=to_struct(PARAMETERS), result_schema=to_struct(RESULT))


@pytest.fixture(autouse=True)
def _held(server) -> None:  # type: ignore[no-untyped-def]
    server.machines.release.clear()


async def machine(tenant: Tenant, properties: object = None, **fields: object) -> pb.Resource:
    """Makes a machine that can be restarted, and stopped without parameters."""
    group = await tenant.group()
    type = await tenant.machine_type(actions=[RESTART, pb.TypeAction(id="stop")], **fields)
    return await tenant.made(group, "a", type, properties)


async def failed(tenant: Tenant, begun: Operation) -> Operation:
    """Returns an operation when it has ended with an error."""

    async def ended() -> bool:
        return (await tenant.s.resources.GetOperation(GetOperationRequest(name=begun.name))).done

    await until(ended)
    return await tenant.s.resources.GetOperation(GetOperationRequest(name=begun.name))


@everywhere
async def test_the_whole_way(tenant: Tenant) -> None:
    made = await machine(tenant)
    told = []
    begun = await tenant.invoke(made.name, "restart", {"mode": "hard", "seconds": 0.3})
    answer = await tenant.s.wait(begun, lambda now: told.append((now.percent, now.step)))
    assert isinstance(answer, pb.InvokeActionResponse)
    assert from_struct(answer.result) == {"mode": "hard"}
    assert (40, "restarting") in told
    assert answer.resource.name == made.name
    now = await tenant.get(made.name)
    assert (now.provisioning_state, now.operation, now.reconciling) == (S.STATE_SUCCEEDED, "", False)
    assert (now.generation, now.observed_generation, now.outputs) == (1, 1, made.outputs)
    (call,) = tenant.calls("InvokeAction", made.name)
    assert call.idempotency_key == derive(begun.name.removeprefix("resourceOperations/"), "invoke/restart")
    assert (call.action, from_struct(call.parameters)["mode"]) == ("restart", "hard")
    assert call.context.operation == begun.name and call.context.fencing_token > 0
    asked = tenant.calls("Validate", made.name)[-1]
    assert (asked.change, asked.action) == (asked.CHANGE_INVOKE, "restart")


async def test_outputs_and_warnings_of_an_action_are_kept(tenant: Tenant) -> None:
    made = await machine(tenant)
    answer = await tenant.s.wait(await tenant.invoke(made.name, "restart", {"behave": "outputs"}))
    assert isinstance(answer, pb.InvokeActionResponse)
    assert from_struct(answer.resource.outputs) == {"machines": ["restarted"]}
    now = await tenant.get(made.name)
    assert (now.outputs, [f.message for f in now.findings]) == (answer.resource.outputs, ["it took long"])


async def test_defaults_of_parameters_are_filled_in(tenant: Tenant) -> None:
    made = await machine(tenant)
    await tenant.s.wait(await tenant.invoke(made.name, "restart"))
    (call,) = tenant.calls("InvokeAction", made.name)
    assert from_struct(call.parameters) == {"mode": "soft"}


@pytest.mark.parametrize(
    ("action", "parameters", "fields"),
    [
        ("restart", {"mode": "gently"}, ["parameters.mode"]),
        ("restart", {"mode": 1, "when": "now"}, ["parameters.mode", "parameters.mode", "parameters.when"]),
        ("stop", {"mode": "hard"}, ["parameters"]),
    ],
)
async def test_parameters_that_do_not_fit(tenant: Tenant, action: str, parameters: object, fields: list[str]) -> None:
    made = await machine(tenant)
    with pytest.raises(Invalid) as caught:
        await tenant.invoke(made.name, action, parameters)
    assert caught.value.reason == "PARAMETERS_INVALID"
    assert caught.value.metadata == {"type": made.type, "action": action}
    assert sorted(violation.field for violation in caught.value.violations) == fields
    assert not tenant.calls("InvokeAction")


async def test_an_unknown_action_names_the_known_ones(tenant: Tenant) -> None:
    made = await machine(tenant)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.invoke(made.name, "reboot")
    assert caught.value.reason == "ACTION_UNKNOWN"
    assert caught.value.metadata == {"type": made.type, "action": "reboot", "known": "restart, stop"}


async def test_an_unknown_resource(tenant: Tenant) -> None:
    with pytest.raises(NotFound):
        await tenant.invoke("subscriptions/nothing", "restart")


async def test_an_action_needs_the_present_etag(tenant: Tenant) -> None:
    made = await machine(tenant)
    with pytest.raises(Conflict) as caught:
        await tenant.invoke(made.name, "stop", etag='"old"')
    assert caught.value.reason == "ETAG_MISMATCH"
    await tenant.s.wait(await tenant.invoke(made.name, "stop", etag=made.etag))


async def test_the_handler_may_refuse(tenant: Tenant) -> None:
    made = await machine(tenant)
    tenant.machines.refused.add((tenant.name, made.name))
    with pytest.raises(Invalid) as caught:
        await tenant.invoke(made.name, "stop")
    assert caught.value.reason == "HANDLER_REJECTED"
    assert [violation.field for violation in caught.value.violations] == ["parameters.mode"]


async def test_a_read_only_scope_takes_no_action(tenant: Tenant) -> None:
    made = await machine(tenant)
    await tenant.s.wait(await tenant.update("subscriptions/shop", lock=pb.Resource.LOCK_READ_ONLY))
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.invoke(made.name, "stop")
    assert caught.value.reason == "LOCKED"
    assert caught.value.metadata["holder"] == "subscriptions/shop"


async def test_one_operation_at_a_time(tenant: Tenant) -> None:
    made = await machine(tenant)
    begun = await tenant.invoke(made.name, "restart", {"behave": "hang"})
    for other in (tenant.invoke(made.name, "stop"), tenant.update(made.name, {"count": 2}), tenant.delete(made.name)):
        with pytest.raises(Conflict) as caught:
            await other
        assert caught.value.reason == "OPERATION_IN_PROGRESS"
    assert (await tenant.get(made.name)).operation == begun.name
    tenant.machines.release.set()
    await tenant.s.wait(begun)


async def test_a_failed_action_leaves_the_state(tenant: Tenant) -> None:
    made = await machine(tenant)
    ended = await failed(tenant, await tenant.invoke(made.name, "restart", {"behave": "final"}))
    error = from_status(ended.error)
    assert (error.reason, error.metadata["handler_reason"]) == ("HANDLER_FAILED", "NO_CAPACITY")
    now = await tenant.get(made.name)
    assert (now.provisioning_state, now.operation) == (S.STATE_SUCCEEDED, "")
    assert from_struct(now.outputs) == {"machines": ["half"]}


async def test_transient_errors_are_tried_again_with_one_effect(tenant: Tenant) -> None:
    made = await machine(tenant)
    await tenant.s.wait(await tenant.invoke(made.name, "restart", {"behave": "transient:2"}))
    calls = tenant.calls("InvokeAction", made.name)
    assert [call.context.attempt for call in calls] == [1, 2, 3]
    assert len({call.idempotency_key for call in calls}) == 1
    assert tenant.effects(made.name) == 2  # made and restarted


async def test_attempts_run_out(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(address=tenant.server.handler, actions=[RESTART])
    types = tenant.s.resources
    type = await types.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.servers"))
    type.handler.max_attempts = 2
    await types.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
    made = await tenant.made(group, "a", "Custom.Org/servers")
    with pytest.raises(Unavailable) as caught:
        await tenant.s.wait(await tenant.invoke(made.name, "restart", {"behave": "transient"}))
    assert (caught.value.reason, caught.value.metadata["attempt"]) == ("HANDLER_FAILED", "2")


async def test_a_result_that_does_not_fit_its_schema(tenant: Tenant) -> None:
    made = await machine(tenant)
    with pytest.raises(Internal) as caught:
        await tenant.s.wait(await tenant.invoke(made.name, "restart", {"behave": "bad result"}))
    assert caught.value.reason == "HANDLER_MISBEHAVED"


async def test_cancel(tenant: Tenant) -> None:
    made = await machine(tenant, {"presence": "WHOLE"})
    begun = await tenant.invoke(made.name, "restart", {"behave": "hang"})

    async def called() -> bool:
        return bool(tenant.calls("InvokeAction", made.name))

    await until(called)
    await tenant.s.resources.CancelOperation(CancelOperationRequest(name=begun.name))
    with pytest.raises(Cancelled):
        await tenant.s.wait(begun)
    now = await tenant.get(made.name)
    assert (now.provisioning_state, now.operation) == (S.STATE_SUCCEEDED, "")
    assert from_struct(now.outputs) == {"machines": ["found"]}


async def test_abandon_leaves_the_state(tenant: Tenant) -> None:
    made = await machine(tenant)
    begun = await tenant.invoke(made.name, "restart", {"behave": "hang"})

    async def called() -> bool:
        return bool(tenant.calls("InvokeAction", made.name))

    await until(called)
    answer = await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name=begun.name))
    assert answer.operation.done and len(answer.leftovers) == 1
    assert (answer.resource.provisioning_state, answer.resource.operation) == (S.STATE_SUCCEEDED, "")
    tenant.machines.release.set()
    await tenant.s.wait(await tenant.invoke(made.name, "stop"))


@everywhere
async def test_a_repeat_gets_the_first_answer(tenant: Tenant) -> None:
    made = await machine(tenant)
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(
        *(tenant.invoke(made.name, "restart", {"mode": "hard"}, request_id=request_id) for _ in range(3))
    )
    assert len({answer.name for answer in answers}) == 1
    await tenant.s.wait(answers[0])
    again = await tenant.invoke(made.name, "restart", {"mode": "hard"}, request_id=request_id)
    assert again.name == answers[0].name
    assert len(tenant.calls("InvokeAction", made.name)) == 1


async def test_validate_only(tenant: Tenant) -> None:
    made = await machine(tenant)
    answer = await tenant.invoke(made.name, "restart", validate_only=True)
    metadata = OperationMetadata()
    answer.metadata.Unpack(metadata)
    response = pb.InvokeActionResponse()
    assert answer.done and not answer.name and answer.response.Unpack(response)
    assert (response.resource.name, metadata.target, len(metadata.plan)) == (made.name, made.name, 1)
    assert not tenant.calls("InvokeAction")


async def test_records_have_no_actions(tenant: Tenant) -> None:
    with pytest.raises(Invalid) as caught:
        await tenant.type(actions=[RESTART])
    assert caught.value.metadata["field"] == "resource_type.actions"


async def test_wrong_actions_are_refused_when_they_are_registered(tenant: Tenant) -> None:
    with pytest.raises(Invalid) as caught:
        await tenant.machine_type(actions=[RESTART, RESTART])
    assert caught.value.metadata["field"] == "resource_type.actions[1].id"
    with pytest.raises(Invalid) as caught:
        await tenant.machine_type(actions=[pb.TypeAction(id="a", result_schema=to_struct({"type": "no"}))])
    assert caught.value.reason == "SCHEMA_INVALID"
