"""What callers read of an ERP's refusal: what its rule names and texts for people, never queries, paths or values."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import SutlerError

from services.erp.adapters import meanings
from services.erp.adapters.meanings import Place
from services.erp.adapters.tryton.refusals import refusal
from services.erp.adapters.tryton.transport import RpcError
from tests.integration.erp.conftest import MAIN
from tests.integration.erp.requests import call, update
from tests.integration.erp.servers import Proxy, failure

SQL = 'LINE 1: SELECT id FROM "res_partner" WHERE "res_partner"."secret_pin" = \'1234\''
DETAIL = "DETAIL:  Key (login)=(secret@example.com) already exists."
PATH = 'File "/opt/odoo/addons/secret.py", line 3, in f\n    password=secret'
SECRETS = ("secret", "SELECT", "1234", "/opt", "Traceback")


def told(error: SutlerError) -> str:
    return f"{error.message} {dict(error.metadata)} {error.violations}"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("psycopg2.errors.InvalidTextRepresentation", f'invalid integer: "secret"\n{SQL}', "VALUE_INVALID"),
        ("psycopg2.errors.NumericValueOutOfRange", f"secret is out of range\n{SQL}", "VALUE_INVALID"),
        ("psycopg2.errors.UniqueViolation", f'violates unique constraint "u"\n{DETAIL}', "UNIQUE_VIOLATION"),
        ("psycopg2.errors.UniqueViolation", f"secret\n{DETAIL}", "UNIQUE_VIOLATION"),
        ("psycopg2.errors.SerializationFailure", f"could not serialize secret\n{SQL}", "WRITE_CONFLICT"),
        ("psycopg2.errors.UndefinedColumn", f"column secret does not exist\n{SQL}", "ERP_FAILED"),
        ("builtins.KeyError", "'secret'", "VALUE_INVALID"),
        ("builtins.ValueError", f"secret\n{PATH}", "VALUE_INVALID"),
        ("builtins.AssertionError", f"secret\n{PATH}", "VALUE_INVALID"),
        ("odoo.exceptions.ValidationError", f"The record is wrong\n{PATH}", "ERP_RULE_VIOLATED"),
        ("odoo.exceptions.UserError", f"The record is wrong\n{DETAIL}", "ERP_RULE_VIOLATED"),
        ("odoo.exceptions.AccessError", f"The record is hidden\n{SQL}", "ERP_ACCESS_DENIED"),
        ("odoo.exceptions.ValidationError", f"The record is wrong\nTraceback (most recent call last):\n{PATH}",
         "ERP_RULE_VIOLATED"),
    ],
)  # fmt: skip
async def test_texts_of_programs_and_databases_stay_in_the_log(
    lossy: tuple[Sutler, Proxy], name: str, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, proxy = lossy
    log = structlog.testing.LogCapture()
    monkeypatch.setattr(meanings, "log", structlog.wrap_logger(None, [log], structlog.make_filtering_bound_logger(0)))
    search = pb.SearchRecordsRequest(connection=MAIN, model="res.partner", fields=["name"])
    for method, request in (("write", client.erp.UpdateRecord(update(10, {"color": 1}))),
                            ("search_read", client.erp.SearchRecords(search)),
                            ("action_lock", client.erp.CallMethod(call("action_lock", 1)))):  # fmt: skip
        proxy.replace(method, failure(name, text), times=3)
        with pytest.raises(SutlerError) as caught:
            await request
        assert not [one for one in SECRETS if one in told(caught.value)], told(caught.value)
        if method == "write":
            assert caught.value.reason == reason
        if name.startswith("odoo."):
            assert "The record is" in caught.value.metadata["erp_message"]
        if "constraint" not in text and not name.startswith("odoo."):
            assert "incident" in caught.value.message
        if "incident" in caught.value.message:
            [entry] = [one for one in log.entries if one["incident"] in caught.value.message]
            assert "secret" in entry["message"]


@pytest.mark.parametrize(
    ("name", "text", "doing", "shown"),
    [
        ("builtins.ValueError", "Invalid leaf ['name', 'fo', 1]", "search_read", "Invalid leaf ['name', 'fo', 1]"),
        ("builtins.TypeError", "Order.action_lock() got an unexpected keyword argument 'x'", "action_lock",
         "action_lock() got an unexpected keyword argument 'x'"),
    ],
)  # fmt: skip
async def test_what_says_only_what_a_caller_sent_is_passed_on(
    lossy: tuple[Sutler, Proxy], name: str, text: str, doing: str, shown: str
) -> None:
    client, proxy = lossy
    proxy.replace(doing, failure(name, text))
    search = pb.SearchRecordsRequest(connection=MAIN, model="res.partner", fields=["name"])
    with pytest.raises(SutlerError) as caught:
        await (client.erp.SearchRecords(search) if doing == "search_read" else client.erp.CallMethod(call(doing, 1)))
    assert caught.value.metadata["erp_message"] == shown


@pytest.mark.parametrize("doing", ["read", "search", "write", "delete", "call"])
@pytest.mark.parametrize(
    "text",
    [f"could not convert secret\n{SQL}", f"could not serialize secret\n{SQL}", f"secret\n{PATH}", "'secret: 1234'"],
)
def test_python_errors_of_tryton_stay_in_the_log(doing: Any, text: str) -> None:
    error = refusal(Place("connections/main", "demo", "admin", "party.party", "read", doing=doing), RpcError("", text))
    assert not [one for one in SECRETS if one in told(error)]
