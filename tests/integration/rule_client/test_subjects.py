"""Subjects in handlers and outside of them: what KRules lost is kept here."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from sutler.client import connect, rules
from sutler.errors import AlreadyExists, FailedPrecondition, Invalid, NotFound, Unavailable
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, on_both, token
from tests.integration.rule_client.conftest import ONCE, emit, types

pytestmark = pytest.mark.asyncio(loop_scope="session")


def added(by: int, old: Any) -> Any:
    return (old or 0) + by


@on_both
async def test_what_is_written_is_seen_at_once_and_stored_at_the_end(t: Tenant, shop: rules.Handlers) -> None:
    before = rules.subject(t.s, "o/1")
    await before.set("gone", 1, muted=True)
    await before.set("list", [1], muted=True)
    await before.set_ext("ext", {"a": None})

    @shop.on("a", retry=ONCE)
    async def handle(ctx: rules.Context) -> None:
        s = ctx.subject
        assert s is ctx.subject_of("o/1")
        (await s.get("list")).append(2)
        assert await s.get("list") == [1]
        await s.delete("gone")
        assert not await s.has("gone")
        with pytest.raises(KeyError):
            await s.get("gone")
        assert await s.get("gone", None) is None
        await s.set("gone", "back")
        assert await s.set("n", partial(added, 2)) == (2, None)
        assert await s.set("n", lambda: 5) == (5, 2)

        async def later(old: int) -> int:
            await asyncio.sleep(0)
            return old + 1

        assert await s.set("n", later) == (6, 5)
        await s.increment("n", 4)
        assert await s.get("n") == 10
        await s.set("null", None)
        assert await s.has("null")
        await s.delete_ext("ext")
        assert await s.set_ext("quiet", True) == (True, None)
        assert (await s.has_ext("ext"), await s.has_ext("quiet")) == (False, True)
        assert sorted(await s.keys()) == ["gone", "list", "n", "null"]
        await s.set("tall", 1, extra={"why": "test"})
        with pytest.raises(TypeError):
            await s.set("list", object())
        with pytest.raises(TypeError):
            await ctx.emit("b", s)
        await s.reload()
        assert await s.get_ext_props() == {"quiet": True}
        assert await s.get("n") == 10
        await s.expire(3600)

    async with rules.worker(t.s, shop):
        cascade = await emit(t, "a")
        assert cascade.executions[0].state == pb.Execution.STATE_SUCCEEDED, cascade
    stored = await t.s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/o/1"))
    assert await t.subject("o/1") == {"gone": "back", "list": [1.0], "n": 10.0, "null": None, "tall": 1.0}
    assert (dict(stored.ext_properties), stored.ttl.seconds) == ({"quiet": True}, 3600)
    changed = [event for event in cascade.events if event.type == rules.SUBJECT_PROPERTY_CHANGED]
    assert all(dict(event.extra) == {"why": "test"} for event in changed)


@on_both
async def test_no_update_is_lost_between_handlers(t: Tenant, shop: rules.Handlers) -> None:
    ran: list[int] = []

    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        ran.append(1)
        total = ctx.subject_of("total")
        await total.set("n", partial(added, 1))
        await total.increment("m")

    async with rules.worker(t.s, shop), rules.worker(t.s, shop):
        await asyncio.gather(
            *(rules.emit(t.s, "a", subject=f"s/{n}", wait=30) for n in range(16)),
            *(rules.subject(t.s, "total").set("n", partial(added, 1)) for _ in range(4)),
        )
    assert await t.subject("total") == {"n": 20.0, "m": 16.0}
    assert len(ran) >= 16
    assert all(each.attempts == 0 for each in await t.executions())


@on_both
async def test_to_read_writes_nothing(t: Tenant, shop: rules.Handlers) -> None:
    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        assert await ctx.subject.get("n") == 1
        assert await ctx.subject_of("none").dict() == {}
        await rules.subject(t.s, "o/1").set("n", 2)
        assert await ctx.subject.get("n") == 1
        await ctx.subject.reload()
        assert await ctx.subject.get("n") == 2
        await ctx.subject.set("m", 1)

    await rules.subject(t.s, "o/1").set("n", 1)
    async with rules.worker(t.s, shop):
        cascade = await emit(t, "a")
    assert cascade.executions[0].state == pb.Execution.STATE_SUCCEEDED
    assert await t.subject("o/1") == {"n": 2.0, "m": 1.0}
    with pytest.raises(NotFound):
        await t.subject("none")


@on_both
async def test_what_is_flushed_stays_and_belongs_to_the_cascade(t: Tenant, shop: rules.Handlers) -> None:
    @shop.on("a", retry=ONCE)
    async def handle(ctx: rules.Context) -> None:
        await ctx.subject.set("n", partial(added, 1))
        await ctx.subject.flush()
        assert await t.subject("o/1") == {"n": 1.0}
        await ctx.subject.flush()
        assert await ctx.subject.set("n", partial(added, 1)) == (2, 1)
        if ctx.payload == "fail":
            raise ValueError("no")

    async with rules.worker(t.s, shop):
        failed = await emit(t, "a", "fail")
        assert types(failed) == ["a", rules.SUBJECT_PROPERTY_CHANGED, rules.HANDLER_FAILED]
        assert await t.subject("o/1") == {"n": 1.0}
        await rules.subject(t.s, "o/1").set("n", 0)
        worked = await emit(t, "a")
    assert types(worked) == ["a", *[rules.SUBJECT_PROPERTY_CHANGED] * 2]
    assert await t.subject("o/1") == {"n": 2.0}


async def test_a_subject_is_cleared_with_all_that_is_known_of_it(t: Tenant, shop: rules.Handlers) -> None:
    @shop.on("a", retry=ONCE)
    async def handle(ctx: rules.Context) -> None:
        await ctx.subject.clear()
        assert await ctx.subject.dict() == {}
        with pytest.raises(Invalid):
            await ctx.subject.flush()
        if ctx.payload:
            await ctx.subject.set("n", ctx.payload)

    await rules.subject(t.s, "o/1").set("old", 1)
    async with rules.worker(t.s, shop):
        anew = await emit(t, "a", 7)
        assert types(anew) == ["a", rules.SUBJECT_DELETED, rules.SUBJECT_PROPERTY_CHANGED]
        assert await t.subject("o/1") == {"n": 7.0}
        await emit(t, "a")
    with pytest.raises(NotFound):
        await t.subject("o/1")


async def test_an_event_without_a_subject_has_none(t: Tenant, shop: rules.Handlers) -> None:
    found: list[str] = []

    @shop.on("a", retry=ONCE)
    async def handle(ctx: rules.Context) -> None:
        with pytest.raises(FailedPrecondition) as caught:
            _ = ctx.subject
        found.append(caught.value.reason)

    async with rules.worker(t.s, shop):
        await emit(t, "a", subject="")
    assert found == ["SUBJECT_MISSING"]


async def test_subjects_and_events_outside_of_handlers(t: Tenant) -> None:
    order = rules.subject(t.s, "o/9")
    assert await order.set("n", 1) == (1, None)
    assert await t.subject("o/9") == {"n": 1.0}
    await order.increment("n", 2)
    assert await order.get("n") == 3
    await rules.subject(t.s, "o/9").set("s", "text")
    with pytest.raises(FailedPrecondition):
        await order.increment("s")
    assert await order.dict() == {"n": 3, "s": "text"}
    with pytest.raises(AlreadyExists):
        await rules.emit(t.s, "a", 1, id="x") and await rules.emit(t.s, "a", 2, id="x")
    assert await rules.emit(t.s, "a", 1, id="x") == await rules.emit(t.s, "a", 1, id="x")
    async with connect("127.0.0.1:1", token=token(t.name), attempts=1) as away:
        with pytest.raises(Unavailable):
            await rules.subject(away, "o/9").get("n", None)
