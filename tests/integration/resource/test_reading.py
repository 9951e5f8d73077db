"""Lists, batches and history."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.errors import Invalid, NotFound
from sutler.filtering import parse
from sutler.paging import Order
from sutler.resource.v1 import resource_pb2 as pb
from sutler.store import Database, Row, Transaction, open_database
from sutler.wire import from_struct

from services.resource.adapters.fields import RESOURCES
from services.resource.adapters.reading import Query, Reader, Within
from services.resource.adapters.tables import MIGRATIONS
from tests.integration.resource.conftest import Tenant, everywhere

SERVERS = "Custom.Org/servers"
R = pb.ResourceRevision


async def listed(tenant: Tenant, parent: str = "", **fields: object) -> list[str]:
    """Returns the last parts of what a list returns, over all pages."""
    names: list[str] = []
    request = pb.ListResourcesRequest(parent=parent, **fields)  # type: ignore[arg-type]
    while True:
        found = await tenant.s.resources.ListResources(request)
        names += [each.name.rpartition("/")[2] for each in found.resources]
        if not found.next_page_token:
            return names
        request.page_token = found.next_page_token


async def fill(tenant: Tenant) -> str:
    group = await tenant.group()
    await tenant.type()
    await tenant.type("Custom.Org.servers.disks")
    for index in range(5):
        made = await tenant.made(
            group,
            f"s{index}",
            SERVERS,
            {"size": index, "kind": {"name": f"k{index % 2}"}},
            tags={"odd": str(index % 2)},
        )
    await tenant.create(made.name, "d", "Custom.Org/servers/disks")
    return group


@everywhere
async def test_levels(tenant: Tenant) -> None:
    group = await fill(tenant)
    assert await listed(tenant) == ["shop"]
    assert await listed(tenant, "subscriptions/shop") == ["orders"]
    assert await listed(tenant, group.upper()) == [f"s{i}" for i in range(5)]
    assert await listed(tenant, group, recursive=True) == [*(f"s{i}" for i in range(5)), "d"]
    assert len(await listed(tenant, recursive=True)) == 8
    assert await listed(tenant, recursive=True, type="custom.org/SERVERS/disks") == ["d"]
    with pytest.raises(NotFound):
        await listed(tenant, "subscriptions/none")
    with pytest.raises(Invalid):
        await listed(tenant, "things/x")


class Explaining:
    """A database that answers scans with the plan of each statement that they make.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.plans: list[str] = []

    async def scan(self, fn: Callable[[Any], Any]) -> Any:
        return await self._database.scan(lambda tx: fn(SimpleNamespace(dialect=tx.dialect, all=partial(self._all, tx))))

    def _all(self, tx: Transaction, sql: str, params: tuple[Any, ...]) -> list[Row]:
        self.plans.append(" ".join(row[3] for row in tx.all(f"EXPLAIN QUERY PLAN {sql}", params)))
        return []


@pytest.mark.parametrize(
    ("within", "index"),
    [
        (Within("", recursive=False), "resources_by_parent (tenant=? AND parent_key=?)"),
        (Within("", recursive=False, type=SERVERS), "resources_by_parent (tenant=? AND parent_key=?)"),
        (Within("", recursive=True, type=SERVERS), "resources_by_type (tenant=? AND type_key=?)"),
    ],
)
async def test_lists_take_the_index_that_has_few_rows_in_the_order_wanted(
    tmp_path: Path, within: Within, index: str
) -> None:
    """With statistics or without, or a list in a scope would read all that there is of a type."""
    query = Query(parse('tags.odd = "1"', RESOURCES), (Order("name"),), None, 1000)
    async with open_database(f"sqlite:///{tmp_path}/r.db", name="r", migrations={"resource": MIGRATIONS}) as database:
        explaining = Explaining(database)
        await Reader(explaining).list_resources("default", within, query)  # type: ignore[arg-type]
    assert explaining.plans == [f"SEARCH resources USING INDEX {index}"]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("properties.size > 2", ["s3", "s4"]),
        ('tags.odd = "1"', ["s1", "s3"]),
        ('properties.kind.name = "k0" AND NOT properties.size = 0', ["s2", "s4"]),
        ("provisioning_state = FAILED", []),
        ("provisioning_state = STATE_SUCCEEDED", ["s0", "s1", "s2", "s3", "s4"]),
        ("provisioning_state = SUCCEEDED", ["s0", "s1", "s2", "s3", "s4"]),
        ('name = "*/s1"', ["s1"]),
        ("reconciling = true OR revision < 4", ["s0"]),
        ('creator = "user:anna" AND create_time > "2020-01-01T00:00:00Z" AND properties.size <= 1', ["s0", "s1"]),
        ("location:*", []),
        ("error:* OR error.code > 0 OR findings:*", []),
    ],
)
@everywhere
async def test_filters(tenant: Tenant, filter: str, found: list[str]) -> None:
    group = await fill(tenant)
    assert await listed(tenant, group, filter=filter) == found


