"""Every recording of a real Odoo 18 that this driver can meet: the right answer, or the right code and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sutler.errors import Code, SutlerError

from services.erp.adapters.meanings import Doing
from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.adapters.odoo.jsonrpc import odoo_jsonrpc
from services.erp.connections import Connection, ConnectionSpec, ErpContext, RetryPolicy
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate
from services.erp.selecting import Selector, select
from services.erp.users import Ask
from tests.integration.erp.servers import Call, Reply, result, serving

FOLDERS = [Path(__file__).parents[2] / "conformance" / "recordings" / name for name in ("odoo18", "odoo18-other")]
RECORDINGS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for folder in FOLDERS for path in sorted(folder.glob("*.json"))
}
CALLS = {
    name: one
    for name, one in RECORDINGS.items()
    if one["request"]["path"] == "/jsonrpc" and isinstance(one["request"].get("body"), dict)
}
OBJECT_CALLS = {name: one for name, one in CALLS.items() if one["request"]["body"]["params"]["service"] == "object"}

INVALID, MISSING, DENIED = Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED
PRECONDITION, EXISTS, UNKNOWN = Code.FAILED_PRECONDITION, Code.ALREADY_EXISTS, Code.UNKNOWN

REFUSED: dict[str, tuple[Code, str, dict[str, str]]] = {
    "access-denied-bad-password": (PRECONDITION, "LOGIN_REFUSED", {"username": "admin"}),
    "access-denied-unknown-uid": (PRECONDITION, "LOGIN_REFUSED", {"username": "admin"}),
    "access-error-field-group-demo": (DENIED, "ERP_ACCESS_DENIED", {"model": "res.partner"}),
    "access-error-model-demo": (DENIED, "ERP_ACCESS_DENIED", {"model": "ir.config_parameter"}),
    "access-error-portal-create": (DENIED, "ERP_ACCESS_DENIED", {"model": "res.partner"}),
    "access-error-record-rule-portal": (DENIED, "ERP_ACCESS_DENIED", {"model": "sale.order"}),
    "access-error-write-demo": (DENIED, "ERP_ACCESS_DENIED", {"model": "res.company"}),
    "account.move-unlink-posted": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "account.move"}),
    "action-on-deleted-id": (MISSING, "NOT_FOUND", {"ids": "99999999"}),
    "bad-domain-operator": (INVALID, "DOMAIN_INVALID", {"model": "res.partner"}),
    "bad-domain-shape": (INVALID, "DOMAIN_INVALID", {"model": "res.partner"}),
    "context-allowed_company_ids-forbidden": (INVALID, "CONTEXT_INVALID", {"field": "context.company_ids"}),
    "context-lang-fr-error-message": (INVALID, "VALUE_MISSING", {"model": "res.partner"}),
    "context-lang-unknown": (INVALID, "CONTEXT_INVALID", {"field": "context.language", "value": "xx_XX"}),
    "missing-argument": (INVALID, "ARGUMENTS_INVALID", {"method": "write"}),
    "object-too-few-args": (UNKNOWN, "ERP_FAILED", {"erp_error": "builtins.IndexError"}),
    "private-method": (DENIED, "METHOD_NOT_ALLOWED", {"method": "_compute_display_name"}),
    "sale.order-action_confirm-twice": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "sale.order"}),
    "sale.order-unlink-confirmed": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "sale.order"}),
    "unique-violation-country-code": (EXISTS, "UNIQUE_VIOLATION", {"model": "res.country"}),
    "unique-violation-user-login": (EXISTS, "UNIQUE_VIOLATION", {"model": "res.users"}),
    "unknown-database-object": (PRECONDITION, "DATABASE_NOT_FOUND", {"database": "demo"}),
    "unknown-field-create": (INVALID, "FIELD_NOT_FOUND", {"field": "no_such_field"}),
    "unknown-field-domain": (INVALID, "FIELD_NOT_FOUND", {"field": "no_such_field"}),
    "unknown-field-order": (INVALID, "FIELD_NOT_FOUND", {"field": "no_such_field"}),
    "unknown-field-read": (INVALID, "FIELD_NOT_FOUND", {"field": "no_such_field", "model": "res.partner"}),
    "unknown-keyword-argument": (INVALID, "ARGUMENTS_INVALID", {"method": "search"}),
    "unknown-method": (MISSING, "METHOD_NOT_FOUND", {"method": "no_such_method"}),
    "unknown-model": (MISSING, "MODEL_NOT_FOUND", {"model": "no.such.model"}),
    "unlink-deleted-id": (MISSING, "NOT_FOUND", {"ids": "2609"}),
    "unlink-refused-user-partner": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "res.partner"}),
    "unlink-restricted-by-foreign-key": (PRECONDITION, "RECORD_REFERENCED", {"id": "233"}),
    "validation-bad-date": (INVALID, "VALUE_INVALID", {"value": "not-a-date"}),
    "validation-bad-integer": (INVALID, "VALUE_INVALID", {"value": "abc"}),
    "validation-foreign-key-missing": (PRECONDITION, "REFERENCE_MISSING", {"field": "country_id"}),
    "validation-missing-required-partner-name": (INVALID, "VALUE_MISSING", {"model": "res.partner"}),
    "validation-missing-required-sale-partner": (INVALID, "VALUE_MISSING", {"field": "partner_id"}),
    "validation-recursive-parent": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "res.partner"}),
    "validation-selection-value": (INVALID, "VALUE_INVALID", {"field": "type", "value": "bogus"}),
    "write-deleted-id": (MISSING, "NOT_FOUND", {"ids": "2609"}),
}
"""Every recorded error of the object service, and what callers get."""

CALLED = {"missing-argument", "unknown-keyword-argument"}
"""Only a CallMethod can ask so: the gateway's own calls have the right arguments."""


