"""What tests of subscriptions and watches share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.testing import wait_until

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN

Subscription = erp_pb2.Subscription
ORDERS = f"{MAIN}/subscriptions/orders"


async def subscribe(client: Sutler, name: str = "orders", **more: Any) -> erp_pb2.Subscription:
    return await client.erp.CreateSubscription(
        erp_pb2.CreateSubscriptionRequest(
            parent=MAIN, subscription_id=name, subscription=Subscription(**{"model": "sale.order", **more})
        )
    )


async def get(client: Sutler, name: str = ORDERS) -> erp_pb2.Subscription:
    return await client.erp.GetSubscription(erp_pb2.GetSubscriptionRequest(name=name))


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async def holds() -> bool:
        return condition()

    await wait_until(holds, seconds)


async def in_state(client: Sutler, state: int, name: str = ORDERS) -> erp_pb2.Subscription:
    found = None

    async def there() -> bool:
        nonlocal found
        found = await get(client, name)
        return found.state == state

    await wait_until(there, 20)
    assert found is not None
    return found


def an_order(sandbox: SandboxProcess, quantity: int = 3) -> int:
    line = [0, 0, {"product_id": 1, "product_uom_qty": quantity}]
    [made] = sandbox.call("sale.order", "create", [{"partner_id": 10, "order_line": [line]}])
    return int(made)
