"""Mistakes of callers: each is told as one, whatever the ERP would have made of it."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Invalid, SutlerError
from sutler.wire import to_struct, to_value

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.requests import call

METHODS = [pb.MethodRule(model="*", method="*")]


@pytest.mark.parametrize("context", ["x", 3, ["lang"], True])
async def test_a_context_among_the_arguments_is_an_object(sqlite: str, sandbox: SandboxProcess, context: Any) -> None:
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, method_rules=METHODS)
        with pytest.raises(Invalid) as caught:
            await client.erp.CallMethod(call("name_get", named=to_struct({"context": context})))
        assert caught.value.reason == "ARGUMENTS_INVALID"
        assert caught.value.violations[0].field == "named.context"
        await client.erp.CallMethod(call("fields_get", named=to_struct({"context": None, "attributes": ["type"]})))


@pytest.mark.parametrize("operator", [["="], {"=": 1}, 3, None, True])
@pytest.mark.parametrize("field", ["name", "country_id"])
async def test_an_operator_of_a_raw_domain_is_a_text(erp: Sutler, field: str, operator: Any) -> None:
    domain = to_value([[field, operator, 1]]).list_value
    with pytest.raises(Invalid) as caught:
        await erp.erp.SearchRecords(pb.SearchRecordsRequest(connection=MAIN, model="res.partner", domain=domain))
    assert caught.value.reason == "DOMAIN_INVALID"


@pytest.mark.parametrize(
    ("driver", "key", "field"),
    [
        ("odoo-jsonrpc", "lang", "language"),
        ("odoo-jsonrpc", "allowed_company_ids", "company_ids"),
        ("tryton", "company", "company_ids"),
        ("tryton", "language", "language"),
    ],
)
async def test_what_has_a_field_of_its_own_is_not_taken_beside_it(
    sqlite: str, sandbox: SandboxProcess, driver: str, key: str, field: str
) -> None:
    context = pb.ErpContext(extra=to_struct({key: "x"}))
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, driver=driver)
        read = pb.GetRecordRequest(connection=MAIN, model="res.partner", id=10, context=context)
        change = pb.UpdateConnectionRequest(connection=pb.Connection(name=MAIN, default_context=context))
        for request, place in (
            (client.erp.GetRecord(read), "context"),
            (client.erp.UpdateConnection(change), "connection.default_context"),
        ):
            with pytest.raises(SutlerError) as caught:
                await request
            assert isinstance(caught.value, Invalid)
            assert caught.value.reason == "CONTEXT_INVALID"
            [violation] = caught.value.violations
            assert violation.field == f"{place}.extra.{key}"
            assert f"{place}.{field}" in violation.description
