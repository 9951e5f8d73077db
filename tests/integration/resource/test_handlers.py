"""Types with a remote handler: how it is called, and what follows from each answer."""

import asyncio
import uuid

import pytest
from google.longrunning.operations_pb2 import (
    CancelOperationRequest,
    GetOperationRequest,
    ListOperationsRequest,
    Operation,
    WaitOperationRequest,
)
from sutler.client.operations import progress
from sutler.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    Invalid,
    NotFound,
    Unavailable,
    Unknown,
)
from sutler.ids import derive
from sutler.resource.v1 import handler_pb2
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import from_struct, to_struct

from tests.integration.resource.conftest import Tenant, everywhere, until

S = pb.Resource.State


@pytest.fixture(autouse=True)
def _held(server) -> None:  # type: ignore[no-untyped-def]
    server.machines.release.clear()


async def place(tenant: Tenant, **fields: object) -> tuple[str, str]:
    """Makes a group and a type of the handler's, and returns them."""
    return await tenant.group(), await tenant.machine_type(**fields)


def named(group: str, id: str) -> str:
    return f"{group}/providers/Custom.Org/machines/{id}"


async def operation(tenant: Tenant, found: Operation) -> Operation:
    return await tenant.s.resources.GetOperation(GetOperationRequest(name=found.name))


async def state(tenant: Tenant, name: str) -> int:
    return (await tenant.get(name)).provisioning_state


async def cancel(tenant: Tenant, found: Operation) -> None:
    await tenant.s.resources.CancelOperation(CancelOperationRequest(name=found.name))


async def calling(tenant: Tenant, method: str, name: str) -> None:
    """Waits until the handler has been called."""

    async def called() -> bool:
        return bool(tenant.calls(method, name))

    await until(called)


@everywhere
async def test_the_whole_way(tenant: Tenant) -> None:
    group, type = await place(tenant)
    request_id = str(uuid.uuid4())
    accepted = await tenant.s.resources.CreateResource(
        pb.CreateResourceRequest(
            parent=group,
            resource_id="a",
            resource=pb.Resource(type=type, properties=to_struct({"count": 3, "seconds": 0.3})),
            request_id=request_id,
        )
    )
    assert not accepted.done
    at_once = await tenant.get(named(group, "a"))
    assert at_once.reconciling and at_once.operation == accepted.name
    told = []
    made = await tenant.s.wait(accepted, lambda now: told.append((now.percent, now.step)))
    assert isinstance(made, pb.Resource)
    assert (made.provisioning_state, made.reconciling, made.operation) == (S.STATE_SUCCEEDED, False, "")
    assert (made.generation, made.observed_generation) == (1, 1)
    assert from_struct(made.outputs) == {"machines": ["m0", "m1", "m2"]}
    assert (60, "starting 3") in told
    (call,) = tenant.calls("Apply", made.name)
    assert call.idempotency_key == derive(accepted.name.removeprefix("resourceOperations/"), "apply")
    assert call.context.tenant == tenant.name and call.context.principal == "user:anna"
    assert (call.context.attempt, call.context.operation, call.context.request_id) == (1, accepted.name, request_id)
    assert call.context.fencing_token > 0 and call.context.deadline_time.seconds > made.create_time.seconds + 3000
    assert call.desired.provisioning_state == S.STATE_PROVISIONING and not call.HasField("previous")
    assert tenant.effects(made.name) == 1
    kinds = [(r.kind, r.after.provisioning_state) for r in reversed(await tenant.revisions(made.name))]
    assert kinds[0] == (pb.ResourceRevision.KIND_CREATED, S.STATE_ACCEPTED)
    assert kinds[1] == (pb.ResourceRevision.KIND_PROGRESSED, S.STATE_PROVISIONING)
    assert kinds[-1] == (pb.ResourceRevision.KIND_PROGRESSED, S.STATE_SUCCEEDED)


async def test_calls_act_for_the_types_principal_with_the_services_token(tenant: Tenant) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type)
    assert tenant.calls("Apply", made.name)
    (metadata,) = [m for method, r, m in tenant.machines.calls if method == "Apply" and r.context.tenant == tenant.name]
    assert metadata["authorization"].startswith("Bearer ")
    assert metadata["x-sutler-on-behalf-of"]
    assert metadata["x-correlation-id"]


