"""Ways round policies, quotas, locks, permissions and secrets that were once open."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sutler.client import connect
from sutler.errors import FailedPrecondition, Invalid, PermissionDenied
from sutler.resource.v1 import resource_pb2 as pb
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import from_struct, to_struct

from tests.integration.resource.conftest import Tenant, everywhere, token, until
from tests.integration.resource.test_policies import denied, policy, rule
from tests.integration.resource.test_quotas import exceeded, quota, used
from tests.integration.resource.test_secrets import MACHINES, PASSWORD, secret, version

GROUPS, SUBSCRIPTIONS = "Sutler.Resource/managementGroups", "Sutler.Resource/subscriptions"
OPEN = version("v2", {"type": "object"})


async def vault(tenant: Tenant, schema: dict[str, Any]) -> str:
    """Makes a group, and a type whose first version has secrets and whose second has none."""
    group = await tenant.group()
    versions = [version("v1", schema), OPEN]
    await tenant.type("Custom.Org.machines", address=tenant.server.handler, versions=versions, default_version="v1")
    return group


async def test_a_preview_of_a_move_shows_no_secret(tenant: Tenant) -> None:
    group = await vault(tenant, {"properties": {"password": PASSWORD}})
    hidden = secret()
    await tenant.made(group, "a", MACHINES, {"password": hidden})
    member = pb.StackMember(id="a", type=MACHINES, type_version="v2", properties=to_struct({"x": 1}))
    stack = pb.Stack(name="stacks/peek", scope=group, members=[member])
    preview = await tenant.s.resources.PreviewStack(pb.PreviewStackRequest(stack=stack))
    assert preview.plan and hidden not in str(preview)
    await tenant.s.wait(await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack)))
    assert hidden not in str(await tenant.get(f"{group}/providers/Custom.Org/machines/a"))


@everywhere
async def test_a_move_that_touches_a_secret_object_shows_none_of_it(tenant: Tenant) -> None:
    schema = {
        "properties": {
            "auth": {"type": "object", "writeOnly": True},
            "creds": {"type": "object", "additionalProperties": PASSWORD},
        }
    }
    group = await vault(tenant, schema)
    hidden = secret()
    made = await tenant.made(group, "a", MACHINES, {"auth": {"p": hidden}, "creds": {"a": hidden}})
    moved = await tenant.s.wait(
        await tenant.update(made.name, {"auth": {"z": 1}, "creds": {"c": "x"}}, type_version="v2")
    )
    assert isinstance(moved, pb.Resource)
    assert from_struct(moved.properties) == {"auth": {"z": 1}, "creds": {"c": "x"}}


@pytest.mark.parametrize(
    ("properties", "parameters", "shown"),
    [
        ({"password": "${parameters.l.0}"}, {"l": ["{}"], "n": 1}, {"n": 1}),
        ({"auth": "${parameters.auth}"}, {"auth": {"password": "{}"}, "n": 1}, {"n": 1}),
        ({"password": "x${parameters.a.b}"}, {"a": {"b": "{}"}, "n": 1}, {"n": 1}),
    ],
)
async def test_parameters_that_become_secrets_are_not_shown(
    tenant: Tenant, properties: dict[str, Any], parameters: dict[str, Any], shown: dict[str, Any]
) -> None:
    schema = {"properties": {"password": PASSWORD, "auth": {"properties": {"password": PASSWORD}}}}
    group = await vault(tenant, schema)
    hidden = secret()
    told = _filled(parameters, hidden)
    members = [pb.StackMember(id="a", type=MACHINES, properties=to_struct(properties))]
    stack = pb.Stack(name="stacks/a", scope=group, members=members, parameters=to_struct(told))
    done = await tenant.s.wait(await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack)))
    got = await tenant.s.resources.GetStack(pb.GetStackRequest(name=stack.name))
    assert hidden not in str(done) and hidden not in str(got)
    assert from_struct(got.parameters) == shown
    stack.output_values.update({"o": f"${{parameters.{next(iter(parameters))}}}"})
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack))
    assert caught.value.metadata["field"] == "stack.output_values.o"


def _filled(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, text) for item in value]
    return text if value == "{}" else value


async def test_a_type_cannot_be_used_to_guess_secrets(tenant: Tenant) -> None:
    group = await vault(tenant, {"properties": {"password": PASSWORD}})
    await tenant.made(group, "a", MACHINES, {"password": "cabbages"})
    for pattern in ("^c", "^d"):
        guess = version("v1", {"properties": {"password": {**PASSWORD, "pattern": pattern}}})
        asked = pb.UpdateResourceTypeRequest(
            resource_type=pb.ResourceType(name="resourceTypes/Custom.Org.machines", versions=[guess, OPEN]),
            validate_only=True,
        )
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.s.resources.UpdateResourceType(asked)
        assert caught.value.reason == "TYPE_CHANGE_INCOMPATIBLE"


async def test_many_stars_take_no_longer(tenant: Tenant) -> None:
    await tenant.type("Custom.Org.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    group = await tenant.group()
    await policy(tenant, group, rule("no", "DENY"), types=["*a" * 30 + "b"])
    await quota(tenant, group, type="*" * 62 + "x", limit=0)
    started = time.monotonic()
    await tenant.made(group, "a", "Custom.Org/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    assert time.monotonic() - started < 5


async def test_defaults_of_policies_are_bounded(tenant: Tenant) -> None:
    await tenant.type()
    group = await tenant.group()
    grow = [rule("t0", "SET_DEFAULT", field="properties.t0", value="x" * 1000)]
    grow += [
        rule(
            f"t{n}",
            "SET_DEFAULT",
            field=f"properties.t{n}",
            value_expression=f"self.properties.t{n - 1} + self.properties.t{n - 1}",
        )
        for n in range(1, 30)
    ]
    await policy(tenant, group, *grow)
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", "Custom.Org/servers")
    assert caught.value.reason == "TOO_LARGE"


@pytest.mark.parametrize(
    ("field", "expression"),
    [
        ("properties.x", "b'ab'"),
        ("properties.x", "timestamp('2026-01-01T00:00:00Z')"),
        ("properties.x", "{1: 2}"),
        ("properties.x", "0.0 / 0.0"),
        ("display_name", "['x', 'y'].map(i, i)"),
        ("location", "'mars'"),
    ],
)
async def test_defaults_that_are_not_what_the_field_takes(tenant: Tenant, field: str, expression: str) -> None:
    await tenant.type()
    group = await tenant.group()
    await policy(tenant, group, rule("r", "SET_DEFAULT", field=field, value_expression=expression))
    assert (await denied(tenant.create(group, "a", "Custom.Org/servers"))).reason == "EXPRESSION_FAILED"


async def test_references_do_not_multiply_what_was_sent(tenant: Tenant) -> None:
    await tenant.type()
    group = await tenant.group()
    member = pb.StackMember(id="a", type="Custom.Org/servers", properties=to_struct({"l": ["x${parameters.p}"] * 200}))
    stack = pb.Stack(name="stacks/a", scope=group, members=[member], parameters=to_struct({"p": "y" * 100_000}))
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.PreviewStack(pb.PreviewStackRequest(stack=stack))
    assert caught.value.reason == "TOO_LARGE"


async def test_who_may_not_delete_may_not_let_expire(tenant: Tenant) -> None:
    await tenant.group()
    limited = token(tenant.name, "resource.resources.get", "resource.resources.update", subject="user:limited")
    soon = datetime.now(UTC) + timedelta(hours=1)
    wished = pb.Resource(name="subscriptions/shop", expire_time=soon)
    async with connect(tenant.server.address, token=limited, attempts=1) as s:
        with pytest.raises(PermissionDenied) as caught:
            await s.resources.UpdateResource(pb.UpdateResourceRequest(resource=wished))
    assert caught.value.metadata["permission"] == "resource.resources.delete"


async def test_a_lock_of_somebody_else_holds_for_a_stack(tenant: Tenant) -> None:
    await tenant.made("", "s", SUBSCRIPTIONS)
    await tenant.s.wait(await tenant.update("subscriptions/s", lock=pb.Resource.LOCK_READ_ONLY))
    members = [
        pb.StackMember(id="s", type=SUBSCRIPTIONS, lock=pb.Resource.LOCK_CAN_NOT_DELETE),
        pb.StackMember(id="g", type="Sutler.Resource/resourceGroups", parent="${members.s.name}"),
    ]
    stack = pb.Stack(name="stacks/a", members=members)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack))
    assert caught.value.reason == "LOCKED"


@everywhere
async def test_groups_do_not_nest_deeper_by_moves(tenant: Tenant) -> None:
    for chain in "ab":
        for level in range(1, 6):
            above = {"management_group": f"managementGroups/{chain}{level - 1}"} if level > 1 else {}
            await tenant.made("", f"{chain}{level}", GROUPS, above)
    with pytest.raises(Invalid):
        await tenant.update("managementGroups/a1", {"management_group": "managementGroups/b5"})
    await tenant.s.wait(await tenant.update("managementGroups/a1", {"management_group": "managementGroups/b3"}))


@pytest.mark.parametrize(("bad", "then"), [(-100, 11), (-1e300, 11), (1e308, 1)])
async def test_odd_numbers_neither_open_nor_break_a_quota(tenant: Tenant, bad: float, then: int) -> None:
    await tenant.type()
    group = await tenant.group()
    name = await quota(tenant, group, limit=10, field="properties.n")
    if bad < 0:
        await tenant.made(group, "a", "Custom.Org/servers", {"n": bad})
        assert await used(tenant, name) == 0
    else:
        await exceeded(tenant.create(group, "a", "Custom.Org/servers", {"n": bad}))
    if then > 10:
        await exceeded(tenant.create(group, "b", "Custom.Org/servers", {"n": then}))
    for id, n in (("x", 1.1), ("y", 1.1), ("z", 0.8)):
        await tenant.made(group, id, "Custom.Org/servers", {"n": n})
    for id in "xyz":
        await tenant.s.wait(await tenant.delete(f"{group}/providers/Custom.Org/servers/{id}"))
    assert await used(tenant, name) == 0


async def test_a_namespace_that_ends_like_ours_is_not_ours(tenant: Tenant) -> None:
    await tenant.made("", "top", GROUPS)
    name = await quota(tenant, "managementGroups/top", limit=1)
    await tenant.type("XSutler.Resource.subscriptions")
    await tenant.made("", "a", "XSutler.Resource/subscriptions", {"management_group": "managementGroups/top"})
    assert await used(tenant, name) == 0


async def test_what_was_extended_does_not_expire(tenant: Tenant) -> None:
    await tenant.type()
    group = await tenant.group()
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    made = await tenant.made(group, "a", "Custom.Org/servers", expire_time=soon)
    later = datetime.now(UTC) + timedelta(hours=1)
    await tenant.s.wait(await tenant.update(made.name, expire_time=later))
    other = await tenant.made(group, "b", "Custom.Org/servers", expire_time=soon)

    async def gone() -> bool:
        listed = await tenant.s.resources.ListResources(pb.ListResourcesRequest(parent=group))
        return other.name not in [resource.name for resource in listed.resources]

    await until(gone)
    assert (await tenant.get(made.name)).name == made.name


async def test_a_preview_does_not_tell_whether_a_secret_was_guessed(tenant: Tenant) -> None:
    group = await vault(tenant, {"properties": {"password": PASSWORD}})
    made = await tenant.made(group, "a", MACHINES, {"password": "cabbages", "size": 1})
    wished = pb.Stack(name="stacks/a", scope=group, members=[pb.StackMember(id="a", type=MACHINES)])
    wished.members[0].properties.update({"password": "cabbages", "size": 1})
    await tenant.s.wait(await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=wished)))

    async def told(guess: str) -> tuple[list[str], list[str]]:
        asked = pb.Resource(name=made.name, properties=to_struct({"password": guess}))
        calls = len(tenant.calls("Validate", made.name))
        answer = await tenant.s.resources.UpdateResource(pb.UpdateResourceRequest(resource=asked, validate_only=True))
        assert len(tenant.calls("Validate", made.name)) == calls + 1
        metadata = OperationMetadata()
        answer.metadata.Unpack(metadata)
        wished.members[0].properties.update({"password": guess})
        plan = await tenant.s.resources.PreviewStack(pb.PreviewStackRequest(stack=wished))
        return [change.field for change in metadata.changes], [str(step) for step in plan.plan]

    right, wrong = await told("cabbages"), await told("cauliflower")
    assert right == wrong
    assert right[0] == ["properties.password"]

    await policy(tenant, group, rule("no", "DENY", "method == 'update'"))
    for guess in ("cabbages", "cauliflower"):
        with pytest.raises(PermissionDenied):
            await told(guess)
