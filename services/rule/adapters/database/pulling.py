"""Takes tasks out of queues, and gives back what nobody got."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from sutler.errors import Invalid
from sutler.ids import new_id
from sutler.paging import MAX_PAGE_BYTES
from sutler.store import Transaction

from services.rule.adapters.database import subjects, tasks
from services.rule.adapters.database.rows import (
    EVENT_FULL,
    TASK_FULL,
    columns,
    event_from,
    subject_from,
    subject_row,
    task_from,
)
from services.rule.tasks import Pull, Task, TaskState, WholeTask, Wish
from services.rule.values import encode

_WAITING = "tenant = ? AND queue = ? AND state = 1 AND next_attempt_time IS NULL AND expire_time > ?"
_WIDTH = len(TASK_FULL.split(", "))
WHOLE = (
    f"SELECT {columns(TASK_FULL, 't')}, t.subject_snapshot, {columns(EVENT_FULL, 'v')} FROM tasks AS t "
    "LEFT JOIN events AS v ON v.tenant = t.tenant AND v.name = t.event"
)
"""Tasks with what they are about."""


def ready(tx: Transaction, wishes: Collection[Wish], bound: int) -> list[Wish]:
    """Returns those wishes for which a pull would find something.

    Args:
        tx: The read.
        wishes: What is wanted.
        bound: How many tasks of one queue may be held at once.
    """
    return [wish for wish in wishes if _waits(tx, wish) and leased(tx, wish) < bound]


def leased(tx: Transaction, wish: Wish) -> int:
    """Returns how many tasks of a queue workers hold."""
    row = tx.one("SELECT COUNT(*) FROM tasks WHERE tenant = ? AND queue = ? AND state = 2", (wish.tenant, wish.queue))
    assert row is not None
    return int(row[0])


def take(tx: Transaction, pull: Pull, bound: int) -> list[WholeTask]:
    """Leases tasks to a worker, in the order in which they were made.

    Raises:
        Invalid: If the request id was used for another pull (REQUEST_ID_REUSED).
    """
    if pull.request_id and (known := _again(tx, pull)):
        return known
    limit = min(pull.limit, bound - leased(tx, pull.wish))
    sizes = tx.all(_sized(tx, pull.wish), (*_values(tx, pull.wish), limit)) if limit > 0 else []
    seqs = _fitting(sizes)
    if not seqs:
        return []
    marks = ", ".join("?" * len(seqs))
    found = [task_from(row) for row in tx.all(f"SELECT {TASK_FULL} FROM tasks WHERE seq IN ({marks})", seqs)]
    ends = tx.now + pull.lease_seconds
    tx.many(
        "UPDATE tasks SET state = ?, pull_count = pull_count + 1, lease_token = ?, lease_seconds = ?, "
        "lease_expire_time = ?, worker_id = ?, pull_request = ?, pull_digest = ?, subject_snapshot = ?, "
        "update_time = ? WHERE seq = ?",
        [
            (
                *(int(TaskState.LEASED), new_id(), pull.lease_seconds, ends, pull.worker_id),
                *(pull.request_id, pull.digest or None, _snapshot(tx, task), tx.now, task.seq),
            )
            for task in found
        ],
    )
    tasks.wake(tx, [(min(ends, task.expire_time), task.execution_seq) for task in found])
    return whole(tx, f"t.seq IN ({marks}) ORDER BY t.seq", seqs)


def give_back(tx: Transaction, pulled: Sequence[Task]) -> None:
    """Lets tasks be pulled at once that did not reach their worker."""
    for task in pulled:
        freed = tx.execute(
            "UPDATE tasks SET state = ?, pull_count = pull_count - 1, lease_token = '', lease_expire_time = NULL, "
            "worker_id = '', pull_request = '', update_time = ? WHERE seq = ? AND state = ? AND lease_token = ?",
            (int(TaskState.PENDING), tx.now, task.seq, int(TaskState.LEASED), task.lease_token),
        )
        if freed:
            tasks.wake(tx, [(task.expire_time, task.execution_seq)])


def whole(tx: Transaction, where: str, values: Sequence[Any]) -> list[WholeTask]:
    """Returns tasks with what they are about; ``where`` may end in an order."""
    return [_whole(row) for row in tx.all(f"{WHOLE} WHERE {where}", values)]


def _whole(row: Sequence[Any]) -> WholeTask:
    snapshot, event = row[_WIDTH], row[_WIDTH + 1 :]
    return WholeTask(
        task_from(row[:_WIDTH]),
        None if event[0] is None else event_from(event),
        None if snapshot is None else subject_from(orjson.loads(snapshot)),
    )


def _again(tx: Transaction, pull: Pull) -> list[WholeTask]:
    """Returns what an earlier pull of the same request took and still holds."""
    rows = tx.all(
        "SELECT seq, pull_digest FROM tasks WHERE tenant = ? AND pull_request = ? AND state = 2 "
        "AND lease_expire_time > ? ORDER BY seq",
        (pull.wish.tenant, pull.request_id, tx.now),
    )
    if any(bytes(digest) != pull.digest for _, digest in rows):
        raise Invalid(
            f"request_id {pull.request_id} was used before with another request; use a new one",
            reason="REQUEST_ID_REUSED",
            metadata={"request_id": pull.request_id},
        )
    seqs = [row[0] for row in rows]
    return whole(tx, f"t.seq IN ({', '.join('?' * len(seqs))}) ORDER BY t.seq", seqs) if seqs else []


def _waits(tx: Transaction, wish: Wish) -> bool:
    return tx.one(f"SELECT 1 FROM tasks WHERE {_where(wish)} LIMIT 1", _values(tx, wish)) is not None


def _where(wish: Wish) -> str:
    return f"{_WAITING} AND handler IN ({', '.join('?' * len(wish.handlers))})" if wish.handlers else _WAITING


def _values(tx: Transaction, wish: Wish) -> tuple[Any, ...]:
    return (wish.tenant, wish.queue, tx.now, *wish.handlers)


def _sized(tx: Transaction, wish: Wish) -> str:
    """Returns the query for tasks in order, each with its size in an answer."""
    size = "LENGTH(CAST({} AS BLOB))" if tx.dialect == "sqlite" else "OCTET_LENGTH({})"
    parts = ("t.data", "v.data", "v.binary_data", "v.extra", "s.properties", "s.ext_properties")
    total = " + ".join(f"COALESCE({size.format(part)}, 0)" for part in parts)
    return (
        f"SELECT t.seq, {total} FROM (SELECT * FROM tasks WHERE {_where(wish)} ORDER BY seq LIMIT ?) AS t "
        "LEFT JOIN events AS v ON v.tenant = t.tenant AND v.name = t.event "
        "LEFT JOIN subjects AS s ON s.tenant = t.tenant AND s.id = SUBSTR(t.subject_name, 10) ORDER BY t.seq"
    )


def _fitting(rows: Sequence[tuple[Any, ...]]) -> list[int]:
    seqs: list[int] = []
    left = MAX_PAGE_BYTES
    for seq, size in rows:
        left -= size
        if seqs and left < 0:
            break
        seqs.append(seq)
    return seqs


def _snapshot(tx: Transaction, task: Task) -> str | None:
    if not task.subject:
        return None
    subject = subjects.find(tx, task.tenant, task.subject.removeprefix("subjects/"))
    return None if subject is None else encode(list(subject_row(subject)[:-1]))
