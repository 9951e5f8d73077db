"""Tasks for workers: leases, completion, failure, order, and what a late holder can do."""

import asyncio
import time
import uuid
from typing import Any

import pytest
from google.protobuf import json_format
from sutler.client import connect
from sutler.errors import (
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
)
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status, to_status

from tests.integration.rule.conftest import Tenant, create, emit, event, eventually, on_all, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

RETRY = {"initialBackoff": "0.001s", "maxBackoff": "0.002s"}


def worker(queue: str = "q", **fields: Any) -> dict[str, Any]:
    return {"worker": {"queue": queue, **fields}}


async def pull(t: Tenant, wait: float = 15, **fields: Any) -> list[pb.Task]:
    """Returns pulled tasks. A queue that has none answers at once with ``wait=0``."""
    values = {"parent": "queues/q", "waitTimeout": f"{wait}s", **fields}
    return list((await t.s.rules.PullTasks(json_format.ParseDict(values, pb.PullTasksRequest()))).tasks)


async def pull_one(t: Tenant, **fields: Any) -> pb.Task:
    (task,) = await pull(t, **fields)
    return task


async def complete(t: Tenant, task: pb.Task, **fields: Any) -> pb.Task:
    values = {"name": task.name, "leaseToken": task.lease_token, **fields}
    return await t.s.rules.CompleteTask(json_format.ParseDict(values, pb.CompleteTaskRequest()))


async def fail(t: Tenant, task: pb.Task, code: int = 2, message: str = "no", **fields: Any) -> pb.Task:
    error = fields.pop("error", None) or {"code": code, "message": message}
    values = {"name": task.name, "leaseToken": task.lease_token, "error": error, **fields}
    return await t.s.rules.FailTask(json_format.ParseDict(values, pb.FailTaskRequest()))


async def update(t: Tenant, id: str, properties: dict[str, Any], **fields: Any) -> pb.Subject:
    subject = json_format.ParseDict({"name": f"subjects/{id}", "properties": properties}, pb.Subject())
    return await t.s.rules.UpdateSubject(pb.UpdateSubjectRequest(subject=subject, allow_missing=True, **fields))


async def get(t: Tenant, task: pb.Task) -> pb.Task:
    return await t.s.rules.GetTask(pb.GetTaskRequest(name=task.name))


async def tasks(t: Tenant, parent: str = "queues/q", **fields: Any) -> list[pb.Task]:
    return list((await t.s.rules.ListTasks(pb.ListTasksRequest(parent=parent, **fields))).tasks)


def lost(caught: pytest.ExceptionInfo[Conflict]) -> bool:
    return caught.value.reason == "LEASE_LOST"