@pytest.mark.parametrize(
    "filter",
    [
        "colour = 1",
        "provisioning_state = BLUE",
        "size >",
        "create_time > yesterday",
        "error.cod = 9",
        "findings.rule = r",
    ],
)
async def test_filters_that_are_refused(tenant: Tenant, filter: str) -> None:
    with pytest.raises(Invalid) as caught:
        await listed(tenant, filter=filter)
    assert caught.value.reason == "FILTER_INVALID"
    assert int(caught.value.metadata["position"]) > 0


@everywhere
async def test_pages_and_orders(tenant: Tenant) -> None:
    group = await fill(tenant)
    for size in (1, 2, 5):
        assert await listed(tenant, group, page_size=size) == [f"s{i}" for i in range(5)]
        assert await listed(tenant, group, page_size=size, order_by="properties.size desc") == [
            f"s{i}" for i in reversed(range(5))
        ]
        assert await listed(tenant, group, page_size=size, order_by="tags.odd, create_time desc") == [
            *("s4", "s2", "s0", "s3", "s1"),
        ]
    with pytest.raises(Invalid) as caught:
        await listed(tenant, group, order_by="colour")
    assert caught.value.reason == "ORDER_BY_INVALID"
    page = await tenant.s.resources.ListResources(pb.ListResourcesRequest(parent=group, page_size=2))
    for changed in ({"filter": "revision > 0"}, {"recursive": True}, {"parent": ""}):
        request = pb.ListResourcesRequest(**{"parent": group, "page_token": page.next_page_token, **changed})  # type: ignore[arg-type]
        with pytest.raises(Invalid) as caught:
            await tenant.s.resources.ListResources(request)
        assert caught.value.reason == "PAGE_TOKEN_INVALID"


