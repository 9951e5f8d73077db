"""Rows of the tables to things of the domain and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from services.rule.breakers import Breaker, BreakerState
from services.rule.events import Cause, Content, Event, EventState
from services.rule.executions import Execution, ExecutionState
from services.rule.steps import dump_conditions, dump_failure, dump_steps, load_conditions, load_failure, load_steps
from services.rule.subjects import Subject
from services.rule.tasks import Task, TaskState
from services.rule.values import ABSENT, encode

EVENT = (
    "seq, tenant, name, id, source, type, subject, time, datacontenttype, dataschema, extensions, deliver_time, "
    "create_time, update_time, correlation_id, state, parent_execution, parent_event, root_event, depth, "
    "execution_count, failure_count, end_time, cascade_end_time, principal"
)
"""The columns of an event without what only the full view shows."""

EVENT_FULL = f"{EVENT}, data, binary_data, extra"

EXECUTION = (
    "seq, tenant, name, event, root_event, rule, rule_uid, revision, subject, depth, correlation_id, create_time, "
    "update_time, state, holder, attempts, deferrals, conditions, steps, error, due_time, next_attempt_time, "
    "start_time, end_time, give_up_time, dead_letter, original_execution"
)

SUBJECT = "id, tenant, uid, create_time, update_time, properties, ext_properties, revision, ttl, expire_time"

BREAKER = (
    "name, tenant, rule, rule_uid, subject, create_time, update_time, state, failures, open_time, probe_time, probe, "
    "error"
)

TASK = (
    "seq, tenant, name, uid, create_time, update_time, state, handler, rule, rule_revision, execution, execution_seq, "
    "step, event, subject_name, attempt, pull_count, lease_token, lease_seconds, lease_expire_time, worker_id, "
    "expire_time, error, idempotency_key, next_attempt_time, completion"
)
"""The columns of a task without its data."""

TASK_FULL = f"{TASK}, data"


def columns(names: str, table: str) -> str:
    """Returns a list of columns, each with its table."""
    return ", ".join(f"{table}.{name}" for name in names.split(", "))


def event_from(row: Sequence[Any]) -> Event:
    """Returns the event in a row of :data:`EVENT` or :data:`EVENT_FULL`."""
    full = len(row) > 25
    data = row[25] if full else None
    values = (
        *row[3:10],
        ABSENT if data is None else orjson.loads(data),
        row[26] if full else None,
        orjson.loads(row[10]),
        orjson.loads(row[27]) if full else {},
        row[11],
    )
    content = Content(*values)
    cause = Cause(row[24], row[14], row[16], row[17], row[18], row[19])
    return Event(row[2], row[0], row[1], content, cause, row[12], row[13], EventState(row[15]), *row[20:24])


def execution_from(row: Sequence[Any]) -> Execution:
    """Returns the execution in a row of :data:`EXECUTION`."""
    values = (
        *(row[2], row[0], row[1], *row[3:13]),
        ExecutionState(row[13]),
        *row[14:17],
        load_conditions(row[17]),
        load_steps(row[18]),
        load_failure(row[19]),
        *row[20:],
    )
    return Execution(*values)


def progress(execution: Execution) -> tuple[Any, ...]:
    """Returns what changes while an execution is worked on: conditions, steps, start and give-up time."""
    return (
        dump_conditions(execution.conditions),
        dump_steps(execution.steps),
        execution.start_time,
        execution.give_up_time,
    )


def subject_from(row: Sequence[Any]) -> Subject:
    """Returns the subject in a row of :data:`SUBJECT`."""
    values = (*row[:5], orjson.loads(row[5]), orjson.loads(row[6]), *row[7:])
    return Subject(*values)


def subject_row(subject: Subject) -> tuple[Any, ...]:
    """Returns the row of a subject, with its name at the end."""
    return (
        *(subject.id, subject.tenant, subject.uid, subject.create_time, subject.update_time),
        *(encode(dict(subject.properties)), encode(dict(subject.ext_properties))),
        *(subject.revision, subject.ttl, subject.expire_time, subject.name),
    )


def task_from(row: Sequence[Any]) -> Task:
    """Returns the task in a row of :data:`TASK` or :data:`TASK_FULL`."""
    data = row[26] if len(row) > 26 else None
    values = (
        *row[:6],
        TaskState(row[6]),
        *row[7:22],
        load_failure(row[22]),
        *row[23:25],
        None if row[25] is None else bytes(row[25]),
        ABSENT if data is None else orjson.loads(data),
    )
    return Task(*values)


def breaker_from(row: Sequence[Any]) -> Breaker:
    """Returns the breaker in a row of :data:`BREAKER`."""
    values = (*row[:7], BreakerState(row[7]), tuple(orjson.loads(row[8])), *row[9:12], load_failure(row[12]))
    return Breaker(*values)


def breaker_row(breaker: Breaker) -> tuple[Any, ...]:
    """Returns the row of a breaker, with the number of its failures at the end."""
    return (
        *(breaker.name, breaker.tenant, breaker.rule, breaker.rule_uid, breaker.subject),
        *(breaker.create_time, breaker.update_time, int(breaker.state), encode(list(breaker.failures))),
        *(breaker.open_time, breaker.probe_time, breaker.probe, dump_failure(breaker.error)),
        len(breaker.failures),
    )
