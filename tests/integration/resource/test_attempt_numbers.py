"""What handlers and callers are told as the number of an attempt: one for each call, not for each wake-up."""

from typing import Any

from google.longrunning.operations_pb2 import GetOperationRequest
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Tenant, everywhere
from tests.integration.resource.stacking import MACHINES, applied, begin, ended, get, member, metadata, stack


def numbers(tenant: Tenant, method: str, name: str) -> list[int]:
    return [call.context.attempt for call in tenant.calls(method, name)]


async def place(tenant: Tenant, **handler: Any) -> str:
    await tenant.machine_type(handler=pb.TypeHandler(**handler))
    return await tenant.group()


@everywhere
async def test_a_delete_counts_for_each_resource(tenant: Tenant) -> None:
    group = await place(tenant)
    parent = pb.ResourceType(versions=[pb.TypeVersion(version="v1")], parent_type=MACHINES)
    await tenant.type("Custom.Org.machines.disks", address=tenant.server.handler, parent_type=parent.parent_type)
    made = await tenant.made(group, "a", MACHINES)
    disks = [await tenant.made(made.name, id, f"{MACHINES}/disks", {"end": "transient:2"}) for id in "xy"]
    machine = pb.UpdateResourceRequest(resource=pb.Resource(name=made.name))
    machine.resource.properties.update({"end": "transient:1"})
    await tenant.s.wait(await tenant.s.resources.UpdateResource(machine))
    assert (await ended(tenant, await tenant.delete(made.name, force=True))).HasField("response")
    for disk in disks:
        assert numbers(tenant, "Delete", disk.name) == [1, 2, 3]
    assert numbers(tenant, "Delete", made.name) == [1, 2]


async def test_attempts_at_others_do_not_use_up_those_of_a_resource(tenant: Tenant) -> None:
    group = await place(tenant, max_attempts=3)
    first = await tenant.made(group, "z", MACHINES, {"end": "transient:2"})
    await tenant.type("Custom.Org.machines.disks", address=tenant.server.handler, parent_type=MACHINES)
    other = await tenant.made(first.name, "x", f"{MACHINES}/disks", {"end": "transient:2"})
    assert (await ended(tenant, await tenant.delete(group, force=True))).HasField("response")
    assert numbers(tenant, "Delete", other.name) == [1, 2, 3] == numbers(tenant, "Delete", first.name)


@everywhere
async def test_a_run_that_waits_makes_no_new_attempt(tenant: Tenant) -> None:
    group = await place(tenant)
    members = [member("a", MACHINES), member("b", MACHINES, dependencies=["a"])]
    members.append(member("c", MACHINES, dependencies=["b"]))
    begun = await begin(tenant, stack(*members, scope=group))
    assert metadata(await ended(tenant, begun)).attempt == 1
    operations = [state.operation for state in (await get(tenant)).member_states]
    for operation in operations:
        found = await tenant.s.resources.GetOperation(GetOperationRequest(name=operation))
        assert metadata(found).attempt == 1
    assert (await applied(tenant, stack(*members[:1], scope=group))).state == pb.Stack.STATE_SUCCEEDED