LOGINS = {
    "common-authenticate-ok": "",
    "common-login-ok": "",
    "apikey-authenticate": "",
    "web-login-cooldown-jsonrpc-unaffected": "",
    "common-authenticate-bad-password": "LOGIN_REFUSED",
    "common-authenticate-unknown-login": "LOGIN_REFUSED",
    "common-authenticate-unknown-database": "DATABASE_NOT_FOUND",
    "common-unknown-method": "ERP_FAILED",
    "http-no-params": "ERP_FAILED",
    "unknown-service": "ERP_FAILED",
    "web-login-cooldown": "LOGIN_LIMITED",
    "web-session-authenticate-bad": "LOGIN_REFUSED",
    "web-session-authenticate-ok": "LOGIN_LIMITED",
}
"""What comes as the answer to a login, and the reason that callers get; the last one was recorded in the cooldown."""

VERSIONS = ["common-version", "web-version-info"]
EXPIRED = ["web-call_kw-no-session", "web-call_kw-search_read", "web-session-destroy"]
"""Recorded without a session, the last ones by mistake: they say that it expired."""

NO_ANSWERS = [
    *("http-get-jsonrpc", "http-json-array-batch", "http-json2-on-odoo18", "http-malformed-json"),
    *("http-unknown-path-json", "http-wrong-content-type", "http-health"),
    *("db-list", "db-server-version", "web-database-list"),
    *(name for name in RECORDINGS if name.startswith("xmlrpc-")),
]
"""What is no answer to a call of ours: another protocol, a page, the result of another call."""

PLAYED = [OBJECT_CALLS.keys(), LOGINS.keys(), VERSIONS, EXPIRED, NO_ANSWERS]


def reply_of(recording: dict[str, Any]) -> Reply:
    response = recording["response"]
    body = response["body"]
    content = dict(body) | {"id": None} if isinstance(body, dict) else body
    raw = json.dumps(content).encode() if isinstance(content, dict) else str(content).encode()
    return Reply(raw, response["status"], response["content_type"] or "text/html")


def doing(name: str, method: str) -> Doing:
    if name in CALLED:
        return "call"
    if method.startswith(("search", "name_search", "read_group", "web_search")):
        return "search"
    if method in ("create", "write", "load", "copy", "web_save", "name_create"):
        return "write"
    if method == "unlink":
        return "delete"
    return "read" if method in ("read", "fields_get") else "call"


