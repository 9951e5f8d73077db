"""What the tests of stacks share: how stacks are written, applied, and waited for."""

from collections.abc import Mapping
from typing import Any

from google.longrunning.operations_pb2 import GetOperationRequest, Operation
from sutler.resource.v1 import resource_pb2 as pb
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import to_struct

from tests.integration.resource.conftest import Tenant, until

SERVERS = "Custom.Org/servers"
MACHINES = "Custom.Org/machines"
NAME = "stacks/shop"
MS = pb.StackMemberState.State
ST = pb.Stack.State


def member(id: str, type: str = SERVERS, properties: Mapping[str, Any] | None = None, **fields: Any) -> pb.StackMember:
    message = pb.StackMember(id=id, type=type, **fields)
    if properties is not None:
        message.properties.CopyFrom(to_struct(properties))
    return message


def stack(*members: pb.StackMember, name: str = NAME, scope: str = "", **fields: Any) -> pb.Stack:
    opened = {key: to_struct(value) for key, value in fields.items() if key in ("parameters", "output_values")}
    return pb.Stack(name=name, scope=scope, members=members, **{**fields, **opened})


async def begin(tenant: Tenant, wished: pb.Stack, **fields: Any) -> Operation:
    return await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=wished, **fields))


async def applied(tenant: Tenant, wished: pb.Stack) -> pb.Stack:
    """Applies a stack and returns it when its run has succeeded."""
    found = await tenant.s.wait(await begin(tenant, wished))
    assert isinstance(found, pb.Stack)
    return found


async def ended(tenant: Tenant, operation: Operation) -> Operation:
    """Returns an operation when it has ended, however."""

    async def is_done() -> bool:
        return (await tenant.s.resources.GetOperation(GetOperationRequest(name=operation.name))).done

    await until(is_done, seconds=20)
    return await tenant.s.resources.GetOperation(GetOperationRequest(name=operation.name))


async def get(tenant: Tenant, name: str = NAME) -> pb.Stack:
    return await tenant.s.resources.GetStack(pb.GetStackRequest(name=name))


async def preview(tenant: Tenant, wished: pb.Stack) -> list[tuple[str, str]]:
    """Returns what applying would do: the action and the last part of the name of each resource."""
    return [(action(step), step.target.rpartition("/")[2]) for step in await plan(tenant, wished)]


async def plan(tenant: Tenant, wished: pb.Stack) -> list[Any]:
    return list((await tenant.s.resources.PreviewStack(pb.PreviewStackRequest(stack=wished))).plan)


def action(step: Any) -> str:
    return type(step).Action.Name(step.action).removeprefix("ACTION_")


def states(found: pb.Stack) -> dict[str, str]:
    """Returns what became of each member."""
    return {state.member: MS.Name(state.state).removeprefix("STATE_") for state in found.member_states}


def metadata(operation: Operation) -> OperationMetadata:
    found = OperationMetadata()
    operation.metadata.Unpack(found)
    return found


async def became(tenant: Tenant, id: str, state: str, name: str = NAME) -> None:
    """Waits until something has become of a member."""

    async def is_so() -> bool:
        return states(await get(tenant, name)).get(id) == state

    await until(is_so)
