"""Registering, changing and deleting resource types."""

import asyncio
import uuid

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import connect
from sutler.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
)
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.wire import from_struct, to_struct

from services.resource.app import app
from tests.integration.resource.conftest import Tenant, everywhere, settings_for, token

SERVERS = "Custom.Org/servers"
NAME = "resourceTypes/Custom.Org.servers"


def version(name: str = "v1", schema: object = None, **fields: object) -> pb.TypeVersion:
    found = pb.TypeVersion(version=name, **fields)  # type: ignore[arg-type]
    if schema is not None:
        found.schema.CopyFrom(to_struct(schema))  # type: ignore[arg-type]
    return found


async def change(tenant: Tenant, *paths: str, **fields: object) -> pb.ResourceType:
    request = pb.UpdateResourceTypeRequest(
        resource_type=pb.ResourceType(name=NAME, **fields),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=paths) if paths else None,
    )
    return await tenant.s.resources.UpdateResourceType(request)


async def get(tenant: Tenant, name: str = NAME) -> pb.ResourceType:
    return await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name=name))


async def drop(tenant: Tenant, name: str = NAME, **fields: object) -> None:
    await tenant.s.resources.DeleteResourceType(pb.DeleteResourceTypeRequest(name=name, **fields))  # type: ignore[arg-type]


@everywhere
async def test_registered_and_read(tenant: Tenant) -> None:
    made = await tenant.type(
        display_name="Server", uniqueness_scopes=["SCOPE_SUBSCRIPTION"], allowed_scopes=["SCOPE_RESOURCE_GROUP"]
    )
    assert made == await get(tenant) == await get(tenant, NAME.upper().replace("RESOURCETYPES", "resourceTypes"))
    assert (made.name, made.type, made.parent_type, made.builtin) == (NAME, SERVERS, "", False)
    assert (made.creator, made.updater) == ("user:anna", "user:anna") and made.uid and made.etag
    with pytest.raises(AlreadyExists):
        await tenant.type("CUSTOM.ORG.SERVERS")
    with pytest.raises(NotFound):
        await get(tenant, "resourceTypes/Custom.Org.others")
    with pytest.raises(NotFound):
        await get(tenant, "resourceTypes/none")


async def test_built_in_types_are_everybodys_and_nobodys(tenant: Tenant) -> None:
    found = await tenant.s.resources.ListResourceTypes(pb.ListResourceTypesRequest(filter="builtin = true"))
    assert [each.type for each in found.resource_types] == [
        f"Sutler.Resource/{name}"
        for name in ("locations", "managementGroups", "policies", "quotas", "resourceGroups", "subscriptions")
    ]
    name = found.resource_types[0].name
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.s.resources.UpdateResourceType(
            pb.UpdateResourceTypeRequest(resource_type=pb.ResourceType(name=name, display_name="mine"))
        )
    assert caught.value.reason == "TYPE_BUILT_IN"
    with pytest.raises(FailedPrecondition):
        await drop(tenant, name)
    with pytest.raises(FailedPrecondition):
        await tenant.type("sutler.resource.things")


ID = "Custom.Org.servers"
BAD_SCHEMA = version(schema={"type": 1})
BAD_RULE = version(rules=[pb.TypeRule(id="r", expression="self.", message="m")])
BAD_PATH = version(immutable_fields=["uid"])
SECRET = version(output_schema={"properties": {"p": {"writeOnly": True}}})
PLUGIN = pb.TypeHandler(plugin=pb.PluginHandler(plugin="dns"))
FOREIGN = pb.TypeHandler(remote=pb.RemoteHandler(address="10.0.0.7:443"))
FIRST = "resource_type.versions[0]"
DEFAULT = "resource_type.default_version"
RETIRED = [version("v1", retired=True), version("v2")]
HASTY = pb.TypeHandler(record=pb.RecordHandler(), min_backoff=Duration(seconds=9), max_backoff=Duration(seconds=1))