@on_all
async def test_a_task_is_pulled_with_all_it_needs_and_its_writes_commit_with_its_end(t: Tenant) -> None:
    before = {"setProperty": {"property": "n", "value": "${payload.n}"}}
    await t.rule("r", on=["order.confirmed"], actions=[before, worker(handler="ship", data={"n": "${payload.n}"})])
    await update(t, "o/1", {"was": 1})
    (result,) = await t.publish(event(subject="o/1", data={"n": 7}), wait=False)
    task = await pull_one(t, workerId="w1")
    assert (task.state, task.handler, task.subject) == (pb.Task.STATE_LEASED, "ship", "subjects/o/1")
    assert (task.attempt, task.pull_count, task.worker_id) == (1, 1, "w1")
    assert json_format.MessageToDict(task.data) == {"n": 7.0}
    assert task.event_snapshot.name == result.event
    assert json_format.MessageToDict(task.event_snapshot.data) == {"n": 7.0}
    assert dict(task.subject_snapshot.properties) == {"was": 1.0}
    waiting = await t.execution("r")
    assert (waiting.state, waiting.actions[1].state) == (pb.Execution.STATE_WAITING, pb.ActionResult.STATE_WAITING)
    assert (waiting.actions[1].task, waiting.actions[1].idempotency_key) == (task.name, task.idempotency_key)
    assert await t.subject("o/1") == {"was": 1.0}
    updates = [
        {
            "subject": "subjects/o/1",
            "writes": [{"property": "n", "increment": 1}, {"property": "was", "expression": "old + 10"}],
            "extra": {"by": "w1"},
        },
        {"subject": "subjects/log", "writes": [{"property": "x", "value": [1], "muted": True}], "ttl": "60s"},
    ]
    done = await complete(
        t, task, updates=updates, events=[{"type": "order.shipped", "data": {"ok": True}}], result={"code": 5}
    )
    assert (done.state, done.lease_token) == (pb.Task.STATE_SUCCEEDED, "")
    assert not done.HasField("event_snapshot")
    # All is there when the answer is: nothing has to be waited for.
    assert await t.subject("o/1") == {"was": 11.0, "n": 8.0}
    assert await t.subject("log") == {"x": [1.0]}
    cascade = await t.cascade(result.event)
    assert [e.type for e in cascade.events[1:]] == ["subject.property.changed"] * 3 + ["order.shipped"]
    shipped = cascade.events[-1]
    assert (shipped.subject, shipped.source) == ("o/1", "//rule.sutler.dev/rules/r")
    assert dict(cascade.events[2].extra) == {"by": "w1"}
    (ended,) = cascade.executions
    assert (ended.state, cascade.complete) == (pb.Execution.STATE_SUCCEEDED, True)
    assert json_format.MessageToDict(ended.actions[1].response) == {"code": 5.0}
    assert list(ended.actions[1].events) == [shipped.name]
    assert [c.property for c in ended.actions[1].changes] == ["n", "was", "x"]


@on_all
async def test_later_actions_see_the_answer_and_commit_with_the_worker(t: Tenant) -> None:
    actions = [{"id": "w", **worker()}, create("x-${results.w.id}"), emit("seen", data="${subject.properties.n}")]
    await t.rule("r", on=["a"], actions=actions)
    t.script.gate.clear()
    await t.publish(event(type="a", subject="s"), wait=False)
    task = await pull_one(t)
    await complete(
        t, task, result={"id": 5}, updates=[{"subject": "subjects/s", "writes": [{"property": "n", "value": 3}]}]
    )

    async def called() -> bool:
        return len(t.script.calls) == 1

    await eventually(called)
    with pytest.raises(NotFound):
        await t.subject("s")
    t.script.gate.set()
    ended = await t.in_state("r", "STATE_SUCCEEDED")
    assert await t.subject("s") == {"n": 3.0}
    (seen,) = await t.events('type = "seen"')
    assert seen.data.number_value == 3
    assert [a.state for a in ended.actions] == [pb.ActionResult.STATE_SUCCEEDED] * 3


@on_all
async def test_two_workers_share_a_queue_and_no_task_is_done_twice(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    count = 40
    done: list[str] = []

    async def work(name: str) -> None:
        while len(done) < count:
            for task in await pull(t, wait=0.5, maxTasks=4, workerId=name):
                change = {"subject": "subjects/total", "writes": [{"property": "n", "increment": 1}]}
                await complete(t, task, updates=[change])
                done.append(task.name)

    workers = [asyncio.create_task(work(f"w{i}")) for i in range(2)]
    await t.publish(*(event(type="a", subject=f"s/{n}") for n in range(count)), wait=False)
    async with asyncio.timeout(60):
        await asyncio.gather(*workers)
    assert len(set(done)) == count
    assert await t.subject("total") == {"n": float(count)}


@on_all
async def test_order_is_kept_within_rule_and_subject(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker(data="${payload}")])
    await t.publish(*(event(type="a", subject="s", data=n) for n in range(3)), wait=False)
    await t.publish(event(type="a", subject="other", data=9), wait=False)
    first, other = sorted(await pull_until(t, 2), key=lambda task: task.data.number_value)
    assert (first.data.number_value, other.data.number_value) == (0, 9)
    assert await pull(t, wait=0) == []
    await fail(t, first)  # the one that failed stays before those that came later
    seen: list[float] = []
    while len(seen) < 3:
        task = await pull_one(t)
        seen.append(task.data.number_value)
        await complete(t, task)
    assert seen == [0, 1, 2]


