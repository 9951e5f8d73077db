"""Feeds under adverse conditions: clocks that differ, fields that go, replicas, and very much at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.testing import postgresql_schema, wait_until
from sutler.wire import duration, from_value, to_struct

from services.erp.catalogue import GONE
from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.feeds import Subscription, get, in_state, subscribe, until
from tests.integration.erp.rules import Recorder, recording
from tests.integration.erp.servers import Call, Proxy, Reply, failure, serving

PARTNERS = f"{MAIN}/subscriptions/partners"
QUICK = erp_pb2.FeedPolicy(window_lag=duration(1), reconcile_interval=duration(0.5))


async def partners(client: Sutler, **more: object) -> None:
    await subscribe(client, "partners", model="res.partner", fields=["name"], **more)
    await in_state(client, Subscription.STATE_ACTIVE, PARTNERS)


@pytest.mark.parametrize("offset", [-600, 600])
async def test_clocks_that_differ_by_ten_minutes_lose_nothing(sqlite: str, offset: int) -> None:
    recorder = Recorder()
    with started(f"--clock-offset={offset}") as erp:
        [old] = erp.call("res.partner", "create", [{"name": "old"}])
        async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
            await connect(client, erp.url, feed_policy=QUICK)
            await partners(client)
            [one, two] = erp.call("res.partner", "create", [{"name": "a"}, {"name": "b"}])
            await until(lambda: recorder.types(one) == recorder.types(two) == ["partner.created"])
            erp.call("res.partner", "write", [one], {"name": "c"})
            await until(lambda: recorder.types(one) == ["partner.created", "partner.updated"])
            written = erp_pb2.UpdateRecordRequest(
                connection=MAIN, model="res.partner", id=old, values=to_struct({"name": "d"})
            )
            await client.erp.UpdateRecord(written)
            await until(lambda: recorder.types(old) == ["partner.updated"])
            erp.call("res.partner", "unlink", [two])
            await until(lambda: recorder.types(two) == ["partner.created", "partner.deleted"])
            reached = (await get(client, PARTNERS)).position_time.ToSeconds()

            async def closed() -> bool:
                return (await get(client, PARTNERS)).position_time.ToSeconds() > reached + 1

            await wait_until(closed, 20)
            assert (await get(client, PARTNERS)).state == Subscription.STATE_ACTIVE
        assert Counter(from_value(event.data)["id"] for event in recorder.order) == {one: 2, two: 2, old: 1}


@dataclass
class Changing:
    """An ERP from which a model goes, or one of its fields: it answers with an error instead."""

    proxy: Proxy
    gone: dict[str, Reply] = field(default_factory=dict)

    async def answer(self, call: Call) -> Reply:
        if call.model in self.gone and call.method == "search_read":
            return self.gone[call.model]
        return await self.proxy.answer(call)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (failure("builtins.ValueError", "Invalid field 'name' on model 'res.partner'"), "FIELD_NOT_FOUND"),
        (failure("odoo.exceptions.UserError", "Object res.partner doesn't exist"), "MODEL_NOT_FOUND"),
        (failure("odoo.exceptions.AccessError", "You are not allowed to access 'Contact'"), "ERP_ACCESS_DENIED"),
    ],
)
async def test_what_goes_while_a_feed_runs_is_told_and_holds_up_nobody_else(
    sqlite: str, sandbox: SandboxProcess, error: Reply, reason: str
) -> None:
    recorder, erp = Recorder(), Changing(Proxy(sandbox.url))
    async with (
        recording(recorder) as address,
        serving(erp.answer) as url,
        gateway(sqlite, rule_address=address) as client,
    ):
        await connect(client, url)
        await partners(client)
        await subscribe(client, "tags", model="res.partner.category", fields=["name"], entity="tag")
        erp.gone["res.partner"] = error
        described = erp.proxy.count("fields_get")
        failing = await in_state(client, Subscription.STATE_FAILING, PARTNERS)
        assert reason in str(failing.last_error.details)
        if reason in GONE:  # what is known of the model is doubted
            await until(lambda: erp.proxy.count("fields_get") > described)
        [tag] = sandbox.call("res.partner.category", "create", [{"name": "meanwhile"}])
        await until(lambda: any(event.type == "tag.created" for event in recorder.order))
        [partner] = sandbox.call("res.partner", "create", [{"name": "missed?"}])
        erp.gone.clear()
        await in_state(client, Subscription.STATE_ACTIVE, PARTNERS)
        await until(lambda: "partner.created" in recorder.types(partner))
        assert tag


async def test_replicas_poll_once_and_take_over_from_each_other(sandbox: SandboxProcess) -> None:
    recorder, erp = Recorder(), Proxy(sandbox.url)
    once = erp_pb2.FeedPolicy(poll_interval=duration(0.2), reconcile_interval=duration(0))
    with postgresql_schema() as data:
        async with serving(erp.answer) as url, recording(recorder) as address:
            more = {"rule_address": address, "lease_seconds": 1.0}
            async with gateway(data, **more) as second:
                async with gateway(data, **more) as first:
                    await connect(first, url, feed_policy=once)
                    await partners(first)
                    before = erp.count("search_read")
                    await asyncio.sleep(4)
                    polls = erp.count("search_read") - before
                    assert 10 <= polls <= 24  # 20 in 4 s; two pollers would make 40
                    [early] = sandbox.call("res.partner", "create", [{"name": "early"}])
                    await until(lambda: recorder.types(early) == ["partner.created"])
                [late] = sandbox.call("res.partner", "create", [{"name": "late"}])
                await until(lambda: recorder.types(late) == ["partner.created"])
                await in_state(second, Subscription.STATE_ACTIVE, PARTNERS)
    assert recorder.reused == []


async def test_10_000_changes_in_one_transaction_are_told_once_each(sqlite: str) -> None:
    recorder, count = Recorder(), 10_000
    with started() as erp:
        ids: list[int] = []
        for start in range(0, count, 1000):
            ids += erp.call("res.partner", "create", [{"name": f"p{start + i}"} for i in range(1000)])
        async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
            await connect(client, erp.url, feed_policy=erp_pb2.FeedPolicy(window_lag=duration(1)))
            await partners(client, max_event_rate=100_000)
            told = recorder.received
            erp.call("res.partner", "write", ids, {"name": "all at once"})
            await until(lambda: len(recorder.order) - told >= count, 60)
            seen = recorder.received
            reached = (await get(client, PARTNERS)).position_time.ToSeconds()

            async def read_twice() -> bool:
                return (await get(client, PARTNERS)).position_time.ToSeconds() > reached + 3

            await wait_until(read_twice, 20)
    updated = Counter(from_value(event.data)["id"] for event in recorder.order if event.type == "partner.updated")
    assert updated == dict.fromkeys(ids, 1)
    assert (recorder.received, recorder.reused) == (seen, [])