@everywhere
async def test_update_and_delete(tenant: Tenant) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type, {"count": 1})
    changed = await tenant.s.wait(await tenant.update(made.name, {"count": 2}))
    assert isinstance(changed, pb.Resource)
    assert from_struct(changed.outputs) == {"machines": ["m0", "m1"]}
    assert (changed.generation, changed.observed_generation) == (2, 2)
    call = tenant.calls("Apply", made.name)[-1]
    assert (from_struct(call.previous.properties), from_struct(call.desired.properties)) == ({"count": 1}, {"count": 2})
    assert not call.previous.HasField("outputs")
    assert call.desired.provisioning_state == S.STATE_UPDATING
    deleting = await tenant.delete(made.name)
    assert not deleting.done
    await tenant.s.wait(deleting)
    with pytest.raises(NotFound):
        await tenant.get(made.name)
    (call,) = tenant.calls("Delete", made.name)
    assert from_struct(call.resource.outputs) == {"machines": ["m0", "m1"]}
    fences = [each.context.fencing_token for each in [*tenant.calls("Apply"), *tenant.calls("Delete")]]
    assert len(fences) == 3
    assert fences == sorted(set(fences))


async def test_what_handlers_do_not_see_does_not_call_them(tenant: Tenant) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type)
    for fields in ({"lock": "LOCK_CAN_NOT_DELETE"}, {"lock": "LOCK_NONE"}, {"tags": {}}):
        assert (await tenant.update(made.name, **fields)).done
    assert len(tenant.calls("Apply", made.name)) == 1
    await tenant.s.wait(await tenant.update(made.name, tags={"a": "1"}))
    assert len(tenant.calls("Apply", made.name)) == 2


@pytest.mark.parametrize("behave", ["transient:2", "later:2"])
@everywhere
async def test_transient_failures_are_tried_again_under_one_key(tenant: Tenant, behave: str) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type, {"behave": behave})
    calls = tenant.calls("Apply", made.name)
    assert [call.context.attempt for call in calls] == [1, 2, 3]
    assert len({call.idempotency_key for call in calls}) == 1
    assert [call.context.fencing_token for call in calls] == sorted({c.context.fencing_token for c in calls})
    assert from_struct(calls[1].desired.outputs) == {"seen": True}
    assert tenant.effects(made.name) == 1


async def test_the_last_error_shows_while_it_goes_on(tenant: Tenant) -> None:
    group, type = await place(tenant)
    accepted = await tenant.create(group, "a", type, {"behave": "transient"})

    async def tried() -> bool:
        found = OperationMetadata()
        (await operation(tenant, accepted)).metadata.Unpack(found)
        return found.attempt >= 3 and found.HasField("last_error") and found.state == found.STATE_RUNNING

    await until(tried)
    with pytest.raises(Conflict) as caught:
        await tenant.update(named(group, "a"), {"behave": "ok"})
    assert (caught.value.reason, caught.value.metadata["operation"]) == ("OPERATION_IN_PROGRESS", accepted.name)
    with pytest.raises(Conflict) as caught:
        await tenant.delete(named(group, "a"))
    assert caught.value.metadata["operation"] == accepted.name
    with pytest.raises(Conflict) as caught:
        await tenant.delete("subscriptions/shop", force=True)
    assert caught.value.metadata["operation"] == accepted.name
    await cancel(tenant, accepted)
    with pytest.raises(Cancelled):
        await tenant.s.wait(accepted)


