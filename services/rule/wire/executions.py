"""Executions, dead letters and breakers."""

from __future__ import annotations

from sutler.etags import make_etag
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import timestamp, to_struct, to_value

from services.rule.breakers import Breaker
from services.rule.executions import Execution
from services.rule.letters import DeadLetter
from services.rule.steps import Change, Condition, Step
from services.rule.subjects import subject_name
from services.rule.wire.errors import status_of
from services.rule.wire.times import time_pb


def execution_pb(execution: Execution) -> pb.Execution:
    """Returns an execution as the API shows it."""
    return pb.Execution(
        name=execution.name,
        uid=execution.uuid,
        create_time=timestamp(execution.create_time),
        update_time=timestamp(execution.update_time),
        etag=make_etag(execution.name, execution.update_time, int(execution.state), execution.attempts),
        state=int(execution.state),  # type: ignore[arg-type]
        event=execution.event,
        rule=execution.rule,
        rule_revision=f"{execution.rule}/revisions/{execution.revision}",
        subject=subject_name(execution.subject) if execution.subject else "",
        root_event=execution.root_event,
        depth=execution.depth,
        attempts=execution.attempts,
        deferrals=execution.deferrals,
        conditions=map(condition_pb, execution.conditions),
        actions=map(_step_pb, execution.steps),
        last_error=status_of(execution.error),
        next_attempt_time=time_pb(execution.next_attempt_time),
        start_time=time_pb(execution.start_time),
        end_time=time_pb(execution.end_time),
        dead_letter=execution.dead_letter,
        original_execution=execution.original_execution,
        correlation_id=execution.correlation_id,
    )


def change_pb(change: Change) -> pb.PropertyChange:
    """Returns a change of a property as the API shows it."""
    message = pb.PropertyChange(
        subject=subject_name(change.subject), property=change.property, ext=change.ext, event=change.event
    )
    if change.has_old:
        message.old_value.CopyFrom(to_value(change.old))
    if change.has_new:
        message.new_value.CopyFrom(to_value(change.new))
    return message


def letter_fields(letter: DeadLetter) -> pb.DeadLetter:
    """Returns a dead letter as lists show it, without its snapshots."""
    return pb.DeadLetter(
        name=letter.name,
        uid=letter.name.removeprefix("deadLetters/"),
        create_time=timestamp(letter.create_time),
        update_time=timestamp(letter.update_time),
        etag=make_etag(letter.name, letter.update_time, int(letter.state), letter.replay_count),
        state=int(letter.state),  # type: ignore[arg-type]
        cause=int(letter.cause),  # type: ignore[arg-type]
        error=status_of(letter.error),
        execution=letter.execution,
        rule=letter.rule,
        rule_revision=letter.rule_revision,
        event=letter.event,
        subject=subject_name(letter.subject) if letter.subject else "",
        attempts=letter.attempts,
        replay_execution=letter.replay_execution,
        replay_count=letter.replay_count,
    )


def breaker_pb(breaker: Breaker, deferred: int) -> pb.Breaker:
    """Returns a breaker as the API shows it.

    Args:
        breaker: The breaker.
        deferred: How many executions wait for it.
    """
    return pb.Breaker(
        name=breaker.name,
        uid=_uuid(breaker.name.removeprefix("breakers/")),
        create_time=timestamp(breaker.create_time),
        update_time=timestamp(breaker.update_time),
        etag=breaker.etag,
        state=int(breaker.state),  # type: ignore[arg-type]
        rule=breaker.rule,
        subject=subject_name(breaker.subject) if breaker.subject else "",
        failure_count=len(breaker.failures),
        deferred_count=deferred,
        open_time=time_pb(breaker.open_time),
        probe_time=time_pb(breaker.probe_time),
        last_error=status_of(breaker.error),
    )


def condition_pb(condition: Condition) -> pb.ConditionResult:
    """Returns what a condition gave as the API shows it."""
    return pb.ConditionResult(
        expression=condition.expression,
        outcome=int(condition.outcome),  # type: ignore[arg-type]
        inputs=to_struct(condition.inputs) if condition.inputs else None,
        error=status_of(condition.error),
        worker=bool(condition.worker),
    )


def _step_pb(step: Step) -> pb.ActionResult:
    return pb.ActionResult(
        id=step.id,
        kind=step.kind,
        state=int(step.state),  # type: ignore[arg-type]
        start_time=time_pb(step.start_time),
        end_time=time_pb(step.end_time),
        attempts=step.attempts,
        error=status_of(step.error),
        response=to_value(step.response) if step.response is not None else None,
        idempotency_key=step.key,
        changes=map(change_pb, step.changes),
        events=step.events,
        task=step.task,
        wait_end_time=time_pb(step.until),
    )


def _uuid(digest: str) -> str:
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"
