"""No reading call takes an ERP that does not answer for one that has nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sutler.erp.v1 import erp_pb2
from sutler.errors import Unavailable
from sutler.wire import duration

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.servers import Call, Proxy, Reply, serving

ANEW = erp_pb2.ReadOptions(max_staleness=duration(0))
READS = [
    erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10),
    erp_pb2.BatchGetRecordsRequest(connection=MAIN, model="res.partner", ids=[10, 11], allow_missing=True),
    erp_pb2.SearchRecordsRequest(connection=MAIN, model="res.partner"),
    erp_pb2.SearchNamesRequest(connection=MAIN, model="res.partner", query="Ald"),
    erp_pb2.CountRecordsRequest(connection=MAIN, model="res.partner"),
    erp_pb2.AggregateRecordsRequest(connection=MAIN, model="res.partner"),
    erp_pb2.ListModelsRequest(parent=MAIN, read_options=ANEW),
    erp_pb2.DescribeModelRequest(connection=MAIN, model="res.partner", read_options=ANEW),
    erp_pb2.GetCustomerRequest(connection=MAIN, id=10),
    erp_pb2.SearchCustomersRequest(connection=MAIN, query="Alder"),
    erp_pb2.ListCustomerOrdersRequest(parent=MAIN, customer_ids=[10]),
]
NO_ANSWERS = [
    Reply(silent=True),
    Reply(b"<html>Sign in</html>", 200, "text/html"),
    Reply(b"Not Found", 404, "text/html"),
    Reply(b'{"jsonrpc": "2.0", "id": null}'),
    Reply(b'{"jsonrpc": "2.0", "id": null, "result": [', cut=20),
    Reply(b"[1, 2]"),
]


@pytest.fixture(scope="session")
def newest() -> Iterator[SandboxProcess]:
    """A sandbox that speaks both protocols of Odoo."""
    with started("--json2") as process:
        yield process


@pytest.mark.parametrize("asking", READS, ids=lambda one: type(one).__name__.removesuffix("Request"))
@pytest.mark.parametrize("driver", ["odoo-jsonrpc", "odoo-json2"])
async def test_an_outage_is_never_an_empty_answer(
    sqlite: str, newest: SandboxProcess, asking: Any, driver: str
) -> None:
    proxy = Proxy(newest.url)
    replies: list[Reply] = []

    async def answer(call: Call) -> Reply:
        return replies[0] if replies else await proxy.answer(call)

    async with serving(answer) as url, gateway(sqlite) as client:
        once, never = erp_pb2.RetryPolicy(max_attempts=1), erp_pb2.BreakerPolicy(failure_limit=1000)
        await connect(client, url, driver=driver, retry_policy=once, breaker_policy=never)
        ask = getattr(client.erp, type(asking).__name__.removesuffix("Request"))
        await ask(asking)
        for broken in NO_ANSWERS:
            replies[:] = [broken]
            with pytest.raises(Unavailable):
                await ask(asking)
