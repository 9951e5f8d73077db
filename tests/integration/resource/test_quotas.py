"""Quotas: how many resources there may be in a scope, or how much they may add up to."""

import asyncio

import pytest
from sutler.errors import AlreadyExists, Exhausted, Invalid
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct

from tests.integration.resource.conftest import Tenant, everywhere

QUOTAS, GROUPS = "Sutler.Resource/quotas", "Sutler.Resource/managementGroups"
SUBSCRIPTIONS, RESOURCE_GROUPS = "Sutler.Resource/subscriptions", "Sutler.Resource/resourceGroups"
SERVERS = "Custom.Org/servers"


async def quota(tenant: Tenant, scope: str, id: str = "q", **properties: object) -> str:
    return (await tenant.made(scope, id, QUOTAS, properties)).name


async def used(tenant: Tenant, name: str) -> object:
    return from_struct((await tenant.get(name)).outputs)["used"]


async def exceeded(coroutine: object) -> Exhausted:
    with pytest.raises(Exhausted) as caught:
        await coroutine  # type: ignore[misc]
    assert caught.value.reason == "QUOTA_EXCEEDED"
    return caught.value


async def place(tenant: Tenant) -> str:
    await tenant.type()
    return await tenant.group()


@everywhere
async def test_no_more_than_the_limit(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await quota(tenant, "subscriptions/shop", type="Custom.*", limit=2)
    assert await used(tenant, name) == 0
    await tenant.made(group, "a", SERVERS)
    await tenant.made("subscriptions/shop", "b", SERVERS)
    assert await used(tenant, name) == 2
    error = await exceeded(tenant.create(group, "c", SERVERS))
    assert error.metadata == {
        "resource": f"{group}/providers/Custom.Org/servers/c",
        "quota": name,
        "scope": "subscriptions/shop",
        "limit": "2",
        "used": "2",
        "requested": "1",
    }
    assert [violation.field for violation in error.violations] == [name]
    asked = pb.CreateResourceRequest(
        parent=group, resource_id="c", resource=pb.Resource(type=SERVERS), validate_only=True
    )
    await exceeded(tenant.s.resources.CreateResource(asked))
    with pytest.raises(AlreadyExists):
        await tenant.create(group, "a", SERVERS)
    await tenant.s.wait(await tenant.delete("subscriptions/shop/providers/Custom.Org/servers/b"))
    assert await used(tenant, name) == 1
    await tenant.made(group, "c", SERVERS)
    assert await used(tenant, name) == 2


async def test_what_is_there_already_counts(tenant: Tenant) -> None:
    group = await place(tenant)
    for id in "abc":
        await tenant.made(group, id, SERVERS)
    whole = await quota(tenant, "", limit=10)
    assert await used(tenant, whole) == 5  # the subscription, the group and what is in it
    mine = await quota(tenant, group, limit=1)
    assert await used(tenant, mine) == 3
    assert {v.field for v in (await exceeded(tenant.create(group, "d", SERVERS))).violations} == {mine}
    await tenant.s.wait(await tenant.update(mine, {"limit": 4}))
    await tenant.made(group, "d", SERVERS)


@everywhere
async def test_a_field_is_added_up(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await quota(tenant, "subscriptions/shop", type=SERVERS, limit=10, field="properties.disks[*].size")
    made = await tenant.made(group, "a", SERVERS, {"disks": [{"size": 3}, {"size": 4}, {"size": "x"}, {}]})
    await tenant.made(group, "b", SERVERS, {"disks": "none"})
    assert await used(tenant, name) == 7
    error = await exceeded(tenant.update(made.name, {"disks": [{"size": 11}]}))
    assert (error.metadata["used"], error.metadata["requested"]) == ("7", "4")
    await tenant.s.wait(await tenant.update(made.name, {"disks": [{"size": 9}, {"size": 1}]}))
    assert await used(tenant, name) == 10
    await tenant.s.wait(await tenant.update(made.name, {"disks": [{"size": 2}]}))
    assert await used(tenant, name) == 2
    await tenant.s.wait(await tenant.update(name, {"field": "properties.count"}))
    assert await used(tenant, name) == 0


@everywhere
async def test_cascades_give_back_what_was_used(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type()
    await tenant.type("Custom.Org.machines.disks")
    name = await quota(tenant, "", type="Custom.*", limit=5)
    made = await tenant.made(group, "a", type)
    for id in "xyz":
        await tenant.made(made.name, id, "Custom.Org/machines/disks")
    assert await used(tenant, name) == 4
    await tenant.s.wait(await tenant.delete("subscriptions/shop", force=True))
    assert await used(tenant, name) == 0


@everywhere
async def test_management_groups_count_what_belongs_to_them(tenant: Tenant) -> None:
    group = await place(tenant)
    await tenant.made("", "top", GROUPS)
    await tenant.made("", "inner", GROUPS, {"management_group": "managementGroups/top"})
    name = await quota(tenant, "managementGroups/top", type="*/servers", limit=2)
    for id in "ab":
        await tenant.made(group, id, SERVERS)
    await tenant.made("managementGroups/inner", "c", SERVERS)
    assert await used(tenant, name) == 1
    moving = {"management_group": "managementGroups/inner"}
    error = await exceeded(tenant.update("subscriptions/shop", moving))
    assert (error.metadata["used"], error.metadata["requested"]) == ("1", "2")
    await tenant.s.wait(await tenant.delete(f"{group}/providers/Custom.Org/servers/b"))
    await tenant.s.wait(await tenant.update("subscriptions/shop", moving))
    assert await used(tenant, name) == 2
    await exceeded(tenant.create(group, "b", SERVERS))
    await tenant.s.wait(await tenant.update("subscriptions/shop", {"management_group": None}))
    assert await used(tenant, name) == 1


async def test_subscriptions_in_a_group_are_counted(tenant: Tenant) -> None:
    await tenant.made("", "top", GROUPS)
    name = await quota(tenant, "managementGroups/top", type=SUBSCRIPTIONS, limit=1)
    await tenant.made("", "one", SUBSCRIPTIONS, {"management_group": "managementGroups/top"})
    assert await used(tenant, name) == 1
    await exceeded(tenant.create("", "two", SUBSCRIPTIONS, {"management_group": "managementGroups/top"}))
    await tenant.s.wait(await tenant.delete("subscriptions/one"))
    await tenant.made("", "two", SUBSCRIPTIONS, {"management_group": "managementGroups/top"})


@everywhere
async def test_many_at_once_take_no_more_than_there_is(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await quota(tenant, group, limit=5)
    ends = await asyncio.gather(*(tenant.create(group, f"a{n}", SERVERS) for n in range(20)), return_exceptions=True)
    assert sum(not isinstance(end, Exhausted) for end in ends) == 5
    assert await used(tenant, name) == 5


async def test_use_is_no_change_of_the_quota(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await quota(tenant, group, limit=5)
    before = await tenant.get(name)
    await tenant.made(group, "a", SERVERS)
    after = await tenant.get(name)
    assert (after.etag, after.revision, len(await tenant.revisions(name))) == (before.etag, before.revision, 1)
    found = await tenant.s.resources.ListResources(
        pb.ListResourcesRequest(parent=group, filter="outputs.used = 1", type=QUOTAS)
    )
    assert [resource.name for resource in found.resources] == [name]


async def test_what_failed_counts_until_it_is_deleted(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type()
    name = await quota(tenant, group, limit=1)
    with pytest.raises(Exception):  # noqa: B017 - the handler's own error, which is not the matter here
        await tenant.s.wait(await tenant.create(group, "a", type, {"behave": "final"}))
    await exceeded(tenant.create(group, "b", type))
    await tenant.s.wait(await tenant.delete(f"{group}/providers/Custom.Org/machines/a"))
    await tenant.made(group, "b", type)
    assert await used(tenant, name) == 1


@pytest.mark.parametrize("properties", [{}, {"limit": -1}, {"limit": 1.5}, {"limit": 1, "field": "tags.a"}])
async def test_wrong_quotas_are_refused(tenant: Tenant, properties: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        await tenant.create("", "q", QUOTAS, properties)
