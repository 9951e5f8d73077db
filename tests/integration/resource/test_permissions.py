"""What a caller must be permitted: whatever the letter case, and for all that a call does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sutler import headers
from sutler.auth import encode_principal, make_token
from sutler.client import connect
from sutler.context import Principal
from sutler.errors import PermissionDenied
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import to_struct

from tests.integration.resource.conftest import SECRET, Tenant, everywhere, token

SUBSCRIPTIONS, GROUPS = "Sutler.Resource/subscriptions", "Sutler.Resource/managementGroups"
UPDATE, CREATE = "resource.resources.update", "resource.resources.create"


@asynccontextmanager
async def limited(tenant: Tenant, *grants: str) -> AsyncIterator[Tenant]:
    async with connect(tenant.server.address, token=token(tenant.name, *grants), attempts=1) as s:
        yield Tenant(tenant.name, s, tenant.server)


async def missing(call: Any) -> tuple[str, str]:
    """Returns the permission that a call lacks, and for what."""
    with pytest.raises(PermissionDenied) as caught:
        await call
    assert caught.value.reason == "PERMISSION_MISSING"
    return caught.value.metadata["permission"], caught.value.metadata["target"]


def within(group: str) -> dict[str, str]:
    return {"management_group": group}


@pytest.mark.parametrize("name", ["subscriptions/prod", "subscriptions/Prod", "Subscriptions/PROD"])
async def test_no_spelling_gets_around_a_pattern(tenant: Tenant, name: str) -> None:
    await tenant.create("", "prod", SUBSCRIPTIONS)
    async with limited(tenant, "resource.resources.*:subscriptions/[!p]*") as s:
        assert await missing(s.delete(name)) == ("resource.resources.delete", name)


async def test_any_spelling_is_within_a_pattern(tenant: Tenant) -> None:
    group = await tenant.group("S1", "g2")
    async with limited(tenant, "resource.resources.*:subscriptions/s1/resourceGroups/G2*") as s:
        assert (await s.get("subscriptions/S1/RESOURCEGROUPS/g2")).name == group
        assert (await s.delete(group, force=True)).done


@everywhere
async def test_a_move_needs_the_permission_for_both_groups(tenant: Tenant) -> None:
    for group in ("a", "b"):
        await tenant.create("", group, GROUPS)
    for id, type in (("s", SUBSCRIPTIONS), ("g", GROUPS)):
        made = await tenant.made("", id, type, within("managementGroups/a"))
        moved = {"name": made.name, "properties": to_struct(within("managementGroups/b"))}
        for allowed, other in (("a", "b"), ("b", "a")):
            async with limited(tenant, f"{UPDATE}:{made.name}", f"{UPDATE}:managementGroups/{allowed}") as s:
                for validate_only in (True, False):
                    request = pb.UpdateResourceRequest(resource=pb.Resource(**moved), validate_only=validate_only)
                    told = await missing(s.s.resources.UpdateResource(request))
                    assert told == (UPDATE, f"managementGroups/{other}")
        async with limited(tenant, f"{UPDATE}:{made.name}") as s:
            assert await missing(s.update(made.name, {"management_group": None})) == (UPDATE, "managementGroups/a")
            await s.update(made.name, within("managementGroups/A"), tags={"x": "1"})
        async with limited(tenant, UPDATE) as s:
            await s.update(made.name, within("managementGroups/b"))


async def test_a_creation_within_a_group_needs_it(tenant: Tenant) -> None:
    await tenant.create("", "a", GROUPS)
    async with limited(tenant, f"{CREATE}:subscriptions/*") as s:
        told = await missing(s.create("", "s", SUBSCRIPTIONS, within("managementGroups/a")))
    assert told == (UPDATE, "managementGroups/a")


async def test_who_stands_behind_a_service_needs_it_too(tenant: Tenant) -> None:
    await tenant.create("", "a", GROUPS)
    resource = pb.Resource(type=SUBSCRIPTIONS, properties=to_struct(within("managementGroups/a")))
    request = pb.CreateResourceRequest(resource_id="s", resource=resource)
    service = make_token(SECRET, "service:rule", service=True)
    for allowed in (False, True):
        behind = Principal("user:bob", tenant.name, (CREATE, UPDATE) if allowed else (CREATE,))
        sent = {"authorization": f"Bearer {service}", headers.ON_BEHALF_OF: encode_principal(behind)}
        call = tenant.s.resources.CreateResource(request, metadata=sent)
        if allowed:
            assert (await call).done
        else:
            assert await missing(call) == (UPDATE, "managementGroups/a")


async def test_a_member_joins_no_group_without_it(tenant: Tenant) -> None:
    await tenant.create("", "a", GROUPS)
    member = pb.StackMember(id="s", type=SUBSCRIPTIONS, properties=to_struct(within("managementGroups/a")))
    stack = pb.Stack(name="stacks/a", members=[member])
    members = [f"resource.resources.{verb}:subscriptions/*" for verb in ("create", "update", "delete")]
    async with limited(tenant, "resource.stacks.*", *members) as s:
        for validate_only in (True, False):
            request = pb.ApplyStackRequest(stack=stack, validate_only=validate_only)
            assert await missing(s.s.resources.ApplyStack(request)) == (UPDATE, "managementGroups/a")


@everywhere
async def test_an_update_that_would_create_needs_that_permission(tenant: Tenant) -> None:
    async with limited(tenant, UPDATE) as s:
        wanted = pb.Resource(name="subscriptions/s", type=SUBSCRIPTIONS)
        for validate_only in (True, False):
            request = pb.UpdateResourceRequest(resource=wanted, allow_missing=True, validate_only=validate_only)
            assert await missing(s.s.resources.UpdateResource(request)) == (CREATE, "subscriptions/s")
        await tenant.create("", "s", SUBSCRIPTIONS)
        assert (await s.s.resources.UpdateResource(request)).done


async def test_so_does_that_of_a_type(tenant: Tenant) -> None:
    async with limited(tenant, "resource.resourceTypes.update") as s:
        wanted = pb.ResourceType(name="resourceTypes/Custom.Org.servers", versions=[pb.TypeVersion(version="v1")])
        for validate_only in (True, False):
            request = pb.UpdateResourceTypeRequest(
                resource_type=wanted, allow_missing=True, validate_only=validate_only
            )
            told = await missing(s.s.resources.UpdateResourceType(request))
            assert told == ("resource.resourceTypes.create", wanted.name)
        await tenant.type()
        assert (await s.s.resources.UpdateResourceType(request)).name == wanted.name
