"""Calls of other services: keys, principals, journals, retries, breakers."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from sutler.client import connect
from sutler.errors import Conflict, Exhausted, FailedPrecondition, Invalid, NotFound, Unavailable
from sutler.ids import derive
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

from tests.integration.rule.conftest import RESOURCES, Tenant, create, emit, event, eventually, on_all, rule, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.05s"}


def get(name: str) -> dict[str, Any]:
    return {"callMethod": {"method": f"{RESOURCES}/GetResource", "request": {"name": name}}}


async def retry(t: Tenant, name: str, **fields: Any) -> pb.Execution:
    return await t.s.rules.RetryExecution(pb.RetryExecutionRequest(name=name, **fields))


async def test_a_call_carries_key_principal_and_correlation(t: Tenant) -> None:
    tags = {"order": "${string(payload.id)}", "text": "n-${payload.id}"}
    resource = {
        "type": "Custom.Org/things",
        "properties": {"count": "${payload.count}", "id": "${payload.id}"},
        "tags": tags,
    }
    await t.rule("r", on=["a"], actions=[create("${event.data.name}", resource=resource) | {"id": "make"}])
    sent = event(type="a", data={"name": "S1", "count": 3, "id": 30}, extensions={"correlationid": "c-1"})
    await t.publish(sent)
    (seen,) = t.script.calls
    execution = await t.execution("r")
    key = derive(execution.uid, "actions/make")
    assert (seen.key, seen.request.request_id, execution.actions[0].idempotency_key) == (key, key, key)
    assert (seen.actor, seen.caller, seen.correlation_id) == ("user:anna", "service:rule", "c-1")
    assert (seen.request.parent, seen.request.resource_id) == ("subscriptions/shop", "S1")
    assert json_format.MessageToDict(seen.request.resource.properties) == {"count": 3.0, "id": 30.0}
    assert dict(seen.request.resource.tags) == {"order": "30", "text": "n-30"}
    assert json_format.MessageToDict(execution.actions[0].response)["name"] == "resourceOperations/S1"


@on_all
async def test_later_actions_see_the_answers(t: Tenant) -> None:
    make, read = create("x") | {"id": "make"}, get("a/${results.make.response.name}") | {"id": "read"}
    said = emit("done", data={"generation": "${results.read.generation}", "type": "${results.read.type}"})
    await t.rule("r", on=["a"], actions=[make, read, said])
    await t.publish(event(type="a", subject="s"))
    assert [seen.method for seen in t.script.calls] == ["CreateResource", "GetResource"]
    assert t.script.calls[1].request.name == "a/subscriptions/shop/x"
    (done,) = await t.events('type = "done"')
    assert json_format.MessageToDict(done.data) == {"generation": "7", "type": "Custom.Org/things"}


async def test_an_author_acts_with_its_own_rights_also_later(t: Tenant) -> None:
    async with connect(t.server.address, token=token(t.name, "*.*.*", subject="user:berta")) as berta:
        wanted = rule(on=["a"], actions=[create("x")])
        await berta.rules.CreateRule(pb.CreateRuleRequest(rule_id="r", rule=wanted))
    await t.publish(event(type="a"))
    revision = pb.ActivateRuleRevisionRequest(name="rules/r/revisions/1")
    await t.s.rules.ActivateRuleRevision(revision)
    assert [seen.actor for seen in t.script.calls] == ["user:berta"]


@on_all
@pytest.mark.parametrize("error", [Unavailable, Exhausted, Conflict], ids=lambda e: e.__name__)
async def test_who_does_not_say_no_uses_up_no_attempt(t: Tenant, error: type[Any]) -> None:
    t.script.errors = [error("not now") for _ in range(5)]
    await t.rule("r", on=["a"], actions=[create("x")], retry=QUICK)
    await t.publish(event(type="a"))
    done = await t.in_state("r", "SUCCEEDED")
    assert (done.attempts, done.deferrals, done.actions[0].attempts) == (0, 5, 6)
    assert len({seen.key for seen in t.script.calls}) == 1
    assert not await t.letters()


async def test_who_says_no_three_times_ends_it(t: Tenant) -> None:
    t.script.always = lambda: Invalid("the id is bad", metadata={"field": "resource_id"})
    await t.rule("r", on=["a"], actions=[emit("never"), create("x")], retry=QUICK)
    (result,) = await t.publish(event(type="a", subject="s/1", data={"x": 1}))
    failed = await t.in_state("r", "FAILED")
    assert (failed.attempts, failed.deferrals, len(t.script.calls)) == (3, 0, 3)
    (letter,) = await t.letters()
    full = await t.s.rules.GetDeadLetter(pb.GetDeadLetterRequest(name=letter.name))
    assert (full.cause, full.attempts) == (pb.DeadLetter.CAUSE_ATTEMPTS_EXHAUSTED, 3)
    assert (full.execution, full.event, full.subject) == (failed.name, result.event, "subjects/s/1")
    assert json_format.MessageToDict(full.event_snapshot.data) == {"x": 1.0}
    assert full.execution_snapshot.actions[1].error.code == 3
    error = from_status(full.error)
    assert (error.reason, error.domain, error.metadata["field"]) == (
        "FIELD_INVALID",
        "resource.sutler.dev",
        "resource_id",
    )
    assert not letter.HasField("event_snapshot")
    assert not await t.events('type = "never"')


async def test_an_outcome_that_nobody_knows_is_never_repeated(t: Tenant) -> None:
    t.script.errors = [Conflict("maybe", reason="OUTCOME_UNKNOWN")]
    await t.rule("r", on=["a"], actions=[create("x")], retry=QUICK)
    await t.publish(event(type="a"))
    (letter,) = await t.letters()
    assert (letter.cause, len(t.script.calls)) == (pb.DeadLetter.CAUSE_NOT_RETRYABLE, 1)


async def test_it_gives_up_after_its_time(t: Tenant) -> None:
    t.script.always = lambda: Unavailable("gone")
    await t.rule("r", on=["a"], actions=[create("x")], retry={**QUICK, "giveUpAfter": "0.3s"})
    await t.publish(event(type="a"))
    (letter,) = await t.letters()
    assert (letter.cause, letter.attempts) == (pb.DeadLetter.CAUSE_GAVE_UP, 0)
    assert from_status(letter.error).code.name == "UNAVAILABLE"


async def test_a_service_that_is_not_there_is_waited_for(t: Tenant) -> None:
    call = {"callMethod": {"method": "sutler.provider.v1.ProviderService/ListMachines", "request": {}}}
    await t.rule("r", on=["a"], actions=[call])
    await t.publish(event(type="a"), wait=False)
    waiting = await t.in_state("r", "WAITING")
    assert (waiting.attempts, from_status(waiting.last_error).code.name) == (0, "UNAVAILABLE")


async def test_a_slow_call_ends_at_the_rules_timeout_and_is_tried_again(t: Tenant) -> None:
    t.script.gate.clear()
    await t.rule("r", on=["a"], actions=[create("x")], timeout="0.2s", retry=QUICK)
    await t.publish(event(type="a"), wait=False)
    waiting = await t.in_state("r", "WAITING")
    assert (waiting.attempts, from_status(waiting.last_error).code.name) == (0, "DEADLINE_EXCEEDED")
    t.script.gate.set()
    await t.in_state("r", "SUCCEEDED")
    assert len({seen.key for seen in t.script.calls}) == 1


async def test_retry_info_is_kept_to(t: Tenant) -> None:
    t.script.errors = [Exhausted("full", retry_after=timedelta(seconds=0.5))]
    await t.rule("r", on=["a"], actions=[create("x")], retry=QUICK)
    await t.publish(event(type="a"))
    done = await t.in_state("r", "SUCCEEDED")
    assert done.end_time.ToNanoseconds() - done.start_time.ToNanoseconds() >= 500_000_000


async def test_the_same_request_goes_out_in_all_attempts(t: Tenant) -> None:
    await t.s.rules.UpdateSubject(pb.UpdateSubjectRequest(subject=subject("s", {"v": 1}), allow_missing=True))
    t.script.errors = [Unavailable("later")]
    await t.rule("r", on=["a"], actions=[create("v-${subject.properties.v}")], retry={"initialBackoff": "0.5s"})
    await t.publish(event(type="a", subject="s"), wait=False)
    await t.in_state("r", "WAITING")
    await t.s.rules.UpdateSubject(pb.UpdateSubjectRequest(subject=subject("s", {"v": 2})))
    await t.in_state("r", "SUCCEEDED")
    assert t.script.ids == ["v-1", "v-1"]


@on_all
async def test_a_failed_execution_goes_on_after_its_last_answer(t: Tenant) -> None:
    t.script.broken = {"GetResource": lambda: Invalid("no such thing")}
    await t.rule("r", on=["a"], actions=[create("one"), get("a/x"), emit("done")], retry={**QUICK, "maxAttempts": 1})
    (result,) = await t.publish(event(type="a", subject="s"))
    failed = await t.in_state("r", "FAILED")
    cascade = await t.cascade(result.event)
    assert (cascade.complete, cascade.state) == (True, pb.Cascade.STATE_FAILED)
    t.script.broken = {}
    request_id = str(uuid.uuid4())
    again = await retry(t, failed.name, request_id=request_id)
    assert (again.name, again.attempts) == (failed.name, 0)
    assert await retry(t, failed.name, request_id=request_id) == again
    await eventually(lambda: _ended(t, failed.name))
    assert [seen.method for seen in t.script.calls] == ["CreateResource", "GetResource", "GetResource"]
    cascade = await t.cascade(result.event)
    assert (cascade.complete, cascade.state) == (True, pb.Cascade.STATE_SUCCEEDED)
    assert sorted(e.type for e in cascade.events) == ["a", "done", "error.handler_failed"]
    (letter,) = await t.letters()
    assert (letter.state, letter.replay_count) == (pb.DeadLetter.STATE_RESOLVED, 1)
    with pytest.raises(FailedPrecondition) as caught:
        await retry(t, failed.name)
    assert caught.value.metadata["state"] == "SUCCEEDED"


async def test_answers_are_not_asked_for_again(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[create("one"), {"delay": {"duration": "0.1s"}}, create("two"), emit("done")])
    t.script.errors = []
    await t.publish(event(type="a"))
    assert t.script.ids == ["one", "two"]
    assert len(await t.events('type = "done"')) == 1


@on_all
async def test_a_restart_makes_everything_again_under_new_keys(t: Tenant) -> None:
    t.script.always = lambda: Invalid("no")
    await t.rule("r", on=["a"], actions=[create("x")], retry={**QUICK, "maxAttempts": 1})
    (result,) = await t.publish(event(type="a", subject="s"))
    failed = await t.in_state("r", "FAILED")
    t.script.always = None
    again = await retry(t, failed.name, restart=True)
    assert again.name != failed.name
    assert again.original_execution == failed.name
    await eventually(lambda: _ended(t, again.name))
    assert len({seen.key for seen in t.script.calls}) == 2
    (letter,) = await t.letters()
    assert (letter.state, letter.replay_execution) == (pb.DeadLetter.STATE_RESOLVED, again.name)
    assert (await t.cascade(result.event)).execution_count == 2
    with pytest.raises(NotFound):
        await retry(t, "executions/none")


async def test_a_waiting_execution_can_be_tried_at_once(t: Tenant) -> None:
    t.script.errors = [Unavailable("later")]
    await t.rule("r", on=["a"], actions=[create("x")], retry={"initialBackoff": "600s", "maxBackoff": "600s"})
    await t.publish(event(type="a"), wait=False)
    waiting = await t.in_state("r", "WAITING")
    await retry(t, waiting.name)
    await eventually(lambda: _ended(t, waiting.name))


@on_all
async def test_a_breaker_defers_and_drops_nothing(t: Tenant) -> None:
    t.script.always = lambda: Invalid("no")
    policy = {"maxFailures": 2, "window": "60s", "openDuration": "600s"}
    await t.rule("r", on=["a"], actions=[create("x")], retry={"maxAttempts": 1}, breaker=policy)
    await t.publish(*(event(type="a", subject="s", data={"n": n}) for n in range(5)), wait=False)
    deferred = await t.in_state("r", "DEFERRED")
    assert deferred.deferrals == 1
    assert len(t.script.calls) == 3
    await t.publish(event(type="a", subject="other"))
    assert len(t.script.calls) == 4
    answer = await t.s.rules.ListBreakers(pb.ListBreakersRequest(filter="state = OPEN"))
    (breaker,) = answer.breakers
    assert (breaker.rule, breaker.subject, breaker.failure_count) == ("rules/r", "subjects/s", 3)
    assert (breaker.deferred_count, from_status(breaker.last_error).reason) == (2, "FIELD_INVALID")
    assert deferred.next_attempt_time == breaker.probe_time
    waits = from_status(deferred.last_error)
    assert (waits.reason, waits.metadata["breaker"]) == ("BREAKER_OPEN", breaker.name)
    assert waits.retry_after is not None and waits.retry_after > timedelta(seconds=500)
    t.script.always = None
    reset = await t.s.rules.ResetBreaker(pb.ResetBreakerRequest(name=breaker.name))
    assert (reset.state, reset.failure_count) == (pb.Breaker.STATE_CLOSED, 0)
    await eventually(lambda: _count(t, "state = SUCCEEDED", 2))
    assert (await t.s.rules.GetBreaker(pb.GetBreakerRequest(name=breaker.name))).state == pb.Breaker.STATE_CLOSED
    with pytest.raises(NotFound):
        await t.s.rules.GetBreaker(pb.GetBreakerRequest(name="breakers/none"))


async def test_one_probe_closes_a_breaker(t: Tenant) -> None:
    t.script.errors = [Invalid("no"), Invalid("no")]
    policy = {"maxFailures": 1, "window": "60s", "openDuration": "1s"}
    await t.rule("r", on=["a"], actions=[create("${event.id}")], retry={"maxAttempts": 1}, breaker=policy)
    await t.publish(*(event(f"e{n}", "a") for n in range(2)))
    t.script.gate.clear()
    await t.publish(*(event(f"e{n}", "a") for n in range(2, 8)), wait=False)
    await eventually(lambda: _count(t, "state = DEFERRED", 6))
    await eventually(lambda: _true(len(t.script.calls) == 3))
    t.script.gate.set()
    await eventually(lambda: _count(t, "state = SUCCEEDED", 6))
    assert len(t.script.calls) == 8


def subject(id: str, properties: dict[str, Any]) -> pb.Subject:
    found = pb.Subject(name=f"subjects/{id}")
    found.properties.update(properties)
    return found


async def _true(value: Any) -> Any:
    return value


async def _ended(t: Tenant, name: str) -> bool:
    found = await t.s.rules.GetExecution(pb.GetExecutionRequest(name=name))
    return found.state == pb.Execution.STATE_SUCCEEDED


async def _count(t: Tenant, filter: str, count: int) -> bool:
    return len(await t.executions(filter)) == count