async def pull_until(t: Tenant, count: int) -> list[pb.Task]:
    found: list[pb.Task] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await pull(t, maxTasks=count - len(found))
    return found


@on_all
async def test_a_worker_that_dies_frees_its_task_and_the_late_one_changes_nothing(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()], retry=RETRY)
    await t.publish(event(type="a", subject="s"), wait=False)
    late = await pull_one(t, leaseDuration="1s", workerId="dies")
    again = await pull_one(t, workerId="lives")
    assert (again.name, again.attempt, again.pull_count) == (late.name, 1, 2)
    assert again.lease_token != late.lease_token
    assert from_status(again.last_error).reason == "LEASE_LOST"
    write = {"subject": "subjects/s", "writes": [{"property": "by", "value": "late"}]}
    with pytest.raises(Conflict) as caught:
        await complete(t, late, updates=[write])
    assert lost(caught)
    assert caught.value.resource == late.name
    with pytest.raises(Conflict) as caught:
        await fail(t, late)
    assert lost(caught)
    with pytest.raises(Conflict) as caught:
        await t.s.rules.ExtendTask(pb.ExtendTaskRequest(name=late.name, lease_token=late.lease_token))
    assert lost(caught)
    with pytest.raises(Conflict) as caught:
        await update(t, "s", {"by": "late"}, task=late.name, lease_token=late.lease_token)
    assert lost(caught)
    await complete(t, again)
    with pytest.raises(NotFound):
        await t.subject("s")
    ended = await t.execution("r")
    assert (ended.state, ended.attempts, ended.deferrals) == (pb.Execution.STATE_SUCCEEDED, 0, 1)


@on_all
async def test_a_lease_that_is_extended_lasts(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.publish(event(type="a", subject="s"), wait=False)
    task = await pull_one(t, leaseDuration="1s")
    began = time.monotonic()
    extended = await t.s.rules.ExtendTask(
        json_format.ParseDict(
            {"name": task.name, "leaseToken": task.lease_token, "leaseDuration": "60s"}, pb.ExtendTaskRequest()
        )
    )
    assert extended.lease_expire_time.seconds - task.lease_expire_time.seconds >= 55
    assert await pull(t, wait=2.5) == []
    assert time.monotonic() - began > 2
    assert (await get(t, task)).pull_count == 1
    await complete(t, task)


@on_all
async def test_failures_use_up_attempts_and_end_as_a_dead_letter(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()], retry={**RETRY, "maxAttempts": 2})
    (result,) = await t.publish(event(type="a", subject="s"), wait=False)
    condition = {"expression": "in stock", "outcome": "OUTCOME_TRUE"}
    first = await fail(t, await pull_one(t), message="KeyError: 'x'", conditions=[condition])
    assert (first.state, first.lease_token) == (pb.Task.STATE_PENDING, "")
    assert first.HasField("next_attempt_time")
    error = from_status(first.last_error)
    assert (error.reason, error.message) == ("HANDLER_FAILED", "KeyError: 'x'")
    second = await pull_one(t)
    assert (second.attempt, second.pull_count) == (2, 2)
    ended = await fail(t, second)
    assert ended.state == pb.Task.STATE_FAILED
    failed = await t.execution("r")
    assert (failed.state, failed.attempts) == (pb.Execution.STATE_FAILED, 2)
    (letter,) = await t.letters()
    assert (letter.cause, letter.execution) == (pb.DeadLetter.CAUSE_ATTEMPTS_EXHAUSTED, failed.name)
    assert [e.type for e in (await t.cascade(result.event)).events] == ["a", "error.handler_failed"]
    # A person tries it again: the same task, in its old place.
    await t.s.rules.RetryExecution(pb.RetryExecutionRequest(name=failed.name))
    third = await pull_one(t)
    assert (third.name, third.attempt) == (second.name, 1)
    await complete(t, third)
    (letter,) = await t.letters()
    assert letter.state == pb.DeadLetter.STATE_RESOLVED


