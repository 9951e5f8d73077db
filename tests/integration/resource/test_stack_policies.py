"""Policies that are members of a stack: they hold for all but what leaves together with them."""

import pytest
from google.longrunning.operations_pb2 import Operation
from sutler.errors import NotFound, SutlerError
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status

from tests.integration.resource.conftest import Tenant, everywhere
from tests.integration.resource.stacking import NAME, SERVERS, applied, begin, ended, get, member, stack, states
from tests.integration.resource.test_policies import POLICIES, denied, policy, rule

NO_DELETE = {"rules": [rule("stay", "DENY", "method == 'delete'")]}


async def begun(tenant: Tenant, **fields: bool) -> Operation:
    return await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, **fields))


async def place(tenant: Tenant, *more: pb.StackMember) -> str:
    await tenant.type()
    group = await tenant.group()
    guard = member("guard", POLICIES, NO_DELETE, resource_id="guard")
    await applied(tenant, stack(guard, member("a"), member("b", dependencies=["a"]), *more, scope=group))
    return group


async def failed(tenant: Tenant, operation: Operation) -> SutlerError:
    return from_status((await ended(tenant, operation)).error)


@everywhere
async def test_one_delete_is_enough(tenant: Tenant) -> None:
    group = await place(tenant)
    assert (await denied(tenant.delete(f"{group}/providers/{SERVERS}/b"))).reason == "POLICY_DENIED"
    assert (await ended(tenant, await begun(tenant))).HasField("response")
    with pytest.raises(NotFound):
        await get(tenant)
    with pytest.raises(NotFound):
        await tenant.get(f"{group}/policies/guard")


async def test_what_stands_below_a_member_goes_too(tenant: Tenant) -> None:
    await tenant.type()
    await tenant.made("", "shop", "Sutler.Resource/subscriptions")
    inner = member("inner", "Sutler.Resource/resourceGroups")
    await applied(tenant, stack(member("guard", POLICIES, NO_DELETE), inner, scope="subscriptions/shop"))
    await tenant.made("subscriptions/shop/resourceGroups/inner", "stranger", SERVERS)
    assert (await ended(tenant, await begun(tenant, force=True))).HasField("response")


async def test_a_policy_that_stays_counts(tenant: Tenant) -> None:
    group = await place(tenant)
    await policy(tenant, group, *NO_DELETE["rules"], id="own")
    error = await failed(tenant, await begun(tenant))
    assert (error.reason, error.metadata["cause"]) == ("STACK_MEMBER_FAILED", "POLICY_DENIED")


async def test_a_policy_that_is_kept_counts(tenant: Tenant) -> None:
    await tenant.type()
    group = await tenant.group()
    guard = member("guard", POLICIES, NO_DELETE, keep=True)
    await applied(tenant, stack(guard, member("a"), scope=group))
    assert (await failed(tenant, await begun(tenant))).metadata["cause"] == "POLICY_DENIED"
    assert states(await get(tenant))["a"] == "FAILED"


@everywhere
async def test_an_undo_takes_it_back_too(tenant: Tenant) -> None:
    await tenant.type()
    await tenant.machine_type()
    group = await tenant.group()
    guard, bad = member("guard", POLICIES, NO_DELETE), member("bad", "Custom.Org/machines", {"behave": "final"})
    bad.dependencies.append("a")
    error = await failed(tenant, await begin(tenant, stack(guard, member("a"), bad, scope=group)))
    assert (error.reason, error.metadata["undone"]) == ("STACK_MEMBER_FAILED", "3")
    with pytest.raises(NotFound):
        await tenant.get(f"{group}/providers/{SERVERS}/a")
