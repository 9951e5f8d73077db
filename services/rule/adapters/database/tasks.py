"""Tasks as their executions see them: opened, held by workers, put off and ended."""

from __future__ import annotations

from sutler.errors import not_found
from sutler.store import Transaction
from sutler.store.sequences import draw

from services.rule.adapters.database.rows import TASK_FULL, task_from
from services.rule.executions import Execution, ExecutionState
from services.rule.failures import Failure
from services.rule.outcomes import Opening
from services.rule.steps import dump_failure
from services.rule.subjects import subject_name
from services.rule.tasks import Task, TaskState, lease_lost
from services.rule.values import encode

_NEW = (
    "INSERT INTO tasks (seq, tenant, queue, name, uid, create_time, update_time, state, handler, rule, rule_revision, "
    "execution, execution_seq, step, event, subject_name, data, attempt, pull_count, lease_token, lease_seconds, "
    f"worker_id, expire_time, error, idempotency_key, pull_request) VALUES ({', '.join('?' * 26)})"
)
_FREE = "lease_token = '', lease_expire_time = NULL, worker_id = '', completion = NULL, pull_request = ''"
_OPEN = "state IN (1, 2)"


def find(tx: Transaction, tenant: str, name: str) -> Task:
    """Returns a task with its data. Raises NotFound."""
    row = tx.one(f"SELECT {TASK_FULL} FROM tasks WHERE tenant = ? AND name = ?", (tenant, name))
    if row is None:
        raise not_found(name)
    return task_from(row)


def check_held(tx: Transaction, task: Task, token: str) -> None:
    """Makes sure that a worker holds a task. Raises Conflict if not (LEASE_LOST)."""
    alive = task.lease_expire_time is not None and task.lease_expire_time > tx.now
    if task.state is not TaskState.LEASED or not alive or task.lease_token != token:
        raise lease_lost(task.name)


def open_task(tx: Transaction, execution: Execution, opening: Opening) -> None:
    """Makes a task, or lets an earlier one be pulled again, in the place in the queue that it had."""
    step = next(step for step in execution.steps if step.id == opening.step)
    make = opening.make
    if make is None:
        tx.execute(
            f"UPDATE tasks SET {_FREE}, state = ?, attempt = ?, expire_time = ?, next_attempt_time = NULL, "
            "update_time = ? WHERE execution_seq = ? AND step = ?",
            (int(TaskState.PENDING), execution.attempts + 1, step.until, tx.now, execution.seq, step.id),
        )
        return
    uid = step.task.rpartition("/")[2]
    tx.execute(
        _NEW,
        (
            *(draw(tx, "tasks"), execution.tenant, make.queue, step.task, uid, tx.now, tx.now, int(TaskState.PENDING)),
            *(make.handler, execution.rule, f"{execution.rule}/revisions/{execution.revision}", execution.name),
            *(execution.seq, step.id, execution.event),
            subject_name(execution.subject) if execution.subject else "",
            encode(make.data) if make.has_data else None,
            *(execution.attempts + 1, 0, "", 0.0, "", step.until, dump_failure(execution.error), step.key, ""),
        ),
    )


def lease_end(tx: Transaction, execution: Execution) -> float | None:
    """Returns when the lease ends under which a worker holds a task of an execution; None if nobody does."""
    if not has_tasks(execution):
        return None
    row = tx.one(
        "SELECT MIN(lease_expire_time) FROM tasks WHERE execution_seq = ? AND state = ?",
        (execution.seq, int(TaskState.LEASED)),
    )
    return row[0] if row else None


def leases(tx: Transaction, execution: Execution) -> dict[str, float]:
    """Returns until when workers hold the tasks of an execution, by action id."""
    if not has_tasks(execution):
        return {}
    rows = tx.all(
        "SELECT step, lease_expire_time FROM tasks WHERE execution_seq = ? AND state = ?",
        (execution.seq, int(TaskState.LEASED)),
    )
    return dict(rows)


def back_off(tx: Transaction, execution: Execution, failure: Failure, until: float) -> None:
    """Takes the open task of an execution that failed from its holder; it can be pulled again when it is tried."""
    if has_tasks(execution):
        tx.execute(
            f"UPDATE tasks SET {_FREE}, state = ?, error = ?, next_attempt_time = ?, update_time = ? "
            f"WHERE execution_seq = ? AND {_OPEN}",
            (int(TaskState.PENDING), dump_failure(failure), until, tx.now, execution.seq),
        )


def end(tx: Transaction, execution: Execution) -> None:
    """Ends the open task of an execution that has ended."""
    if has_tasks(execution):
        cancelled = execution.state is ExecutionState.CANCELLED
        state = TaskState.CANCELLED if cancelled else TaskState.FAILED
        tx.execute(
            f"UPDATE tasks SET {_FREE}, state = ?, error = ?, next_attempt_time = NULL, update_time = ? "
            f"WHERE execution_seq = ? AND {_OPEN}",
            (int(state), dump_failure(execution.error), tx.now, execution.seq),
        )


def complete(tx: Transaction, task: Task, completion: bytes) -> None:
    """Ends a task well; its token is kept, to know a repeat by."""
    tx.execute(
        "UPDATE tasks SET state = ?, completion = ?, lease_expire_time = NULL, pull_request = '', update_time = ? "
        "WHERE seq = ?",
        (int(TaskState.SUCCEEDED), completion, tx.now, task.seq),
    )


def extend(tx: Transaction, task: Task, seconds: float) -> None:
    """Makes the lease of a task last for some time from now."""
    ends = tx.now + seconds
    tx.execute("UPDATE tasks SET lease_expire_time = ?, update_time = ? WHERE seq = ?", (ends, tx.now, task.seq))
    wake(tx, [(min(ends, task.expire_time), task.execution_seq)])


def wake(tx: Transaction, times: list[tuple[float, int]]) -> None:
    """Says when the engine is to look at executions that wait for workers: time and number of each."""
    tx.many("UPDATE executions SET due_time = ? WHERE seq = ? AND ended = 0", times)


def has_tasks(execution: Execution) -> bool:
    """Returns whether an execution has made a task."""
    return any(step.task for step in execution.steps)