@everywhere
async def test_a_page_ends_early_at_three_mebibytes(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    for index in range(5):
        await tenant.create(group, f"s{index}", SERVERS, {"blob": "x" * 900_000})
    page = await tenant.s.resources.ListResources(pb.ListResourcesRequest(parent=group))
    assert len(page.resources) == 3 and page.next_page_token
    assert await listed(tenant, group) == [f"s{i}" for i in range(5)]
    names = [f"{group}/providers/Custom.Org/servers/s{i}" for i in range(5)]
    batch = await tenant.s.resources.BatchGetResources(pb.BatchGetResourcesRequest(names=names))
    assert len(batch.resources) == 3
    rest = pb.BatchGetResourcesRequest(names=names, page_token=batch.next_page_token)
    assert [r.name for r in (await tenant.s.resources.BatchGetResources(rest)).resources] == names[3:]


async def test_read_masks(tenant: Tenant) -> None:
    group = await fill(tenant)
    request = pb.ListResourcesRequest(parent=group, read_mask=FieldMask(paths=["tags"]), page_size=1)
    (found,) = (await tenant.s.resources.ListResources(request)).resources
    assert found == pb.Resource(name=f"{group}/providers/Custom.Org/servers/s0", tags={"odd": "0"})
    for path in ("colour", "properties.size", "error.code", "findings.rule"):
        request.read_mask.paths[:] = [path]
        with pytest.raises(Invalid) as caught:
            await tenant.s.resources.ListResources(request)
        assert (caught.value.metadata["field"], caught.value.metadata["path"]) == ("read_mask", path)


@everywhere
async def test_management_groups_hold_what_belongs_to_them(tenant: Tenant) -> None:
    await tenant.create("", "a", "Sutler.Resource/managementGroups")
    await tenant.create("", "b", "Sutler.Resource/managementGroups", {"management_group": "managementGroups/A"})
    await tenant.group("s")
    await tenant.group("t")
    await tenant.update("subscriptions/s", {"management_group": "managementGroups/b"})
    assert await listed(tenant, "managementGroups/a", recursive=True) == ["b", "s", "orders"]
    assert await listed(tenant, "managementGroups/b", recursive=True) == ["s", "orders"]
    assert await listed(tenant, "managementGroups/a") == []
    found = await tenant.revisions("managementGroups/b", recursive=True)
    assert {r.resource for r in found} == {
        "managementGroups/b",
        "subscriptions/s",
        "subscriptions/s/resourceGroups/orders",
    }


@everywhere
async def test_batches(tenant: Tenant) -> None:
    group = await fill(tenant)
    names = [f"{group}/providers/Custom.Org/servers/s{i}" for i in (3, 1, 3)]
    found = await tenant.s.resources.BatchGetResources(pb.BatchGetResourcesRequest(names=names))
    assert [r.name for r in found.resources] == names
    missing = f"{group}/providers/Custom.Org/servers/none"
    with pytest.raises(NotFound) as caught:
        await tenant.s.resources.BatchGetResources(pb.BatchGetResourcesRequest(names=[*names, missing]))
    assert caught.value.metadata["resource"] == missing
    found = await tenant.s.resources.BatchGetResources(
        pb.BatchGetResourcesRequest(
            names=[missing, names[1].upper().replace("/PROVIDERS/", "/providers/")], allow_missing=True
        )
    )
    assert (list(found.missing), [r.name for r in found.resources]) == ([missing], [names[1]])
    with pytest.raises(Invalid) as caught_other:
        await tenant.s.resources.BatchGetResources(pb.BatchGetResourcesRequest(parent="subscriptions/x", names=names))
    assert caught_other.value.metadata["field"] == "names[0]"


@everywhere
async def test_history_tells_before_and_after_who_and_why(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    made = await tenant.made(group, "a", SERVERS, {"size": 1})
    operation = await tenant.update(made.name, {"size": 2})
    await tenant.delete(made.name)
    deleted, updated, created = await tenant.revisions(made.name)
    assert [r.kind for r in (created, updated, deleted)] == [R.KIND_CREATED, R.KIND_UPDATED, R.KIND_DELETED]
    assert not created.HasField("before") and created.after == made
    assert updated.before == made and from_struct(updated.after.properties) == {"size": 2}
    assert deleted.before == updated.after and not deleted.HasField("after")
    assert (updated.actor, updated.method, updated.operation) == ("user:anna", "UpdateResource", operation.name)
    assert updated.cause == R.CAUSE_REQUEST and updated.request_id and updated.correlation_id
    assert created.revision < updated.revision < deleted.revision
    again = await tenant.made(group, "A", SERVERS)
    assert [r.uid for r in await tenant.revisions(made.name)] == [again.uid, *([made.uid] * 3)]
    found = await tenant.revisions("subscriptions/shop", recursive=True, filter="kind = UPDATED")
    assert [r.resource for r in found] == [made.name]
    assert len(await tenant.revisions("", recursive=True, order_by="revision")) == 6
    assert await tenant.revisions("") == []
    assert await tenant.revisions("subscriptions/none") == []


async def test_history_has_pages(tenant: Tenant) -> None:
    group = await tenant.group()
    for index in range(5):
        await tenant.update(group, tags={"n": str(index)})
    numbers, page_token = [], ""
    while True:
        request = pb.ListResourceRevisionsRequest(parent=group, page_size=2, page_token=page_token)
        found = await tenant.s.resources.ListResourceRevisions(request)
        numbers += [r.revision for r in found.resource_revisions]
        page_token = found.next_page_token
        if not page_token:
            break
    assert len(numbers) == 6 and numbers == sorted(numbers, reverse=True)


async def test_large_revisions_leave_the_resource_before_out(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type()
    blob = "x" * 1_000_000
    made = await tenant.made(group, "a", type, {"blob": blob, "behave": "echo"})
    await tenant.s.wait(await tenant.update(made.name, {"blob": blob[1:]}))
    found, page_token = [], ""
    while not found or page_token:
        request = pb.ListResourceRevisionsRequest(parent=made.name, page_token=page_token)
        page = await tenant.s.resources.ListResourceRevisions(request)
        found += page.resource_revisions
        page_token = page.next_page_token
    (updated,) = [r for r in found if r.kind == R.KIND_UPDATED]
    assert updated.truncated and not updated.before.HasField("properties") and updated.before.name == made.name
    assert from_struct(updated.after.properties)["blob"] == blob[1:]
    assert not found[-1].truncated


@everywhere
async def test_revisions_are_numbered_in_the_order_of_commits(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await asyncio.gather(*(tenant.create(group, f"s{i}", SERVERS) for i in range(40)))
    found = await tenant.revisions("", recursive=True, order_by="revision", page_size=1000)
    assert [r.revision for r in found] == list(range(1, 43))
    times = [r.create_time.ToNanoseconds() for r in found]
    assert times == sorted(times)