def connection(url: str) -> Connection:
    spec = ConnectionSpec(
        driver="odoo-jsonrpc",
        url=url,
        database="demo",
        username="admin",
        retry_policy=RetryPolicy(max_attempts=1),
    )
    return Connection(tenant="default", id="main", uid="u", spec=spec)


def driver_of(url: str) -> OdooDriver:
    made = connection(url)
    return odoo_jsonrpc(made, Gate(made.name, made.spec, lambda error, breaker_open: None))


ASK = Ask("admin", "secret", ErpContext())


async def test_each_recorded_call_gives_its_result_or_its_reason() -> None:
    playing: dict[str, Any] = {}

    async def answer(call: Call) -> Reply:
        return result(2) if call.service == "common" else reply_of(playing)

    wrong: dict[str, str] = {}
    async with serving(answer) as url:
        driver = driver_of(url)
        for name, recording in OBJECT_CALLS.items():
            playing = recording
            driver._client.sessions._logins._tries.clear()  # each recording is a minute of its own
            fault = await _play(driver, name, recording)
            if fault:
                wrong[name] = fault
        await driver.close()
    assert wrong == {}
    assert len(OBJECT_CALLS) > 100


async def _play(driver: OdooDriver, name: str, recording: dict[str, Any]) -> str:
    """Returns what is wrong with what a caller gets for a recording; empty if nothing is."""
    args = recording["request"]["body"]["params"]["args"]
    model, method, *rest = args[3:] if len(args) > 4 else ["res.partner", "read", []]
    given = rest[0] if rest else []
    ids = [one for one in (given[0] if given and isinstance(given[0], list) else []) if isinstance(one, int)]
    try:
        told = await driver._client.tell(ASK, model, method, given, {}, doing=doing(name, method), ids=ids)
    except SutlerError as error:
        return _differs(name, error)
    expected = recording["response"]["body"].get("result")
    return "" if name not in REFUSED and told == expected else f"gave {told!r}"[:200]


def _differs(name: str, error: SutlerError) -> str:
    code, reason, metadata = REFUSED.get(name, (None, "", {}))
    shown = error.message + json.dumps(error.metadata) + str(error.violations)
    leaks = [secret for secret in ("Traceback", "psycopg2", "5544") if secret in shown]
    if (error.code, error.reason) != (code, reason) or not metadata.items() <= error.metadata.items():
        return f"{error.code.name} {error.reason} {error.metadata}"
    return f"leaks {leaks}" if leaks else ""


def test_every_recorded_error_has_its_reason_here() -> None:
    errors = {name for name, one in OBJECT_CALLS.items() if "error" in one["response"]["body"]}
    assert errors == set(REFUSED)


@pytest.mark.parametrize(("name", "reason"), LOGINS.items())
async def test_logging_in(name: str, reason: str) -> None:
    async with serving(lambda call: _later(reply_of(RECORDINGS[name]))) as url:
        driver = driver_of(url)
        try:
            if not reason:
                assert await driver.log_in(ASK) == 2
                return
            with pytest.raises(SutlerError) as caught:
                await driver.log_in(ASK)
            assert caught.value.reason == reason
            assert "5544" not in caught.value.message + json.dumps(caught.value.metadata)
        finally:
            await driver.close()


@pytest.mark.parametrize("name", VERSIONS)
async def test_the_version_is_told(name: str) -> None:
    async with serving(lambda call: _later(reply_of(RECORDINGS[name]))) as url:
        driver = driver_of(url)
        try:
            assert await driver.version() == "18.0+e-20250520"
        finally:
            await driver.close()


@pytest.mark.parametrize("name", EXPIRED)
async def test_a_session_that_ended_is_begun_once_more_and_then_refused(name: str) -> None:
    calls: list[Call] = []

    async def answer(call: Call) -> Reply:
        calls.append(call)
        return result(2) if call.service == "common" else reply_of(RECORDINGS[name])

    async with serving(answer) as url:
        driver = driver_of(url)
        try:
            with pytest.raises(SutlerError) as caught:
                await driver._client.tell(ASK, "res.partner", "search_count", [[]], {}, doing="search")
            assert (caught.value.code, caught.value.reason) == (PRECONDITION, "LOGIN_REFUSED")
            assert [call.method for call in calls] == ["authenticate", "search_count"] * 2
        finally:
            await driver.close()


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_unavailable(name: str) -> None:
    async with serving(lambda call: _later(reply_of(RECORDINGS[name]))) as url:
        driver = driver_of(url)
        try:
            with pytest.raises(SutlerError) as caught:
                await driver.version()
            assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "ERP_ANSWER_INVALID")
        finally:
            await driver.close()