@pytest.mark.parametrize(
    ("behave", "error", "reason", "metadata"),
    [
        ("final", FailedPrecondition, "HANDLER_FAILED", {"handler_reason": "NO_CAPACITY", "attempt": "1", "zone": "a"}),
        ("crash", Unknown, "HANDLER_FAILED", {"attempt": "1"}),
        ("no result", Internal, "HANDLER_MISBEHAVED", {}),
        ("no outputs", Internal, "HANDLER_MISBEHAVED", {}),
        ("bad outputs", Internal, "HANDLER_MISBEHAVED", {}),
        ("deep outputs", Internal, "HANDLER_MISBEHAVED", {}),
    ],
)
@everywhere
async def test_final_failures(tenant: Tenant, behave: str, error, reason: str, metadata: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    group, type = await place(tenant)
    accepted = await tenant.create(group, "a", type, {"behave": behave})
    with pytest.raises(error) as caught:
        await tenant.s.wait(accepted)
    assert caught.value.reason == reason
    assert caught.value.metadata["resource"] == named(group, "a")
    assert metadata.items() <= caught.value.metadata.items()
    failed = await tenant.get(named(group, "a"))
    assert (failed.provisioning_state, failed.state_reason) == (S.STATE_FAILED, reason)
    assert (failed.reconciling, failed.generation, failed.observed_generation) == (False, 1, 0)
    assert from_status(failed.error).reason == reason
    if behave == "final":
        assert from_struct(failed.outputs) == {"machines": ["half"]}
    again = await tenant.s.wait(await tenant.update(failed.name, {"behave": "ok"}))
    assert isinstance(again, pb.Resource) and again.provisioning_state == S.STATE_SUCCEEDED
    assert not again.HasField("error") and again.state_reason == ""
    assert tenant.calls("Apply", failed.name)[-1].desired.provisioning_state == S.STATE_PROVISIONING


async def test_what_failed_can_be_deleted_or_tried_again_unchanged(tenant: Tenant) -> None:
    group, type = await place(tenant)
    for id in ("a", "b"):
        with pytest.raises(FailedPrecondition):
            await tenant.s.wait(await tenant.create(group, id, type, {"behave": "final"}))
    with pytest.raises(FailedPrecondition):
        await tenant.s.wait(await tenant.update(named(group, "a"), {"behave": "final"}))
    assert len(tenant.calls("Apply", named(group, "a"))) == 2
    await tenant.s.wait(await tenant.delete(named(group, "b")))
    assert len(tenant.calls("Delete", named(group, "b"))) == 1
    with pytest.raises(NotFound):
        await tenant.get(named(group, "b"))


async def test_warnings_become_findings(tenant: Tenant) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type, {"behave": "warn"})
    assert [(f.source, f.message) for f in made.findings] == [
        ("resourceTypes/Custom.Org.machines", "a notice was not sent")
    ]