@pytest.mark.parametrize(
    ("id", "fields", "error", "reason", "field"),
    [
        ("Custom", {}, Invalid, "FIELD_INVALID", "resource_type_id"),
        (ID, {"type": "Custom.Org/others"}, Invalid, "FIELD_INVALID", "resource_type.type"),
        ("Custom.Org.servers.disks", {}, FailedPrecondition, "TYPE_UNKNOWN", ""),
        (ID, {"versions": [BAD_SCHEMA]}, Invalid, "SCHEMA_INVALID", f"{FIRST}.schema"),
        (ID, {"versions": [BAD_RULE]}, Invalid, "EXPRESSION_INVALID", f"{FIRST}.rules[0].expression"),
        (ID, {"versions": [BAD_PATH]}, Invalid, "FIELD_INVALID", f"{FIRST}.immutable_fields[0]"),
        (ID, {"versions": [version(), version()]}, Invalid, "FIELD_INVALID", ""),
        (ID, {"default_version": "v9"}, Invalid, "FIELD_INVALID", ""),
        (ID, {"versions": [SECRET]}, Invalid, "SCHEMA_INVALID", f"{FIRST}.output_schema"),
        (ID, {"parent_type": "Custom.Org/others"}, Invalid, "FIELD_INVALID", "resource_type.parent_type"),
        (ID, {"versions": [version(retired=True)]}, Invalid, "FIELD_INVALID", "resource_type.versions"),
        (ID, {"versions": RETIRED, "default_version": "v1"}, Invalid, "FIELD_INVALID", DEFAULT),
        (ID, {"versions": RETIRED[::-1]}, Invalid, "FIELD_INVALID", DEFAULT),
        (ID, {"handler": HASTY}, Invalid, "FIELD_INVALID", "resource_type.handler.min_backoff"),
        (ID, {"handler": PLUGIN}, FailedPrecondition, "PLUGIN_UNKNOWN", ""),
        (ID, {"handler": FOREIGN}, PermissionDenied, "ADDRESS_NOT_ALLOWED", ""),
    ],
)
async def test_refused(tenant: Tenant, id: str, fields: dict[str, object], error, reason: str, field: str) -> None:  # type: ignore[no-untyped-def]
    for validate_only in (True, False):
        with pytest.raises(error) as caught:
            await tenant.s.resources.CreateResourceType(
                pb.CreateResourceTypeRequest(
                    resource_type_id=id,
                    resource_type=pb.ResourceType(**{"versions": [version()], **fields}),  # type: ignore[arg-type]
                    validate_only=validate_only,
                )
            )
        assert caught.value.reason == reason
        if field:
            assert [v.field for v in caught.value.violations] == [field]


async def test_validate_only_registers_nothing(tenant: Tenant) -> None:
    request = pb.CreateResourceTypeRequest(
        resource_type_id="Custom.Org.servers", resource_type=pb.ResourceType(versions=[version()]), validate_only=True
    )
    assert (await tenant.s.resources.CreateResourceType(request)).type == SERVERS
    with pytest.raises(NotFound):
        await get(tenant)


@everywhere
async def test_a_change_counts_for_the_very_next_create(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[version(schema={"properties": {"size": {"default": 1}}})])
    for size in range(2, 12):
        await change(tenant, versions=[version(schema={"properties": {"size": {"default": size}}})])
        made = await tenant.made(group, f"s{size}", SERVERS)
        assert from_struct(made.properties) == {"size": size}


@everywhere
async def test_a_change_counts_at_once_in_every_process(tenant: Tenant) -> None:
    """Two servers over one database stand for two processes."""
    server = tenant.server
    group = await tenant.group()
    await tenant.type(versions=[version(schema={"properties": {"size": {"default": 0}}})])
    async with (
        running(app, settings_for(server.url, server.handler), "resource") as other,
        connect(other.address, token=token(tenant.name), attempts=1) as s,
    ):
        there = Tenant(tenant.name, s, server)
        await there.made(group, "s0", SERVERS)
        for size in range(1, 5):
            await change(tenant, versions=[version(schema={"properties": {"size": {"default": size}}})])
            made = await there.made(group, f"s{size}", SERVERS)
            assert from_struct(made.properties) == {"size": size}


