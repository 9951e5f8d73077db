"""What became of the conditions and actions of an execution, in a form that can be stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pydantic import TypeAdapter

from services.rule.definitions import Deed
from services.rule.failures import Failure
from services.rule.writes import TaskOutcome

MAX_RESPONSE_BYTES = 16 * 1024
"""The largest answer that executions show; rules see all of it."""

MAX_CHANGE_BYTES = 4096
"""The largest value that executions show of a change."""


class Outcome(IntEnum):
    """What a condition gave, by the numbers of the contract."""

    TRUE = 1
    FALSE = 2
    ERROR = 3
    NOT_EVALUATED = 4


class StepState(IntEnum):
    """Where an action stands, by the numbers of the contract."""

    PENDING = 1
    RUNNING = 2
    WAITING = 3
    SUCCEEDED = 4
    FAILED = 5
    SKIPPED = 6


@dataclass(frozen=True, slots=True)
class Condition:
    """What one condition gave.

    Attributes:
        expression: The CEL text.
        outcome: What it gave.
        inputs: The values that it looked at, by path.
        error: Why it gave none.
        worker: The id of the action whose worker evaluated it; empty if it is one of the rule's.
    """

    expression: str
    outcome: Outcome
    inputs: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change that was made to a property. A value that is None with its ``has_…`` false was not there.

    Attributes:
        subject: The id of the subject.
        property: The property.
        ext: Whether it is an ext property.
        old: The value it had, if ``has_old``.
        new: The value it has, if ``has_new``.
        event: The event that tells of it; empty if none does.
    """

    subject: str
    property: str
    ext: bool = False
    old: Any = None
    has_old: bool = False
    new: Any = None
    has_new: bool = False
    event: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one action. Times are epoch seconds.

    Attributes:
        id: The action's id.
        kind: What kind of action it is.
        state: Where it stands.
        deed: What is done, with all templates filled in: once it is stored here, it stays the same in all attempts.
        start_time: When its latest attempt began.
        end_time: When its latest attempt ended.
        attempts: How often it was tried.
        error: What went wrong in the latest attempt that did not succeed.
        response: What it answered; None if that is too large to show.
        answered: Whether there is an answer, here or in the journal.
        key: The idempotency key of its outside call.
        changes: What it changed in subjects.
        events: The names of the events that it emitted.
        until: When its wait ends.
        task: The name of the task that it made.
        outcome: What a worker made of that, until it is committed.
    """

    id: str
    kind: str
    state: StepState = StepState.PENDING
    deed: Deed | None = None
    start_time: float | None = None
    end_time: float | None = None
    attempts: int = 0
    error: Failure | None = None
    response: Any = None
    answered: bool = False
    key: str = ""
    changes: tuple[Change, ...] = ()
    events: tuple[str, ...] = ()
    until: float | None = None
    task: str = ""
    outcome: TaskOutcome | None = None


def of_rule(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Returns those conditions that are the rule's own, without those of workers."""
    return tuple(condition for condition in conditions if not condition.worker)


_CHANGES = TypeAdapter(tuple[Change, ...])
_CONDITIONS = TypeAdapter(tuple[Condition, ...])
_STEPS = TypeAdapter(tuple[Step, ...])
_FAILURE = TypeAdapter(Failure)


def dump_changes(changes: tuple[Change, ...]) -> str:
    """Returns changes as JSON, for the store."""
    return _CHANGES.dump_json(changes).decode() if changes else ""


def load_changes(text: str) -> tuple[Change, ...]:
    """Returns what :func:`dump_changes` made JSON of."""
    return _CHANGES.validate_json(text) if text else ()


def dump_conditions(conditions: tuple[Condition, ...]) -> str:
    """Returns conditions as JSON, for the store."""
    return _CONDITIONS.dump_json(conditions).decode() if conditions else ""


def load_conditions(text: str) -> tuple[Condition, ...]:
    """Returns what :func:`dump_conditions` wrote."""
    return _CONDITIONS.validate_json(text) if text else ()


def dump_steps(steps: tuple[Step, ...]) -> str:
    """Returns steps as JSON, for the store."""
    return _STEPS.dump_json(steps).decode() if steps else ""


def load_steps(text: str) -> tuple[Step, ...]:
    """Returns what :func:`dump_steps` wrote."""
    return _STEPS.validate_json(text) if text else ()


def dump_failure(failure: Failure | None) -> str:
    """Returns a failure as JSON, for the store; an empty text for none."""
    return _FAILURE.dump_json(failure).decode() if failure else ""


def load_failure(text: str) -> Failure | None:
    """Returns what :func:`dump_failure` wrote."""
    return _FAILURE.validate_json(text) if text else None
