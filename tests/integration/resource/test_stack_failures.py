"""Runs of stacks that fail, are cancelled or given up: what is undone, what stays, and what is told."""

import pytest
from google.longrunning.operations_pb2 import CancelOperationRequest, GetOperationRequest, Operation
from sutler.errors import NotFound, SutlerError
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status
from sutler.wire import from_struct

from tests.integration.resource.conftest import Tenant, everywhere, until
from tests.integration.resource.stacking import (
    MACHINES,
    NAME,
    SERVERS,
    ST,
    applied,
    became,
    begin,
    ended,
    get,
    member,
    metadata,
    stack,
    states,
)

KEEP = pb.Stack.FAILURE_POLICY_KEEP
FAILS = {"behave": "final"}


@pytest.fixture(autouse=True)
def _held(server) -> None:  # type: ignore[no-untyped-def]
    server.machines.release.clear()


async def base(tenant: Tenant) -> str:
    group = await tenant.group()
    await tenant.type()
    await tenant.machine_type()
    return group


def server_name(group: str, id: str) -> str:
    return f"{group}/providers/{SERVERS}/{id}"


def machine_name(group: str, id: str) -> str:
    return f"{group}/providers/{MACHINES}/{id}"


async def failed(tenant: Tenant, operation: Operation) -> SutlerError:
    done = await ended(tenant, operation)
    assert done.HasField("error"), done
    return from_status(done.error)


async def exists(tenant: Tenant, resource: str) -> bool:
    try:
        await tenant.get(resource)
    except NotFound:
        return False
    return True


async def cancel(tenant: Tenant, operation: Operation) -> None:
    await tenant.s.resources.CancelOperation(CancelOperationRequest(name=operation.name))


async def delete(tenant: Tenant, **fields: object) -> Operation:
    return await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, **fields))  # type: ignore[arg-type]


def chain(*, fails: object = FAILS) -> list[pb.StackMember]:
    """A record, a machine that needs it, one that needs that and fails, and a record that needs the last."""
    return [
        member("a", properties={"n": 1}),
        member("b", MACHINES, {"of": "${members.a.name}"}),
        member("c", MACHINES, {**fails, "of": "${members.b.name}"}),  # type: ignore[dict-item]
        member("d", properties={"of": "${members.c.name}"}),
    ]


@everywhere
async def test_a_failed_run_is_undone(tenant: Tenant) -> None:
    group = await base(tenant)
    there = await tenant.made(group, "old", SERVERS, {"n": 1})
    operation = await begin(tenant, stack(*chain(), member("old", properties={"n": 2}), scope=group))
    error = await failed(tenant, operation)
    assert (error.reason, int(error.code)) == ("STACK_MEMBER_FAILED", 9)
    told = {key: error.metadata[key] for key in ("stack", "member", "cause", "undone", "changed")}
    assert told == {"stack": NAME, "member": "c", "cause": "HANDLER_FAILED", "undone": "3", "changed": "1"}
    found = await get(tenant)
    assert (found.state, found.operation, from_status(found.error).reason) == (ST.STATE_FAILED, "", error.reason)
    assert states(found) == {"a": "UNDONE", "b": "UNDONE", "c": "FAILED", "d": "SKIPPED", "old": "SUCCEEDED"}
    (why,) = [state.error for state in found.member_states if state.HasField("error")]
    assert from_status(why).reason == "HANDLER_FAILED"
    for name in (server_name(group, "a"), machine_name(group, "b"), machine_name(group, "c"), server_name(group, "d")):
        assert not await exists(tenant, name)
    gone = [
        (await tenant.revisions(name))[0].revision
        for name in (machine_name(group, "c"), machine_name(group, "b"), server_name(group, "a"))
    ]
    assert gone == sorted(gone)
    assert from_struct((await tenant.get(there.name)).properties) == {"n": 2}
    assert [r.resource.name for r in tenant.calls("Delete")] == [machine_name(group, "c"), machine_name(group, "b")]


