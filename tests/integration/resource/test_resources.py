"""Creating, reading, updating and deleting resources of types that are only recorded."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client.operations import progress
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, NotFound, SutlerError
from sutler.resource.v1 import resource_pb2 as pb
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import from_struct, from_value, to_struct

from tests.integration.resource.conftest import Tenant, everywhere, until

SCHEMA = {
    "type": "object",
    "properties": {
        "tier": {"enum": ["basic", "gold"], "default": "basic"},
        "size": {"type": "integer", "minimum": 1, "maximum": 100},
        "hosts": {"type": "array", "items": {"type": "object", "properties": {"port": {"default": 80}}}},
    },
    "required": ["size"],
    "additionalProperties": False,
}
RULES = [
    pb.TypeRule(
        id="basic-is-small",
        expression='self.properties.tier != "basic" || self.properties.size <= 10',
        message="basic has at most 10",
        field="properties.size",
    ),
    pb.TypeRule(
        id="grows",
        expression="self.properties.size >= old_self.properties.size",
        message="it cannot shrink",
        field="properties.size",
    ),
    pb.TypeRule(id="env", expression="!has(parent.tags.env) || parent.tags.env == self.tags.env", message="same env"),
]
VERSION = pb.TypeVersion(
    version="v1",
    schema=to_struct(SCHEMA),
    rules=RULES,
    normalizations=[
        pb.Normalization(field="properties.tier", kind=pb.Normalization.KIND_LOWER_CASE),
        pb.Normalization(field="display_name", kind=pb.Normalization.KIND_TRIM),
    ],
    immutable_fields=["properties.hosts"],
)
SERVERS = "Custom.Org/servers"


def metadata(operation) -> OperationMetadata:  # type: ignore[no-untyped-def]
    found = OperationMetadata()
    operation.metadata.Unpack(found)
    return found


@everywhere
async def test_create_is_done_readable_and_complete(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[VERSION])
    operation = await tenant.create(
        group, "a", SERVERS, {"size": 3, "tier": "GOLD", "hosts": [{}]}, tags={"team": "x"}, display_name="  A "
    )
    assert operation.done and operation.name.startswith("resourceOperations/")
    told = metadata(operation)
    assert (told.method, told.creator, told.progress_percent) == ("CreateResource", "user:anna", 100)
    made = await tenant.s.wait(operation)
    name = f"{group}/providers/Custom.Org/servers/a"
    assert made == await tenant.get(name)
    assert isinstance(made, pb.Resource)
    assert from_struct(made.properties) == {"size": 3, "tier": "gold", "hosts": [{"port": 80}]}
    assert (made.name, made.type, made.type_version, made.display_name) == (name, SERVERS, "v1", "A")
    assert (made.provisioning_state, made.generation, made.observed_generation) == (pb.Resource.STATE_SUCCEEDED, 1, 1)
    assert (made.creator, made.updater, dict(made.tags)) == ("user:anna", "user:anna", {"team": "x"})
    assert made.uid and made.etag and made.create_time == made.update_time and not made.reconciling


async def test_all_violations_at_once(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[VERSION])
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", SERVERS, {"size": "big", "tier": "iron", "colour": 1})
    assert caught.value.reason == "RESOURCE_INVALID"
    assert caught.value.metadata["type"] == SERVERS
    assert {(v.field, v.reason) for v in caught.value.violations} == {
        ("resource.properties.size", "TYPE"),
        ("resource.properties.tier", "ENUM"),
        ("resource.properties.colour", "ADDITIONAL_PROPERTIES"),
    }
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", SERVERS, {"size": 50})
    assert [(v.field, v.reason) for v in caught.value.violations] == [("resource.properties.size", "basic-is-small")]
    with pytest.raises(NotFound):
        await tenant.get(f"{group}/providers/Custom.Org/servers/a")


async def test_a_hundred_violations_reach_the_caller(tenant: Tenant) -> None:
    group = await tenant.group()
    schema = {"properties": {f"field_with_a_long_name_{i}": {"type": "string"} for i in range(120)}}
    await tenant.type(versions=[pb.TypeVersion(version="v1", schema=to_struct(schema))])
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", SERVERS, {f"field_with_a_long_name_{i}": i for i in range(120)})
    assert caught.value.reason == "RESOURCE_INVALID"
    assert len(caught.value.violations) >= 20


async def test_a_rule_that_fails_to_evaluate_counts_as_broken(tenant: Tenant) -> None:
    group = await tenant.group()
    rule = pb.TypeRule(id="colour", expression='self.properties.colour == "red"', message="red")
    await tenant.type(versions=[pb.TypeVersion(version="v1", rules=[rule])])
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", SERVERS, {})
    assert caught.value.reason == "EXPRESSION_FAILED"
    assert caught.value.metadata["source"] == "resourceTypes/Custom.Org.servers"
    assert caught.value.metadata["rule"] == "colour"
    assert caught.value.metadata["cause"]


async def test_a_rule_that_takes_too_long_counts_as_broken(tenant: Tenant) -> None:
    group = await tenant.group()
    slow = "self.properties.a.all(x, self.properties.a.all(y, self.properties.a.all(z, x + y + z >= 0)))"
    rule = pb.TypeRule(id="slow", expression=slow, message="never")
    await tenant.type(versions=[pb.TypeVersion(version="v1", rules=[rule])])
    await tenant.made(group, "few", SERVERS, {"a": [1, 2, 3]})
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "many", SERVERS, {"a": list(range(500))})
    assert (caught.value.reason, caught.value.metadata["rule"]) == ("EXPRESSION_FAILED", "slow")
    assert "budget" in caught.value.metadata["cause"]


async def test_rules_see_the_parent(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[VERSION])
    await tenant.update(group, tags={"env": "prod"})
    with pytest.raises(Invalid):
        await tenant.create(group, "a", SERVERS, {"size": 1}, tags={"env": "test"})
    await tenant.made(group, "a", SERVERS, {"size": 1}, tags={"env": "prod"})


@pytest.mark.parametrize(
    ("parent", "id", "type", "error", "reason"),
    [
        ("subscriptions/none", "g", "Sutler.Resource/resourceGroups", NotFound, "NOT_FOUND"),
        ("", "s", "Custom.Org/unknown", FailedPrecondition, "TYPE_UNKNOWN"),
        ("", "s", "Sutler.Resource/budgets", FailedPrecondition, "TYPE_UNKNOWN"),
        ("", "g", "Sutler.Resource/resourceGroups", Invalid, "PARENT_NOT_ALLOWED"),
        ("", "a/b", "Sutler.Resource/subscriptions", Invalid, "FIELD_INVALID"),
        ("", "", "Sutler.Resource/subscriptions", Invalid, "FIELD_INVALID"),
        ("", "s", "", Invalid, "FIELD_INVALID"),
        ("things/x", "s", "Sutler.Resource/subscriptions", Invalid, "FIELD_INVALID"),
    ],
)
async def test_creates_that_are_refused(tenant: Tenant, parent: str, id: str, type: str, error, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error) as caught:
        await tenant.create(parent, id, type)
    assert caught.value.reason == reason


async def test_names_ignore_case_and_keep_it(tenant: Tenant) -> None:
    await tenant.made("", "Shop", "sutler.resource/SUBSCRIPTIONS")
    made = await tenant.made("SUBSCRIPTIONS/sHOP", "Orders", "Sutler.Resource/resourceGroups")
    assert made.name == "subscriptions/Shop/resourceGroups/Orders"
    assert (await tenant.get("subscriptions/SHOP/resourcegroups/ORDERS")).name == made.name
    with pytest.raises(AlreadyExists) as caught:
        await tenant.create("subscriptions/shop", "ORDERS", "Sutler.Resource/resourceGroups")
    assert (caught.value.reason, caught.value.metadata["resource"]) == ("ALREADY_EXISTS", made.name)


@everywhere
async def test_of_two_creates_at_the_same_instant_one_succeeds(tenant: Tenant) -> None:
    await tenant.made("", "s", "Sutler.Resource/subscriptions")
    ends = await asyncio.gather(
        *(
            tenant.create("subscriptions/s", f"{'G' if i % 2 else 'g'}", "Sutler.Resource/resourceGroups")
            for i in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(end, BaseException) for end in ends) == 1
    assert {type(end) for end in ends if isinstance(end, BaseException)} == {AlreadyExists}


@pytest.mark.parametrize(
    ("scopes", "free", "taken"),
    [
        (["SUBSCRIPTION", "PARENT_RESOURCE"], [("one", "two"), ("two", "one")], [("one", "one")]),
        (["SUBSCRIPTION"], [], [("one", "two"), ("two", "one")]),
        (["RESOURCE_GROUP"], [("two", "one")], [("one", "two")]),
    ],
)
@everywhere
async def test_uniqueness_scopes(
    tenant: Tenant, scopes: list[str], free: list[tuple[str, str]], taken: list[tuple[str, str]]
) -> None:
    await tenant.type()
    await tenant.type("Custom.Org.servers.dbs", uniqueness_scopes=[f"SCOPE_{scope}" for scope in scopes])
    await tenant.group("s", "one")
    await tenant.create("subscriptions/s", "two", "Sutler.Resource/resourceGroups")
    for group in ("one", "two"):
        for server in ("one", "two"):
            await tenant.create(f"subscriptions/s/resourceGroups/{group}", server, SERVERS)
    where = "subscriptions/s/resourceGroups/{}/providers/Custom.Org/servers/{}"
    first = await tenant.made(where.format("one", "one"), "mydb", "Custom.Org/servers/dbs")
    for place in free:
        await tenant.made(where.format(*place), "MyDb", "Custom.Org/servers/dbs")
    for place in taken:
        with pytest.raises(AlreadyExists) as caught:
            await tenant.create(where.format(*place), "MyDb", "Custom.Org/servers/dbs")
        if place != ("one", "one"):
            assert caught.value.reason == "NOT_UNIQUE"
            assert caught.value.metadata["holder"] == first.name
    await tenant.delete(first.name)
    for place in taken[:1]:
        await tenant.made(where.format(*place), "mydb", "Custom.Org/servers/dbs")


@everywhere
async def test_moving_a_subscription_moves_its_keys(tenant: Tenant) -> None:
    for group in ("m", "n"):
        await tenant.create("", group, "Sutler.Resource/managementGroups")
    await tenant.type(uniqueness_scopes=["SCOPE_MANAGEMENT_GROUP"])
    for subscription, group in (("a", "m"), ("b", "n")):
        above = {"management_group": f"managementGroups/{group}"}
        await tenant.create("", subscription, "Sutler.Resource/subscriptions", above)
        await tenant.made(f"subscriptions/{subscription}", "web", SERVERS)
    with pytest.raises(AlreadyExists) as caught:
        await tenant.update("subscriptions/b", {"management_group": "managementGroups/m"})
    assert caught.value.reason == "NOT_UNIQUE"
    await tenant.delete("subscriptions/a/providers/Custom.Org/servers/web")
    await tenant.update("subscriptions/b", {"management_group": "managementGroups/m"})
    with pytest.raises(AlreadyExists):
        await tenant.create("subscriptions/a", "web", SERVERS)


@everywhere
async def test_update_merges_properties_and_replaces_the_rest(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    before = await tenant.made(group, "a", SERVERS, {"a": 1, "b": {"c": 1, "d": 2}}, tags={"x": "1", "y": "2"})
    operation = await tenant.update(before.name, {"b": {"c": None, "e": 3}, "f": [None]}, tags={"z": "3"})
    assert operation.done
    after = await tenant.get(before.name)
    assert from_struct(after.properties) == {"a": 1, "b": {"d": 2, "e": 3}, "f": [None]}
    assert dict(after.tags) == {"z": "3"}
    assert (after.generation, after.observed_generation, after.uid) == (2, 2, before.uid)
    assert after.etag != before.etag and after.revision > before.revision
    assert after.create_time == before.create_time


@pytest.mark.parametrize(
    ("paths", "properties", "tags"),
    [
        (["tags"], {"a": 1}, {}),
        (["properties"], {"a": 1, "b": 2}, {"x": "1"}),
        (["*"], {"b": 2}, {}),
        (["outputs", "uid"], {"a": 1}, {"x": "1"}),
    ],
)
async def test_masks(tenant: Tenant, paths: list[str], properties: dict[str, int], tags: dict[str, str]) -> None:
    group = await tenant.group()
    await tenant.type()
    made = await tenant.made(group, "a", SERVERS, {"a": 1}, tags={"x": "1"})
    resource = pb.Resource(name=made.name, properties=to_struct({"b": 2}), outputs=to_struct({"o": 1}), uid="other")
    await tenant.s.resources.UpdateResource(
        pb.UpdateResourceRequest(resource=resource, update_mask=FieldMask(paths=paths))
    )
    after = await tenant.get(made.name)
    assert (from_struct(after.properties), dict(after.tags)) == (properties, tags)
    assert (after.uid, from_struct(after.outputs)) == (made.uid, {})


@pytest.mark.parametrize("path", ["colour", "properties.a", "tags.x"])
async def test_masks_that_name_no_field(tenant: Tenant, path: str) -> None:
    group = await tenant.group()
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.UpdateResource(
            pb.UpdateResourceRequest(resource=pb.Resource(name=group), update_mask=FieldMask(paths=[path]))
        )
    assert (caught.value.reason, caught.value.metadata["path"]) == ("UPDATE_MASK_INVALID", path)


async def test_an_update_that_changes_nothing_changes_nothing(tenant: Tenant) -> None:
    group = await tenant.group()
    before = await tenant.get(group)
    operation = await tenant.update(group, {}, tags={})
    assert operation.done and (await tenant.get(group)) == before
    assert len(await tenant.revisions(group)) == 1


async def test_what_cannot_change(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[VERSION])
    made = await tenant.made(group, "a", SERVERS, {"size": 5, "hosts": [{"port": 1}]})
    with pytest.raises(Invalid) as caught:
        await tenant.update(made.name, {"hosts": [{"port": 2}]})
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_IMMUTABLE", "resource.properties.hosts")
    with pytest.raises(Invalid) as caught:
        await tenant.update(made.name, {"size": 4})
    assert [v.reason for v in caught.value.violations] == ["grows"]
    with pytest.raises(Invalid) as caught:
        await tenant.update(made.name, type="Custom.Org/others")
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_IMMUTABLE", "resource.type")
    cleared = pb.UpdateResourceRequest(resource=pb.Resource(name=made.name), update_mask=FieldMask(paths=["type"]))
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.UpdateResource(cleared)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_IMMUTABLE", "resource.type")
    await tenant.update(made.name.upper().replace("/PROVIDERS/", "/providers/"), {"size": 6}, type=SERVERS.upper())
    assert (await tenant.get(made.name)).name == made.name


@everywhere
async def test_etags(tenant: Tenant) -> None:
    group = await tenant.group()
    first = await tenant.get(group)
    await tenant.update(group, tags={"a": "1"}, etag=first.etag)
    with pytest.raises(Conflict) as caught:
        await tenant.update(group, tags={"a": "2"}, etag=first.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    with pytest.raises(Conflict):
        await tenant.delete(group, etag=first.etag)
    await tenant.delete(group, etag=(await tenant.get(group)).etag)


@everywhere
async def test_concurrent_updates_are_not_lost(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    made = await tenant.made(group, "a", SERVERS, {})
    await asyncio.gather(*(tenant.update(made.name, {f"k{i}": i}) for i in range(20)))
    after = await tenant.get(made.name)
    assert from_struct(after.properties) == {f"k{i}": i for i in range(20)}
    assert after.generation == 21


async def test_apply_creates_and_then_updates(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    name = f"{group}/providers/Custom.Org/servers/a"

    async def apply(properties: dict[str, object], type: str = SERVERS) -> pb.Resource:
        resource = pb.Resource(name=name, type=type, properties=to_struct(properties))
        request = pb.UpdateResourceRequest(resource=resource, allow_missing=True)
        found = await tenant.s.wait(await tenant.s.resources.UpdateResource(request))
        assert isinstance(found, pb.Resource)
        return found

    with pytest.raises(NotFound):
        await tenant.update(name, {"a": 1})
    first = await apply({"a": 1, "none": None}, type="")
    assert (from_struct(first.properties), first.generation, first.type) == ({"a": 1}, 1, SERVERS)
    assert (await apply({"a": 1})).revision == first.revision
    assert from_struct((await apply({"b": 2})).properties) == {"a": 1, "b": 2}
    with pytest.raises(Invalid):
        await apply({}, type="Custom.Org/others")
    await tenant.delete(name)
    with pytest.raises(Invalid) as caught:
        await apply({}, type="Custom.Org/others")
    assert caught.value.reason == "FIELD_INVALID"


@everywhere
async def test_validate_only_shows_the_difference_and_changes_nothing(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[VERSION])
    request = pb.CreateResourceRequest(
        parent=group, resource_id="a", validate_only=True,
        resource=pb.Resource(type=SERVERS, properties=to_struct({"size": 3}), tags={"x": "1"}),
    )  # fmt: skip
    operation = await tenant.s.resources.CreateResource(request)
    assert operation.done and not operation.name
    would_be = await tenant.s.wait(operation)
    assert isinstance(would_be, pb.Resource)
    assert (would_be.name, would_be.uid, would_be.etag) == (f"{group}/providers/Custom.Org/servers/a", "", "")
    assert {change.field: from_value(change.after) for change in metadata(operation).changes} == {
        "properties.size": 3,
        "properties.tier": "basic",
        "tags.x": "1",
        "type_version": "v1",
    }
    with pytest.raises(NotFound):
        await tenant.get(would_be.name)
    request.validate_only = False
    made = await tenant.s.wait(await tenant.s.resources.CreateResource(request))
    assert isinstance(made, pb.Resource)
    operation = await tenant.s.resources.UpdateResource(
        pb.UpdateResourceRequest(
            resource=pb.Resource(name=made.name, properties=to_struct({"size": 4})), validate_only=True
        )
    )
    changes = metadata(operation).changes
    assert [(c.field, from_value(c.before), from_value(c.after)) for c in changes] == [("properties.size", 3, 4)]
    assert await tenant.get(made.name) == made
    with pytest.raises(Invalid):
        await tenant.s.resources.UpdateResource(
            pb.UpdateResourceRequest(
                resource=pb.Resource(name=made.name, properties=to_struct({"size": 1})), validate_only=True
            )
        )
    operation = await tenant.delete(group, validate_only=True, force=True)
    assert [step.target for step in metadata(operation).plan] == [made.name, group]
    assert await tenant.get(made.name) == made


@everywhere
async def test_delete_needs_force_for_children_and_takes_all(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await tenant.type("Custom.Org.servers.disks")
    server = await tenant.made(group, "a", SERVERS)
    disk = await tenant.made(server.name, "d", "Custom.Org/servers/disks")
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.delete("subscriptions/shop")
    assert (caught.value.reason, caught.value.metadata["children"]) == ("HAS_CHILDREN", "3")
    assert caught.value.metadata["child"] in (group, server.name, disk.name)
    operation = await tenant.delete("subscriptions/SHOP", force=True)
    assert operation.done
    await tenant.s.wait(operation)
    for name in ("subscriptions/shop", group, server.name, disk.name):
        with pytest.raises(NotFound):
            await tenant.get(name)
    last = (await tenant.revisions(disk.name))[0]
    assert (last.kind, last.cause, last.origin) == (
        pb.ResourceRevision.KIND_DELETED,
        pb.ResourceRevision.CAUSE_CASCADE,
        "subscriptions/shop",
    )
    again = await tenant.group()
    assert (await tenant.get(again)).uid != (await tenant.revisions(again))[-1].uid


async def test_delete_of_many_goes_on_in_the_background(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await asyncio.gather(*(tenant.create(group, f"s{i}", SERVERS) for i in range(230)))
    operation = await tenant.delete("subscriptions/shop", force=True)
    assert not operation.done
    with pytest.raises((FailedPrecondition, NotFound)):
        await tenant.create(group, "late", SERVERS)
    await tenant.s.wait(operation)
    found = await tenant.s.resources.ListResources(pb.ListResourcesRequest(recursive=True))
    assert list(found.resources) == []


async def test_delete_what_is_not_there(tenant: Tenant) -> None:
    with pytest.raises(NotFound):
        await tenant.delete("subscriptions/none")
    operation = await tenant.delete("subscriptions/none", allow_missing=True)
    assert operation.done and progress(operation).state == "SUCCEEDED"
    with pytest.raises(Invalid):
        await tenant.delete("things/x", allow_missing=True)


async def test_a_lock_below_is_told_before_force_is_asked_for(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    made = await tenant.made(group, "a", SERVERS, lock="LOCK_CAN_NOT_DELETE")
    for force in (False, True):
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.delete(group, force=force)
        assert (caught.value.reason, caught.value.metadata["holder"]) == ("LOCKED", made.name)


async def test_an_etag_of_what_is_gone_does_not_match(tenant: Tenant) -> None:
    wanted = pb.Resource(name="subscriptions/gone", type="Sutler.Resource/subscriptions", etag='"x"')
    for validate_only in (True, False):
        with pytest.raises(Conflict) as caught:
            await tenant.s.resources.UpdateResource(
                pb.UpdateResourceRequest(resource=wanted, allow_missing=True, validate_only=validate_only)
            )
        assert caught.value.reason == "ETAG_MISMATCH"
    assert (await tenant.delete("subscriptions/gone", etag='"x"', allow_missing=True)).done
    wanted.etag, wanted.type = "", "Sutler.Resource/locations"
    with pytest.raises(Invalid) as caught_other:
        await tenant.s.resources.UpdateResource(pb.UpdateResourceRequest(resource=wanted, allow_missing=True))
    assert (caught_other.value.reason, caught_other.value.metadata["field"]) == ("FIELD_INVALID", "resource.type")


@pytest.mark.parametrize("validate_only", [True, False])
async def test_a_new_time_to_expire_is_in_the_future(tenant: Tenant, validate_only: bool) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    resource = pb.Resource(type="Sutler.Resource/subscriptions", expire_time=over)
    create = pb.CreateResourceRequest(resource_id="new", resource=resource, validate_only=validate_only)
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.CreateResource(create)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_INVALID", "resource.expire_time")
    await tenant.made("", "s", "Sutler.Resource/subscriptions", lock="LOCK_CAN_NOT_DELETE")
    wanted = pb.Resource(name="subscriptions/s", expire_time=over)
    update = pb.UpdateResourceRequest(resource=wanted, validate_only=validate_only)
    with pytest.raises(Invalid):
        await tenant.s.resources.UpdateResource(update)
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    await tenant.update("subscriptions/s", expire_time=soon)
    await asyncio.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    update.resource.expire_time.FromDatetime(soon)  # what it has already is none that is new
    await tenant.s.resources.UpdateResource(update)


@pytest.mark.parametrize("lock", ["LOCK_READ_ONLY", "LOCK_CAN_NOT_DELETE"])
@everywhere
async def test_locks_are_inherited_and_honoured(tenant: Tenant, lock: str) -> None:
    group = await tenant.group()
    await tenant.type()
    made = await tenant.made(group, "a", SERVERS)
    await tenant.update("subscriptions/shop", lock=lock)
    for name, force in ((made.name, False), (group, False), (group, True), ("subscriptions/shop", True)):
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.delete(name, force=force)
        assert (caught.value.reason, caught.value.metadata["holder"]) == ("LOCKED", "subscriptions/shop")
    if lock == "LOCK_READ_ONLY":
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.create(group, "b", SERVERS)
        assert caught.value.reason == "LOCKED"
        for name in (made.name, "subscriptions/shop"):
            with pytest.raises(FailedPrecondition):
                await tenant.update(name, tags={"x": "1"})
    else:
        await tenant.made(group, "b", SERVERS)
        await tenant.update(made.name, tags={"x": "1"})
    await tenant.update("subscriptions/shop", lock="LOCK_NONE")
    await tenant.update(made.name, lock=lock)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.delete("subscriptions/shop", force=True)
    assert caught.value.metadata["holder"] == made.name
    await tenant.update(made.name, lock="LOCK_NONE")
    await tenant.s.wait(await tenant.delete("subscriptions/shop", force=True))


@everywhere
async def test_management_groups_are_a_tree(tenant: Tenant) -> None:
    def above(group: str) -> dict[str, str]:
        return {"management_group": f"managementGroups/{group}"}

    await tenant.create("", "a", "Sutler.Resource/managementGroups")
    await tenant.create("", "b", "Sutler.Resource/managementGroups", above("a"))
    await tenant.create("", "s", "Sutler.Resource/subscriptions", above("b"))
    with pytest.raises(Invalid) as caught:
        await tenant.update("managementGroups/a", above("b"))
    assert caught.value.reason == "REFERENCE_CYCLE"
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create("", "t", "Sutler.Resource/subscriptions", above("none"))
    assert caught.value.reason == "REFERENCE_UNRESOLVED"
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.delete("managementGroups/b", force=True)
    assert (caught.value.reason, caught.value.metadata["user"]) == ("IN_USE", "subscriptions/s")
    await tenant.update("managementGroups/a", lock="LOCK_READ_ONLY")
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create("subscriptions/s", "g", "Sutler.Resource/resourceGroups")
    assert caught.value.metadata["holder"] == "managementGroups/a"
    with pytest.raises(FailedPrecondition):
        await tenant.create("", "t", "Sutler.Resource/subscriptions", above("b"))


async def test_management_groups_have_a_deepest_level(tenant: Tenant) -> None:
    await tenant.create("", "g0", "Sutler.Resource/managementGroups")
    for level in range(1, 8):
        above = {"management_group": f"managementGroups/g{level - 1}"}
        await tenant.create("", f"g{level}", "Sutler.Resource/managementGroups", above)
    with pytest.raises(Invalid):
        await tenant.create("", "g8", "Sutler.Resource/managementGroups", {"management_group": "managementGroups/g7"})
    await tenant.made("", "s", "Sutler.Resource/subscriptions", {"management_group": "managementGroups/g7"})


@everywhere
async def test_references_must_exist_and_hold(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create(group, "a", SERVERS, references=["subscriptions/none"])
    assert (caught.value.reason, caught.value.metadata["field"]) == ("REFERENCE_UNRESOLVED", "resource.references[0]")
    a = await tenant.made(group, "a", SERVERS)
    b = await tenant.made(group, "b", SERVERS, references=[a.name])
    c = await tenant.made(group, "c", SERVERS, references=[b.name])
    with pytest.raises(Invalid) as caught:
        await tenant.update(a.name, references=[c.name])
    assert caught.value.reason == "REFERENCE_CYCLE"
    assert caught.value.metadata["cycle"] == ", ".join([a.name, c.name, b.name, a.name])
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.delete(a.name)
    assert (caught.value.reason, caught.value.metadata["user"]) == ("IN_USE", b.name)
    await tenant.s.wait(await tenant.delete("subscriptions/shop", force=True))


async def test_locations(tenant: Tenant) -> None:
    await tenant.create("", "west", "Sutler.Resource/locations", {"geography": "Europe"})
    await tenant.create("", "old", "Sutler.Resource/locations", {"enabled": False})
    for location in ("locations/none", "locations/old"):
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.create("", "s", "Sutler.Resource/subscriptions", location=location)
        assert (caught.value.reason, caught.value.metadata["target"]) == ("REFERENCE_UNRESOLVED", location)
    await tenant.made("", "s", "Sutler.Resource/subscriptions", location="locations/west")
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.delete("locations/west")
    assert caught.value.reason == "IN_USE"
    await tenant.update("locations/west", {"enabled": False})
    await tenant.update("subscriptions/s", tags={"still": "allowed"})


@everywhere
async def test_expired_resources_go(tenant: Tenant) -> None:
    group = await tenant.group()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await tenant.update("subscriptions/shop", expire_time=soon, lock="LOCK_CAN_NOT_DELETE")
    await tenant.create("", "other", "Sutler.Resource/subscriptions", expire_time=soon)

    async def gone(name: str) -> bool:
        try:
            await tenant.get(name)
        except NotFound:
            return True
        return False

    await until(lambda: gone("subscriptions/other"))
    assert not await gone(group)
    await tenant.update("subscriptions/shop", lock="LOCK_NONE")
    await until(lambda: gone(group))
    last = (await tenant.revisions("subscriptions/shop"))[0]
    assert (last.kind, last.cause) == (pb.ResourceRevision.KIND_DELETED, pb.ResourceRevision.CAUSE_EXPIRY)


@everywhere
async def test_sizes(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    fits = {"a": "x" * (1024 * 1024 - 40)}
    made = await tenant.made(group, "large", SERVERS, fits)
    assert from_struct(made.properties) == fits
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "larger", SERVERS, {"a": "x" * (1024 * 1024 + 1)})
    assert caught.value.violations[0].field == "resource.properties"


async def test_sizes_count_after_merging_and_filling(tenant: Tenant) -> None:
    below = {"$ref": "#/$defs/node"}
    node = {"properties": {"below": below, "more": {"default": {"a": {"b": {"c": 1}}}}}}
    group = await tenant.group()
    schema = to_struct({"properties": {"below": below}, "$defs": {"node": node}})
    version = pb.TypeVersion(version="v1", schema=schema)
    await tenant.type("Custom.Org.nodes", versions=[version])
    made = await tenant.made(group, "a", "Custom.Org/nodes", {"text": "x" * 600_000})
    with pytest.raises(Invalid) as caught:
        await tenant.update(made.name, {"more": "x" * 600_000})
    assert (caught.value.reason, caught.value.metadata["limit_bytes"]) == ("TOO_LARGE", "1048576")
    deep: dict[str, object] = {}
    for _ in range(17):
        deep = {"below": deep}
    with pytest.raises(Invalid) as caught:
        await tenant.update(made.name, deep)
    assert (caught.value.reason, caught.value.metadata["limit_levels"]) == ("TOO_LARGE", "20")
    assert from_struct((await tenant.get(made.name)).properties) == {"text": "x" * 600_000}


async def test_properties_that_are_as_deep_as_they_may_be_are_shown_wherever_they_go(tenant: Tenant) -> None:
    deep: dict[str, object] = {"a": 1}
    for _ in range(19):
        deep = {"a": deep}
    group = await tenant.group()
    await tenant.type()
    made = await tenant.made(group, "a", SERVERS, deep)
    await tenant.update(made.name, {"b": 1})
    found = await tenant.s.resources.ListResourceRevisions(pb.ListResourceRevisionsRequest(parent=made.name))
    assert [from_struct(r.after.properties) for r in found.resource_revisions] == [{**deep, "b": 1}, deep]
    dry = pb.UpdateResourceRequest(
        resource=pb.Resource(name=made.name, properties=to_struct({"b": None})), validate_only=True
    )
    answer = pb.Resource()
    (await tenant.s.resources.UpdateResource(dry)).response.Unpack(answer)
    assert from_struct(answer.properties) == deep


async def test_the_first_stage_that_fails_answers(tenant: Tenant) -> None:
    """Schema and rules, then locks, then references, then uniqueness, and the handler last."""
    group = await tenant.group()
    type = await tenant.machine_type()
    await tenant.made(group, "a", type)
    asked = len(tenant.calls("Validate"))

    async def reason(properties: dict[str, object], **fields: object) -> str:
        with pytest.raises(SutlerError) as caught:
            await tenant.create(group, "A", type, properties, **fields)
        return caught.value.reason

    schema = to_struct({"properties": {"size": {"type": "integer"}}})
    changed = pb.ResourceType(name="resourceTypes/Custom.Org.machines")
    changed.versions.add(version="v1", schema=schema)
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=changed))
    await tenant.update("subscriptions/shop", lock="LOCK_READ_ONLY")
    assert await reason({"size": "x", "validate": "refuse"}, location="locations/none") == "RESOURCE_INVALID"
    assert await reason({"validate": "refuse"}, location="locations/none") == "LOCKED"
    await tenant.update("subscriptions/shop", lock="LOCK_NONE")
    assert await reason({"validate": "refuse"}, location="locations/none") == "REFERENCE_UNRESOLVED"
    assert await reason({"validate": "refuse"}) == "ALREADY_EXISTS"
    assert len(tenant.calls("Validate")) == asked


@everywhere
async def test_a_parent_that_vanishes_during_create_leaves_no_orphan(tenant: Tenant) -> None:
    await tenant.create("", "s", "Sutler.Resource/subscriptions")
    for index in range(10):
        group = f"subscriptions/s/resourceGroups/g{index}"
        await tenant.create("subscriptions/s", f"g{index}", "Sutler.Resource/resourceGroups")
        await tenant.type() if index == 0 else None
        await asyncio.gather(
            tenant.create(group, "a", SERVERS), tenant.delete(group, force=True), return_exceptions=True
        )
        with pytest.raises(NotFound):
            await tenant.get(group)
        with pytest.raises(NotFound):
            await tenant.get(f"{group}/providers/Custom.Org/servers/a")
