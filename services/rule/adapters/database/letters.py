"""Dead letters in the database. A snapshot is kept as the rows that it was made from."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson
from sutler.errors import not_found
from sutler.store import Transaction
from sutler.store.sequences import draw

from services.rule.adapters.database.rows import (
    EVENT_FULL,
    EXECUTION,
    SUBJECT,
    event_from,
    execution_from,
    subject_from,
)
from services.rule.events import EventState
from services.rule.executions import Execution
from services.rule.failures import Failure
from services.rule.letters import DeadLetter, LetterState, Snapshot, letter_name
from services.rule.retrying import Cause
from services.rule.steps import dump_failure, load_failure
from services.rule.subjects import subject_name
from services.rule.values import encode

LETTER = (
    "name, seq, tenant, create_time, update_time, state, cause, error, execution, rule, rule_revision, event, subject, "
    "attempts, replay_execution, replay_count"
)

_SAVE = (
    f"INSERT INTO dead_letters ({LETTER}, snapshot, subject_name) VALUES ({', '.join('?' * 18)})"
    " ON CONFLICT (tenant, name) DO UPDATE SET update_time = excluded.update_time, state = excluded.state,"
    " cause = excluded.cause, error = excluded.error, attempts = excluded.attempts, snapshot = excluded.snapshot"
)
_BINARY = EVENT_FULL.split(", ").index("binary_data")


def letter_from(row: Sequence[Any]) -> DeadLetter:
    """Returns the dead letter in a row of :data:`LETTER`, with the snapshot where that follows."""
    values = (
        *row[:5],
        LetterState(row[5]),
        Cause(row[6]),
        load_failure(row[7]),
        *row[8:16],
        _snapshot_from(row[16]) if len(row) > 16 else None,
    )
    return DeadLetter(*values)


def find(tx: Transaction, tenant: str, name: str) -> DeadLetter | None:
    """Returns a dead letter with its snapshot; None if there is none."""
    row = tx.one(f"SELECT {LETTER}, snapshot FROM dead_letters WHERE tenant = ? AND name = ?", (tenant, name))
    return None if row is None else letter_from(row)


def write(tx: Transaction, execution: Execution, cause: Cause, failure: Failure) -> str:
    """Makes the dead letter of an execution, or opens it again, and returns its name.

    The execution is stored as it was when it was given up.
    """
    name = letter_name(execution.name)
    values = (
        *(name, draw(tx, "dead_letters"), execution.tenant, tx.now, tx.now, int(LetterState.OPEN), int(cause)),
        *(dump_failure(failure), execution.name, execution.rule, f"{execution.rule}/revisions/{execution.revision}"),
        *(execution.event, execution.subject, execution.attempts, "", 0, _snapshot(tx, execution)),
        subject_name(execution.subject) if execution.subject else "",
    )
    tx.execute(_SAVE, values)
    return name


def replaying(tx: Transaction, tenant: str, name: str, execution: str) -> None:
    """Notes that the execution of a dead letter is tried again."""
    tx.execute(
        "UPDATE dead_letters SET state = ?, replay_execution = ?, replay_count = replay_count + 1, update_time = ? "
        "WHERE tenant = ? AND name = ?",
        (int(LetterState.REPLAYING), execution, tx.now, tenant, name),
    )


def replayed(tx: Transaction, execution: Execution, *, well: bool) -> None:
    """Notes how a replay of a dead letter has ended; does nothing if the execution is none."""
    source = execution.original_execution or (execution.name if execution.dead_letter else "")
    if source:
        tx.execute(
            "UPDATE dead_letters SET state = ?, update_time = ? "
            "WHERE tenant = ? AND name = ? AND state = ? AND replay_execution = ?",
            (
                *(int(LetterState.RESOLVED if well else LetterState.OPEN), tx.now, execution.tenant),
                *(letter_name(source), int(LetterState.REPLAYING), execution.name),
            ),
        )


def restore(tx: Transaction, tenant: str, name: str) -> Execution:
    """Returns the execution of a dead letter; if it or its event is not stored any more, it is stored again as it was.

    An event that is stored again begins a cascade of its own, because the one that it belonged to is gone.

    Raises:
        NotFound: If an answer is gone that was too large to be in the snapshot.
    """
    row = tx.one("SELECT snapshot FROM dead_letters WHERE tenant = ? AND name = ?", (tenant, name))
    if row is None:
        raise not_found(name)
    rows = orjson.loads(row[0])
    event = dict(zip(EVENT_FULL.split(", "), rows["event"], strict=True))
    execution = dict(zip(EXECUTION.split(", "), rows["execution"], strict=True))
    seq = execution["seq"]
    stored = tx.one(f"SELECT {EXECUTION} FROM executions WHERE seq = ?", (seq,))
    if stored is None:
        _restore_answers(tx, execution_from(rows["execution"]))
        rule, revision, subject = execution["rule"], execution["revision"], execution["subject"]
        more = (f"{rule}/revisions/{revision}", 1, 0, subject_name(subject) if subject else "")
        execution["holder"] = 0
        tx.insert(
            "executions",
            f"{EXECUTION}, rule_revision, ended, ready, subject_name",
            (*execution.values(), *more),
        )
    if tx.one("SELECT 1 FROM events WHERE tenant = ? AND name = ?", (tenant, event["name"])) is None:
        _restore_event(tx, event)
        tx.execute("UPDATE executions SET root_event = ?, depth = 0 WHERE seq = ?", (event["name"], seq))
    stored = tx.one(f"SELECT {EXECUTION} FROM executions WHERE seq = ?", (seq,))
    assert stored is not None
    return execution_from(stored)


def _restore_event(tx: Transaction, event: dict[str, Any]) -> None:
    binary = event["binary_data"]
    own = {
        "binary_data": None if binary is None else base64.b64decode(binary),
        "state": int(EventState.FAILED),
        "parent_execution": "",
        "parent_event": "",
        "root_event": event["name"],
        "depth": 0,
        "failure_count": 1,
        "end_time": tx.now,
        "cascade_end_time": tx.now,
    }
    values = {**event, **own, "digest": b"", "bad_count": 1, "open_executions": 0, "open_children": 0}
    tx.insert("events", ", ".join(values), tuple(values.values()))


def _restore_answers(tx: Transaction, execution: Execution) -> None:
    answered = [step for step in execution.steps if step.answered]
    if any(step.response is None for step in answered):
        raise not_found(execution.name)
    for step in answered:
        tx.insert("answers", "execution, step, answer", (execution.seq, step.id, encode(step.response)))


def _snapshot(tx: Transaction, execution: Execution) -> str:
    event = tx.one(
        f"SELECT {EVENT_FULL} FROM events WHERE tenant = ? AND name = ?", (execution.tenant, execution.event)
    )
    stored = tx.one(f"SELECT {EXECUTION} FROM executions WHERE seq = ?", (execution.seq,))
    subject = tx.one(
        f"SELECT {SUBJECT} FROM subjects WHERE tenant = ? AND id = ? AND (expire_time IS NULL OR expire_time > ?)",
        (execution.tenant, execution.subject, tx.now),
    )
    assert event is not None
    assert stored is not None
    plain = list(event)
    if plain[_BINARY] is not None:
        plain[_BINARY] = base64.b64encode(bytes(plain[_BINARY])).decode()
    return encode({"event": plain, "execution": list(stored), "subject": None if subject is None else list(subject)})


def _snapshot_from(text: str) -> Snapshot:
    rows = orjson.loads(text)
    event = rows["event"]
    if event[_BINARY] is not None:
        event[_BINARY] = base64.b64decode(event[_BINARY])
    subject = rows["subject"]
    return Snapshot(
        event_from(event), execution_from(rows["execution"]), None if subject is None else subject_from(subject)
    )
