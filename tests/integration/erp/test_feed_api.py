"""Subscriptions through a real server: every change of the ERP once, as an event at a stand-in RuleService."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    PermissionDenied,
)
from sutler.testing import free_port, wait_until
from sutler.wire import duration, to_struct

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.feeds import ORDERS, Subscription, an_order, get, in_state, subscribe, until
from tests.integration.erp.rules import Recorder, recording
from tests.integration.erp.servers import Proxy, Reply


async def test_a_confirmed_order_is_told_once_with_its_lines(
    fed: tuple[Sutler, Recorder], sandbox: SandboxProcess
) -> None:
    client, recorder = fed
    before = an_order(sandbox)
    sandbox.call("sale.order", "action_confirm", [before])
    fields = ["name", "state", "partner_id", "order_line.product_id.default_code", "order_line.product_uom_qty"]
    await subscribe(client, fields=fields)
    order = an_order(sandbox, 4)
    await until(lambda: "order.created" in recorder.types(order))
    sandbox.call("sale.order", "action_confirm", [order])
    await until(lambda: "order.confirmed" in recorder.types(order))
    sandbox.call("sale.order", "action_cancel", [order], context={"disable_cancel_warning": True})
    await until(lambda: "order.cancelled" in recorder.types(order))
    assert recorder.types(order) == [
        "order.created", "order.updated", "order.confirmed", "order.updated", "order.cancelled",
    ]  # fmt: skip
    assert recorder.types(before) == []
    [confirmed] = [data for data in recorder.of("order.confirmed") if data["id"] == order]
    assert (confirmed["connection"], confirmed["model"], confirmed["subscription"]) == (MAIN, "sale.order", ORDERS)
    values = confirmed["values"]
    assert (values["state"], confirmed["old_values"]) == ("sale", {"state": "draft"})
    assert values["partner_id"] == {"id": 10, "display_name": "Alder Hosting"}
    assert [(line["product_id"]["default_code"], line["product_uom_qty"]) for line in values["order_line"]] == [
        ("machine-small", 4)
    ]
    event = next(one for one in recorder.order if one.type == "order.confirmed")
    assert event.source == MAIN
    assert event.subject == f"{MAIN}/sale.order/{order}"
    assert event.extensions["correlationid"] == confirmed["correlation_id"] != ""
    assert recorder.reused == []
    active = await in_state(client, Subscription.STATE_ACTIVE)
    assert active.event_count == 5
    assert active.record_count >= 2
    assert active.HasField("position_time")

    async def delivered() -> bool:
        return (await get(client)).pending_event_count == 0

    await wait_until(delivered, 20)


async def test_a_write_through_the_gateway_is_told_at_once_and_once(sqlite: str, sandbox: SandboxProcess) -> None:
    recorder = Recorder()
    # A poll every minute: what comes sooner was not found by a poll.
    async with recording(recorder) as address:
        async with gateway(sqlite, rule_address=address, poll_interval_seconds=60) as client:
            await connect(client, sandbox.url)
            await subscribe(client, "partners", model="res.partner", fields=["name", "color"])
            await in_state(client, Subscription.STATE_ACTIVE, f"{MAIN}/subscriptions/partners")
            made = await client.erp.CreateRecord(
                erp_pb2.CreateRecordRequest(connection=MAIN, model="res.partner", values=to_struct({"name": "n"})),
                metadata={"x-correlation-id": "corr-1"},
            )
            await until(lambda: "partner.created" in recorder.types(made.id))
            await client.erp.UpdateRecord(
                erp_pb2.UpdateRecordRequest(
                    connection=MAIN, model="res.partner", id=made.id, values=to_struct({"comment": "not watched"})
                )
            )
            await client.erp.DeleteRecord(erp_pb2.DeleteRecordRequest(connection=MAIN, model="res.partner", id=made.id))
            await until(lambda: "partner.deleted" in recorder.types(made.id))
        async with gateway(sqlite, rule_address=address) as client:
            [other] = sandbox.call("res.partner", "create", [{"name": "found by a poll"}])
            await until(lambda: recorder.types(other) == ["partner.created"])
        assert recorder.types(made.id) == ["partner.created", "partner.deleted"]
        [created] = [data for data in recorder.of("partner.created", "res.partner") if data["id"] == made.id]
        assert (created["detection"], created["actor"]) == ("DETECTION_GATEWAY_WRITE", "anonymous")
        assert created["correlation_id"] == "corr-1"


async def test_what_happens_while_the_gateway_is_down_is_told_later(sqlite: str, sandbox: SandboxProcess) -> None:
    recorder = Recorder()
    async with recording(recorder) as address:
        async with gateway(sqlite, rule_address=address) as client:
            await connect(client, sandbox.url)
            await subscribe(client, fields=["state"])
            await in_state(client, Subscription.STATE_ACTIVE)
        orders = [an_order(sandbox) for _ in range(3)]
        for order in orders:
            sandbox.call("sale.order", "action_confirm", [order])
        async with gateway(sqlite, rule_address=address):
            await until(lambda: {data["id"] for data in recorder.of("order.confirmed")} >= set(orders))
    assert [recorder.types(order) for order in orders] == [["order.created", "order.confirmed"]] * 3


async def test_events_wait_while_the_target_is_down(sqlite: str, sandbox: SandboxProcess) -> None:
    port = free_port()
    recorder = Recorder()
    async with gateway(sqlite, rule_address=f"127.0.0.1:{port}") as client:
        await connect(client, sandbox.url)
        await subscribe(client, fields=["state"])
        await in_state(client, Subscription.STATE_ACTIVE)
        order = an_order(sandbox)
        failing = await in_state(client, Subscription.STATE_FAILING)
        assert failing.pending_event_count == 1
        assert failing.state_reason
        async with recording(recorder, port):
            await until(lambda: recorder.types(order) == ["order.created"])
            await in_state(client, Subscription.STATE_ACTIVE)


async def test_without_a_target_events_wait_and_say_so(sqlite: str, sandbox: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url)
        await subscribe(client, fields=["state"])
        an_order(sandbox)
        failing = await in_state(client, Subscription.STATE_FAILING)
        assert failing.pending_event_count >= 1
        with pytest.raises(PermissionDenied) as caught:
            await subscribe(client, "elsewhere", event_target="10.0.0.1:50054")
        assert caught.value.reason == "ADDRESS_NOT_ALLOWED"


async def test_an_erp_that_is_down_is_told_and_nothing_is_missed(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    lossy, url = proxy
    recorder = Recorder()
    async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
        once = erp_pb2.RetryPolicy(max_attempts=1)
        never = erp_pb2.BreakerPolicy(failure_limit=1000)
        await connect(client, url, retry_policy=once, breaker_policy=never)
        await subscribe(client, fields=["state"])
        await in_state(client, Subscription.STATE_ACTIVE)
        lossy.replace("search_read", Reply(b"<html>", 502, "text/html"), 4)
        failing = await in_state(client, Subscription.STATE_FAILING)
        assert failing.last_error.code == 14
        order = an_order(sandbox)
        await until(lambda: recorder.types(order) == ["order.created"])
        await in_state(client, Subscription.STATE_ACTIVE)


async def test_existing_records_are_replayed_only_if_asked(
    fed: tuple[Sutler, Recorder], sandbox: SandboxProcess
) -> None:
    client, recorder = fed
    tag = "replay-" + sandbox.url.rpartition(":")[2]
    rows = [{"name": f"r{i}", "ref": tag} for i in range(250)]
    existing = sandbox.call("res.partner", "search", [["ref", "=", tag]], order="id")
    existing = existing or sandbox.call("res.partner", "create", rows)
    await subscribe(
        client, "replayed", model="res.partner", filter=f'ref = "{tag}"', fields=["name"], replay_existing=True
    )
    await until(lambda: len(recorder.of("partner.created", "res.partner")) >= len(existing))
    told = recorder.of("partner.created", "res.partner")
    assert sorted(data["id"] for data in told) == sorted(existing)
    assert {data["detection"] for data in told} <= {"DETECTION_REPLAY", "DETECTION_POLL"}
    live = await in_state(client, Subscription.STATE_ACTIVE, f"{MAIN}/subscriptions/replayed")
    assert live.record_count == len(existing)


async def test_filters_decide_what_appears_and_goes(fed: tuple[Sutler, Recorder], sandbox: SandboxProcess) -> None:
    client, recorder = fed
    await subscribe(client, "red", model="res.partner", filter="color = 7", fields=["name"])
    [partner, other] = sandbox.call("res.partner", "create", [{"name": "a"}, {"name": "b"}])
    sandbox.call("res.partner", "write", [partner], {"color": 7})
    await until(lambda: recorder.types(partner) == ["partner.created"])
    sandbox.call("res.partner", "write", [partner], {"color": 1})
    await until(lambda: recorder.types(partner) == ["partner.created", "partner.deleted"])
    assert recorder.types(other) == []


async def test_archived_and_deleted_records(fed: tuple[Sutler, Recorder], sandbox: SandboxProcess) -> None:
    client, recorder = fed
    quick = erp_pb2.FeedPolicy(reconcile_interval=duration(0.3))
    await client.erp.UpdateConnection(
        erp_pb2.UpdateConnectionRequest(connection=erp_pb2.Connection(name=MAIN, feed_policy=quick))
    )
    await subscribe(client, "partners", model="res.partner", fields=["name"])
    [partner] = sandbox.call("res.partner", "create", [{"name": "a"}])
    await until(lambda: recorder.types(partner) == ["partner.created"])
    sandbox.call("res.partner", "write", [partner], {"active": False})
    await until(lambda: recorder.types(partner) == ["partner.created", "partner.updated"])
    sandbox.call("res.partner", "unlink", [partner])
    await until(lambda: "partner.deleted" in recorder.types(partner))
    [gone] = [data for data in recorder.of("partner.deleted", "res.partner") if data["id"] == partner]
    assert gone["detection"] == "DETECTION_RECONCILIATION"
    assert gone["values"]["name"] == "a"


async def test_two_changes_within_a_second_are_both_told(fed: tuple[Sutler, Recorder], sandbox: SandboxProcess) -> None:
    client, recorder = fed
    await subscribe(client, "partners", model="res.partner", fields=["color"])
    [partner] = sandbox.call("res.partner", "create", [{"name": "a", "color": 1}])
    for colour in (2, 1, 2, 3):
        sandbox.call("res.partner", "write", [partner], {"color": colour})
        await until(lambda wanted=colour: _last_colour(recorder, partner) == wanted)  # type: ignore[misc]
    assert recorder.reused == []


def _last_colour(recorder: Recorder, partner: int) -> Any:
    told = [data for kind in ("created", "updated") for data in recorder.of(f"partner.{kind}", "res.partner")]
    mine = [data for data in told if data["id"] == partner]
    return mine[-1]["values"]["color"] if mine else None


async def test_closed_windows_move_on_and_tell_nothing_twice(sqlite: str, sandbox: SandboxProcess) -> None:
    recorder = Recorder()
    async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
        await connect(client, sandbox.url, feed_policy=erp_pb2.FeedPolicy(window_lag=duration(1)))
        await subscribe(client, fields=["state"])
        await in_state(client, Subscription.STATE_ACTIVE)
        order = an_order(sandbox)
        await until(lambda: recorder.types(order) == ["order.created"])
        seen = time.time()

        async def closed() -> bool:
            return (await get(client)).position_time.ToSeconds() > seen

        await wait_until(closed, 20)
        assert recorder.types(order) == ["order.created"]


async def test_a_connection_that_leads_elsewhere_takes_a_new_baseline(sqlite: str, sandbox: SandboxProcess) -> None:
    recorder = Recorder()
    with started() as second:
        second.call("sale.order", "action_confirm", [1])
        confirmed = time.time()
        async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
            await connect(client, sandbox.url)
            await subscribe(client, fields=["state"])
            await in_state(client, Subscription.STATE_ACTIVE)
            told = len(recorder.order)
            # An ERP tells whole seconds, and what happened in the second of the change counts as after it.
            await until(lambda: int(time.time()) > int(confirmed))
            await client.erp.UpdateConnection(
                erp_pb2.UpdateConnectionRequest(
                    connection=erp_pb2.Connection(name=MAIN, url=second.url, secret="admin")
                )
            )
            order = an_order(second)
            await until(lambda: recorder.types(order) == ["order.created"])
            assert len(recorder.order) == told + 1


async def test_what_only_another_user_sees_or_does_not_is_no_change(sqlite: str, sandbox: SandboxProcess) -> None:
    recorder = Recorder()
    orders = [an_order(sandbox) for _ in range(2)]
    for order in orders:
        sandbox.call("sale.order", "action_confirm", [order])
    async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
        quick = erp_pb2.FeedPolicy(window_lag=duration(1), reconcile_interval=duration(0.2))
        await connect(client, sandbox.url, feed_policy=quick)
        await subscribe(client, fields=["name", "state"])
        known = (await in_state(client, Subscription.STATE_ACTIVE)).record_count
        before = len(recorder.order)
        for user, seen in (("portal", 0), ("admin", known)):
            change = erp_pb2.Connection(name=MAIN, username=user, secret=user)
            await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=change))

            async def counted(seen: int = seen) -> bool:
                found = await get(client)
                return (found.record_count, found.state) == (seen, Subscription.STATE_ACTIVE)

            await wait_until(counted, 20)
            since = (await get(client)).reconcile_time.ToNanoseconds()

            async def compared(since: int = since) -> bool:
                return (await get(client)).reconcile_time.ToNanoseconds() > since

            await wait_until(compared, 20)
        sandbox.call("sale.order", "action_cancel", [orders[0]], context={"disable_cancel_warning": True})
        await until(lambda: "order.cancelled" in recorder.types(orders[0]))
    assert [event.type for event in recorder.order[before:]] == ["order.updated", "order.cancelled"]


async def test_an_order_that_comes_back_into_the_filter_is_not_confirmed_again(
    fed: tuple[Sutler, Recorder], sandbox: SandboxProcess
) -> None:
    client, recorder = fed
    order = an_order(sandbox)
    sandbox.call("sale.order", "action_confirm", [order])
    await subscribe(client, fields=["name", "state"], filter='client_order_ref = "vip"')
    told = ["order.created", "order.confirmed"]
    for ref, more in (("vip", []), ("no", ["order.deleted"]), ("vip", ["order.created"]), ("no", ["order.deleted"])):
        told = [*told, *more]
        sandbox.call("sale.order", "write", [order], {"client_order_ref": ref})
        await until(lambda wanted=told: recorder.types(order) == wanted)  # type: ignore[misc]
