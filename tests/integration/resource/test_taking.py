"""What goes with a delete: permissions for each resource that it takes along."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sutler.client import Sutler, connect
from sutler.errors import NotFound, PermissionDenied
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Tenant, everywhere, token, until

SERVERS = "Custom.Org/servers"


@asynccontextmanager
async def limited(tenant: Tenant, *patterns: str) -> AsyncIterator[Sutler]:
    """A caller who may delete only what fits one of these patterns, and do all else."""
    grants = [f"resource.resources.delete:{pattern}" for pattern in patterns]
    others = [f"resource.{c}.{v}" for c in ("resources", "stacks") for v in ("get", "create", "update", "delete")]
    grants += [grant for grant in [*others, "resource.stacks.apply"] if grant != "resource.resources.delete"]
    async with connect(tenant.server.address, token=token(tenant.name, *grants), attempts=1) as s:
        yield s


async def place(tenant: Tenant) -> str:
    await tenant.type()
    group = await tenant.group()
    await tenant.made(group, "a", SERVERS)
    await tenant.made(group, "b", SERVERS)
    return group


@everywhere
@pytest.mark.parametrize("validate_only", [False, True])
async def test_each_child_must_be_permitted(tenant: Tenant, validate_only: bool) -> None:
    group = await place(tenant)
    first = f"{group}/providers/{SERVERS}/a"
    wanted = pb.DeleteResourceRequest(name=group, force=True, validate_only=validate_only)
    async with limited(tenant, group, f"{group}/providers/{SERVERS}/b") as s:
        with pytest.raises(PermissionDenied) as caught:
            await s.resources.DeleteResource(wanted)
        assert caught.value.reason == "PERMISSION_MISSING"
        assert caught.value.metadata == {
            "permission": "resource.resources.delete",
            "principal": "user:anna",
            "resource": first,
        }
    assert (await tenant.get(first)).name == first
    async with limited(tenant, f"{group}*") as s:
        assert (await s.resources.DeleteResource(wanted)).done


async def test_whose_time_is_set_must_be_permitted_too(tenant: Tenant) -> None:
    group = await place(tenant)
    wished = pb.Resource(name=group, expire_time=datetime.now(UTC) + timedelta(milliseconds=300))
    async with limited(tenant, group) as s:
        with pytest.raises(PermissionDenied) as caught:
            await s.resources.UpdateResource(pb.UpdateResourceRequest(resource=wished))
        assert caught.value.metadata["resource"] == f"{group}/providers/{SERVERS}/a"
    async with limited(tenant, f"{group}*") as s:
        await s.resources.UpdateResource(pb.UpdateResourceRequest(resource=wished))

    async def is_gone() -> bool:
        try:
            await tenant.get(group)
        except NotFound:
            return True
        return False

    await until(is_gone)


async def test_a_stack_takes_nothing_else_along(tenant: Tenant) -> None:
    await tenant.group()
    member = pb.StackMember(
        id="g", type="Sutler.Resource/resourceGroups", parent="subscriptions/shop", resource_id="gone"
    )
    stack = pb.Stack(name="stacks/a", members=[member])
    await tenant.s.wait(await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack)))
    await tenant.type()
    group = "subscriptions/shop/resourceGroups/gone"
    stranger = await tenant.made(group, "a", SERVERS)
    wanted = pb.DeleteStackRequest(name=stack.name, force=True)
    async with limited(tenant, group) as s:
        with pytest.raises(PermissionDenied) as caught:
            await s.resources.DeleteStack(wanted)
        assert caught.value.metadata["resource"] == stranger.name
    async with limited(tenant, f"{group}*") as s:
        await tenant.s.wait(await s.resources.DeleteStack(wanted))