async def test_attempts_run_out(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type("Custom.Org.machines", handler=_handler(tenant, max_attempts=3))
    with pytest.raises(Unavailable) as caught:
        await tenant.s.wait(await tenant.create(group, "a", "Custom.Org/machines", {"behave": "transient"}))
    assert (caught.value.reason, caught.value.metadata["attempt"]) == ("HANDLER_FAILED", "3")


async def test_the_deadline_ends_it(tenant: Tenant) -> None:
    group = await tenant.group()
    handler = _handler(tenant)
    handler.timeout.FromSeconds(1)
    await tenant.type("Custom.Org.machines", handler=handler)
    for behave in ("transient", "hang"):
        with pytest.raises(DeadlineExceeded) as caught:
            await tenant.s.wait(await tenant.create(group, behave[:3], "Custom.Org/machines", {"behave": behave}))
        assert caught.value.reason == "DEADLINE_EXCEEDED"
        assert await state(tenant, named(group, behave[:3])) == S.STATE_FAILED


async def test_silence_is_another_attempt(tenant: Tenant) -> None:
    group = await tenant.group()
    handler = _handler(tenant, max_attempts=2)
    handler.idle_timeout.FromSeconds(1)
    await tenant.type("Custom.Org.machines", handler=handler)
    with pytest.raises(DeadlineExceeded) as caught:
        await tenant.s.wait(await tenant.create(group, "a", "Custom.Org/machines", {"behave": "silent"}))
    assert (caught.value.reason, caught.value.metadata["attempt"]) == ("HANDLER_FAILED", "2")


async def test_a_handler_that_is_down_is_waited_for(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type("Custom.Org.machines", address="127.0.0.1:1")
    with pytest.raises(Unavailable) as caught:
        await tenant.create(group, "a", "Custom.Org/machines")
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
    assert caught.value.metadata["dependency"] == "127.0.0.1:1"
    with pytest.raises(NotFound):
        await tenant.get(named(group, "a"))


async def test_validate_has_the_last_word(tenant: Tenant) -> None:
    group, type = await place(tenant)
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", type, {"validate": "refuse"})
    assert caught.value.reason == "HANDLER_REJECTED"
    assert [(v.field, v.reason) for v in caught.value.violations] == [
        ("resource.properties.count", "CAPACITY"),
        ("resource.properties.kind", "KIND"),
    ]
    with pytest.raises(Unavailable) as caught_other:
        await tenant.create(group, "a", type, {"validate": "down"})
    assert caught_other.value.reason == "DEPENDENCY_UNAVAILABLE"
    made = await tenant.made(group, "a", type, {"validate": "none"})
    with pytest.raises(Invalid):
        await tenant.update(made.name, {"validate": "refuse"})
    call = tenant.calls("Validate", made.name)[-1]
    assert call.change == handler_pb2.ValidateRequest.CHANGE_UPDATE and call.HasField("previous")


async def test_validate_only_asks_the_handler_for_its_plan(tenant: Tenant) -> None:
    group, type = await place(tenant)
    resource = pb.Resource(type=type, properties=to_struct({"count": 4}))
    request = pb.CreateResourceRequest(parent=group, resource_id="a", resource=resource, validate_only=True)
    answer = await tenant.s.resources.CreateResource(request)
    told = OperationMetadata()
    answer.metadata.Unpack(told)
    assert [(step.target, step.count) for step in told.plan] == [("machines", 4)]
    (call,) = tenant.calls("Validate", named(group, "a"))
    assert call.context.validate_only
    assert tenant.calls("Apply", named(group, "a")) == []


@pytest.mark.parametrize(
    ("presence", "error", "reached", "reason"),
    [
        ("ABSENT", Cancelled, S.STATE_CANCELED, "CANCELLED"),
        ("WHOLE", None, S.STATE_SUCCEEDED, ""),
        ("PARTIAL", Conflict, S.STATE_FAILED, "CANCEL_INCOMPLETE"),
    ],
)
@everywhere
async def test_cancel_ends_the_call_and_read_decides(
    tenant: Tenant, presence: str, error, reached: int, reason: str
) -> None:  # type: ignore[no-untyped-def]
    group, type = await place(tenant)
    accepted = await tenant.create(group, "a", type, {"behave": "hang", "presence": presence})
    await calling(tenant, "Apply", named(group, "a"))
    await cancel(tenant, accepted)
    if presence == "ABSENT":
        await cancel(tenant, accepted)
    if error is None:
        found = await tenant.s.wait(accepted)
        assert isinstance(found, pb.Resource) and from_struct(found.outputs) == {"machines": ["found"]}
    else:
        with pytest.raises(error) as caught:
            await tenant.s.wait(accepted)
        assert caught.value.reason == reason
    after = await tenant.get(named(group, "a"))
    assert (after.provisioning_state, after.state_reason) == (reached, reason)
    assert named(group, "a") in tenant.machines.ended
    if presence == "ABSENT":
        await cancel(tenant, accepted)
        assert (await tenant.revisions(after.name))[0].cause == pb.ResourceRevision.CAUSE_CANCEL
    else:
        with pytest.raises(FailedPrecondition) as caught:
            await cancel(tenant, accepted)
        assert caught.value.reason == "STATE_INVALID"


async def test_cancel_of_an_update_keeps_what_was_applied(tenant: Tenant) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type, {"count": 1})
    accepted = await tenant.update(made.name, {"behave": "hang"})
    await calling(tenant, "Apply", made.name)
    await cancel(tenant, accepted)
    with pytest.raises(Cancelled):
        await tenant.s.wait(accepted)
    after = await tenant.get(made.name)
    assert (after.provisioning_state, after.generation, after.observed_generation) == (S.STATE_CANCELED, 2, 1)
    await tenant.s.wait(await tenant.update(made.name, {"behave": "ok"}))
    call = tenant.calls("Apply", made.name)[-1]
    assert from_struct(call.previous.properties) == {"count": 1}
    assert call.desired.provisioning_state == S.STATE_UPDATING


@pytest.mark.parametrize("presence", ["ABSENT", "WHOLE", "PARTIAL"])
async def test_cancel_of_a_delete(tenant: Tenant, presence: str) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type, {"end": "hang", "presence": presence})
    deleting = await tenant.delete(made.name)
    await calling(tenant, "Delete", made.name)
    await cancel(tenant, deleting)
    if presence == "ABSENT":
        await tenant.s.wait(deleting)
        with pytest.raises(NotFound):
            await tenant.get(made.name)
        return
    with pytest.raises(Cancelled if presence == "WHOLE" else Conflict):
        await tenant.s.wait(deleting)
    assert await state(tenant, made.name) == S.STATE_FAILED