@on_all
async def test_what_a_worker_says_decides_what_follows(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker(data="${payload}")], retry={**RETRY, "maxAttempts": 1})
    await t.publish(*(event(type="a", data=n) for n in range(3)), wait=False)
    patient, permanent, final = await pull_until(t, 3)
    back = await fail(t, patient, code=10)  # ABORTED: given back without blame
    assert back.state == pb.Task.STATE_PENDING
    again = await pull_one(t)
    assert (again.name, again.attempt) == (patient.name, 1)
    later = await fail(t, again, code=14, retryDelay="3600s")
    assert later.next_attempt_time.seconds - time.time() > 3500
    assert (await fail(t, permanent, code=14, permanent=True)).state == pb.Task.STATE_FAILED
    unknown = to_status(Conflict("maybe", reason="OUTCOME_UNKNOWN"), "shop")
    error = json_format.MessageToDict(unknown)
    assert (await fail(t, final, error=error)).state == pb.Task.STATE_FAILED
    assert {letter.cause for letter in await t.letters()} == {pb.DeadLetter.CAUSE_NOT_RETRYABLE}


async def test_a_task_that_nobody_completes_is_given_up(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker(timeout="0.3s")])
    await t.publish(event(type="a", subject="s"), wait=False)
    failed = await t.in_state("r", "STATE_FAILED")
    error = from_status(failed.last_error)
    assert isinstance(error, DeadlineExceeded)
    (task,) = await tasks(t)
    assert task.state == pb.Task.STATE_FAILED
    (letter,) = await t.letters()
    assert letter.cause == pb.DeadLetter.CAUSE_GAVE_UP


@on_all
async def test_conditions_of_the_worker_follow_those_of_the_rule(t: Tenant) -> None:
    actions = [worker(), emit("b")]
    await t.rule("r", on=["a"], when=["payload.n == 1"], actions=actions)
    await t.publish(event(type="a", subject="s", data={"n": 1}), wait=False)
    condition = {"expression": "in stock", "outcome": "OUTCOME_FALSE", "inputs": {"stock": 0}}
    await complete(t, await pull_one(t), skipped=True, conditions=[condition])
    skipped = await t.in_state("r", "STATE_SKIPPED")
    assert [(c.expression, c.worker) for c in skipped.conditions] == [("payload.n == 1", False), ("in stock", True)]
    assert dict(skipped.conditions[1].inputs) == {"stock": 0.0}
    assert skipped.actions[1].state == pb.ActionResult.STATE_SKIPPED
    assert await t.events('type = "b"') == []