async def test_recorded_values_become_typed_ones() -> None:
    replies = {
        "fields_get": RECORDINGS["fields_get-all"],
        "read": RECORDINGS["read-fields"],
        "search_read": RECORDINGS["search_read-domain"],
        "name_search": RECORDINGS["name_search"],
        "search_count": RECORDINGS["search_count"],
    }

    async def answer(call: Call) -> Reply:
        if call.method == "version":
            return reply_of(RECORDINGS["common-version"])
        return result(2) if call.service == "common" else reply_of(replies[call.method])

    async with serving(answer) as url:
        driver = driver_of(url)
        try:
            assert await driver.version() == "18.0+e-20250520"
            schema = await driver.schema(ASK, "res.partner")
            rows = await driver.read(ASK, schema, [1, 9, 10], ["name", "country_id", "category_id", "parent_id"])
            assert [row.id for row in rows] == [1, 9, 10]
            assert rows[0].values["country_id"] == {"id": 233, "display_name": "United States"}
            assert rows[0].values["parent_id"] is None
            assert rows[1].values["category_id"] == [{"id": 7}, {"id": 6}]
            found = await driver.search(ASK, schema, await select(schema, _no_more), fields=["name"])
            first = found[0]
            assert first.values["create_date"] == "2026-11-21T07:30:07Z"
            assert first.values["comment"] is None
            assert first.values["is_company"] is True
            assert first.update_time == pytest.approx(1795246235)
            named = await driver.names(ASK, schema, "azu", Selector(), 7)
            assert (named[0].id, named[0].display_name) == (15, "Azure Interior")
            assert await driver.count(ASK, schema, Selector()) == 267
        finally:
            await driver.close()


async def test_the_recorded_import_error_names_field_and_value() -> None:
    async def answer(call: Call) -> Reply:
        if call.service == "common":
            return result(2)
        if call.method == "fields_get":
            return reply_of(RECORDINGS["fields_get-all"])
        return reply_of(RECORDINGS["load-import-error"])

    async with serving(answer) as url:
        driver = driver_of(url)
        try:
            schema = await driver.schema(ASK, "res.partner")
            prepared = await driver.prepare(ASK, schema, {"name": "Three", "type": "contact"}, _no_more)
            with pytest.raises(SutlerError) as caught:
                await driver.create(ASK, schema, [prepared], ["gw_demo.partner_3"])
        finally:
            await driver.close()
    assert (caught.value.code, caught.value.reason) == (INVALID, "VALUE_INVALID")
    assert caught.value.metadata["field"] == "type"
    assert caught.value.metadata["value"] == "bogus"


async def test_none_is_lost_for_a_write_and_null_for_a_method() -> None:
    recording = RECORDINGS["sale.order-action_lock-returns-none"]

    async def answer(call: Call) -> Reply:
        if call.method == "fields_get":
            told = RECORDINGS["fields_get-sale.order"]["response"]["body"]["result"]
            return result({field: one for field, one in told.items() if one != "<redacted>"})
        return result(2) if call.service == "common" else reply_of(recording)

    async with serving(answer) as url:
        driver = driver_of(url)
        try:
            assert await driver.call(ASK, "sale.order", "action_lock", [30], [], {}) is None
            schema = await driver.schema(ASK, "sale.order")
            prepared = await driver.prepare(ASK, schema, {"client_order_ref": "x"}, _no_more)
            with pytest.raises(AnswerLostError):
                await driver.write(ASK, schema, [30], prepared)
        finally:
            await driver.close()


async def _later(reply: Reply) -> Reply:
    return reply


async def _no_more(model: str) -> Any:
    raise AssertionError(f"nothing asks for {model}")
