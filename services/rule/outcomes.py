"""How an attempt at an execution ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sutler.errors import SutlerError

from services.rule.breakers import Breaker
from services.rule.definitions import MakeTask
from services.rule.executions import Execution, ExecutionState, Job
from services.rule.failures import Failure
from services.rule.subjects import Evaluate, Subject


@dataclass(frozen=True, slots=True)
class Context:
    """What an attempt needs to know beside its job.

    Attributes:
        author: The principal in whose name the rule acts, as :func:`sutler.auth.encode_principal` writes it.
        cancelled: Whether the rule was deleted by force.
        subject: The event's subject; None if there is none, or nobody asked for it.
        breaker: The breaker of rule and subject; None if there is none.
        answers: The answers of earlier outside calls, by action id.
        leases: Until when workers hold its tasks, by action id.
    """

    author: str
    cancelled: bool = False
    subject: Subject | None = None
    breaker: Breaker | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    leases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left to do.

    Attributes:
        execution: With all that became of it.
        state: SUCCEEDED, SKIPPED or CANCELLED.
        evaluate: Gives the values of expressions when the writes are made.
        closes_breaker: Whether it was the probe of a breaker.
    """

    execution: Execution
    state: ExecutionState
    evaluate: Evaluate | None = None
    closes_breaker: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """A task that can be pulled from now on.

    Attributes:
        step: The id of the action.
        make: What the task is, if it is to be made; None if it was made before.
    """

    step: str
    make: MakeTask | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """It goes on later.

    Attributes:
        execution: With what became of it so far.
        state: WAITING or DEFERRED; PENDING if it goes on as soon as there is a free slot.
        until: When, in epoch seconds.
        excused: Seconds that do not count towards giving up.
        opening: The task that it waits for, if that is to be opened.
    """

    execution: Execution
    state: ExecutionState
    until: float
    excused: float = 0.0
    opening: Opening | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not succeed.

    Attributes:
        execution: With what became of it so far.
        failure: What went wrong.
        tries: How often the failing action has been tried in a row.
    """

    execution: Execution
    failure: Failure
    tries: int = 1


Result = Finished | Paused | Failed


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What follows from the end of an execution, or from accepted events.

    Attributes:
        jobs: What this process is to work on now.
        ended: The names of the events from outside whose cascades have ended.
        begun: How many executions were made.
    """

    jobs: tuple[Job, ...] = ()
    ended: tuple[str, ...] = ()
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process takes at once of the executions that a change makes.

    Attributes:
        holder: Its fencing number; 0 if it takes none.
        room: How many it takes at the most.
    """

    holder: int = 0
    room: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one event that was published.

    Attributes:
        name: Its name; empty if it was refused.
        duplicate: Whether it had been accepted before.
        error: Why it was refused.
        complete: Whether its cascade has ended; None if nobody looked.
        failed: Whether something in its cascade failed or was cancelled.
    """

    name: str = ""
    duplicate: bool = False
    error: SutlerError | None = None
    complete: bool | None = None
    failed: bool = False
