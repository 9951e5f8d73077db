"""Corners that the model pointed at: keys below management groups, failed records, locks, references to what goes."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.errors import AlreadyExists, FailedPrecondition
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Tenant, everywhere

GROUPS = "Sutler.Resource/managementGroups"
SUBSCRIPTIONS = "Sutler.Resource/subscriptions"
SERVERS = "Custom.Org/servers"


async def hanging(tenant: Tenant, group: str) -> str:
    """Makes a machine whose delete never ends, begins to delete it, and returns its name."""
    await tenant.machine_type()
    made = await tenant.made(group, "going", "Custom.Org/machines", {"end": "hang"})
    await tenant.delete(made.name)
    return made.name


async def failed_group(tenant: Tenant) -> str:
    """Makes a resource group that is FAILED because what it holds could not be deleted."""
    group = await tenant.group()
    await tenant.machine_type()
    await tenant.made(group, "stays", "Custom.Org/machines", {"end": "final"})
    with pytest.raises(FailedPrecondition):
        await tenant.s.wait(await tenant.delete(group, force=True))
    assert (await tenant.get(group)).provisioning_state == pb.Resource.STATE_FAILED
    return group


@everywhere
async def test_the_nearest_group_of_what_stands_in_a_group_is_that_group(tenant: Tenant) -> None:
    await tenant.type(uniqueness_scopes=[2])
    for group in "abc":
        await tenant.create("", group, GROUPS)
    for group in "ab":
        await tenant.update(f"managementGroups/{group}", {"management_group": "managementGroups/c"})
        await tenant.create(f"managementGroups/{group}", "one", SERVERS)
    await tenant.create("", "s", SUBSCRIPTIONS, {"management_group": "managementGroups/a"})
    with pytest.raises(AlreadyExists) as caught:
        await tenant.create("subscriptions/s", "one", SERVERS)
    assert caught.value.metadata["holder"] == "managementGroups/a/providers/Custom.Org/servers/one"


@everywhere
@pytest.mark.parametrize("only", [False, True])
async def test_a_move_that_makes_keys_clash_is_refused(tenant: Tenant, only: bool) -> None:
    await tenant.type(uniqueness_scopes=[2])
    await tenant.create("", "a", GROUPS)
    for subscription in "st":
        await tenant.create("", subscription, SUBSCRIPTIONS)
        await tenant.create(f"subscriptions/{subscription}", "one", SERVERS)
    await tenant.update("subscriptions/s", {"management_group": "managementGroups/a"})
    resource = pb.Resource(name="subscriptions/t")
    resource.properties.update({"management_group": "managementGroups/a"})
    with pytest.raises(AlreadyExists) as caught:
        await tenant.s.resources.UpdateResource(pb.UpdateResourceRequest(resource=resource, validate_only=only))
    assert caught.value.reason == "NOT_UNIQUE"
    assert caught.value.metadata["holder"] == "subscriptions/s/providers/Custom.Org/servers/one"


@pytest.mark.parametrize("only", [False, True])
async def test_what_meets_in_the_group_clashes_too(tenant: Tenant, only: bool) -> None:
    await tenant.type(uniqueness_scopes=[2])
    await tenant.create("", "a", GROUPS)
    group = await tenant.group()
    await tenant.create(group, "one", SERVERS)
    await tenant.create("subscriptions/shop", "one", SERVERS)
    resource = pb.Resource(name="subscriptions/shop")
    resource.properties.update({"management_group": "managementGroups/a"})
    with pytest.raises(AlreadyExists) as caught:
        await tenant.s.resources.UpdateResource(pb.UpdateResourceRequest(resource=resource, validate_only=only))
    assert caught.value.reason == "NOT_UNIQUE"


@pytest.mark.parametrize("only", [False, True])
async def test_new_scopes_that_make_keys_clash_are_refused(tenant: Tenant, only: bool) -> None:
    type = await tenant.type()
    group = await tenant.group()
    await tenant.create(group, "one", SERVERS)
    await tenant.create("subscriptions/shop", "one", SERVERS)
    type.uniqueness_scopes.append(1)
    request = pb.UpdateResourceTypeRequest(resource_type=type, validate_only=only)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.s.resources.UpdateResourceType(request)
    assert caught.value.reason == "TYPE_CHANGE_INCOMPATIBLE" and caught.value.metadata["resources"] == "1"


async def test_applying_a_failed_record_again_makes_it_whole(tenant: Tenant) -> None:
    group = await failed_group(tenant)
    await tenant.s.wait(await tenant.update(group))
    assert (await tenant.get(group)).provisioning_state == pb.Resource.STATE_SUCCEEDED


async def test_a_lock_holds_for_what_failed_too(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.machine_type()
    operation = await tenant.create(group, "m", "Custom.Org/machines", {"behave": "final"})
    with pytest.raises(FailedPrecondition):
        await tenant.s.wait(operation)
    name = f"{group}/providers/Custom.Org/machines/m"
    await tenant.update("subscriptions/shop", lock=pb.Resource.LOCK_READ_ONLY)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.update(name)
    assert caught.value.reason == "LOCKED" and caught.value.metadata["holder"] == "subscriptions/shop"


@everywhere
async def test_nothing_new_can_refer_to_what_is_being_deleted(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    going = await hanging(tenant, group)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create(group, "user", SERVERS, references=[going])
    assert caught.value.reason == "REFERENCE_UNRESOLVED" and caught.value.metadata["target"] == going
    tenant.machines.let_go()


async def test_nothing_new_can_refer_to_what_goes_with_it(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await tenant.machine_type()
    await tenant.create(group, "lower", SERVERS)
    await tenant.made(group, "m", "Custom.Org/machines", {"end": "hang"})
    await tenant.create("", "other", SUBSCRIPTIONS)
    await tenant.create("", "a", GROUPS)
    await tenant.made("managementGroups/a", "m", "Custom.Org/machines", {"end": "hang"})
    await tenant.delete(group, force=True)
    await tenant.delete("managementGroups/a", force=True)
    update = pb.Resource(name="subscriptions/other", references=[f"{group}/providers/Custom.Org/machines/m"])
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.s.resources.UpdateResource(
            pb.UpdateResourceRequest(resource=update, update_mask=FieldMask(paths=["references"]))
        )
    assert caught.value.reason == "REFERENCE_UNRESOLVED"
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.update("subscriptions/other", {"management_group": "managementGroups/a"})
    assert caught.value.reason == "REFERENCE_UNRESOLVED"
    tenant.machines.let_go()
