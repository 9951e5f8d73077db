"""The gateway is killed again and again while orders are confirmed: each confirmation is told under exactly one id."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest
import sutler.client
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Cancelled, Unavailable
from sutler.testing import ServiceProcess, wait_until
from sutler.wire import from_value, to_struct

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import KEY, MAIN, connect
from tests.integration.erp.rules import Recorder, recording

ORDERS = 20
KILLS = 5


async def order(sandbox: SandboxProcess) -> int:
    line = [0, 0, {"product_id": 1, "product_uom_qty": 2}]
    values = [{"partner_id": 10, "order_line": [line]}]
    [made] = await asyncio.to_thread(sandbox.call, "sale.order", "create", values)
    return int(made)


async def active(client: Sutler) -> bool:
    found = await client.erp.GetSubscription(erp_pb2.GetSubscriptionRequest(name=f"{MAIN}/subscriptions/orders"))
    return found.state == erp_pb2.Subscription.STATE_ACTIVE


@pytest.mark.timeout(180)
async def test_each_confirmation_is_told_under_one_id_however_often_the_gateway_is_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("SUTLER_SEED", "20261121"))
    print(f"SUTLER_SEED={seed}")
    chance = random.Random(seed)
    recorder = Recorder()
    settings = {"poll_interval_seconds": 0.2, "lease_seconds": 1.5, "secret_keys": KEY, "log_level": "warning"}
    with started() as sandbox:
        async with recording(recorder) as address:
            process = ServiceProcess(
                "services.erp",
                "SUTLER_ERP_",
                folder=tmp_path,
                data=f"sqlite:///{tmp_path}/erp.db",
                rule_address=address,
                **settings,
            )
            with process as gateway:
                await gateway.serving()
                async with sutler.client.connect(gateway.address) as client:
                    await connect(client, sandbox.url)
                    await client.erp.CreateSubscription(
                        erp_pb2.CreateSubscriptionRequest(
                            parent=MAIN,
                            subscription_id="orders",
                            subscription=erp_pb2.Subscription(
                                model="sale.order", fields=["state", "order_line.product_uom_qty"]
                            ),
                        )
                    )
                    await wait_until(lambda: active(client), 30)
                    confirmed, _, _ = await asyncio.gather(
                        confirm(sandbox, chance), kill(gateway, chance), report(client)
                    )
                    await wait_until(lambda: told(recorder, confirmed), 60)
                    await wait_until(lambda: active(client), 60)
    events = [event for event in recorder.order if event.type == "order.confirmed"]
    assert Counter(from_value(event.data)["id"] for event in events) == Counter(confirmed)
    assert {from_value(event.data)["values"]["order_line"][0]["product_uom_qty"] for event in events} == {2}
    assert recorder.reused == []


async def confirm(sandbox: SandboxProcess, chance: random.Random) -> list[int]:
    """Confirms orders, as a salesperson would."""
    made = []
    for _ in range(ORDERS):
        one = await order(sandbox)
        await asyncio.to_thread(sandbox.call, "sale.order", "action_confirm", [one])
        made.append(one)
        await asyncio.sleep(chance.uniform(0, 0.4))
    return made


async def kill(gateway: ServiceProcess, chance: random.Random) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0, 1.0))
        gateway.kill()
        gateway.start()
        await gateway.serving()


async def report(client: Sutler) -> None:
    """Writes through the gateway meanwhile, under one request id, until it is accepted."""
    for number in range(3):
        request = erp_pb2.UpdateRecordRequest(
            connection=MAIN,
            model="sale.order",
            id=1,
            values=to_struct({"note": f"<p>{number}</p>"}),
            request_id=f"00000000-0000-4000-8000-00000000000{number}",
        )

        async def accepted(request: erp_pb2.UpdateRecordRequest = request) -> bool:
            try:
                await client.erp.UpdateRecord(request)
            except (Unavailable, Cancelled):
                return False
            return True

        await wait_until(accepted, 60)


async def told(recorder: Recorder, orders: list[int]) -> bool:
    return {data["id"] for data in recorder.of("order.confirmed")} >= set(orders)