@everywhere
async def test_changes_that_break_stored_resources_are_refused_and_named(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await asyncio.gather(*(tenant.create(group, f"s{i:02}", SERVERS, {"size": i}) for i in range(30)))
    narrow = version(schema={"properties": {"size": {"maximum": 4}}})
    with pytest.raises(FailedPrecondition) as caught:
        await change(tenant, versions=[narrow])
    assert caught.value.reason == "TYPE_CHANGE_INCOMPATIBLE"
    assert caught.value.metadata["resources"] == "25"
    assert [v.field.rpartition("/")[2] for v in caught.value.violations] == [f"s{i:02}" for i in range(5, 25)]
    rule = pb.TypeRule(id="r", expression="self.properties.size != 7", message="not seven")
    with pytest.raises(FailedPrecondition) as caught:
        await change(tenant, versions=[version(rules=[rule])])
    assert caught.value.metadata["resources"] == "1"
    with pytest.raises(FailedPrecondition) as caught:
        await change(tenant, allowed_scopes=["SCOPE_SUBSCRIPTION"])
    assert caught.value.metadata["resources"] == "30"
    await change(tenant, versions=[version(schema={"properties": {"size": {"maximum": 29}}})])
    with pytest.raises(Invalid):
        await tenant.create(group, "more", SERVERS, {"size": 30})


@everywhere
async def test_uniqueness_can_be_narrowed_only_where_it_holds(tenant: Tenant) -> None:
    await tenant.type()
    for group in ("g", "h"):
        await tenant.group("s", group) if group == "g" else await tenant.create(
            "subscriptions/s", group, "Sutler.Resource/resourceGroups"
        )
        await tenant.create(f"subscriptions/s/resourceGroups/{group}", "web", SERVERS)
    with pytest.raises(FailedPrecondition) as caught:
        await change(tenant, uniqueness_scopes=["SCOPE_SUBSCRIPTION"])
    assert (caught.value.reason, caught.value.metadata["resources"]) == ("TYPE_CHANGE_INCOMPATIBLE", "1")
    await tenant.delete("subscriptions/s/resourceGroups/h/providers/Custom.Org/servers/web")
    await change(tenant, uniqueness_scopes=["SCOPE_SUBSCRIPTION"])
    with pytest.raises(AlreadyExists):
        await tenant.create("subscriptions/s/resourceGroups/h", "web", SERVERS)
    await change(tenant, "uniqueness_scopes")
    await tenant.made("subscriptions/s/resourceGroups/h", "web", SERVERS)


@everywhere
async def test_versions(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type(versions=[version("v1")])
    old = await tenant.made(group, "old", SERVERS, {"size": "large"})
    v2 = version("v2", {"properties": {"size": {"type": "integer"}}})
    await change(tenant, versions=[version("v1", retired=True), v2])
    new = await tenant.made(group, "new", SERVERS, {"size": 3})
    assert (old.type_version, new.type_version) == ("v1", "v2")
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create(group, "x", SERVERS, type_version="v1")
    assert caught.value.reason == "TYPE_VERSION_UNAVAILABLE"
    assert caught.value.metadata["available"] == "v2"
    with pytest.raises(FailedPrecondition):
        await tenant.create(group, "x", SERVERS, type_version="v9")
    await tenant.update(old.name, tags={"still": "writable"})
    with pytest.raises(FailedPrecondition) as caught:
        await change(tenant, versions=[v2])
    assert (caught.value.reason, caught.value.metadata["user"]) == ("IN_USE", old.name)
    with pytest.raises(Invalid):
        await tenant.update(old.name, type_version="v2")
    await tenant.update(old.name, {"size": 4}, type_version="v2")
    assert (await tenant.get(old.name)).type_version == "v2"
    await change(tenant, versions=[v2])
    with pytest.raises(Invalid):
        await change(tenant, versions=[version("v1"), version("v2", v2.schema, retired=True)])
    await change(tenant, versions=[version("v2", retired=True)])
    with pytest.raises(FailedPrecondition):
        await tenant.create(group, "closed", SERVERS)
    await tenant.update(old.name, tags={"still": "writable"})


@everywhere
async def test_updates(tenant: Tenant) -> None:
    made = await tenant.type(description="first")
    changed = await change(tenant, display_name="Server", etag=made.etag)
    assert (changed.display_name, changed.description, changed.uid) == ("Server", "first", made.uid)
    with pytest.raises(Conflict) as caught:
        await change(tenant, display_name="x", etag=made.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    with pytest.raises(Invalid) as caught_other:
        await change(tenant, type="Custom.Org/others")
    assert caught_other.value.reason == "FIELD_IMMUTABLE"
    assert caught_other.value.metadata["field"] == "resource_type.type"
    with pytest.raises(Invalid):
        await change(tenant, "colour")
    with pytest.raises(Invalid):
        await change(tenant, "*")
    with pytest.raises(NotFound):
        await tenant.s.resources.UpdateResourceType(
            pb.UpdateResourceTypeRequest(resource_type=pb.ResourceType(name="resourceTypes/Custom.Org.none"))
        )
    request = pb.UpdateResourceTypeRequest(
        resource_type=pb.ResourceType(name="resourceTypes/Custom.Org.new", versions=[version()], etag='"x"'),
        allow_missing=True,
    )
    with pytest.raises(Conflict) as caught:
        await tenant.s.resources.UpdateResourceType(request)
    assert caught.value.reason == "ETAG_MISMATCH"
    request.resource_type.etag = ""
    request.resource_type.parent_type = "Custom.Org/others"
    with pytest.raises(Invalid) as caught_other:
        await tenant.s.resources.UpdateResourceType(request)
    assert [v.field for v in caught_other.value.violations] == ["resource_type.parent_type"]
    request.resource_type.parent_type = ""
    assert (await tenant.s.resources.UpdateResourceType(request)).type == "Custom.Org/new"
    assert (await tenant.s.resources.UpdateResourceType(request)).type == "Custom.Org/new"


@everywhere
async def test_deletes(tenant: Tenant) -> None:
    group = await tenant.group()
    made = await tenant.type()
    await tenant.type("Custom.Org.servers.disks")
    with pytest.raises(FailedPrecondition) as caught:
        await drop(tenant)
    assert (caught.value.reason, caught.value.metadata["user"]) == ("IN_USE", "resourceTypes/Custom.Org.servers.disks")
    await drop(tenant, "resourceTypes/Custom.Org.servers.disks")
    server = await tenant.made(group, "a", SERVERS)
    with pytest.raises(FailedPrecondition) as caught:
        await drop(tenant)
    assert caught.value.metadata["user"] == server.name
    await tenant.delete(server.name)
    with pytest.raises(Conflict):
        await drop(tenant, etag='"other"')
    await drop(tenant, validate_only=True)
    await drop(tenant, etag=made.etag)
    with pytest.raises(NotFound):
        await drop(tenant)
    await drop(tenant, allow_missing=True)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create(group, "b", SERVERS)
    assert caught.value.reason == "TYPE_UNKNOWN"


@everywhere
async def test_lists(tenant: Tenant) -> None:
    for name in ("b", "a", "c"):
        await tenant.type(f"Custom.Org.{name}", display_name=name)
    names, page_token = [], ""
    while True:
        request = pb.ListResourceTypesRequest(filter="builtin = false", page_size=2, page_token=page_token)
        found = await tenant.s.resources.ListResourceTypes(request)
        names += [each.display_name for each in found.resource_types]
        page_token = found.next_page_token
        if not page_token:
            break
    assert names == ["a", "b", "c"]
    for filter in ('versions.foo = "v1"', 'versions.version = "v1" AND builtin = false', "actions.id = restart"):
        with pytest.raises(Invalid) as caught:
            await tenant.s.resources.ListResourceTypes(pb.ListResourceTypesRequest(filter=filter))
        assert (caught.value.reason, caught.value.metadata["position"]) == ("FILTER_INVALID", "1")
    request = pb.ListResourceTypesRequest(filter='display_name = "b"', order_by="create_time desc")
    assert len((await tenant.s.resources.ListResourceTypes(request)).resource_types) == 1


async def test_registering_needs_what_the_handler_will_do(tenant: Tenant) -> None:
    async with connect(
        tenant.server.address, token=token(tenant.name, "resource.resourceTypes.create"), attempts=1
    ) as poor:
        with pytest.raises(PermissionDenied) as caught:
            await Tenant(tenant.name, poor, tenant.server).machine_type()
        assert caught.value.metadata["permission"].startswith("resource.handlers.")
        await Tenant(tenant.name, poor, tenant.server).type()


async def test_repeats_answer_the_same(tenant: Tenant) -> None:
    request = pb.CreateResourceTypeRequest(
        resource_type_id="Custom.Org.servers",
        resource_type=pb.ResourceType(versions=[version()]),
        request_id=str(uuid.uuid4()),
    )
    first = await tenant.s.resources.CreateResourceType(request)
    await change(tenant, display_name="changed meanwhile")
    assert await tenant.s.resources.CreateResourceType(request) == first
    request.resource_type.display_name = "another"
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.CreateResourceType(request)
    assert caught.value.reason == "REQUEST_ID_REUSED"
