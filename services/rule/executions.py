"""Executions: one rule at work on one event, with conditions, actions and outcomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from sutler.ids import derive

from services.rule.events import HANDLER_FAILED, Event, random_uuid_like
from services.rule.failures import Failure
from services.rule.steps import Condition, Step, StepState


class ExecutionState(IntEnum):
    """The life of an execution, by the numbers of the contract."""

    PENDING = 1
    RUNNING = 2
    WAITING = 3
    DEFERRED = 4
    SKIPPED = 5
    SUCCEEDED = 6
    FAILED = 7
    CANCELLED = 8

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self >= ExecutionState.SKIPPED


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. Times are epoch seconds.

    Attributes:
        name: ``executions/{execution}``.
        seq: Its place in the order of all executions; within an event, rules of higher priority come first.
        tenant: Whose it is.
        event: The name of the event.
        root_event: The name of the event that began the cascade.
        rule: The name of the rule.
        rule_uid: Tells the rule from another of the same name.
        revision: The number of the revision that it uses to its end.
        subject: The id of the subject; empty if the event has none.
        depth: The depth of the event.
        correlation_id: Ties one chain of calls together.
        create_time: When it was made.
        update_time: When it last changed.
        state: Where it stands.
        holder: The fencing number of the process that works on it; 0 if none does.
        attempts: How many attempts are used up.
        deferrals: How often it waited without using up an attempt.
        conditions: What the conditions gave; empty before the first attempt.
        steps: What became of the actions; empty before the first attempt.
        error: The error of the last attempt that did not succeed.
        due_time: When it can be claimed.
        next_attempt_time: When it goes on, while it waits for time.
        start_time: When its first attempt began.
        end_time: When it ended.
        give_up_time: When it is given up if what it needs is still missing.
        dead_letter: The name of its dead letter.
        original_execution: The name of the execution that it repeats.
    """

    name: str
    seq: int
    tenant: str
    event: str
    root_event: str
    rule: str
    rule_uid: str
    revision: int
    subject: str
    depth: int
    correlation_id: str
    create_time: float
    update_time: float
    state: ExecutionState = ExecutionState.PENDING
    holder: int = 0
    attempts: int = 0
    deferrals: int = 0
    conditions: tuple[Condition, ...] = ()
    steps: tuple[Step, ...] = ()
    error: Failure | None = None
    due_time: float = 0.0
    next_attempt_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    give_up_time: float | None = None
    dead_letter: str = ""
    original_execution: str = ""

    @property
    def uuid(self) -> str:
        """The last part of its name, the parent of all ids that its steps derive."""
        return self.name.removeprefix("executions/")

    def key(self, step: str) -> str:
        """Returns the idempotency key of the outside call of an action."""
        return derive(self.uuid, f"actions/{step}")


@dataclass(frozen=True, slots=True)
class Job:
    """An execution to work on, with its event."""

    execution: Execution
    event: Event

    @property
    def of_error_event(self) -> bool:
        """Whether the event tells of a failed execution, so that this one is tried once and tells of nothing."""
        return self.event.content.type == HANDLER_FAILED


def execution_name(event: str, rule_uid: str) -> str:
    """Returns the name of the execution that an event begins of a rule."""
    return "executions/" + random_uuid_like(derive(event.removeprefix("events/"), f"rules/{rule_uid}"))


def undone(execution: Execution) -> Execution:
    """Returns an execution without what workers made on the ground of revisions that have passed: they do it again."""
    steps = (
        replace(step, state=StepState.FAILED, outcome=None)
        if step.outcome and any(update.expected_revision is not None for update in step.outcome.updates)
        else step
        for step in execution.steps
    )
    return replace(execution, steps=tuple(steps))
