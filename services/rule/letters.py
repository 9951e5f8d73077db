"""Dead letters: executions that were given up, with all that is needed to understand and repeat them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sutler.ids import derive

from services.rule.events import Event, random_uuid_like
from services.rule.executions import Execution
from services.rule.failures import Failure
from services.rule.retrying import Cause
from services.rule.subjects import Subject


class LetterState(IntEnum):
    """The life of a dead letter, by the numbers of the contract."""

    OPEN = 1
    REPLAYING = 2
    RESOLVED = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a dead letter keeps.

    Attributes:
        event: The event with its data.
        execution: The execution with conditions and actions.
        subject: The subject as it was when the execution was given up; None if there was none.
    """

    event: Event
    execution: Execution
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. Times are epoch seconds.

    Attributes:
        name: ``deadLetters/{dead_letter}``.
        seq: Its place in the order in which they were made.
        tenant: Whose it is.
        create_time: When it was made.
        update_time: When it last changed.
        state: Where it stands.
        cause: Why the execution was given up.
        error: The error of the last attempt.
        execution: The name of the execution.
        rule: The name of the rule.
        rule_revision: The name of the revision that was used.
        event: The name of the event.
        subject: The id of the subject; empty if the event has none.
        attempts: How many attempts were used up.
        replay_execution: The name of the execution of the latest replay.
        replay_count: How often it was replayed.
        snapshot: All that it keeps; None where nobody asked for it.
    """

    name: str
    seq: int
    tenant: str
    create_time: float
    update_time: float
    state: LetterState
    cause: Cause
    error: Failure | None
    execution: str
    rule: str
    rule_revision: str
    event: str
    subject: str
    attempts: int
    replay_execution: str = ""
    replay_count: int = 0
    snapshot: Snapshot | None = None


def letter_name(execution: str) -> str:
    """Returns the name of the dead letter of an execution: each has one at the most."""
    return "deadLetters/" + random_uuid_like(derive(execution.removeprefix("executions/"), "deadLetter"))