@everywhere
async def test_delete_takes_children_first_and_names_what_it_could_not(tenant: Tenant) -> None:
    group, type = await place(tenant)
    await tenant.type("Custom.Org.machines.disks", address=tenant.server.handler)
    machine = await tenant.made(group, "a", type)
    disks = [
        await tenant.made(machine.name, f"d{i}", "Custom.Org/machines/disks", {"end": "final" if i == 1 else "ok"})
        for i in range(3)
    ]
    deleting = await tenant.delete("subscriptions/shop", force=True)
    assert await state(tenant, "subscriptions/shop") == S.STATE_DELETING
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.s.wait(deleting)
    assert (caught.value.reason, caught.value.metadata["resource"]) == ("HANDLER_FAILED", disks[1].name)
    left = await tenant.s.resources.ListResources(pb.ListResourcesRequest(recursive=True))
    assert {r.name: r.provisioning_state for r in left.resources} == {
        "subscriptions/shop": S.STATE_FAILED,
        group: S.STATE_SUCCEEDED,
        machine.name: S.STATE_SUCCEEDED,
        disks[1].name: S.STATE_FAILED,
    }
    assert tenant.calls("Delete", machine.name) == []
    await tenant.s.wait(await tenant.update(disks[1].name, {"end": "ok"}))
    await tenant.s.wait(await tenant.delete("subscriptions/shop", force=True))
    assert len(tenant.calls("Delete", machine.name)) == 1
    left = await tenant.s.resources.ListResources(pb.ListResourcesRequest(recursive=True))
    assert list(left.resources) == []


async def test_nothing_begins_below_what_is_being_deleted(tenant: Tenant) -> None:
    group, type = await place(tenant)
    made = await tenant.made(group, "a", type, {"end": "hang"})
    deleting = await tenant.delete(group, force=True)
    await calling(tenant, "Delete", made.name)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create(group, "b", type)
    assert caught.value.reason == "STATE_INVALID"
    with pytest.raises((Conflict, FailedPrecondition)):
        await tenant.update(made.name, tags={"a": "1"})
    with pytest.raises(Conflict) as caught_other:
        await tenant.delete(made.name)
    assert caught_other.value.metadata["operation"] == deleting.name
    tenant.machines.release.set()
    await tenant.s.wait(deleting)


@everywhere
async def test_abandon(tenant: Tenant) -> None:
    group, type = await place(tenant)
    accepted = await tenant.create(group, "a", type, {"behave": "hang"})
    await calling(tenant, "Apply", named(group, "a"))
    answers = [
        await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name=accepted.name)) for _ in range(2)
    ]
    assert answers[0].operation.error.code == 10 and answers[0].operation.done
    assert answers[0].operation == answers[1].operation
    assert answers[0].resource.state_reason == "ABANDONED" and len(answers[0].leftovers) == 1
    tenant.machines.release.set()
    await tenant.s.wait(await tenant.update(named(group, "a"), {"behave": "ok", "count": 2}))
    after = await tenant.get(named(group, "a"))
    assert from_struct(after.outputs) == {"machines": ["m0", "m1"]}
    with pytest.raises(FailedPrecondition):
        await tenant.s.resources.AbandonOperation(
            pb.AbandonOperationRequest(name=(await tenant.update(group, tags={"a": "1"})).name)
        )
    with pytest.raises(NotFound):
        await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name="resourceOperations/none"))


async def test_operations_are_listed_waited_for_and_watched(tenant: Tenant) -> None:
    group, type = await place(tenant)
    accepted = await tenant.create(group, "a", type, {"behave": "hang"})
    wait = WaitOperationRequest(name=accepted.name)
    wait.timeout.FromMilliseconds(100)
    assert not (await tenant.s.resources.WaitOperation(wait)).done
    found = await tenant.s.resources.ListOperations(
        ListOperationsRequest(
            name="resourceOperations", filter=f'metadata.target = "{named(group, "a")}" AND done = false'
        )
    )
    assert [each.name for each in found.operations] == [accepted.name]
    await calling(tenant, "Apply", named(group, "a"))
    tenant.machines.release.set()
    wait.timeout.FromSeconds(10)
    assert progress(await tenant.s.resources.WaitOperation(wait)).state == "SUCCEEDED"


async def test_the_handlers_calls_are_bounded(tenant: Tenant) -> None:
    group = await tenant.group()
    handler = _handler(tenant)
    handler.max_concurrency = 1
    await tenant.type("Custom.Org.machines", handler=handler)
    first = await tenant.create(group, "a", "Custom.Org/machines", {"behave": "hang"})
    await calling(tenant, "Apply", named(group, "a"))
    second = await tenant.create(group, "b", "Custom.Org/machines")
    await asyncio.sleep(0.3)
    assert tenant.calls("Apply", named(group, "b")) == []
    tenant.machines.release.set()
    await tenant.s.wait(first)
    await tenant.s.wait(second)


def _handler(tenant: Tenant, **fields: object) -> pb.TypeHandler:
    handler = pb.TypeHandler(remote=pb.RemoteHandler(address=tenant.server.handler), **fields)  # type: ignore[arg-type]
    handler.min_backoff.FromMilliseconds(20)
    handler.max_backoff.FromMilliseconds(50)
    return handler
