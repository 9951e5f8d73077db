"""Every recording of a real Tryton 8.2: the right answer, or the right code and reason."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sutler.errors import Code, SutlerError

from services.erp.adapters.meanings import Doing
from services.erp.adapters.tryton.driver import TrytonDriver
from services.erp.adapters.tryton.fields import to_schema
from services.erp.adapters.tryton.reading import plain, to_row
from services.erp.connections import Connection, ConnectionSpec, ErpContext, RetryPolicy
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate
from services.erp.schemas import FieldType, Model, ModelField, ModelSchema
from services.erp.selecting import Selector
from services.erp.users import Ask
from tests.integration.erp.tryton_replay import RECORDINGS, Replay, replaying

ASK = Ask("admin", "secret", ErpContext())
DOING: dict[str, Doing] = {
    "search": "search", "search_read": "search", "search_count": "search", "read": "read", "fields_get": "read",
    "create": "write", "write": "write", "delete": "delete",
}  # fmt: skip

INVALID, MISSING, PRECONDITION = Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION
REFUSED: dict[str, tuple[Code, str, dict[str, str]]] = {
    "access-error-limited-read-users": (Code.PERMISSION_DENIED, "ERP_ACCESS_DENIED", {"model": "res.user"}),
    "after-logout": (PRECONDITION, "LOGIN_REFUSED", {"username": "admin"}),
    "no-session": (PRECONDITION, "LOGIN_REFUSED", {"username": "admin"}),
    "party-optimistic-lock-stale": (Code.ABORTED, "ETAG_MISMATCH", {}),
    "read-missing": (MISSING, "NOT_FOUND", {"ids": "99999"}),
    "sale-confirm-twice": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "sale.sale"}),
    "sale-delete-confirmed": (PRECONDITION, "ERP_RULE_VIOLATED", {"model": "sale.sale"}),
    "unique-violation": (Code.ALREADY_EXISTS, "UNIQUE_VIOLATION", {"model": "party.party"}),
    "unknown-field-create": (INVALID, "FIELD_NOT_FOUND", {"field": "nofield"}),
    "unknown-field-domain": (INVALID, "FIELD_NOT_FOUND", {"field": "nofield"}),
    "unknown-field-read": (INVALID, "FIELD_NOT_FOUND", {"field": "nofield"}),
    "unknown-method": (MISSING, "METHOD_NOT_FOUND", {"method": "nope"}),
    "unknown-model": (MISSING, "MODEL_NOT_FOUND", {"model": "no.such"}),
    "validation-required": (INVALID, "VALUE_MISSING", {"field": "party"}),
    "write-missing": (MISSING, "NOT_FOUND", {"ids": "99999"}),
}
LOGINS = {
    "login-ok": "",
    "login-bad-password": "LOGIN_REFUSED",
    "login-unknown-database": "DATABASE_NOT_FOUND",
    "malformed": "ERP_FAILED",
}
BESIDE = {"version", "db-list", "logout", "get_preferences"}
ROWS = {"party-search_read", "party-search_read-500", "party-search-write_date", "sale-line-read"}
ANSWERED = {name for name in RECORDINGS if name not in REFUSED and name not in LOGINS and name not in BESIDE | ROWS}


@pytest.fixture
async def replayed() -> AsyncIterator[tuple[Replay, TrytonDriver]]:
    async with replaying() as (replay, url):
        policy = RetryPolicy(max_attempts=1)
        spec = ConnectionSpec(driver="tryton", url=url, database="demo", username="admin", retry_policy=policy)
        connection = Connection(tenant="default", id="main", uid="u1", spec=spec)
        driver = TrytonDriver(connection, Gate(connection.name, spec, lambda error, opened: None))
        yield replay, driver
        await driver.close()


def fields(**kinds: FieldType) -> dict[str, ModelField]:
    return {name: ModelField(field=name, type=kind, label=name.capitalize()) for name, kind in kinds.items()}


FIELDS = fields(
    id=FieldType.INTEGER,
    name=FieldType.STRING,
    code=FieldType.STRING,
    party=FieldType.MANY_TO_ONE,
    product=FieldType.MANY_TO_ONE,
    lang=FieldType.MANY_TO_ONE,
    addresses=FieldType.ONE_TO_MANY,
    contact_mechanisms=FieldType.ONE_TO_MANY,
    active=FieldType.BOOLEAN,
    write_date=FieldType.DATETIME,
    quantity=FieldType.FLOAT,
    unit_price=FieldType.DECIMAL,
    amount=FieldType.MONETARY,
    display_name=FieldType.STRING,
)
PARTY = ModelSchema(Model(model="party.party"), FIELDS)
LINE = ModelSchema(Model(model="sale.line"), FIELDS)


async def play(replay: Replay, driver: TrytonDriver, name: str) -> Any:
    """Makes the recorded call through the driver."""
    request = replay.play(name)["body"]
    _, _, called = request["method"].partition(".")
    where, _, method = called.rpartition(".")
    *args, context = request["params"]
    ids = args[0] if args and method in ("write", "delete") else ()
    doing = DOING.get(method, "call")
    return await driver._client.tell(ASK, where, method, args, doing=doing, context=context, ids=ids, schema=PARTY)


@pytest.mark.parametrize("name", sorted(ANSWERED))
async def test_an_answer_is_given_on(replayed: tuple[Replay, TrytonDriver], name: str) -> None:
    replay, driver = replayed
    assert await play(replay, driver, name) == RECORDINGS[name]["response"]["body"]["result"]
    [call] = replay.played
    assert call.path == RECORDINGS[name]["request"]["path"]
    assert call.headers["authorization"].startswith("Session ")


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_an_error_has_its_code_and_reason(replayed: tuple[Replay, TrytonDriver], name: str) -> None:
    replay, driver = replayed
    with pytest.raises(SutlerError) as caught:
        await play(replay, driver, name)
    code, reason, metadata = REFUSED[name]
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert caught.value.metadata.items() >= metadata.items()
    assert "Traceback" not in str(caught.value.metadata)
    assert len(replay.played) == (2 if reason == "LOGIN_REFUSED" else 1), "only an ended session is asked for again"


@pytest.mark.parametrize("name", sorted(LOGINS))
async def test_logging_in(replayed: tuple[Replay, TrytonDriver], name: str) -> None:
    replay, driver = replayed
    replay.play(name)
    if not LOGINS[name]:
        assert await driver.log_in(ASK) == 1
        return
    with pytest.raises(SutlerError) as caught:
        await driver.log_in(ASK)
    assert caught.value.reason == LOGINS[name]


async def test_what_stands_beside_models(replayed: tuple[Replay, TrytonDriver]) -> None:
    replay, driver = replayed
    replay.play("version")
    assert await driver.version() == "8.2"
    replay.play("db-list")
    assert await driver.databases() == ["demo"]
    replay.play("get_preferences")
    user = await driver.user(ASK)
    assert (user.id, user.username, user.language, user.company_ids) == (1, "admin", "en", ())
    replay.play("logout")
    assert await driver._transport.call("common.db.logout", [], "token") is None


@pytest.mark.parametrize("name", sorted(ROWS))
async def test_rows_come_in_the_gateways_forms(replayed: tuple[Replay, TrytonDriver], name: str) -> None:
    replay, driver = replayed
    replay.play(name)
    told = RECORDINGS[name]["response"]["body"]["result"]
    schema, field = (LINE, "amount") if name == "sale-line-read" else (PARTY, "name")
    rows = await driver.search(ASK, schema, Selector(), fields=[field])
    assert [row.id for row in rows] == [raw["id"] for raw in told]
    for row, raw in zip(rows, told, strict=True):
        assert row == to_row(PARTY, raw)
        assert "__class__" not in str(row.values)
        assert (row.update_time is None) == (raw.get("write_date") is None)


def test_rows_have_titles_times_and_exact_numbers() -> None:
    party = RECORDINGS["party-search_read"]["response"]["body"]["result"][0]
    row = to_row(PARTY, party)
    assert row.values["active"] is True
    assert row.values["lang"] is None
    assert row.values["addresses"] == [{"id": 1}]
    assert row.values["write_date"] == "2026-11-21T07:50:37.727087Z"
    assert (row.display_name, row.values["display_name"]) == ("Acme Ltd", "Acme Ltd")
    line = to_row(PARTY, RECORDINGS["sale-line-read"]["response"]["body"]["result"][0])
    assert (line.values["unit_price"], line.values["amount"], line.values["quantity"]) == ("12.50", "37.50", 3.0)
    assert line.values["product"] == {"id": 1, "display_name": "Widget"}
    template = plain(RECORDINGS["product-create-and-read"]["response"]["body"]["result"])
    assert template[0]["list_price"] == "12.50"


def test_fields_come_with_their_types() -> None:
    schema = to_schema("party.party", RECORDINGS["party-fields_get"]["response"]["body"]["result"])
    assert schema.model.archive_field == "active"
    assert schema.fields["addresses"].type is FieldType.ONE_TO_MANY
    assert schema.fields["addresses"].relation == "party.address"
    assert schema.fields["lang"].type is FieldType.MANY_TO_ONE
    assert not schema.fields["lang"].searchable


async def test_a_create_that_gets_no_answer_is_not_repeated(replayed: tuple[Replay, TrytonDriver]) -> None:
    replay, driver = replayed
    replay.results["model.party.party.create"] = None
    prepared = await driver.prepare(ASK, PARTY, {"name": "x"}, _none)
    with pytest.raises(AnswerLostError):
        await driver.create(ASK, PARTY, [prepared])
    assert [call.method for call in replay.calls].count("create") == 1


async def _none(name: str) -> ModelSchema:
    raise AssertionError(name)


def test_every_recording_is_played_by_one_test() -> None:
    played = [*ANSWERED, *REFUSED, *LOGINS, *BESIDE, *ROWS]
    assert len(played) == len(set(played)) == len(RECORDINGS) == 51


def test_the_readme_tells_every_reason() -> None:
    text = (Path(__file__).parents[3] / "services" / "erp" / "README.md").read_text("utf-8")
    table = text.partition("| Tryton answers |")[2].partition("\n\n")[0]
    assert {reason for _, reason, _ in REFUSED.values()} | {*filter(None, LOGINS.values())} <= set(
        re.findall(r"[A-Z_]{4,}", table)
    )
