"""Idempotency, tenants, permissions, events, retention: what every change promises."""

import asyncio
import json
import sqlite3
import uuid
from pathlib import Path

import pytest
from google.longrunning.operations_pb2 import GetOperationRequest
from sutler.client import connect
from sutler.errors import AlreadyExists, Invalid, NotFound, PermissionDenied, Unauthenticated
from sutler.ids import derive
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.wire import to_struct

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, everywhere, settings_for, token, until


def creation(id: str = "s", **fields: object) -> pb.CreateResourceRequest:
    resource = pb.Resource(type="Sutler.Resource/subscriptions", **fields)  # type: ignore[arg-type]
    return pb.CreateResourceRequest(resource_id=id, resource=resource, request_id=str(uuid.uuid4()))


@everywhere
async def test_a_repeat_gets_the_first_answer(tenant: Tenant) -> None:
    request = creation()
    first = await tenant.s.resources.CreateResource(request)
    assert await tenant.s.resources.CreateResource(request) == first
    await tenant.delete("subscriptions/s")
    assert await tenant.s.resources.CreateResource(request) == first
    with pytest.raises(NotFound):
        await tenant.get("subscriptions/s")
    request.resource.tags["x"] = "1"
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.CreateResource(request)
    assert caught.value.reason == "REQUEST_ID_REUSED"


