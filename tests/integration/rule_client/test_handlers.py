"""Handlers, conditions and middleware at work: what they see, and what becomes of what they do."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from sutler.client import connect, rules
from sutler.errors import FailedPrecondition, Invalid, NotFound, PermissionDenied, Unavailable
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status
from sutler.testing import wait_until

from tests.integration.rule.conftest import Tenant, on_both, token
from tests.integration.rule_client.conftest import ONCE, SOON, emit, types

pytestmark = pytest.mark.asyncio(loop_scope="session")


@on_both
async def test_writes_and_events_of_a_handler_commit_together_in_its_cascade(t: Tenant, shop: rules.Handlers) -> None:
    seen: list[Any] = []

    @shop.on("order.submitted")
    async def validate(ctx: rules.Context) -> dict[str, bool]:
        seen.append((ctx.event_type, ctx.payload, ctx.extra, ctx.attempt, ctx.handler, await ctx.subject.dict()))
        assert await ctx.subject.set("state", "validated") == ("validated", None)
        await ctx.subject_of("log").set("last", ctx.subject.id, muted=True)
        await ctx.emit("order.validated", {"total": ctx.payload["total"]}, by="validate")
        with pytest.raises(NotFound):
            await t.subject("o/1")
        return {"ok": True}

    @shop.on(rules.SUBJECT_PROPERTY_CHANGED)
    async def changed(ctx: rules.Context) -> None:
        seen.append((ctx.property_name, ctx.old_value, ctx.new_value))

    @shop.on("order.validated", "never.*")
    async def pay(ctx: rules.Context) -> None:
        await ctx.emit("order.paid", b"\x00\xff", "payments", at="counter")

    async with rules.worker(t.s, shop):
        cascade = await emit(t, "order.submitted", {"total": 7}, channel="web")
    expected = ["order.submitted", "subject.property.changed", "order.validated", "order.paid"]
    assert types(cascade) == expected
    assert seen[0] == ("order.submitted", {"total": 7}, {"channel": "web"}, 1, "validate", {})
    assert seen[1] == ("state", None, "validated")
    assert await t.subject("o/1") == {"state": "validated"}
    assert await t.subject("log") == {"last": "o/1"}
    assert [(event.subject, dict(event.extra)) for event in cascade.events[2:]] == [
        ("o/1", {"by": "validate"}),
        ("payments", {"at": "counter"}),
    ]
    assert cascade.events[3].binary_data == b"\x00\xff"
    (execution,) = [each for each in cascade.executions if each.rule == "rules/shop.validate"]
    assert execution.actions[0].response.struct_value["ok"]


@on_both
async def test_the_same_handlers_make_no_new_revision_and_all_processes_share_them(t: Tenant) -> None:
    async def handle(ctx: rules.Context) -> None:
        await ctx.subject_of("total").increment("n")

    def made(*patterns: str) -> rules.Handlers:
        shop = rules.Handlers("shop")
        shop.on(*patterns, name="count", retry=SOON)(shop.when("payload.n >= 0")(handle))
        return shop

    async with (
        rules.worker(t.s, made("a"), worker_id="one"),
        rules.worker(t.s, made("a"), worker_id="two"),
        rules.worker(t.s, made("a"), declare=False),
    ):
        events = [rules.emit(t.s, "a", {"n": n}, f"s/{n}", wait=30) for n in range(20)]
        await asyncio.gather(*events)
    assert await t.subject("total") == {"n": 20.0}
    rule = await t.s.rules.GetRule(pb.GetRuleRequest(name="rules/shop.count"))
    assert (rule.latest_revision, list(rule.when)) == ("rules/shop.count/revisions/1", ["payload.n >= 0"])
    assert rule.actions[0].worker == pb.Worker(queue="shop", handler="count")
    rule.enabled = False
    await t.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=pb.Rule(name=rule.name, enabled=False)))
    async with rules.worker(t.s, made("a", "b")):
        pass
    rule = await t.s.rules.GetRule(pb.GetRuleRequest(name="rules/shop.count"))
    assert (rule.latest_revision, rule.enabled) == ("rules/shop.count/revisions/2", False)


async def test_what_a_handler_leaves_running_can_change_nothing_more(t: Tenant, shop: rules.Handlers) -> None:
    returned = asyncio.Event()
    left: list[asyncio.Task[None]] = []

    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        async def later() -> None:
            await returned.wait()
            with pytest.raises(FailedPrecondition):
                await ctx.emit("b")
            await ctx.subject.set("late", True)

        left.append(asyncio.create_task(later()))

    async with rules.worker(t.s, shop):
        await emit(t, "a")
        returned.set()
        with pytest.raises(FailedPrecondition):
            await left[0]


async def test_tasks_of_rules_that_others_wrote_are_done_too(t: Tenant, shop: rules.Handlers) -> None:
    actions = [
        {"id": "w", "worker": {"queue": "shop", "handler": "ship", "data": {"kg": "${payload.kg}"}}},
        {"emitEvent": {"event": {"type": "shipped", "data": "${results.w}"}}},
    ]
    await t.rule("ship", on=["a"], actions=actions)

    @shop.task()
    async def ship(ctx: rules.Context) -> str:
        return f"{ctx.data['kg']} kg"

    async with rules.worker(t.s, shop):
        cascade = await emit(t, "a", {"kg": 2})
    assert cascade.events[1].data.string_value == "2 kg"


async def test_conditions_may_be_cel_or_functions_and_one_that_fails_is_no_false(
    t: Tenant, shop: rules.Handlers
) -> None:
    ran: list[str] = []

    async def rich(ctx: rules.Context) -> bool:
        await ctx.subject.set("never", 1)
        return bool(await ctx.subject.get("money", 0) > 10)

    @shop.when("payload.n == 1", lambda ctx: ctx.subject.has("money"))
    @shop.on("a", retry=ONCE)
    @shop.when(rich)
    async def buys(ctx: rules.Context) -> None:
        ran.append("buys")

    @shop.on("a", retry=ONCE)
    @shop.when(lambda ctx: ctx.subject.get("money") == 5)
    async def forgot_to_await(ctx: rules.Context) -> None:
        ran.append("forgot")

    await rules.subject(t.s, "o/1").set("money", 5, muted=True)
    async with rules.worker(t.s, shop):
        cascade = await emit(t, "a", {"n": 1})
        assert await t.subject("o/1") == {"money": 5.0}
        found = {each.rule: each for each in cascade.executions}
        skipped = found["rules/shop.buys"]
        assert skipped.state == pb.Execution.STATE_SKIPPED
        outcomes = [(c.worker, pb.ConditionResult.Outcome.Name(c.outcome)) for c in skipped.conditions]
        assert outcomes == [(False, "OUTCOME_TRUE"), (True, "OUTCOME_TRUE"), (True, "OUTCOME_FALSE")]
        assert skipped.conditions[2].expression == "rich"
        failed = found["rules/shop.forgot_to_await"]
        assert failed.state == pb.Execution.STATE_FAILED
        assert failed.conditions[0].outcome == pb.ConditionResult.OUTCOME_ERROR
        assert "await it" in failed.conditions[0].error.message
        await rules.subject(t.s, "o/1").set("money", 20, muted=True)
        await emit(t, "a", {"n": 2})
        await emit(t, "a", {"n": 1})
    assert ran == ["buys"]


async def test_a_handler_that_fails_stops_no_other_and_leaves_nothing_but_a_dead_letter(
    t: Tenant, shop: rules.Handlers
) -> None:
    runs: list[str] = []

    @shop.on("a", retry=SOON)
    async def breaks(ctx: rules.Context) -> None:
        runs.append(f"breaks {ctx.attempt}")
        await ctx.subject.set("half", True)
        await ctx.emit("never")
        raise KeyError("x")

    @shop.on("a")
    async def works(ctx: rules.Context) -> None:
        runs.append("works")

    @shop.on("a", retry=SOON)
    async def hopeless(ctx: rules.Context) -> None:
        runs.append("hopeless")
        raise rules.Permanent("the address is wrong")

    @shop.on("a", retry=SOON)
    async def patient(ctx: rules.Context) -> None:
        runs.append(f"patient {ctx.attempt}")
        if runs.count("patient 1") < 3:
            raise Unavailable("the shop is closed")

    @shop.on(rules.HANDLER_FAILED)
    async def reports(ctx: rules.Context) -> None:
        runs.append(f"reports {ctx.payload['rule']}")
        raise ValueError("reports breaks too")

    async with rules.worker(t.s, shop):
        cascade = await emit(t, "a")
    assert sorted(runs) == sorted(
        [f"breaks {n}" for n in (1, 2, 3)]
        + ["works", "hopeless", *["patient 1"] * 3]
        + [f"reports rules/shop.{name}" for name in ("breaks", "hopeless")]
    )
    assert types(cascade) == ["a", *[rules.HANDLER_FAILED] * 2]
    with pytest.raises(NotFound):
        await t.subject("o/1")
    letters = {letter.rule: from_status(letter.error) for letter in await t.letters()}
    assert sorted(letters) == ["rules/shop.breaks", "rules/shop.hopeless", "rules/shop.reports"]
    error = letters["rules/shop.breaks"]
    assert (error.reason, error.message) == ("HANDLER_FAILED", "KeyError('x')")


async def test_middleware_is_an_onion_around_each_handler(t: Tenant, shop: rules.Handlers) -> None:
    trail: list[str] = []

    @shop.middleware
    async def outer(ctx: rules.Context, next: rules.Next) -> Any:
        trail.append("outer in")
        ctx.set_metadata("who", "outer")
        try:
            return await next()
        except ValueError as error:
            await ctx.subject.set("error", str(error))
        finally:
            trail.append("outer out")

    @shop.middleware
    async def inner(ctx: rules.Context, next: rules.Next) -> Any:
        trail.append(f"inner in {ctx.get_metadata('who')}")
        if ctx.payload == "stop":
            return None
        result = await next()
        trail.append("inner out")
        if ctx.payload == "twice":
            await next()
        return result

    @shop.on("a", retry=ONCE)
    async def handle(ctx: rules.Context) -> None:
        trail.append("handler")
        await ctx.subject.set("n", 1)
        await ctx.emit("b")
        if ctx.payload == "fail":
            raise ValueError("no")

    async with rules.worker(t.s, shop):
        await emit(t, "a", "go", "s/1")
        assert trail == ["outer in", "inner in outer", "handler", "inner out", "outer out"]
        stopped = await emit(t, "a", "stop", "s/2")
        assert trail.count("handler") == 1
        assert stopped.executions[0].state == pb.Execution.STATE_SKIPPED
        failed = await emit(t, "a", "fail", "s/3")
        twice = await emit(t, "a", "twice", "s/4")
    # What the handler did is undone, what the middleware did instead is kept.
    assert await t.subject("s/3") == {"error": "no"}
    assert "b" not in types(failed)
    assert twice.executions[0].state == pb.Execution.STATE_FAILED
    assert await t.subject("s/1") == {"n": 1.0}
    with pytest.raises(NotFound):
        await t.subject("s/4")


async def test_wrong_handlers_are_refused_when_they_are_registered(t: Tenant, shop: rules.Handlers) -> None:
    async def fine(ctx: rules.Context, more: int = 0) -> None: ...

    with pytest.raises(TypeError):
        shop.on("a")(lambda ctx: None)
    with pytest.raises(TypeError):
        shop.middleware(lambda ctx, next: next())
    for name in ("1", "", "a b", "a" * 64):
        with pytest.raises(Invalid):
            rules.Handlers(name)
    with pytest.raises(Invalid):
        shop.on()
    for name, function in (("ä", fine), ("", functools.partial(fine, more=1))):
        with pytest.raises(Invalid):
            shop.on("a", name=name)(function)
    with pytest.raises(Invalid):
        async with rules.worker(t.s, shop):
            pass
    shop.on("a")(fine)
    shop.on("b", name="more")(functools.partial(fine, more=1))
    with pytest.raises(Invalid):
        shop.on("c")(fine)
    async with rules.worker(t.s, shop):
        with pytest.raises(FailedPrecondition):
            shop.on("d", name="late")(fine)
    assert (shop.unregister("more"), shop.unregister("more"), shop.unregister_all()) == (1, 0, 1)
    shop.when("true")(fine)
    with pytest.raises(Invalid):
        shop.rules()
    bad = rules.Handlers("bad")
    bad.on("a")(bad.when("payload.")(fine))
    with pytest.raises(Invalid) as refused:
        async with rules.worker(t.s, bad):
            pass
    assert refused.value.reason == "EXPRESSION_INVALID"


async def test_a_worker_without_permission_ends_and_says_why(t: Tenant, shop: rules.Handlers) -> None:
    @shop.task()
    async def handle(ctx: rules.Context) -> None: ...

    async with connect(t.server.address, token=token(t.name, "rule.rules.*")) as s:
        with pytest.raises(PermissionDenied):
            async with rules.worker(s, shop) as worker:
                await worker.serve()


async def test_included_middleware_defers_and_never_drops(t: Tenant, shop: rules.Handlers) -> None:
    reported: list[str] = []
    broken = True

    async def report(ctx: rules.Context, error: Exception) -> None:
        reported.append(repr(error))
        await ctx.emit("never")

    shop.middleware(rules.middleware.logging(payload=True))
    shop.middleware(rules.middleware.metrics())
    shop.middleware(rules.middleware.tracing())
    shop.middleware(rules.middleware.circuit_breaker(failures=1, pause=0.2))
    shop.middleware(rules.middleware.errors(transient=(ConnectionError,), permanent=(KeyError,), report=report))

    @shop.on("a", retry=pb.RetryPolicy(max_attempts=9, initial_backoff=SOON.initial_backoff))
    async def handle(ctx: rules.Context) -> None:
        if ctx.payload:
            raise KeyError(ctx.payload)
        if broken:
            raise ConnectionError("down")
        await ctx.subject.increment("n")

    async with rules.worker(t.s, shop):
        event = await rules.emit(t.s, "a", subject="s/1")
        await wait_until(lambda: len(reported) >= 2, 30)
        await wait_until(lambda: _deferred(t, "s/1"), 30)
        broken = False
        waiting = await rules.emit(t.s, "a", subject="s/1", wait=30)
        assert (await t.cascade(event)).complete
        assert (await t.cascade(waiting)).complete
        hopeless = await emit(t, "a", "x", "s/2")
    assert await t.subject("s/1") == {"n": 2.0}
    execution = (await t.cascade(event)).executions[0]
    assert (execution.state, execution.attempts) == (pb.Execution.STATE_SUCCEEDED, 0)
    assert types(hopeless) == ["a", rules.HANDLER_FAILED]
    assert reported.count("KeyError('x')") == 1


async def _deferred(t: Tenant, subject: str) -> bool:
    """Whether an event waits because a breaker is open."""
    found = await t.executions(f'subject = "subjects/{subject}"')
    return any(each.deferrals > 1 for each in found)
