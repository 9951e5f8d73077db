"""Calls of services whose contracts are not Sutler's: by reflection, and by a descriptor set."""

from typing import Any

import pytest
from google.protobuf import json_format
from sutler.errors import Invalid, PermissionDenied, SutlerError, Unavailable

from tests.integration.rule.conftest import Tenant, emit, event
from tests.integration.rule.foreign import SERVICE

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREDENTIALS = {"authorization", "x-sutler-on-behalf-of"}


def order(target: str, method: str = f"{SERVICE}/Order", **request: Any) -> dict[str, Any]:
    return {"id": "order", "callMethod": {"method": method, "target": target, "request": request}}


@pytest.mark.parametrize(("target", "told"), [("shop", set()), ("shop-by-file", CREDENTIALS)])
async def test_a_foreign_method_is_called_with_credentials_if_it_is_trusted(
    t: Tenant, target: str, told: set[str]
) -> None:
    shop = t.server.shop
    shop.orders.clear()
    request = {"id": "${payload.id}", "line": {"sku": "s", "count": "${payload.n}"}, "due": "${event.time}"}
    done = emit("done", data={"number": "${results.order.number}", "paid": "${results.order.notes.paid}"})
    await t.rule("r", on=["a"], actions=[order(target, **request), done])
    await t.publish(event(type="a", data={"id": "o-1", "n": 3}, time="2026-01-01T00:00:00Z"))
    execution = await t.in_state("r", "SUCCEEDED")
    (seen,) = shop.orders
    key = execution.actions[0].idempotency_key
    assert (seen.request["id"], seen.request["line"].count, seen.request["due"].seconds) == ("o-1", 3, 1767225600)
    assert (seen.request["request_id"], seen.metadata["x-idempotency-key"]) == (key, key)
    assert CREDENTIALS & set(seen.metadata) == told
    (said,) = await t.events('type = "done"')
    assert json_format.MessageToDict(said.data) == {"number": 7, "paid": True}
    assert json_format.MessageToDict(execution.actions[0].response)["due"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("action", "error", "reason", "field"),
    [
        (order("shop", colour="red"), Invalid, "TEMPLATE_INVALID", "request.colour"),
        (order("shop", line={"count": "many"}), Invalid, "TEMPLATE_INVALID", "request"),
        (order("shop", f"{SERVICE}/Nope"), Invalid, "METHOD_UNKNOWN", "method"),
        (order("shop", "acme.shop.v1.Nope/Order"), Invalid, "METHOD_UNKNOWN", "method"),
        (order("shop-by-file", "acme.shop.v1.Nope/Order"), Invalid, "METHOD_UNKNOWN", "method"),
        (order("nope"), Invalid, "METHOD_UNKNOWN", "target"),
        (order("", f"{SERVICE}/Order"), Invalid, "METHOD_UNKNOWN", "method"),
        (order("shop", f"{SERVICE}/Drop"), PermissionDenied, "METHOD_NOT_ALLOWED", ""),
        (order("gone"), Unavailable, "DEPENDENCY_UNAVAILABLE", ""),
        (order("mute"), Unavailable, "DEPENDENCY_UNAVAILABLE", ""),
    ],
)
async def test_what_cannot_be_called_is_told_when_it_is_written(
    t: Tenant, action: dict[str, Any], error: type[SutlerError], reason: str, field: str
) -> None:
    with pytest.raises(error) as caught:
        await t.rule("r", on=["a"], actions=[action])
    assert caught.value.reason == reason
    if field:
        assert caught.value.violations[0].field == f"rule.actions[0].call_method.{field}"


async def test_a_new_release_of_the_service_is_noticed(t: Tenant) -> None:
    with pytest.raises(Invalid):
        await t.rule("r", on=["a"], actions=[order("shop", note="x")])
    t.server.shop.release("note")
    t.server.shop.orders.clear()
    await t.rule("r", on=["a"], actions=[order("shop", note="x")])
    await t.publish(event(type="a"))
    await t.in_state("r", "SUCCEEDED")
    assert t.server.shop.orders[0].request["note"] == "x"
