"""Tasks, and what workers say about them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from google.rpc.status_pb2 import Status
from sutler.errors import invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status
from sutler.wire import from_struct, from_value, timestamp, to_value

from services.rule.concluding import Completion, Failing
from services.rule.emissions import faults_of
from services.rule.failures import Failure, from_error
from services.rule.steps import Condition, Outcome
from services.rule.tasks import Pull, Task, WholeTask, Wish
from services.rule.values import ABSENT
from services.rule.wire.actions import draft_from
from services.rule.wire.errors import status_of
from services.rule.wire.events import event_pb
from services.rule.wire.subjects import subject_pb, write_from
from services.rule.wire.times import given, time_pb
from services.rule.writes import SubjectUpdate, TaskOutcome
from services.rule.writing import check_extra, compile_writes

DEFAULT_WAIT_SECONDS = 20.0
DEFAULT_LEASE_SECONDS = 30.0
HANDLER_FAILED = "HANDLER_FAILED"
"""The reason of a failure of which a worker says no more."""


def task_pb(task: Task) -> pb.Task:
    """Returns a task as the API shows it, without its lease and its snapshots."""
    message = pb.Task(
        name=task.name,
        uid=task.uid,
        create_time=timestamp(task.create_time),
        update_time=timestamp(task.update_time),
        etag=task.etag,
        state=int(task.state),  # type: ignore[arg-type]
        handler=task.handler,
        rule=task.rule,
        rule_revision=task.rule_revision,
        execution=task.execution,
        event=task.event,
        subject=task.subject,
        attempt=task.attempt,
        pull_count=task.pull_count,
        lease_expire_time=time_pb(task.lease_expire_time),
        worker_id=task.worker_id,
        expire_time=timestamp(task.expire_time),
        last_error=status_of(task.error),
        idempotency_key=task.idempotency_key,
        next_attempt_time=time_pb(task.next_attempt_time),
    )
    if task.data is not ABSENT:
        message.data.CopyFrom(to_value(task.data))
    return message


def whole_pb(whole: WholeTask) -> pb.Task:
    """Returns a task with its snapshots."""
    message = task_pb(whole.task)
    if whole.event is not None:
        message.event_snapshot.CopyFrom(event_pb(whole.event, full=True))
    if whole.subject is not None:
        message.subject_snapshot.CopyFrom(subject_pb(whole.subject))
    return message


def pulled_pb(whole: WholeTask) -> pb.Task:
    """Returns a task as its worker gets it."""
    message = whole_pb(whole)
    message.lease_token = whole.task.lease_token
    return message


def pull_from(request: pb.PullTasksRequest, tenant: str) -> Pull:
    """Returns what a worker pulls."""
    lease = given(request, "lease_duration")
    return Pull(
        Wish(tenant, request.parent.removeprefix("queues/"), tuple(sorted(set(request.handlers)))),
        request.max_tasks or 1,
        DEFAULT_LEASE_SECONDS if lease is None else lease,
        request.worker_id,
        request.request_id.lower(),
        digest_of(request) if request.request_id else b"",
    )


def wait_of(request: pb.PullTasksRequest) -> float:
    """Returns for how many seconds a worker waits."""
    wait = given(request, "wait_timeout")
    return DEFAULT_WAIT_SECONDS if wait is None else wait


def completion_from(request: pb.CompleteTaskRequest) -> Completion:
    """Returns what a worker says that has done a task.

    Raises:
        Invalid: If an expression does not compile, a field breaks a rule, or something is too large.
    """
    if request.skipped and (request.updates or request.events):
        raise invalid("skipped", "says that nothing was done, so there are no updates and no events")
    result = from_value(request.result) if request.HasField("result") else None
    outcome = TaskOutcome(
        tuple(_update(update, f"updates[{i}]") for i, update in enumerate(request.updates)),
        tuple(draft_from(draft) for draft in request.events),
    )
    for i, event in enumerate(outcome.events):
        for name, rule in faults_of(event):
            raise invalid(f"events[{i}].{name}", rule)
        check_extra(event.extra, f"events[{i}].extra")
    return Completion(digest_of(request), outcome, result, conditions_from(request.conditions), request.skipped)


def failing_from(request: pb.FailTaskRequest) -> Failing:
    """Returns what a worker says that could not do a task."""
    return Failing(
        _failure(request.error),
        given(request, "retry_delay"),
        request.permanent,
        conditions_from(request.conditions),
    )


def conditions_from(messages: Sequence[pb.ConditionResult]) -> tuple[Condition, ...]:
    """Returns what the conditions of a worker gave."""
    return tuple(
        Condition(
            message.expression,
            Outcome(message.outcome),
            from_struct(message.inputs),
            from_error(from_status(message.error)) if message.HasField("error") else None,
        )
        for message in messages
    )


def digest_of(request: Any) -> bytes:
    """Returns a hash of a request without its ``request_id``."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("request_id")
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).digest()


def _update(message: pb.SubjectUpdate, field: str) -> SubjectUpdate:
    writes = tuple(map(write_from, message.writes))
    compile_writes(writes, field)
    extra = from_struct(message.extra)
    check_extra(extra, f"{field}.extra")
    return SubjectUpdate(
        message.subject.removeprefix("subjects/"),
        message.deleted,
        writes,
        message.muted,
        extra,
        message.expected_revision if message.HasField("expected_revision") else None,
        given(message, "ttl"),
    )


def _failure(status: Status) -> Failure:
    error = from_status(status)
    told = any(detail.type_url.endswith("/google.rpc.ErrorInfo") for detail in status.details)
    if not told:
        error.reason = HANDLER_FAILED
    return from_error(error)