@everywhere
async def test_a_failed_run_may_keep_what_it_made(tenant: Tenant) -> None:
    group = await base(tenant)
    operation = await begin(tenant, stack(*chain(), scope=group, failure_policy=KEEP))
    error = await failed(tenant, operation)
    assert (error.reason, error.metadata["undone"]) == ("STACK_MEMBER_FAILED", "0")
    found = await get(tenant)
    assert (found.state, states(found)) == (
        ST.STATE_FAILED,
        {"a": "SUCCEEDED", "b": "SUCCEEDED", "c": "FAILED", "d": "SKIPPED"},
    )
    assert (await tenant.get(machine_name(group, "c"))).provisioning_state == pb.Resource.STATE_FAILED
    done = await applied(tenant, stack(*chain(fails={"behave": "ok"}), scope=group, failure_policy=KEEP))
    assert [state.action for state in done.member_states] == [4, 4, 2, 1]
    assert set(states(done).values()) == {"SUCCEEDED"}
    assert tenant.effects(machine_name(group, "b")) == 1


async def test_what_was_there_before_the_run_is_not_undone(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a", properties={"n": 1}), scope=group))
    operation = await begin(tenant, stack(*chain(), scope=group))
    error = await failed(tenant, operation)
    assert (error.metadata["undone"], error.metadata["changed"]) == ("2", "0")
    assert await exists(tenant, server_name(group, "a"))
    await tenant.s.wait(await delete(tenant))
    assert not await exists(tenant, server_name(group, "a"))


@everywhere
async def test_an_undo_that_fails(tenant: Tenant) -> None:
    group = await base(tenant)
    members = chain()
    members[1].properties["end"] = "final"
    error = await failed(tenant, await begin(tenant, stack(*members, scope=group)))
    assert (error.reason, int(error.code)) == ("UNDO_INCOMPLETE", 10)
    assert {key: error.metadata[key] for key in ("stack", "member", "left", "undone")} == {
        "stack": NAME,
        "member": "c",
        "left": "2",
        "undone": "1",
    }
    found = await get(tenant)
    assert (found.state, states(found)) == (
        ST.STATE_FAILED,
        {"a": "SUCCEEDED", "b": "FAILED", "c": "FAILED", "d": "SKIPPED"},
    )
    assert (await tenant.get(machine_name(group, "b"))).provisioning_state == pb.Resource.STATE_FAILED
    assert (await tenant.get(server_name(group, "a"))).stack == NAME


async def test_strangers_below_a_member_are_not_undone_with_it(tenant: Tenant) -> None:
    await base(tenant)
    wished = stack(
        member("g", "Sutler.Resource/resourceGroups"),
        member("m", MACHINES, {"behave": "hang"}, parent="subscriptions/shop/resourceGroups/orders"),
        scope="subscriptions/shop",
    )
    operation = await begin(tenant, wished)
    await became(tenant, "g", "SUCCEEDED")
    await became(tenant, "m", "RUNNING")
    stranger = await tenant.made("subscriptions/shop/resourceGroups/g", "s", SERVERS)
    await cancel(tenant, operation)
    error = await failed(tenant, operation)
    assert (error.reason, error.metadata["left"]) == ("UNDO_INCOMPLETE", "1")
    assert await exists(tenant, stranger.name)


@everywhere
async def test_a_cancel_undoes(tenant: Tenant) -> None:
    group = await base(tenant)
    operation = await begin(tenant, stack(*chain(fails={"behave": "hang"}), scope=group))
    await became(tenant, "c", "RUNNING")
    await cancel(tenant, operation)
    error = await failed(tenant, operation)
    assert (error.reason, int(error.code), error.metadata["undone"]) == ("CANCELLED", 1, "3")
    assert metadata(await ended(tenant, operation)).state == metadata(operation).STATE_CANCELLED
    found = await get(tenant)
    assert (found.state, states(found)) == (
        ST.STATE_CANCELED,
        {"a": "UNDONE", "b": "UNDONE", "c": "UNDONE", "d": "SKIPPED"},
    )
    assert not await exists(tenant, machine_name(group, "c"))
    assert tenant.machines.ended.count(machine_name(group, "c")) >= 1


async def test_a_cancel_that_keeps(tenant: Tenant) -> None:
    group = await base(tenant)
    operation = await begin(tenant, stack(*chain(fails={"behave": "hang"}), scope=group, failure_policy=KEEP))
    await became(tenant, "c", "RUNNING")
    await cancel(tenant, operation)
    await cancel(tenant, operation)
    assert (await failed(tenant, operation)).reason == "CANCELLED"
    found = await get(tenant)
    assert (found.state, states(found)) == (
        ST.STATE_CANCELED,
        {"a": "SUCCEEDED", "b": "SUCCEEDED", "c": "FAILED", "d": "SKIPPED"},
    )
    assert (await tenant.get(machine_name(group, "c"))).provisioning_state == pb.Resource.STATE_CANCELED


async def test_a_cancelled_delete_leaves_the_rest(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(
        tenant, stack(member("a"), member("b", MACHINES, {"end": "hang", "of": "${members.a.name}"}), scope=group)
    )
    operation = await delete(tenant)
    await became(tenant, "b", "RUNNING")
    assert (await get(tenant)).state == ST.STATE_DELETING
    await cancel(tenant, operation)
    error = await failed(tenant, operation)
    assert error.reason == "CANCELLED"
    found = await get(tenant)
    assert found.state == ST.STATE_FAILED and states(found)["a"] == "SKIPPED"
    tenant.machines.release.set()
    await tenant.s.wait(await delete(tenant))
    assert not await exists(tenant, server_name(group, "a"))


@everywhere
async def test_a_delete_that_fails_leaves_the_rest(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(
        tenant,
        stack(
            member("a"),
            member("b", MACHINES, {"end": "final", "of": "${members.a.name}"}),
            member("c", properties={"of": "${members.b.name}"}),
            scope=group,
        ),
    )
    error = await failed(tenant, await delete(tenant))
    assert (error.reason, int(error.code), error.metadata["member"]) == ("STACK_MEMBER_FAILED", 9, "b")
    found = await get(tenant)
    assert (found.state, found.operation) == (ST.STATE_FAILED, "")
    assert sorted(states(found).items()) == [("a", "SKIPPED"), ("b", "FAILED"), ("c", "DELETED")]
    await tenant.update(machine_name(group, "b"), {"end": "ok"})
    await tenant.s.wait(await delete(tenant))
    with pytest.raises(NotFound):
        await get(tenant)


async def test_a_member_that_cannot_leave_fails_the_run(tenant: Tenant) -> None:
    """What the run created is undone, as the policy says."""
    group = await base(tenant)
    await applied(tenant, stack(member("old", MACHINES, {"end": "final"}), scope=group))
    error = await failed(tenant, await begin(tenant, stack(member("new"), scope=group)))
    assert (error.reason, error.metadata["member"], error.metadata["undone"]) == ("STACK_MEMBER_FAILED", "old", "1")
    assert states(await get(tenant)) == {"new": "UNDONE", "old": "FAILED"}
    assert await exists(tenant, machine_name(group, "old"))


async def test_outputs_that_are_not_there(tenant: Tenant) -> None:
    group = await base(tenant)
    members = [member("a", MACHINES), member("b", properties={"x": "${members.a.outputs.disks}"})]
    error = await failed(tenant, await begin(tenant, stack(*members, scope=group)))
    assert (error.reason, int(error.code)) == ("STACK_MEMBER_FAILED", 3)
    assert (error.metadata["member"], error.metadata["cause"]) == ("b", "REFERENCE_UNRESOLVED")
    assert error.metadata["target"] == "members.a.outputs.disks"
    wished = stack(members[0], scope=group, output_values={"x": "${members.a.outputs.disks}"})
    error = await failed(tenant, await begin(tenant, wished))
    assert (error.reason, error.metadata["field"]) == ("REFERENCE_UNRESOLVED", "stack.output_values.x")
    assert (error.metadata["undone"], states(await get(tenant))) == ("1", {"a": "UNDONE"})


async def test_values_that_do_not_fit_once_they_are_known(tenant: Tenant) -> None:
    group = await base(tenant)
    members = [member("a", MACHINES), member("b", display_name="${members.a.outputs.machines}")]
    error = await failed(tenant, await begin(tenant, stack(*members, scope=group)))
    assert (error.metadata["member"], error.metadata["cause"]) == ("b", "FIELD_INVALID")


@everywhere
async def test_a_run_waits_for_others_who_work_on_a_member(tenant: Tenant) -> None:
    """Somebody changes a member by hand after the run was accepted; the run takes its turn after that."""
    group = await base(tenant)
    await applied(tenant, stack(member("m", MACHINES, {"count": 1}), scope=group))
    hung = [
        member("first", MACHINES, {"behave": "hang"}),
        member("m", MACHINES, {"count": 2}, dependencies=["first"]),
    ]
    operation = await begin(tenant, stack(*hung, scope=group))
    await became(tenant, "first", "RUNNING")
    by_hand = await tenant.update(machine_name(group, "m"), {"behave": "hang", "by": "hand"})

    async def both_called() -> bool:
        return len(tenant.calls("Apply", machine_name(group, "m"))) == 2

    await until(both_called)
    tenant.machines.release.set()
    await tenant.s.wait(operation)
    assert (await ended(tenant, by_hand)).HasField("response")
    found = await tenant.get(machine_name(group, "m"))
    assert from_struct(found.properties) == {"count": 2, "behave": "hang", "by": "hand"}


async def test_a_member_taken_by_another_stack_meanwhile(tenant: Tenant) -> None:
    group = await base(tenant)
    members = [member("m", MACHINES, {"behave": "hang"}), member("x", dependencies=["m"])]
    operation = await begin(tenant, stack(*members, scope=group))
    await became(tenant, "m", "RUNNING")
    await applied(tenant, stack(member("x"), name="stacks/other", scope=group))
    tenant.machines.release.set()
    error = await failed(tenant, operation)
    assert (error.metadata["member"], error.metadata["cause"]) == ("x", "STACK_CONFLICT")
    assert (await tenant.get(server_name(group, "x"))).stack == "stacks/other"


@everywhere
async def test_a_run_that_is_given_up(tenant: Tenant) -> None:
    group = await base(tenant)
    operation = await begin(tenant, stack(*chain(fails={"behave": "hang"}), scope=group))
    await became(tenant, "c", "RUNNING")
    request = pb.AbandonOperationRequest(name=operation.name)
    answer = await tenant.s.resources.AbandonOperation(request)
    assert from_status(answer.operation.error).reason == "ABANDONED" and not answer.HasField("resource")
    found = await get(tenant)
    (own,) = [state.operation for state in found.member_states if state.member == "c"]
    assert len(answer.leftovers) == 1 and own in answer.leftovers[0]
    assert await tenant.s.resources.AbandonOperation(request) == answer
    assert (found.state, found.operation, states(found)) == (
        ST.STATE_FAILED,
        "",
        {"a": "SUCCEEDED", "b": "SUCCEEDED", "c": "FAILED", "d": "SKIPPED"},
    )
    assert not (await tenant.s.resources.GetOperation(GetOperationRequest(name=own))).done
    tenant.machines.release.set()
    await ended(tenant, Operation(name=own))
    done = await applied(tenant, stack(*chain(fails={"behave": "hang"}), scope=group))
    assert [state.action for state in done.member_states] == [4, 4, 4, 1]


async def test_a_member_whose_operation_is_given_up_fails_the_run(tenant: Tenant) -> None:
    group = await base(tenant)
    operation = await begin(tenant, stack(member("m", MACHINES, {"behave": "hang"}), scope=group))
    await became(tenant, "m", "RUNNING")
    own = (await tenant.get(machine_name(group, "m"))).operation
    await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name=own))
    error = await failed(tenant, operation)
    assert (error.reason, error.metadata["cause"], error.metadata["undone"]) == (
        "STACK_MEMBER_FAILED",
        "ABANDONED",
        "1",
    )


async def test_a_handler_that_is_away_is_waited_for(tenant: Tenant) -> None:
    """Its Validate cannot be asked when the member's turn comes; it is tried again until it can."""
    group = await base(tenant)
    members = [
        member("m", MACHINES, {"behave": "hang"}),
        member("n", MACHINES, {"validate": "${members.m.outputs.machines.0}"}),
    ]
    away = pb.Resource(name=machine_name(group, "n"), type=MACHINES)
    operation = await begin(tenant, stack(*members, scope=group))
    await became(tenant, "m", "RUNNING")
    tenant.machines.away.add((tenant.name, away.name))
    tenant.machines.release.set()

    async def asked() -> bool:
        return any(r.desired.name == away.name for r in tenant.calls("Validate"))

    await until(asked)

    async def told() -> bool:
        return any(state.error.code == 14 for state in (await get(tenant)).member_states)

    await until(told)
    assert states(await get(tenant)) == {"m": "SUCCEEDED", "n": "WAITING"}
    tenant.machines.away.clear()
    await tenant.s.wait(operation)
    assert not any(state.HasField("error") for state in (await get(tenant)).member_states)
    assert tenant.effects(away.name) == 1
