"""Tasks: work that rules give to outside code, and the leases under which workers hold it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sutler.errors import Conflict, SutlerError
from sutler.etags import make_etag
from sutler.ids import derive

from services.rule.events import Event, random_uuid_like
from services.rule.failures import Failure
from services.rule.subjects import Subject
from services.rule.values import ABSENT


class TaskState(IntEnum):
    """The life of a task, by the numbers of the contract."""

    PENDING = 1
    LEASED = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5


@dataclass(frozen=True, slots=True)
class Task:
    """One task. Times are epoch seconds.

    Attributes:
        seq: Its place in the order in which tasks were made.
        tenant: Whose it is.
        name: ``queues/{queue}/tasks/{task}``.
        uid: Tells it from all others.
        create_time: When it was made.
        update_time: When it last changed.
        state: Where it stands.
        handler: Which handler of the worker is meant.
        rule: The name of the rule.
        rule_revision: The name of the revision that is used.
        execution: The name of the execution that waits for it.
        execution_seq: The number of that execution.
        step: The id of the action that made it.
        event: The name of the event.
        subject: The name of the event's subject; empty if it has none.
        attempt: Which attempt of the execution this is.
        pull_count: How often it was pulled.
        lease_token: Proves who holds it, or completed it.
        lease_seconds: How long the lease was asked to last.
        lease_expire_time: When the lease ends; None if nobody holds it.
        worker_id: What the holder calls itself.
        expire_time: When it is given up if nobody completes it.
        error: The error of the last attempt that did not succeed.
        idempotency_key: For the outside calls of the worker.
        next_attempt_time: When it may be pulled again, after a failure.
        completion: The digest of the request that completed it; None before.
        data: What the action's template gave, or ABSENT.
    """

    seq: int
    tenant: str
    name: str
    uid: str
    create_time: float
    update_time: float
    state: TaskState
    handler: str
    rule: str
    rule_revision: str
    execution: str
    execution_seq: int
    step: str
    event: str
    subject: str
    attempt: int
    pull_count: int
    lease_token: str
    lease_seconds: float
    lease_expire_time: float | None
    worker_id: str
    expire_time: float
    error: Failure | None
    idempotency_key: str
    next_attempt_time: float | None
    completion: bytes | None
    data: Any = ABSENT

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.name, self.update_time, int(self.state), self.pull_count, self.lease_expire_time)


@dataclass(frozen=True, slots=True)
class WholeTask:
    """A task with what it is about.

    Attributes:
        task: The task.
        event: The event; None if it is not stored any more.
        subject: The subject as it was when the task was pulled; None if there was none.
    """

    task: Task
    event: Event | None
    subject: Subject | None


@dataclass(frozen=True, slots=True)
class Holding:
    """What a worker says to prove that it holds a task.

    Attributes:
        task: The name of the task.
        token: The lease, as it was given.
    """

    task: str
    token: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker wants out of a queue.

    Attributes:
        tenant: Whose queue it is.
        queue: The id of the queue.
        handlers: Only tasks for these; all if empty.
    """

    tenant: str
    queue: str
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull.

    Attributes:
        wish: What is wanted.
        limit: The most to take.
        lease_seconds: How long the leases last.
        worker_id: What the worker calls itself.
        request_id: Makes a repeat get the same tasks; empty if it may get others.
        digest: Tells a repeat from another request under the same id.
    """

    wish: Wish
    limit: int
    lease_seconds: float
    worker_id: str = ""
    request_id: str = ""
    digest: bytes = b""


def task_name(queue: str, execution: str, step: str) -> str:
    """Returns the name of the task that an action of an execution makes.

    Args:
        queue: The id of the queue.
        execution: The last part of the execution's name.
        step: The id of the action.
    """
    return f"queues/{queue}/tasks/{random_uuid_like(derive(execution, f'tasks/{step}'))}"


def lease_lost(task: str) -> SutlerError:
    """Returns the error for a worker that does not hold a task any more, or never did."""
    return Conflict(
        f"the lease of {task} has run out or passed on: what was done for it is not kept; pull tasks again",
        reason="LEASE_LOST",
        metadata={"lease": task},
        resource=task,
    )
