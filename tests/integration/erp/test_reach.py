"""The pattern of a permission holds behind relations too: in fields, filters, raw domains, written values and feeds."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sutler import headers
from sutler.auth import decode_principal, make_token
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import PermissionDenied
from sutler.testing import serve
from sutler.wire import from_struct, to_struct, to_value

from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect
from tests.integration.erp.feeds import an_order

SECRET = "x" * 32
ORDER = "sale.order"


@pytest.fixture
async def admin(sqlite: str, sandbox: SandboxProcess) -> AsyncIterator[Sutler]:
    """A gateway that asks for tokens, with a client that may do all."""
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=SECRET) as (client, _):
        await connect(client, sandbox.url)
        yield client


async def ask(client: Sutler, method: str, request: Any, *grants: str, **more: str) -> Any:
    """Calls as somebody with a few grants only; of a stream, returns the first message."""
    metadata = {"authorization": f"Bearer {make_token(SECRET, 'user:x', permissions=grants)}", **more}
    answer = getattr(client.erp, method)(request, metadata=metadata)
    if not hasattr(answer, "__aiter__"):
        return await answer
    try:
        return await anext(answer)
    finally:
        await answer.aclose()


async def refused(client: Sutler, method: str, request: Any, *grants: str) -> tuple[str, str, str]:
    with pytest.raises(PermissionDenied) as caught:
        await ask(client, method, request, *grants)
    return caught.value.reason, caught.value.metadata["permission"], caught.value.metadata["target"]


async def test_each_step_needs_the_permission_of_its_own_rpc(admin: Sutler, sandbox: SandboxProcess) -> None:
    order = an_order(sandbox)
    steps = [
        pb.TransactionStep(
            model=ORDER, update_record=pb.UpdateStep(id=to_value(order), values=to_struct({"note": "x"}))
        ),
        pb.TransactionStep(model="res.partner", create_record=pb.CreateStep(values=to_struct({"name": "x"}))),
    ]
    request = pb.RunTransactionRequest(parent=MAIN, steps=steps)
    run, update, create = "erp.transactions.run", "erp.records.update", "erp.records.create"
    assert await refused(admin, "RunTransaction", request, run, update) == (
        "PERMISSION_MISSING", create, "main/res.partner",
    )  # fmt: skip
    assert await refused(admin, "RunTransaction", request, f"{run}:main/*", f"{update}:main/res.*", create) == (
        "PERMISSION_MISSING", update, f"main/{ORDER}",
    )  # fmt: skip
    related = {"order_line": {"add": [1]}}
    steps[0].update_record.values.CopyFrom(to_struct(related))
    request = pb.RunTransactionRequest(parent=MAIN, steps=steps[:1])
    assert await refused(admin, "RunTransaction", request, run, f"{update}:main/{ORDER}") == (
        "PERMISSION_MISSING", update, "main/sale.order.line",
    )  # fmt: skip


def domain(*terms: Any) -> Any:
    return to_value(list(terms)).list_value


READS: list[tuple[str, dict[str, Any], str]] = [
    ("SearchRecords", {"fields": ["name", "partner_id.email"]}, "res.partner"),
    ("SearchRecords", {"fields": ["user_id.login"]}, "res.users"),
    ("SearchRecords", {"fields": ["order_line.name"]}, "sale.order.line"),
    ("SearchRecords", {"filter": 'partner_id.email = "*a*"'}, "res.partner"),
    ("CountRecords", {"filter": 'partner_id.email = "*a*"'}, "res.partner"),
    ("CountRecords", {"domain": domain(["partner_id.email", "like", "a"])}, "res.partner"),
    ("CountRecords", {"domain": domain(["partner_id", "ilike", "a"])}, "res.partner"),
    ("CountRecords", {"domain": domain("!", ["partner_id", "in", ["a"]])}, "res.partner"),
    ("CountRecords", {"domain": domain(["order_line", "ANY", [["name", "=", "a"]]])}, "sale.order.line"),
    ("SearchNames", {"filter": 'partner_id.email = "*a*"'}, "res.partner"),
    ("GetRecord", {"id": 1, "fields": ["partner_id.email"]}, "res.partner"),
    ("BatchGetRecords", {"ids": [1], "fields": ["partner_id.email"]}, "res.partner"),
    ("DescribeModel", {"fields": ["partner_id.email"]}, "res.partner"),
    ("WatchRecords", {"fields": ["partner_id.email"]}, "res.partner"),
    ("WatchRecords", {"fields": ["name"], "filter": 'partner_id.email = "*a*"'}, "res.partner"),
]
VERBS = {"SearchRecords": "search", "CountRecords": "count", "SearchNames": "searchNames", "GetRecord": "get",
         "BatchGetRecords": "batchGet", "WatchRecords": "watch", "CreateRecord": "create", "UpdateRecord": "update",
         "BatchCreateRecords": "batchCreate"}  # fmt: skip


def permission_of(method: str) -> str:
    return "erp.models.describe" if method == "DescribeModel" else f"erp.records.{VERBS[method]}"


@pytest.mark.parametrize(("method", "more", "behind"), READS)
async def test_what_is_read_behind_a_relation_needs_its_own_permission(
    admin: Sutler, method: str, more: dict[str, Any], behind: str
) -> None:
    permission = permission_of(method)
    request = getattr(pb, f"{method}Request")(connection=MAIN, model=ORDER, **more)
    own = f"{permission}:main/{ORDER}"
    assert await refused(admin, method, request, own) == ("PERMISSION_MISSING", permission, f"main/{behind}")
    if "ANY" not in str(more):  # newer than the sandbox
        await ask(admin, method, request, own, f"{permission}:main/{behind}")


async def test_a_relation_itself_belongs_to_its_record(admin: Sutler, sandbox: SandboxProcess) -> None:
    order, own = an_order(sandbox), f"erp.records.search:main/{ORDER}"
    request = pb.SearchRecordsRequest(
        connection=MAIN,
        model=ORDER,
        fields=["partner_id", "order_line"],
        domain=domain("&", ["id", "=", order], "|", ["partner_id", "in", [10]], ["order_line", "=", False]),
    )
    [record] = (await ask(admin, "SearchRecords", request, own)).records
    values = from_struct(record.values)
    assert set(values["partner_id"]) == {"id", "display_name"}
    assert set(values["order_line"][0]) == {"id", "display_name"}
    children = pb.SearchRecordsRequest(connection=MAIN, model="res.partner", fields=["parent_id.email"])
    await ask(admin, "SearchRecords", children, "erp.records.search:main/res.partner")


async def test_a_kept_answer_needs_the_permissions_too(admin: Sutler) -> None:
    fields = ["name", "partner_id.email"]
    watch = pb.WatchRecordsRequest(connection=MAIN, model=ORDER, fields=fields)
    first = await ask(admin, "WatchRecords", watch, "erp.records.watch")
    watch.resume_token = first.resume_token
    own = f"erp.records.watch:main/{ORDER}"
    assert (await refused(admin, "WatchRecords", watch, own))[2] == "main/res.partner"


@pytest.mark.parametrize(
    ("values", "behind"),
    [
        ({"order_line": {"create": [{"product_id": 1}]}}, "sale.order.line"),
        ({"order_line": {"update": [{"id": 1, "name": "x"}]}}, "sale.order.line"),
        ({"order_line": {"delete": [1]}}, "sale.order.line"),
        ({"order_line": {"remove": [1]}}, "sale.order.line"),
        ({"order_line": [1]}, "sale.order.line"),
        ({"order_line": None}, "sale.order.line"),
    ],
)
async def test_what_is_written_behind_a_relation_needs_its_own_permission(
    admin: Sutler, sandbox: SandboxProcess, values: dict[str, Any], behind: str
) -> None:
    order = an_order(sandbox)
    lines = sandbox.call("sale.order.line", "search", [])
    requests = {
        "CreateRecord": pb.CreateRecordRequest(
            connection=MAIN, model=ORDER, values=to_struct({"partner_id": 10, **values})
        ),
        "BatchCreateRecords": pb.BatchCreateRecordsRequest(
            connection=MAIN, model=ORDER, rows=[pb.RecordInput(values=to_struct({"partner_id": 10, **values}))]
        ),
        "UpdateRecord": pb.UpdateRecordRequest(connection=MAIN, model=ORDER, id=order, values=to_struct(values)),
    }
    for method, request in requests.items():
        permission = permission_of(method)
        told = await refused(admin, method, request, f"{permission}:main/{ORDER}")
        assert told == ("PERMISSION_MISSING", permission, f"main/{behind}")
    assert sandbox.call("sale.order.line", "search", []) == lines
    back = pb.UpdateRecordRequest(
        connection=MAIN, model=ORDER, id=order, values=to_struct({"note": "x"}), fields=["partner_id.email"]
    )
    own = f"erp.records.update:main/{ORDER}"
    assert (await refused(admin, "UpdateRecord", back, own))[2] == "main/res.partner"


@pytest.mark.parametrize(
    "more",
    [
        {"fields": ["name", "partner_id.email"]},
        {"fields": ["name"], "filter": 'partner_id.email = "*a*"'},
        {"fields": ["name"], "domain": domain(["partner_id.email", "like", "a"])},
    ],
)
async def test_the_author_of_a_subscription_needs_all_its_models(admin: Sutler, more: dict[str, Any]) -> None:
    request = pb.CreateSubscriptionRequest(
        parent=MAIN, subscription_id="orders", subscription=pb.Subscription(model=ORDER, **more)
    )
    common = ("erp.subscriptions.create", "rule.events.batchPublish", f"erp.records.watch:main/{ORDER}")
    told = await refused(admin, "CreateSubscription", request, *common)
    assert told == ("PERMISSION_MISSING", "erp.records.watch", "main/res.partner")
    await ask(admin, "CreateSubscription", request, *common, "erp.records.watch:main/res.partner")
    change = pb.UpdateSubscriptionRequest(
        subscription=pb.Subscription(name=f"{MAIN}/subscriptions/orders", max_event_rate=3)
    )
    told = await refused(admin, "UpdateSubscription", change, "erp.subscriptions.update", *common[1:])
    assert told[2] == "main/res.partner"


async def test_who_acts_for_another_tenant_does_so_later_too(
    sqlite: str, admin: Sutler, sandbox: SandboxProcess
) -> None:
    other = {headers.TENANT: "other"}
    connection = pb.Connection(
        driver="odoo-jsonrpc", url=sandbox.url, database="demo", username="admin", secret="admin"
    )
    await ask(
        admin,
        "CreateConnection",
        pb.CreateConnectionRequest(connection_id="main", connection=connection),
        "*.*.*",
        **other,
    )
    request = pb.CreateSubscriptionRequest(
        parent=MAIN, subscription_id="orders", subscription=pb.Subscription(model=ORDER, fields=["name"])
    )
    await ask(admin, "CreateSubscription", request, "*.*.*", **other)
    watch = pb.WatchRecordsRequest(connection=MAIN, model=ORDER, fields=["name"])
    await ask(admin, "WatchRecords", watch, "*.*.*", **other)
    with sqlite3.connect(sqlite.removeprefix("sqlite:///")) as store:
        stored = store.execute("SELECT principal FROM feeds UNION ALL SELECT principal FROM subscriptions").fetchall()
    assert [decode_principal(one).tenant for (one,) in stored] == ["other"] * 3


async def test_an_external_id_tells_nothing_of_a_model_that_is_out_of_reach(
    admin: Sutler, sandbox: SandboxProcess
) -> None:
    order = an_order(sandbox)
    await admin.erp.CreateRecord(
        pb.CreateRecordRequest(
            connection=MAIN, model="res.partner", values=to_struct({"name": "Secret"}), external_id="crm.secret"
        )
    )
    for name in ("crm.secret", "crm.nothing"):
        values = to_struct({"partner_id": {"external_id": name}})
        change = pb.UpdateRecordRequest(connection=MAIN, model=ORDER, id=order, values=values, validate_only=True)
        assert await refused(admin, "UpdateRecord", change, f"erp.records.update:main/{ORDER}") == (
            "PERMISSION_MISSING", "erp.records.update", "main/res.partner",
        )  # fmt: skip
