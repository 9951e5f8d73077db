"""JSON-2 as the documentation of Odoo 19 has it: keys, arguments by name, bare results, errors as HTTP statuses."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.erp.sandbox.app import running
from services.erp.sandbox.settings import Settings

KEY = {"authorization": "bearer replayed-api-key"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    with running(Settings(data=":memory:", json2=True, api_key="replayed-api-key")) as app:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as client:
            yield client


async def call(client: httpx.AsyncClient, method: str, headers: dict[str, str] = KEY, **named: Any) -> httpx.Response:
    return await client.post(f"/json/2/{method}", json=named, headers=headers)


async def test_results_are_bare_and_creates_answer_ids(client: httpx.AsyncClient) -> None:
    made = (await call(client, "res.partner/create", vals_list=[{"name": "One"}, {"name": "Two"}])).json()
    assert len(made) == 2
    assert len((await call(client, "res.partner/create", vals_list={"name": "Three"})).json()) == 1
    assert (await call(client, "res.partner/write", ids=made, vals={"city": "Ghent"})).json() is True
    read = await call(client, "res.partner/read", ids=made, fields=["city"], context={"lang": "en_US"})
    assert read.json() == [{"id": made[0], "city": "Ghent"}, {"id": made[1], "city": "Ghent"}]
    found = await call(client, "res.partner/search_read", domain=[["id", "in", made]], fields=["name"], order="id")
    assert [row["name"] for row in found.json()] == ["One", "Two"]
    named = await call(client, "res.partner/name_search", name="Tw", domain=[["id", "in", made]])
    assert named.json() == [[made[1], "Two"]]
    assert (await call(client, "sale.order/action_lock", ids=[1])).text == "null"


async def test_a_password_is_a_key_and_each_user_has_its_rights(client: httpx.AsyncClient) -> None:
    own = await call(client, "res.users/context_get", {"authorization": "Bearer demo", "x-odoo-database": "demo"})
    assert own.json()["uid"] == 6
    refused = await call(client, "res.company/write", {"authorization": "Bearer demo"}, ids=[1], vals={"name": "x"})
    assert (refused.status_code, refused.json()["name"]) == (403, "odoo.exceptions.AccessError")
    for user, model, ids, may in [
        ("demo", "res.company", [], False),
        ("demo", "res.partner", [1], True),
        ("portal", "sale.order", [], True),
        ("portal", "sale.order", [1], False),
    ]:
        told = await call(
            client,
            f"{model}/has_access",
            {"authorization": f"bearer {user}"},
            ids=ids,
            operation="read" if user == "portal" else "write",
        )
        assert told.json() is may


@pytest.mark.parametrize(
    ("method", "named", "status", "name"),
    [
        ("no.such/read", {"ids": [1]}, 404, "werkzeug.exceptions.NotFound"),
        ("res.partner/nope", {}, 404, "werkzeug.exceptions.NotFound"),
        ("res.partner/write", {"ids": [99999], "vals": {"name": "x"}}, 404, "odoo.exceptions.MissingError"),
        ("res.partner/_compute", {}, 403, "odoo.exceptions.AccessError"),
        ("res.partner/search", {"domain": [], "ids": [1]}, 422, "werkzeug.exceptions.UnprocessableEntity"),
        ("res.partner/search", {"domain": [], "nope": 1}, 422, "werkzeug.exceptions.UnprocessableEntity"),
        ("res.partner/name_search", {"args": []}, 422, "werkzeug.exceptions.UnprocessableEntity"),
        ("res.partner/write", {"ids": [1]}, 422, "werkzeug.exceptions.UnprocessableEntity"),
        ("res.partner/create", {"vals_list": [{"email": "x"}]}, 422, "odoo.exceptions.ValidationError"),
        ("sale.order/action_confirm", {"ids": [99999]}, 404, "odoo.exceptions.MissingError"),
        ("res.partner/search", {"domain": [["nope", "=", 1]]}, 500, "builtins.ValueError"),
        ("res.partner/read", {"ids": [1], "context": {"lang": "xx_XX"}}, 422, "odoo.exceptions.UserError"),
    ],
)
async def test_errors_have_their_status_and_type(
    client: httpx.AsyncClient, method: str, named: dict[str, Any], status: int, name: str
) -> None:
    answer = await call(client, method, **named)
    assert (answer.status_code, answer.json()["name"]) == (status, name)
    assert answer.json().keys() == {"name", "message", "arguments", "context", "debug"}


async def test_who_has_no_key_is_refused_before_anything_else(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}):
        answer = await call(client, "no.such/read", headers)
        assert (answer.status_code, answer.json()["name"]) == (401, "werkzeug.exceptions.Unauthorized")
    elsewhere = await call(client, "res.partner/read", KEY | {"x-odoo-database": "other"}, ids=[1])
    assert (elsewhere.status_code, elsewhere.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "No database is selected" in elsewhere.text
    broken = await client.post("/json/2/res.partner/read", content=b"[1", headers=KEY)
    assert broken.status_code == 400


async def test_it_tells_its_version_and_speaks_json_rpc_too(client: httpx.AsyncClient) -> None:
    told = (await client.get("/web/version")).json()
    assert told == {"version": "19.0+sandbox", "version_info": [19, 0, 0, "final", 0, ""]}
    params = {"service": "common", "method": "version", "args": []}
    answer = await client.post("/jsonrpc", json={"jsonrpc": "2.0", "id": 1, "params": params})
    assert answer.json()["result"]["server_serie"] == "19.0"


async def test_groups_come_as_odoo_19_answers_them(client: httpx.AsyncClient) -> None:
    lines: dict[str, Any] = {"partner_id": 10, "date_order": "2026-01-31 23:30:00"}
    await call(client, "sale.order/create", vals_list=[lines, lines | {"date_order": "2026-02-01 10:00:00"}])
    [january, february] = (
        await call(
            client,
            "sale.order/formatted_read_group",
            domain=[["date_order", "<", "2026-03-01"]],
            groupby=["partner_id", "date_order:month"],
            aggregates=["__count", "amount_total:sum", "date_order:max", "id:count_distinct"],
        )
    ).json()
    assert january["partner_id"] == [10, "Alder Hosting"]
    assert january["date_order:month"] == ["2026-01-01 00:00:00", "January 2026"]
    assert (january["__count"], january["id:count_distinct"]) == (1, 1)
    assert february["date_order:max"] == "2026-02-01 10:00:00"
    found = await call(client, "sale.order/search_count", domain=february["__extra_domain"])
    assert found.json() == 1
    [hour, *_] = (
        await call(
            client,
            "sale.order/formatted_read_group",
            domain=[["date_order", "<", "2026-03-01"]],
            groupby=["date_order:hour"],
            aggregates=["amount_total:sum"],
            order="date_order:hour desc",
            limit=1,
            context={"tz": "Europe/Brussels"},
        )
    ).json()
    assert hour["date_order:hour"] == ["2026-02-01 10:00:00", "11:00 01 Feb"]
