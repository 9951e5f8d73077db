"""What one process changes of that which governs resources is heeded by the very next call to another one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import Sutler, connect
from sutler.errors import AlreadyExists, Exhausted, FailedPrecondition, Invalid, NotFound, PermissionDenied, SutlerError
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.wire import to_struct

from services.resource.app import app
from tests.integration.resource.conftest import Tenant, everywhere, settings_for, token

GROUP = "subscriptions/shop/resourceGroups/orders"
SMALL = pb.TypeRule(id="small", expression="self.properties.size <= 1", message="at most 1")


class Other:
    """The other process: whether it creates a server, and why not."""

    def __init__(self, s: Sutler) -> None:
        self._s = s
        self._count = 0

    async def create(self, parent: str = GROUP, type: str = "Custom.Org/servers") -> pb.Resource:
        self._count += 1
        resource = pb.Resource(type=type, properties=to_struct({"size": 2}))
        operation = await self._s.resources.CreateResource(
            pb.CreateResourceRequest(parent=parent, resource_id=f"o{self._count}", resource=resource)
        )
        found = await self._s.wait(operation)
        assert isinstance(found, pb.Resource)
        return found

    async def refuses(self, kind: type[SutlerError], reason: str, parent: str = GROUP) -> None:
        with pytest.raises(kind) as caught:
            await self.create(parent)
        assert caught.value.reason == reason


@asynccontextmanager
async def another(tenant: Tenant) -> AsyncIterator[Other]:
    """A second process of the service, which has created a server already and so knows all that governs them."""
    await tenant.group()
    await tenant.type()
    async with (
        running(app, settings_for(tenant.server.url, tenant.server.handler), "resource") as up,
        connect(up.address, token=token(tenant.name), attempts=1) as s,
    ):
        other = Other(s)
        await other.create()
        yield other


@everywhere
async def test_a_changed_type(tenant: Tenant) -> None:
    async with another(tenant) as other:
        type = await tenant.s.resources.GetResourceType(
            pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.servers")
        )
        type.versions.add(version="v2", rules=[SMALL])
        type.default_version = "v2"
        changed = await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
        assert changed.default_version == "v2"
        await other.refuses(Invalid, "RESOURCE_INVALID")


@everywhere
async def test_a_policy_above_and_its_end(tenant: Tenant) -> None:
    rule = {"id": "none", "effect": "EFFECT_DENY", "condition": "true", "message": "no"}
    async with another(tenant) as other:
        made = await tenant.made("subscriptions/shop", "none", "Sutler.Resource/policies", {"rules": [rule]})
        await other.refuses(PermissionDenied, "POLICY_DENIED")
        await tenant.delete(made.name)
        await other.create()


@everywhere
async def test_a_quota(tenant: Tenant) -> None:
    async with another(tenant) as other:
        quota = {"type": "Custom.Org/servers", "limit": 2}
        await tenant.made("subscriptions/shop", "two", "Sutler.Resource/quotas", quota)
        await other.create()
        await other.refuses(Exhausted, "QUOTA_EXCEEDED")


@everywhere
async def test_a_lock_above_and_its_end(tenant: Tenant) -> None:
    async with another(tenant) as other:
        await tenant.update("subscriptions/shop", lock=pb.Resource.LOCK_READ_ONLY)
        await other.refuses(FailedPrecondition, "LOCKED")
        await tenant.s.resources.UpdateResource(
            pb.UpdateResourceRequest(
                resource=pb.Resource(name="subscriptions/shop"), update_mask=FieldMask(paths=["lock"])
            )
        )
        await other.create()


@everywhere
async def test_a_group_that_is_gone_and_comes_again(tenant: Tenant) -> None:
    async with another(tenant) as other:
        await tenant.delete(GROUP, force=True)
        await other.refuses(NotFound, "NOT_FOUND")
        await tenant.create("subscriptions/shop", "orders", "Sutler.Resource/resourceGroups")
        await other.create()


@everywhere
async def test_a_group_that_comes_again_in_another_case(tenant: Tenant) -> None:
    async with another(tenant) as other:
        await tenant.delete(GROUP, force=True)
        again = await tenant.made("subscriptions/shop", "ORDERS", "Sutler.Resource/resourceGroups")
        made = await other.create()
        assert made.name == f"{again.name}/providers/Custom.Org/servers/o2"
        assert (await tenant.get(made.name)).name == made.name


@everywhere
async def test_a_management_group_that_is_locked(tenant: Tenant) -> None:
    await tenant.create("", "company", "Sutler.Resource/managementGroups")
    async with another(tenant) as other:
        await tenant.update("subscriptions/shop", {"management_group": "managementGroups/company"})
        await other.create()
        await tenant.update("managementGroups/company", lock=pb.Resource.LOCK_READ_ONLY)
        await other.refuses(FailedPrecondition, "LOCKED")


@everywhere
async def test_a_resource_with_children_that_is_locked_or_gone(tenant: Tenant) -> None:
    """Resources govern only once their type has children, and from then on."""
    async with another(tenant) as other:
        server = await other.create()
        await tenant.type("Custom.Org.servers.disks")
        disk = "Custom.Org/servers/disks"
        await other.create(server.name, disk)
        await tenant.update(server.name, lock=pb.Resource.LOCK_READ_ONLY)
        with pytest.raises(FailedPrecondition):
            await other.create(server.name, disk)
        await tenant.s.resources.UpdateResource(
            pb.UpdateResourceRequest(resource=pb.Resource(name=server.name), update_mask=FieldMask(paths=["lock"]))
        )
        await other.create(server.name, disk)
        await tenant.delete(server.name, force=True)
        with pytest.raises(NotFound):
            await other.create(server.name, disk)


@everywhere
async def test_a_refused_change_leaves_nothing_behind(tenant: Tenant) -> None:
    """What a change found after it had changed what governs is forgotten when it is undone."""
    async with another(tenant) as other:
        with pytest.raises(AlreadyExists):
            await tenant.create("subscriptions/shop", "orders", "Sutler.Resource/resourceGroups")
        await tenant.create(GROUP, "mine", "Custom.Org/servers")
        await other.create()