@on_all
async def test_repeats_answer_as_the_first_time(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.publish(*(event(type="a") for _ in range(2)), wait=False)
    request_id = str(uuid.uuid4())
    first = await pull_one(t, requestId=request_id)
    assert await pull_one(t, requestId=request_id) == first
    with pytest.raises(Invalid) as reused:
        await pull(t, requestId=request_id, maxTasks=9)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    change = {"subject": "subjects/n", "writes": [{"property": "n", "increment": 1}]}
    done = await complete(t, first, updates=[change])
    assert await complete(t, first, updates=[change]) == done
    assert await t.subject("n") == {"n": 1.0}
    with pytest.raises(Conflict) as caught:
        await complete(t, first)
    assert lost(caught)
    other = await pull_one(t, requestId=request_id)  # the leases of the first answer have ended
    assert other.name != first.name
    same = str(uuid.uuid4())
    put_off = await fail(t, other, requestId=same, retryDelay="60s")
    assert await fail(t, other, requestId=same, retryDelay="60s") == put_off
    assert put_off.attempt == 1


@on_all
async def test_a_completion_that_cannot_be_changes_nothing(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.publish(event(type="a", subject="s"), wait=False)
    task = await pull_one(t)
    text = {"subject": "subjects/s", "writes": [{"property": "t", "value": "x"}, {"property": "t", "increment": 1}]}
    stale = {"subject": "subjects/s", "expectedRevision": 3, "writes": [{"property": "t", "value": 1}]}
    failing = {"subject": "subjects/s", "writes": [{"property": "t", "expression": "old.missing"}]}
    broken = {"subject": "subjects/s", "writes": [{"property": "t", "expression": "1 +"}]}
    large = {"subject": "subjects/s", "writes": [{"property": uuid.uuid4().hex, "value": "x" * 600_000}]}
    first = {"subject": "subjects/first", "writes": [{"property": "t", "value": 1}]}
    cases: list[tuple[dict[str, Any], type[SutlerError], str]] = [
        ({"updates": [first, text]}, FailedPrecondition, "PROPERTY_TYPE_MISMATCH"),
        ({"updates": [first, stale]}, Conflict, "REVISION_MISMATCH"),
        ({"updates": [first, failing]}, FailedPrecondition, "EXPRESSION_FAILED"),
        ({"updates": [first, broken]}, Invalid, "EXPRESSION_INVALID"),
        ({"updates": [first], "skipped": True}, Invalid, "FIELD_INVALID"),
        ({"events": [{"type": "has space"}]}, Invalid, "FIELD_INVALID"),
        ({"events": [{"type": "b", "extra": {"x": "y" * 70_000}}]}, Invalid, "TOO_LARGE"),
        (
            {"updates": [first, large, {**large, "writes": [{"property": "u", "value": "x" * 600_000}]}]},
            Invalid,
            "TOO_LARGE",
        ),
    ]
    for fields, error, reason in cases:
        with pytest.raises(error) as caught:
            await complete(t, task, **fields)
        assert caught.value.reason == reason, fields
    with pytest.raises(Invalid) as invalid:
        await complete(t, task, updates=[first, broken])
    assert invalid.value.violations[0].field == "updates[1].writes[0].expression"
    with pytest.raises(NotFound):
        await t.subject("first")
    assert (await complete(t, task)).state == pb.Task.STATE_SUCCEEDED


@on_all
async def test_a_subject_is_deleted_and_made_anew_by_a_worker(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    made = await update(t, "s", {"old": 1})
    (result,) = await t.publish(event(type="a", subject="s"), wait=False)
    fields = {"deleted": True, "expectedRevision": 1, "writes": [{"property": "new", "value": 2}]}
    await complete(t, await pull_one(t), updates=[{"subject": "subjects/s", **fields}])
    now = await t.s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/s"))
    assert (dict(now.properties), now.revision) == ({"new": 2.0}, 1)
    assert now.uid != made.uid
    types = [e.type for e in (await t.cascade(result.event)).events[1:]]
    assert types == ["subject.deleted", "subject.property.changed"]


@on_all
async def test_writes_in_the_course_of_a_task_belong_to_its_cascade(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.rule("next", on=["subject.property.changed"], actions=[worker(queue="q2")])
    (result,) = await t.publish(event(type="a", subject="s"), wait=False)
    task = await pull_one(t)
    await update(t, "s", {"n": 1}, task=task.name, lease_token=task.lease_token)
    await complete(t, task)
    cascade = await t.cascade(result.event)
    assert [e.type for e in cascade.events] == ["a", "subject.property.changed"]
    assert (cascade.events[1].parent_execution, cascade.events[1].depth) == (task.execution, 1)
    assert not cascade.complete
    await complete(t, await pull_one(t, parent="queues/q2"))
    assert (await t.cascade(result.event)).complete


async def test_only_what_the_worker_may_write_is_committed(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.publish(event(type="a", subject="s"), wait=False)
    held = token(t.name, "rule.tasks.pull", "rule.tasks.complete", subject="service:worker")
    async with connect(t.server.address, token=held) as s:
        w = Tenant(t.name, s, t.server)
        task = await pull_one(w)
        for fields, permission in (
            ({"updates": [{"subject": "subjects/s", "writes": []}]}, "rule.subjects.update"),
            ({"updates": [{"subject": "subjects/s", "deleted": True}]}, "rule.subjects.delete"),
            ({"events": [{"type": "b"}]}, "rule.events.batchPublish"),
        ):
            with pytest.raises(PermissionDenied) as caught:
                await complete(w, task, **fields)
            assert caught.value.metadata["permission"] == permission
        await complete(w, task)


@on_all
async def test_tasks_are_listed_by_queue_state_and_page(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker(data="${payload}", handler="h")])
    await t.rule("s", on=["a"], actions=[worker(queue="q2")])
    await t.publish(*(event(type="a", data=n) for n in range(3)), wait=False)

    async def made() -> bool:
        return len(await tasks(t, "queues/-")) == 6

    await eventually(made)
    task = await pull_one(t)
    listed = await tasks(t)
    assert len(listed) == 3
    assert not any(each.lease_token or each.HasField("event_snapshot") for each in listed)
    assert [each.name for each in await tasks(t, filter="state = STATE_LEASED")] == [task.name]
    assert await tasks(t, "queues/nobody") == []
    first = await t.s.rules.ListTasks(pb.ListTasksRequest(parent="queues/q", page_size=2))
    rest = await tasks(t, page_size=2, page_token=first.next_page_token)
    assert [each.name for each in (*first.tasks, *rest)] == [each.name for each in listed]
    whole = await get(t, task)
    assert (whole.event_snapshot.type, whole.lease_token) == ("a", "")
    with pytest.raises(Invalid) as caught:
        await tasks(t, filter="lease_token = 'x'")
    assert caught.value.reason == "FILTER_INVALID"
    assert await pull(t, wait=0, handlers=["other"]) == []
    with pytest.raises(NotFound):
        await t.s.rules.GetTask(pb.GetTaskRequest(name="queues/q/tasks/none"))


async def test_a_pull_that_is_cancelled_keeps_no_task(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    waiting = [asyncio.create_task(pull(t)) for _ in range(5)]
    await asyncio.sleep(0.2)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await t.publish(event(type="a"), wait=False)
    await pull_one(t)


async def test_an_answer_ends_early_when_it_is_large(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker(data="${payload}")])
    big = ["ß" * 100_000, *([1.5] * 30_000)]
    for n in range(4):
        await t.publish(event(type="a", data=[n, *big]), wait=False)

    async def made() -> bool:
        return len(await tasks(t, filter="state = STATE_PENDING")) == 4

    await eventually(made)
    seen: list[str] = []
    while len(seen) < 4:
        pulled = await pull(t, maxTasks=10)
        assert 0 < len(pulled) < 4
        seen += [task.name for task in pulled]
        assert all(task.pull_count == 1 for task in pulled)
    assert len(set(seen)) == 4


async def test_deleting_a_rule_by_force_cancels_its_tasks(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.publish(event(type="a", subject="s"), wait=False)
    task = await pull_one(t)
    await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r", force=True))
    with pytest.raises(Conflict) as caught:
        await complete(t, task)
    assert lost(caught)
    assert (await get(t, task)).state == pb.Task.STATE_CANCELLED


async def test_workers_may_not_make_a_cascade_too_deep(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[worker()])
    await t.publish(event(type="a"), wait=False)
    async with asyncio.timeout(60):
        for _ in range(32):
            await complete(t, await pull_one(t), events=[{"type": "a"}])
        task = await pull_one(t)
        with pytest.raises(FailedPrecondition) as caught:
            await complete(t, task, events=[{"type": "a"}])
    assert caught.value.reason == "CASCADE_TOO_DEEP"
    status = to_status(caught.value, "rule.sutler.dev")
    ended = await fail(t, task, error=json_format.MessageToDict(status))
    assert ended.state == pb.Task.STATE_FAILED
