"""The worked example of a user's own microservice, beside a real gateway, its cache and an ERP that goes down."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from sutler.erp.v1 import erp_pb2
from sutler.testing import free_port, serve, wait_until
from sutler.wire import duration

from services.cache.app import app as cache_app
from services.cache.settings import Settings as CacheSettings
from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import started
from tests.integration.erp.conftest import KEY, RULES, connect

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "services/erp/examples/shop.py"


@asynccontextmanager
async def shop(gateway: str) -> AsyncIterator[httpx.AsyncClient]:
    """Runs the example as its README says, and yields a client for it."""
    port = free_port()
    told = {"SUTLER_ADDRESS": gateway, "SHOP_CONNECTION": "connections/main", "SHOP_PORT": str(port)}
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}", **told}
    process = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), env=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/health")).is_success
                except httpx.TransportError:
                    return False

            await wait_until(answers, 20)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)


def test_it_is_small() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 100


async def test_a_shop_lives_through_an_outage_of_the_erp(sqlite: str, tmp_path: Path) -> None:
    with started() as sandbox:
        data = f"sqlite:///{tmp_path}/cache.db"
        async with (
            serve(cache_app, CacheSettings, data=data) as (_, cache),
            serve(app, Settings, data=sqlite, secret_keys=KEY, cache_address=cache.address) as (client, gateway),
        ):
            breaker = erp_pb2.BreakerPolicy(failure_limit=2, open_duration=duration(0.2))
            soon = erp_pb2.CachePolicy(model="*", record_ttl=duration(0.3), search_ttl=duration(0.3))
            await connect(client, sandbox.url, method_rules=RULES, breaker_policy=breaker, cache_policies=[soon])
            async with shop(gateway.address) as http:
                await sells(http)
                before = (await http.get("/customers/10")).json()
                assert not before["stale"]
                sandbox.stop()
                await degrades(http, before)


async def sells(http: httpx.AsyncClient) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    wanted = {"customer": 10, "lines": [{"product": 1, "quantity": 3}]}
    made = await http.post("/orders", json=wanted, headers=key)
    assert made.status_code == 201, made.text
    again = await http.post("/orders", json=wanted, headers=key)
    assert again.json() == made.json()
    found = (await http.get("/customers/10")).json()
    assert (found["name"], found["stale"]) == ("Alder Hosting", False)
    orders = {order["id"]: order for order in found["orders"]}
    assert orders[made.json()["id"]]["state"] == "sale"
    assert len([one for one in orders if one >= made.json()["id"]]) == 1
    missing = await http.get("/customers/99999999")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NOT_FOUND")
    wrong = await http.post("/orders", json={**wanted, "customer": 99_999_999}, headers={**key, "idempotency-key": "x"})
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "FIELD_INVALID")
    for body in ("{", "[]", "7", '{"customer": 10}', '{"customer": 10, "lines": [1]}'):
        wrong = await http.post("/orders", content=body, headers={**key, "idempotency-key": str(uuid.uuid4())})
        assert (wrong.status_code, wrong.json()["reason"]) == (400, "FIELD_INVALID"), body
    unkeyed = await http.post("/orders", json=wanted)
    assert (unkeyed.status_code, unkeyed.json()["reason"]) == (400, "FIELD_INVALID")


async def degrades(http: httpx.AsyncClient, before: dict[str, object]) -> None:
    """Answers from the cache, refuses what it cannot know with UNAVAILABLE, and says how it is."""
    unknown = await http.get("/customers/11")
    assert unknown.status_code == 503, unknown.text

    async def old() -> bool:
        found = await http.get("/customers/10")
        assert {**found.json(), "stale": False} == before
        return bool(found.json()["stale"])

    async def unhealthy() -> bool:
        await http.get("/customers/12")
        return (await http.get("/health")).status_code == 503

    await wait_until(old, 20)
    await wait_until(unhealthy, 20)
