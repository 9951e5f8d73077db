"""Secrets: handlers get them; no answer, watch, revision, event, error or file has them."""

import base64
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.longrunning.operations_pb2 import GetOperationRequest
from pydantic import ValidationError
from sutler.auth import make_token
from sutler.client import connect
from sutler.errors import FailedPrecondition, Invalid, PermissionDenied
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import from_struct, to_struct

from services.resource.app import app
from tests.integration.resource.conftest import SECRET, Tenant, everywhere, settings_for

MACHINES = "Custom.Org/machines"
PASSWORD = {"type": "string", "minLength": 8, "writeOnly": True}
SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"type": "integer"},
        "password": PASSWORD,
        "users": {"type": "array", "items": {"properties": {"name": {"type": "string"}, "key": PASSWORD}}},
        "end": {},
        "behave": {},
    },
}


def secret() -> str:
    return f"hidden-{uuid.uuid4().hex}"


def version(name: str = "v1", schema: dict[str, Any] = SCHEMA, **fields: object) -> pb.TypeVersion:
    return pb.TypeVersion(version=name, schema=to_struct(schema), **fields)  # type: ignore[arg-type]


async def place(tenant: Tenant, *versions: pb.TypeVersion, **fields: object) -> str:
    group = await tenant.group()
    await tenant.type("Custom.Org.machines", address=tenant.server.handler, versions=versions or [version()], **fields)
    return group


def stored(tenant: Tenant) -> bytes:
    """Returns all that the service has on disk."""
    file = Path(tenant.server.url.removeprefix("sqlite:///"))
    return b"".join(path.read_bytes() for path in file.parent.iterdir() if path.is_file())


@everywhere
async def test_only_the_handler_sees_them(tenant: Tenant) -> None:
    group = await place(tenant)
    hidden, key = secret(), secret()
    properties = {"size": 1, "password": hidden, "users": [{"name": "ann", "key": key}]}
    shown = {"size": 1, "users": [{"name": "ann"}]}
    begun = await tenant.create(group, "a", MACHINES, properties)
    made = await tenant.s.wait(begun)
    assert isinstance(made, pb.Resource)
    assert from_struct(tenant.calls("Apply", made.name)[0].desired.properties) == properties
    assert from_struct(tenant.calls("Validate", made.name)[0].desired.properties) == properties
    changed = await tenant.s.wait(await tenant.update(made.name, {"size": 2}))
    assert isinstance(changed, pb.Resource)
    call = tenant.calls("Apply", made.name)[1]
    assert from_struct(call.desired.properties) == {**properties, "size": 2}
    assert from_struct(call.previous.properties) == properties
    resources = tenant.s.resources
    watched = [r async for r in _first(resources.WatchResources(pb.WatchResourcesRequest(replay_existing=True)))]
    answers = [
        made,
        changed,
        await tenant.get(made.name),
        await resources.GetOperation(GetOperationRequest(name=begun.name)),
        await resources.ListResources(pb.ListResourcesRequest(parent=group)),
        await resources.BatchGetResources(pb.BatchGetResourcesRequest(names=[made.name])),
        *await tenant.revisions(made.name),
        *watched,
    ]
    for answer in answers:
        assert hidden not in str(answer) and key not in str(answer)
    assert from_struct(made.properties) == shown
    found = await resources.ListResources(
        pb.ListResourcesRequest(parent=group, filter=f'properties.password = "{hidden}"', recursive=True)
    )
    assert not found.resources
    await tenant.s.wait(await tenant.delete(made.name))
    assert from_struct(tenant.calls("Delete", made.name)[0].resource.properties)["password"] == hidden
    if tenant.server.engine == "sqlite":
        on_disk = stored(tenant)
        assert made.name.encode() in on_disk
        assert hidden.encode() not in on_disk and key.encode() not in on_disk


async def _first(watch: Any) -> Any:
    async for response in watch:
        yield response
        return


async def test_what_is_left_out_stays_and_null_removes(tenant: Tenant) -> None:
    group = await place(tenant)
    hidden = secret()
    made = await tenant.made(group, "a", MACHINES, {"password": hidden})

    async def applied(properties: dict[str, Any]) -> Any:
        await tenant.s.wait(await tenant.update(made.name, properties))
        return from_struct(tenant.calls("Apply", made.name)[-1].desired.properties)

    assert await applied({"size": 1}) == {"size": 1, "password": hidden}
    other = secret()
    assert await applied({"password": other}) == {"size": 1, "password": other}
    assert await applied({"password": None}) == {"size": 1}
    calls = len(tenant.calls("Apply", made.name))
    await tenant.s.wait(await tenant.update(made.name, {"size": 1}))
    assert len(tenant.calls("Apply", made.name)) == calls


