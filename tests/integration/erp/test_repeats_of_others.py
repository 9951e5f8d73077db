"""A request that another caller repeats: the first answer is theirs only if they may reach what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import PermissionDenied
from sutler.testing import serve, wait_until
from sutler.wire import from_struct, to_struct

from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect
from tests.integration.erp.feeds import an_order
from tests.integration.erp.requests import request_id, update
from tests.integration.erp.servers import Proxy

SECRET = "x" * 32
ORDERS = "erp.records.update:main/sale.order"
PARTNERS = "erp.records.update:main/res.partner"


@pytest.fixture
async def client(sqlite: str, proxy: tuple[Proxy, str]) -> AsyncIterator[Sutler]:
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=SECRET) as (found, _):
        await connect(found, proxy[1])
        yield found


def token(who: str, *permissions: str) -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(SECRET, who, permissions=permissions)}"}


def change(order: int) -> erp_pb2.UpdateRecordRequest:
    values = {"client_order_ref": "q"}
    return update(order, values, "sale.order", fields=["name", "partner_id.email"], request_id=request_id())


def refused(answer: Any) -> bool:
    return isinstance(answer, PermissionDenied) and answer.metadata["target"] == "main/res.partner"


async def test_a_repeat_by_another_caller_needs_what_the_fields_lead_to(
    client: Sutler, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    request = change(an_order(sandbox))
    first = await client.erp.UpdateRecord(request, metadata=token("user:a", "erp.records.update"))
    assert from_struct(first.values)["partner_id"]["email"]
    with pytest.raises(PermissionDenied) as caught:
        await client.erp.UpdateRecord(request, metadata=token("user:b", ORDERS))
    assert refused(caught.value)
    again = await client.erp.UpdateRecord(request, metadata=token("user:c", ORDERS, PARTNERS))
    assert again == first
    assert proxy[0].count("write") == 1


async def test_who_joins_a_call_that_is_under_way_needs_it_too(
    client: Sutler, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    request = change(an_order(sandbox))
    proxy[0].slow("write", 1.0)
    first = asyncio.create_task(client.erp.UpdateRecord(request, metadata=token("user:a", "erp.records.update")))

    async def under_way() -> bool:
        return proxy[0].slowed == 1

    await wait_until(under_way, 10)
    with pytest.raises(PermissionDenied) as caught:
        await client.erp.UpdateRecord(request, metadata=token("user:b", ORDERS))
    assert refused(caught.value)
    assert (await first).id == request.id


async def test_a_repeat_of_a_transaction_needs_the_models_of_its_steps(client: Sutler, sandbox: SandboxProcess) -> None:
    step = erp_pb2.TransactionStep(
        step_id="one", model="res.partner", create_record=erp_pb2.CreateStep(values=to_struct({"name": "in a saga"}))
    )
    request = erp_pb2.RunTransactionRequest(parent=MAIN, steps=[step], request_id=request_id())
    run = "erp.transactions.run"
    first = await client.erp.RunTransaction(request, metadata=token("user:a", run, "erp.records.create"))
    with pytest.raises(PermissionDenied) as caught:
        await client.erp.RunTransaction(request, metadata=token("user:b", run, "erp.records.create:main/sale.order"))
    assert refused(caught.value)
    assert await client.erp.RunTransaction(request, metadata=token("user:c", run, "erp.records.create")) == first