@everywhere
async def test_repeats_at_once_have_one_effect(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type()
    request = pb.CreateResourceRequest(
        parent=group, resource_id="a", resource=pb.Resource(type=type), request_id=str(uuid.uuid4())
    )
    answers = await asyncio.gather(*(tenant.s.resources.CreateResource(request) for _ in range(10)))
    assert len({answer.name for answer in answers}) == 1
    made = await tenant.s.wait(answers[0])
    assert isinstance(made, pb.Resource) and tenant.effects(made.name) == 1


@everywhere
async def test_repeats_in_two_processes_have_one_effect(tenant: Tenant) -> None:
    server = tenant.server
    async with (
        running(app, settings_for(server.url, server.handler), "resource") as other,
        connect(other.address, token=token(tenant.name), attempts=1) as s,
    ):
        for index in range(10):
            request = creation(f"s{index}")
            first, second = await asyncio.gather(
                tenant.s.resources.CreateResource(request), s.resources.CreateResource(request)
            )
            assert first == second


@everywhere
async def test_of_two_processes_that_create_one_name_one_succeeds(tenant: Tenant) -> None:
    server = tenant.server
    async with (
        running(app, settings_for(server.url, server.handler), "resource") as other,
        connect(other.address, token=token(tenant.name), attempts=1) as s,
    ):
        for index in range(10):
            ends = await asyncio.gather(
                *(each.resources.CreateResource(creation(f"s{index}")) for each in (tenant.s, s)),
                return_exceptions=True,
            )
            assert sorted(type(end).__name__ for end in ends) == ["AlreadyExists", "Operation"]


@pytest.mark.parametrize("kind", ["update", "delete"])
async def test_updates_and_deletes_repeat_too(tenant: Tenant, kind: str) -> None:
    await tenant.create("", "s", "Sutler.Resource/subscriptions")
    request_id = str(uuid.uuid4())

    async def change() -> object:
        if kind == "delete":
            return await tenant.delete("subscriptions/s", request_id=request_id)
        resource = pb.Resource(name="subscriptions/s", tags={"x": "1"})
        return await tenant.s.resources.UpdateResource(
            pb.UpdateResourceRequest(resource=resource, request_id=request_id)
        )

    first = await change()
    assert await change() == first
    assert len(await tenant.revisions("subscriptions/s")) == 2


async def test_only_success_is_remembered(tenant: Tenant) -> None:
    request = creation()
    await tenant.create("", "s", "Sutler.Resource/subscriptions")
    with pytest.raises(AlreadyExists):
        await tenant.s.resources.CreateResource(request)
    await tenant.delete("subscriptions/s")
    assert (await tenant.s.resources.CreateResource(request)).done


@everywhere
async def test_another_tenants_things_are_not_found(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    operation = await tenant.create(group, "a", "Custom.Org/servers")
    async with connect(tenant.server.address, token=token(f"other-{tenant.name}"), attempts=1) as s:
        other = Tenant("other", s, tenant.server)
        for attempt in (
            other.get(group),
            other.update(group, tags={"x": "1"}),
            other.delete("subscriptions/shop", force=True),
            s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.servers")),
            s.resources.GetOperation(GetOperationRequest(name=operation.name)),
            s.resources.AbandonOperation(pb.AbandonOperationRequest(name=operation.name)),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert await other.revisions("", recursive=True) == []
        assert list((await s.resources.ListResources(pb.ListResourcesRequest(recursive=True))).resources) == []
        assert await other.group() == group
        assert (await other.get(group)).uid != (await tenant.get(group)).uid


async def test_permissions(tenant: Tenant) -> None:
    await tenant.group()
    reader = token(tenant.name, "resource.resources.get:subscriptions/shop*")
    async with connect(tenant.server.address, token=reader, attempts=1) as s:
        poor = Tenant(tenant.name, s, tenant.server)
        await poor.get("subscriptions/shop")
        for attempt in (poor.get("subscriptions/other"), poor.delete("subscriptions/shop"), poor.type()):
            with pytest.raises(PermissionDenied) as caught:
                await attempt
            assert caught.value.reason == "PERMISSION_MISSING"
    async with connect(tenant.server.address, attempts=1) as s:
        with pytest.raises(Unauthenticated):
            await Tenant(tenant.name, s, tenant.server).get("subscriptions/shop")


def outbox(server: Server, tenant: str) -> list[dict[str, object]]:
    """Reads the events that wait; nobody fetches them, because no RuleService is configured."""
    columns = "id, source, type, subject, data, correlation_id, actor"
    if server.engine == "sqlite":
        with sqlite3.connect(server.url.removeprefix("sqlite:///")) as connection:
            rows = connection.execute(
                f"SELECT {columns} FROM outbox WHERE tenant = ? ORDER BY seq", (tenant,)
            ).fetchall()
    else:
        import psycopg

        url, schema = server.url.split("?schema=")
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                f"SELECT {columns} FROM {schema}.outbox WHERE tenant = %s ORDER BY seq", (tenant,)
            ).fetchall()
    names = columns.split(", ")
    return [{**dict(zip(names, row, strict=True)), "data": json.loads(row[4])} for row in rows]


@everywhere
async def test_events(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type()
    operation = await tenant.create(group, "a", type, {"count": 2}, tags={"order": "30"})
    await tenant.s.wait(operation)
    failing = await tenant.create(group, "b", type, {"behave": "final"})
    with pytest.raises(Exception, match="no room"):
        await tenant.s.wait(failing)
    await tenant.s.wait(await tenant.delete("subscriptions/shop", force=True))
    events = outbox(tenant.server, tenant.name)
    told = [(e["type"], str(e["subject"]).rpartition("/")[2]) for e in events]
    assert told[:9] == [
        ("resource.accepted", "shop"),
        ("resource.succeeded", "shop"),
        ("resource.accepted", "orders"),
        ("resource.succeeded", "orders"),
        ("resource.accepted", "a"),
        ("resource.succeeded", "a"),
        ("resource.accepted", "b"),
        ("resource.failed", "b"),
        ("resource.accepted", "shop"),
    ]
    assert sorted(told[9:11]) == [("resource.deleted", "a"), ("resource.deleted", "b")]
    assert told[11:] == [("resource.deleted", "orders"), ("resource.deleted", "shop")]
    succeeded = events[5]
    assert (succeeded["source"], succeeded["actor"]) == ("//resource.sutler.dev", "user:anna")
    assert succeeded["correlation_id"] == events[4]["correlation_id"] != ""
    data = succeeded["data"]
    assert isinstance(data, dict)
    resource = data["resource"]
    assert resource["outputs"] == {"machines": ["m0", "m1"]} and resource["tags"] == {"order": "30"}
    assert (resource["provisioning_state"], resource["type"]) == ("SUCCEEDED", type)
    assert (data["operation"], data["method"], data["actor"]) == (operation.name, "CreateResource", "user:anna")
    assert succeeded["id"] == derive(operation.name.partition("/")[2], f"succeeded/{resource['uid']}")
    failed = events[7]["data"]
    assert isinstance(failed, dict) and failed["error"]["reason"] == "HANDLER_FAILED"
    assert len({e["id"] for e in events}) == len(events)


async def test_a_cancel_is_told(tenant: Tenant) -> None:
    from google.longrunning.operations_pb2 import CancelOperationRequest

    group = await tenant.group()
    type = await tenant.machine_type()
    tenant.machines.release.clear()
    operation = await tenant.create(group, "a", type, {"behave": "hang"})
    await tenant.s.resources.CancelOperation(CancelOperationRequest(name=operation.name))
    with pytest.raises(Exception, match="cancelled"):
        await tenant.s.wait(operation)
    assert outbox(tenant.server, tenant.name)[-1]["type"] == "resource.canceled"


async def test_large_events_leave_open_fields_out(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await tenant.create(group, "a", "Custom.Org/servers", {"blob": "x" * 1_020_000})
    data = outbox(tenant.server, tenant.name)[-1]["data"]
    assert isinstance(data, dict) and data["truncated"] is True
    assert "properties" not in data["resource"] and data["resource"]["name"].endswith("/a")


async def test_nothing_grows_for_ever(server: Server, tmp_path: Path) -> None:
    settings = settings_for(
        f"sqlite:///{tmp_path}/r.db",
        sweep_seconds=0.05,
        revision_retention_days=1e-9,
        operation_retention_days=1e-9,
        event_retention_days=1e-9,
        request_retention_days=1e-9,
    )
    async with (
        running(app, settings, "resource") as up,
        connect(up.address, token=token("default"), attempts=1) as s,
    ):
        own = Server(up.address, "sqlite", settings.data, "", server.machines)
        tenant = Tenant("default", s, own)
        operation = await tenant.create("", "a", "Sutler.Resource/subscriptions")
        await tenant.update("subscriptions/a", tags={"x": "1"})
        await tenant.create("", "b", "Sutler.Resource/subscriptions")
        await tenant.delete("subscriptions/b")

        def counts() -> list[int]:
            with sqlite3.connect(f"{tmp_path}/r.db") as connection:
                tables = ("operations", "outbox", "requests", "revisions", "resources")
                return [connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables]

        async def swept() -> bool:
            return counts() == [0, 0, 0, 1, 1]

        await until(swept)
        with pytest.raises(NotFound):
            await s.resources.GetOperation(GetOperationRequest(name=operation.name))
        assert [r.after.name for r in await tenant.revisions("subscriptions/a")] == ["subscriptions/a"]


async def test_a_store_that_is_gone_is_unavailable_not_empty(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with (
        running(app, settings_for(f"sqlite:///{path}"), "resource") as up,
        connect(up.address, token=token("default"), attempts=1) as s,
    ):
        tenant = Tenant("default", s, server)
        await tenant.create("", "a", "Sutler.Resource/subscriptions", {})
        with sqlite3.connect(path) as connection:
            connection.execute("ALTER TABLE resources RENAME TO hidden")
        request = pb.GetResourceRequest(name="subscriptions/a")
        with pytest.raises(Exception) as caught:
            await s.resources.GetResource(request)
        assert not isinstance(caught.value, NotFound)


async def test_what_was_answered_is_there_after_a_restart(server: Server, tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/r.db", server.handler)
    request = creation("kept", properties=to_struct({}))
    async with running(app, settings, "resource") as up, connect(up.address, token=token("default")) as s:
        first = await s.resources.CreateResource(request)
    async with running(app, settings, "resource") as up, connect(up.address, token=token("default")) as s:
        assert await s.resources.CreateResource(request) == first
        assert (await s.resources.GetResource(pb.GetResourceRequest(name="subscriptions/kept"))).uid