async def test_a_diff_names_the_path_only(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", MACHINES, {"password": secret()})
    hidden = secret()
    request = pb.UpdateResourceRequest(
        resource=pb.Resource(name=made.name, properties=to_struct({"password": hidden, "size": 1})), validate_only=True
    )
    answer = await tenant.s.resources.UpdateResource(request)
    metadata = OperationMetadata()
    answer.metadata.Unpack(metadata)
    changes = {change.field: change for change in metadata.changes}
    assert set(changes) == {"properties.size", "properties.password"}
    assert not changes["properties.password"].HasField("before") and not changes["properties.password"].HasField(
        "after"
    )
    assert hidden not in str(answer)


@pytest.mark.parametrize("properties", [{"password": "p-{}"[:7]}, {"password": ["hush-hush"]}, {"users": "hush-hush"}])
async def test_errors_show_no_values(tenant: Tenant, properties: dict[str, Any]) -> None:
    group = await place(tenant)
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", MACHINES, properties)
    assert caught.value.reason == "RESOURCE_INVALID"
    told = f"{caught.value.message} {caught.value.metadata} {caught.value.violations}"
    assert "hush" not in told and "p-{}" not in told


async def test_rules_and_policies_do_not_see_them(tenant: Tenant) -> None:
    rule = pb.TypeRule(id="r", expression="!has(self.properties.password)", message="seen")
    group = await place(tenant, version(rules=[rule]))
    copy = {
        "id": "copy",
        "effect": "EFFECT_SET_DEFAULT",
        "condition": "true",
        "field": "tags.copy",
        "value_expression": "self.properties.password",
    }
    await tenant.made(group, "p", "Sutler.Resource/policies", {"rules": [copy], "types": ["Custom.*"]})
    with pytest.raises(PermissionDenied) as caught:
        await tenant.create(group, "a", MACHINES, {"password": secret()})
    assert caught.value.reason == "EXPRESSION_FAILED"
    await tenant.s.wait(await tenant.delete(f"{group}/policies/p"))
    await tenant.made(group, "a", MACHINES, {"password": secret()})


@everywhere
async def test_a_move_to_an_open_version_gives_nothing_away(tenant: Tenant) -> None:
    bare = version("v2", {"type": "object", "properties": {"password": {"type": "string"}}})
    group = await place(tenant, version(), bare, default_version="v1")
    hidden = secret()
    made = await tenant.made(group, "a", MACHINES, {"password": hidden, "size": 1})
    moved = await tenant.s.wait(await tenant.update(made.name, type_version="v2"))
    assert isinstance(moved, pb.Resource)
    assert from_struct(moved.properties) == {"size": 1}
    told = await tenant.s.wait(await tenant.update(made.name, {"password": "open"}))
    assert isinstance(told, pb.Resource)
    assert from_struct(told.properties) == {"size": 1, "password": "open"}


async def test_what_is_secret_cannot_change_under_stored_resources(tenant: Tenant) -> None:
    group = await place(tenant)
    await tenant.made(group, "a", MACHINES, {"password": secret()})
    bare = version(schema={"type": "object"})
    resources = tenant.s.resources
    request = pb.UpdateResourceTypeRequest(
        resource_type=pb.ResourceType(name="resourceTypes/Custom.Org.machines", versions=[bare])
    )
    with pytest.raises(FailedPrecondition) as caught:
        await resources.UpdateResourceType(request)
    assert caught.value.reason == "TYPE_CHANGE_INCOMPATIBLE"


async def test_parameters_of_actions(tenant: Tenant) -> None:
    action = pb.TypeAction(
        id="rotate", parameter_schema=to_struct({"type": "object", "properties": {"password": PASSWORD, "seconds": {}}})
    )
    group = await place(tenant, actions=[action])
    made = await tenant.made(group, "a", MACHINES)
    hidden = secret()
    begun = await tenant.invoke(made.name, "rotate", {"password": hidden, "seconds": 0.2})
    assert hidden.encode() not in stored(tenant)
    await tenant.s.wait(begun)
    (call,) = tenant.calls("InvokeAction", made.name)
    assert from_struct(call.parameters)["password"] == hidden
    with pytest.raises(Invalid) as caught:
        await tenant.invoke(made.name, "rotate", {"password": "hush"})
    assert "hush" not in caught.value.message


async def test_another_key_opens_nothing_and_the_old_one_beside_it_does(tenant: Tenant, tmp_path: Path) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    url, token = f"sqlite:///{tmp_path}/resource.db", make_token(SECRET, "user:ann", permissions=("*.*.*",))
    name = "subscriptions/s/providers/Custom.Org/vaults/a"

    async def update(keys: str, properties: dict[str, Any]) -> pb.Resource:
        settings = settings_for(url, secret_keys=keys)
        async with running(app, settings, "resource") as up, connect(up.address, token=token, attempts=1) as s:
            await s.resources.UpdateResourceType(
                pb.UpdateResourceTypeRequest(
                    resource_type=pb.ResourceType(name="resourceTypes/Custom.Org.vaults", versions=[version()]),
                    allow_missing=True,
                )
            )
            shop = pb.Resource(name="subscriptions/s", type="Sutler.Resource/subscriptions")
            await s.resources.UpdateResource(pb.UpdateResourceRequest(resource=shop, allow_missing=True))
            vault = pb.Resource(name=name, type="Custom.Org/vaults", properties=to_struct(properties))
            begun = await s.resources.UpdateResource(pb.UpdateResourceRequest(resource=vault, allow_missing=True))
            done = await s.wait(begun)
            assert isinstance(done, pb.Resource)
            return done

    await update(old, {"password": secret()})
    with pytest.raises(FailedPrecondition) as caught:
        await update(new, {"size": 1})
    assert (caught.value.reason, caught.value.metadata) == ("SECRET_UNREADABLE", {"resource": name})
    assert from_struct((await update(f"{new},{old}", {"size": 1})).properties) == {"size": 1}
    assert from_struct((await update(new, {"size": 2})).properties) == {"size": 2}


def test_malformed_keys_are_refused_at_start() -> None:
    with pytest.raises(ValidationError) as refused:
        settings_for("sqlite:///:memory:", secret_keys="abc")
    assert [problem["loc"] for problem in refused.value.errors()] == [("secret_keys",)]


async def test_without_a_key_no_secrets_are_taken(tenant: Tenant) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        async with (
            running(app, settings_for("sqlite:///:memory:"), "resource") as up,
            connect(up.address, token=make_token(SECRET, "user:ann", permissions=("*.*.*",)), attempts=1) as s,
        ):
            await s.resources.CreateResourceType(
                pb.CreateResourceTypeRequest(
                    resource_type_id="Custom.Org.vaults", resource_type=pb.ResourceType(versions=[version()])
                )
            )
    assert caught.value.metadata == {"setting": "SUTLER_RESOURCE_SECRET_KEYS"}


@everywhere
async def test_a_stack_keeps_the_secrets_of_its_members(tenant: Tenant) -> None:
    group = await place(tenant)
    hidden, shared = secret(), secret()
    stack = pb.Stack(
        name="stacks/vault",
        scope=group,
        members=[
            pb.StackMember(id="a", type=MACHINES, properties=to_struct({"size": 1, "password": hidden})),
            pb.StackMember(id="b", type=MACHINES, properties=to_struct({"password": "x-${parameters.deep.password}"})),
        ],
        parameters=to_struct({"deep": {"password": shared, "size": 2}, "size": 2}),
    )
    resources = tenant.s.resources
    preview = await resources.PreviewStack(pb.PreviewStackRequest(stack=stack))
    begun = await resources.ApplyStack(pb.ApplyStackRequest(stack=stack))
    done = await tenant.s.wait(begun)
    names = [f"{group}/providers/Custom.Org/machines/{id}" for id in "ab"]
    told = [from_struct(tenant.calls("Apply", name)[0].desired.properties)["password"] for name in names]
    assert told == [hidden, f"x-{shared}"]
    got = await resources.GetStack(pb.GetStackRequest(name=stack.name))
    listed = await resources.ListStacks(pb.ListStacksRequest())
    for answer in (preview, done, got, listed, await resources.GetOperation(GetOperationRequest(name=begun.name))):
        assert hidden not in str(answer) and shared not in str(answer)
    assert from_struct(got.members[0].properties) == {"size": 1}
    assert from_struct(got.parameters) == {"size": 2}
    if tenant.server.engine == "sqlite":
        on_disk = stored(tenant)
        assert hidden.encode() not in on_disk and shared.encode() not in on_disk
    stack.members[0].properties.update({"size": 3})
    preview = await resources.PreviewStack(pb.PreviewStackRequest(stack=stack))
    assert [[change.field for change in step.changes] for step in preview.plan] == [
        ["properties.size", "properties.password"],
        ["properties.password"],
    ]
    await tenant.s.wait(await resources.ApplyStack(pb.ApplyStackRequest(stack=stack)))
    assert [len(tenant.calls("Apply", name)) for name in names] == [2, 1]
    await tenant.s.wait(await resources.DeleteStack(pb.DeleteStackRequest(name=stack.name)))
