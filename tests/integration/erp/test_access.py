"""Who may do what, as whom, and for which tenant."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    FailedPrecondition,
    SutlerError,
)
from sutler.testing import serve

from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect, connection_in_state

Connection = erp_pb2.Connection
HEALTHY, UNHEALTHY = Connection.STATE_HEALTHY, Connection.STATE_UNHEALTHY


async def test_a_disabled_connection_refuses_and_comes_back(erp: Sutler) -> None:
    off = Connection(name=MAIN, disabled=True)
    changed = await erp.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=off))
    assert changed.state == Connection.STATE_STOPPED
    read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)
    with pytest.raises(FailedPrecondition) as caught:
        await erp.erp.GetRecord(read)
    assert caught.value.reason == "CONNECTION_DISABLED"
    await erp.erp.UpdateConnection(
        erp_pb2.UpdateConnectionRequest(connection=Connection(name=MAIN), update_mask=FieldMask(paths=["disabled"]))
    )
    assert (await erp.erp.GetRecord(read)).id == 10
    await connection_in_state(erp, HEALTHY)


async def test_callers_work_as_their_own_users(sqlite: str, sandbox: SandboxProcess) -> None:
    secret = "x" * 32
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=secret) as (admin, _):
        mappings = [
            erp_pb2.UserMapping(caller="user:sales", username="demo", secret="demo"),
            erp_pb2.UserMapping(caller="user:wrong", username="demo", secret="nonsense"),
        ]
        await connect(admin, sandbox.url, user_mappings=mappings, require_user_mapping=True)
        check = erp_pb2.CheckConnectionRequest(name=MAIN)
        users = {}
        for subject in ("user:sales", "user:wrong", "user:nobody"):
            token = make_token(secret, subject)
            try:
                found = await admin.erp.CheckConnection(check, metadata={"authorization": f"Bearer {token}"})
                users[subject] = found.user.username
            except SutlerError as error:
                users[subject] = error.reason
        assert users == {"user:sales": "demo", "user:wrong": "LOGIN_REFUSED", "user:nobody": "USER_MAPPING_MISSING"}


async def test_permissions_and_tenants(sqlite: str, sandbox: SandboxProcess) -> None:
    secret = "x" * 32
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=secret) as (admin, _):
        await connect(admin, sandbox.url)
        read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)

        async def told(
            *permissions: str, tenant: str = "default", request: Any = read, method: str = "GetRecord"
        ) -> str:
            token = make_token(secret, "user:x", permissions=permissions, tenant=tenant)
            try:
                await getattr(admin.erp, method)(request, metadata={"authorization": f"Bearer {token}"})
            except SutlerError as error:
                return error.reason
            return "ok"

        assert await told("erp.records.get:main/res.*") == "ok"
        assert await told("erp.*.*:main/*") == "ok"
        assert await told("erp.records.get:main/sale.*") == "PERMISSION_MISSING"
        assert await told("erp.records.list") == "PERMISSION_MISSING"
        assert await told("erp.*.*", tenant="other") == "NOT_FOUND"
        get_it = erp_pb2.GetConnectionRequest(name=MAIN)
        assert await told("erp.*.*:main/*", request=get_it, method="GetConnection") == "ok"
        assert await told("erp.*.*:other/*", request=get_it, method="GetConnection") == "PERMISSION_MISSING"
        there, new = (
            erp_pb2.UpdateConnectionRequest(
                connection=erp_pb2.Connection(name=name, driver="odoo-jsonrpc", url=sandbox.url), allow_missing=True
            )
            for name in (MAIN, "connections/new")
        )
        may = {"method": "UpdateConnection"}
        assert await told("erp.connections.update", request=there, **may) == "ok"
        assert await told("erp.connections.update", request=new, **may) == "PERMISSION_MISSING"
        assert await told("erp.connections.update", "erp.connections.create:new/", request=new, **may) == "ok"
        orders = erp_pb2.Subscription(name=f"{MAIN}/subscriptions/orders", model="sale.order", fields=["name"])
        apply = erp_pb2.UpdateSubscriptionRequest(subscription=orders, allow_missing=True)
        writes = ("erp.subscriptions.update", "erp.records.watch", "rule.events.batchPublish")
        may = {"method": "UpdateSubscription"}
        assert await told(*writes, request=apply, **may) == "PERMISSION_MISSING"
        assert await told(*writes, "erp.subscriptions.create:main/", request=apply, **may) == "ok"
        drivers = erp_pb2.ListDriversRequest()
        assert await told("erp.drivers.list", request=drivers, method="ListDrivers") == "ok"
