"""Connections that cannot be used: refused at the door, and where one is stored all the same, no other one suffers."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Invalid
from sutler.testing import wait_until

from services.erp import statistics
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway

ALLOWED = ["https://127.0.0.1:*", "http://127.0.0.1:*", "http://[*"]
SERVING = health_pb2.HealthCheckResponse.SERVING
READ = pb.GetRecordRequest(connection=MAIN, model="res.partner", id=10, read_options=pb.ReadOptions(max_staleness={}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ca_certificates", "garbage"),
        ("ca_certificates", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("ca_certificates", "zertifikät"),
        ("url", "http://127.0.0.1:99999"),
        ("url", "http://127.0.0.1:*"),
        ("url", "http://127.0.0.1:0"),
        ("url", "http://127.0.0.1:8069/\x01"),
        ("url", "http://[::1:8069"),
    ],
)
async def test_what_no_connection_can_be_made_of_is_refused(erp: Sutler, field: str, value: str) -> None:
    with pytest.raises(Invalid) as made:
        await connect(erp, **{"url": "http://127.0.0.1:8069", "connection_id": "other", field: value})
    changed = pb.UpdateConnectionRequest(connection=pb.Connection(name=MAIN, **{field: value}))
    with pytest.raises(Invalid) as caught:
        await erp.erp.UpdateConnection(changed)
    for error in (made.value, caught.value):
        assert [(one.field, one.reason) for one in error.violations] == [(f"connection.{field}", "FIELD_INVALID")]


async def test_a_stored_connection_that_cannot_be_used_leaves_the_others_alone(
    sqlite: str, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "EVERY_SECONDS", 0.05)
    file = sqlite.removeprefix("sqlite:///")
    async with gateway(sqlite, allowed_urls=ALLOWED) as client:
        await connect(client, sandbox.url)
        await connect(client, "https://127.0.0.1:1", "tls")
    with sqlite3.connect(file) as store:
        store.execute(
            "UPDATE connections SET spec = json_set(spec, '$.ca_certificates', 'garbage') WHERE name LIKE '%tls'"
        )
    async with gateway(sqlite, allowed_urls=ALLOWED) as client:
        for request in (
            client.erp.GetRecord(pb.GetRecordRequest(connection="connections/tls", model="res.partner", id=1)),
            client.erp.GetConnectionStats(pb.GetConnectionStatsRequest(name="connections/tls/stats")),
        ):
            with pytest.raises(Invalid) as caught:
                await request
            assert caught.value.violations[0].field == "connection.ca_certificates"
        await client.erp.GetRecord(READ)

        async def counted() -> bool:
            with sqlite3.connect(file) as store:
                found: list[dict[str, Any]] = [
                    json.loads(row[0]) for row in store.execute("SELECT figures FROM figures")
                ]
            return any(one["counts"].get("read_requests") for one in found)

        await wait_until(counted, 10)
        health = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]
        for service in ("", "sutler.erp.v1.ErpGateway"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == SERVING
