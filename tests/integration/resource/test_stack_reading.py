"""Reading stacks: one by one, in pages, by filter and order, and for one tenant only."""

import pytest
from sutler.client import connect
from sutler.errors import Invalid, NotFound
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Tenant, everywhere, token
from tests.integration.resource.stacking import applied, begin, ended, get, member, metadata, plan, stack, states


async def names(tenant: Tenant, **fields: object) -> list[str]:
    answer = await tenant.s.resources.ListStacks(pb.ListStacksRequest(**fields))  # type: ignore[arg-type]
    return [found.name.removeprefix("stacks/") for found in answer.stacks]


async def some(tenant: Tenant) -> str:
    group = await tenant.group()
    await tenant.type()
    await applied(tenant, stack(member("a"), name="stacks/one", scope=group, parameters={"size": 1}))
    await applied(tenant, stack(name="stacks/two", display_name="Two"))
    wished = stack(name="stacks/Three", output_values={"x": "${parameters.y.z}"}, parameters={"y": {"z": 5}})
    await applied(tenant, wished)
    return group


@everywhere
async def test_lists(tenant: Tenant) -> None:
    group = await some(tenant)
    assert await names(tenant) == ["Three", "one", "two"]
    assert await names(tenant, order_by="create_time desc") == ["Three", "two", "one"]
    for text, found in (
        (f'scope = "{group}"', ["one"]),
        ('display_name = "T*"', ["two"]),
        ("state = SUCCEEDED AND parameters.size = 1", ["one"]),
        ("outputs.x = 5", ["Three"]),
        ("state = FAILED", []),
        ("state = STATE_SUCCEEDED AND parameters.size = 1", ["one"]),
        ('creator = "user:anna" AND NOT operation:*', ["Three", "one", "two"]),
    ):
        assert await names(tenant, filter=text) == found, text
    with pytest.raises(Invalid) as caught:
        await names(tenant, filter='members = "a"')
    assert caught.value.reason == "FILTER_INVALID"


@everywhere
async def test_pages(tenant: Tenant) -> None:
    await some(tenant)
    seen, page = [], ""
    for _ in range(3):
        answer = await tenant.s.resources.ListStacks(
            pb.ListStacksRequest(page_size=1, page_token=page, order_by="name desc")
        )
        seen += [found.name for found in answer.stacks]
        page = answer.next_page_token
    assert (seen, page) == (["stacks/two", "stacks/one", "stacks/Three"], "")
    listed = (await tenant.s.resources.ListStacks(pb.ListStacksRequest())).stacks
    assert [await get(tenant, found.name) for found in listed] == list(listed)


async def test_a_page_of_large_stacks_ends_early(tenant: Tenant) -> None:
    for id in ("a", "b", "c", "d"):
        await applied(tenant, stack(name=f"stacks/{id}", parameters={"x": "y" * 900_000}))
    answer = await tenant.s.resources.ListStacks(pb.ListStacksRequest())
    assert [found.name for found in answer.stacks] == ["stacks/a", "stacks/b", "stacks/c"]
    rest = await tenant.s.resources.ListStacks(pb.ListStacksRequest(page_token=answer.next_page_token))
    assert [found.name for found in rest.stacks] == ["stacks/d"]


async def test_a_large_stack_fits_into_an_answer(tenant: Tenant) -> None:
    await tenant.group()
    await tenant.type()
    parent = "subscriptions/shop/resourceGroups/orders"
    members = [
        member(
            f"m{index}",
            properties={"x": "y" * 3900, "of": "${members.m0.name}" if index else ""},
            parent=parent,
            display_name="z" * 100,
        )
        for index in range(500)
    ]
    wished = stack(*members, parameters={"x": "y" * 1_000_000}, failure_policy=pb.Stack.FAILURE_POLICY_KEEP)
    operation = await ended(tenant, await begin(tenant, wished))
    assert operation.HasField("response")
    found = await get(tenant)
    assert len(found.member_states) == 500 and found.ByteSize() > 3_000_000


async def test_names_are_compared_ignoring_case(tenant: Tenant) -> None:
    await some(tenant)
    assert (await get(tenant, "stacks/THREE")).name == "stacks/Three"
    again = await applied(tenant, stack(name="stacks/ONE"))
    assert again.name == "stacks/one"


async def test_another_tenants_stacks_are_not_found(tenant: Tenant) -> None:
    await some(tenant)
    async with connect(tenant.server.address, token=token(f"other-{tenant.name}"), attempts=1) as s:
        other = Tenant("other", s, tenant.server)
        assert await names(other) == []
        with pytest.raises(NotFound):
            await get(other, "stacks/one")
        with pytest.raises(NotFound):
            await s.resources.DeleteStack(pb.DeleteStackRequest(name="stacks/one"))
        await applied(other, stack(name="stacks/one"))
        assert (await get(other, "stacks/one")).uid != (await get(tenant, "stacks/one")).uid


@everywhere
async def test_members_that_others_delete_are_gone(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    kept = member("kept", parent="subscriptions/shop/resourceGroups/other")
    await tenant.create("subscriptions/shop", "other", "Sutler.Resource/resourceGroups")
    wished = stack(member("a"), kept, scope=group)
    made = await applied(tenant, wished)
    planned = metadata(await tenant.delete(group, force=True, validate_only=True)).plan
    assert [step.reason for step in planned] == [f"it is below {group}, and it is a member of {made.name}", ""]
    itself = metadata(await tenant.delete(made.member_states[0].resource, validate_only=True)).plan
    assert [step.reason for step in itself] == [f"it is a member of {made.name}"]
    await tenant.s.wait(await tenant.delete(group, force=True))
    assert states(await get(tenant)) == {"a": "GONE", "kept": "SUCCEEDED"}
    (listed,) = (await tenant.s.resources.ListStacks(pb.ListStacksRequest())).stacks
    assert listed == await get(tenant)
    await tenant.create("subscriptions/shop", "orders", "Sutler.Resource/resourceGroups")
    await tenant.create(group, "a", "Custom.Org/servers")
    assert states(await get(tenant))["a"] == "GONE"  # what has its name now is another resource
    assert (await plan(tenant, wished))[0].target.endswith("/a")
    assert states(await applied(tenant, wished)) == {"a": "SUCCEEDED", "kept": "SUCCEEDED"}
