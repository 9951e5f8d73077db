"""What lists can be filtered and ordered by."""

from __future__ import annotations

from enum import IntEnum

from sutler.filtering import Field, Kind, Schema

from services.rule.breakers import BreakerState
from services.rule.events import EventState
from services.rule.executions import ExecutionState
from services.rule.letters import LetterState
from services.rule.retrying import Cause
from services.rule.rules import RevisionState
from services.rule.schedules import CatchUp, ScheduleState
from services.rule.tasks import TaskState


def _text(*names: str) -> dict[str, Field]:
    return {name: Field(Kind.STRING, name, required=True) for name in names}


def _time(*names: str) -> dict[str, Field]:
    return {name: Field(Kind.TIME, name) for name in names}


def _int(*names: str) -> dict[str, Field]:
    return {name: Field(Kind.INT, name, required=True) for name in names}


def _enum(name: str, values: type[IntEnum], prefix: str) -> dict[str, Field]:
    names = {f"{prefix}_{value.name}": int(value) for value in values}
    return {name: Field(Kind.ENUM, name, values=names, required=True)}


_LIFE = {name: Field(Kind.TIME, name, required=True) for name in ("create_time", "update_time")}

RULES = Schema(
    {
        **_text("name", "uid", "display_name", "description", "active_revision", "latest_revision", "principal"),
        **_LIFE,
        "enabled": Field(Kind.BOOL, "enabled", required=True),
        "priority": Field(Kind.INT, "definition", json=("priority",)),
        "subject": Field(Kind.STRING, "definition", json=("subject",)),
        "on": Field(Kind.STRING_LIST, "definition", json=("on",)),
        "when": Field(Kind.STRING_LIST, "definition", json=("when",)),
    }
)

REVISIONS = Schema(
    {
        "name": Field(Kind.STRING, "v.name", required=True),
        "uid": Field(Kind.STRING, "v.uid", required=True),
        "create_time": Field(Kind.TIME, "v.create_time", required=True),
        "update_time": Field(Kind.TIME, "v.update_time", required=True),
        "state": Field(
            Kind.ENUM,
            "v.state",
            values={f"STATE_{state.name}": int(state) for state in RevisionState},
            required=True,
        ),
    }
)

EVENTS = Schema(
    {
        **_text("name", "id", "source", "type", "subject", "datacontenttype", "dataschema", "correlation_id"),
        **_text("parent_execution", "root_event", "principal"),
        **_LIFE,
        **_time("deliver_time", "end_time", "cascade_end_time"),
        "time": Field(Kind.TIME, "time", required=True),
        **_int("depth", "execution_count", "failure_count"),
        **_enum("state", EventState, "STATE"),
        "extensions": Field(Kind.STRING_MAP, "extensions"),
        "data": Field(Kind.OPEN, "data"),
        "extra": Field(Kind.OPEN, "extra"),
    }
)

EXECUTIONS = Schema(
    {
        **_text("name", "event", "rule", "rule_revision", "root_event", "dead_letter", "original_execution"),
        **_text("correlation_id"),
        "subject": Field(Kind.STRING, "subject_name", required=True),
        **_LIFE,
        **_time("next_attempt_time", "start_time", "end_time"),
        **_int("depth", "attempts", "deferrals"),
        **_enum("state", ExecutionState, "STATE"),
    }
)

SUBJECTS = Schema(
    {
        **_text("name", "uid"),
        **_LIFE,
        **_int("revision"),
        "properties": Field(Kind.OPEN, "properties"),
        "ext_properties": Field(Kind.OPEN, "ext_properties"),
        "ttl": Field(Kind.DURATION, "ttl"),
        "expire_time": Field(Kind.TIME, "expire_time"),
    }
)

LETTERS = Schema(
    {
        **_text("name", "execution", "rule", "rule_revision", "event", "replay_execution"),
        "subject": Field(Kind.STRING, "subject_name", required=True),
        **_LIFE,
        **_int("attempts", "replay_count"),
        **_enum("state", LetterState, "STATE"),
        **_enum("cause", Cause, "CAUSE"),
    }
)

SCHEDULES = Schema(
    {
        **_text("name", "uid", "display_name", "cron", "time_zone", "principal", "last_event"),
        **_LIFE,
        **_time("start_time", "end_time", "next_fire_time", "last_fire_time"),
        "enabled": Field(Kind.BOOL, "enabled", required=True),
        **_enum("state", ScheduleState, "STATE"),
        **_enum("catch_up", CatchUp, "CATCH_UP"),
        "event": Field(Kind.OPEN, "event"),
        "last_error": Field(Kind.OPEN, "last_error"),
    }
)

TASKS = Schema(
    {
        **_text("name", "uid", "handler", "rule", "rule_revision", "execution", "event", "worker_id"),
        **_text("idempotency_key"),
        "subject": Field(Kind.STRING, "subject_name", required=True),
        **_LIFE,
        **_int("attempt", "pull_count"),
        **_time("lease_expire_time", "expire_time", "next_attempt_time"),
        **_enum("state", TaskState, "STATE"),
        "data": Field(Kind.OPEN, "data"),
    }
)

BREAKERS = Schema(
    {
        **_text("name", "rule"),
        "subject": Field(Kind.STRING, "subject_name", required=True),
        **_LIFE,
        **_int("failure_count"),
        **_time("open_time", "probe_time"),
        **_enum("state", BreakerState, "STATE"),
    }
)
