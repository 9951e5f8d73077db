"""Stores operations: each function works in the caller's transaction, beside the caller's own changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from sutler.errors import Conflict, FailedPrecondition, not_found
from sutler.operations.model import MOVES, Operation, State
from sutler.store import Migration, Transaction
from sutler.store.holders import is_dead

COMPONENT = "operations"

MIGRATIONS = (
    Migration(
        1,
        "operations",
        (
            """CREATE TABLE operations (
                name TEXT PRIMARY KEY, tenant TEXT NOT NULL, method TEXT NOT NULL, target TEXT NOT NULL,
                state BIGINT NOT NULL, progress BIGINT NOT NULL, step TEXT NOT NULL, work TEXT NOT NULL,
                principal TEXT NOT NULL, creator TEXT NOT NULL, correlation_id TEXT NOT NULL,
                attempt BIGINT NOT NULL, fence BIGINT NOT NULL,
                start_time DOUBLE PRECISION NOT NULL, update_time DOUBLE PRECISION NOT NULL,
                end_time DOUBLE PRECISION NOT NULL, response BYTEA NOT NULL, error BYTEA NOT NULL,
                ended BIGINT NOT NULL, holder TEXT NOT NULL, lease_time DOUBLE PRECISION NOT NULL,
                due_time DOUBLE PRECISION NOT NULL
            )""",
            "CREATE INDEX operations_due ON operations (ended, due_time)",
            "CREATE INDEX operations_tenant ON operations (tenant, start_time, name)",
            "CREATE INDEX operations_target ON operations (tenant, target, ended)",
            "CREATE INDEX operations_ended ON operations (end_time)",
        ),
    ),
    Migration(
        2,
        "indexes of open operations only",
        (
            "DROP INDEX operations_due",
            "DROP INDEX operations_target",
            "CREATE INDEX operations_due ON operations (due_time) WHERE ended = 0",
            "CREATE INDEX operations_target ON operations (tenant, target) WHERE ended = 0",
        ),
    ),
)

COLUMNS = (
    "name, tenant, method, target, state, progress, step, work, principal, creator, correlation_id, attempt, fence, "
    "start_time, update_time, end_time, response, error"
)
FIELDS = COLUMNS.split(", ")
RESTS = "rests"
"""Stands for the holder of an operation that waits for something else than another attempt."""


def from_row(row: Sequence[Any]) -> Operation:
    """Returns the operation in a row of :data:`COLUMNS`."""
    fields = dict(zip(FIELDS, row, strict=True))
    return Operation(**{**fields, "state": State(fields["state"]), "work": orjson.loads(fields["work"])})


def insert(tx: Transaction, operation: Operation) -> Operation:
    """Stores a new operation, due at once unless it has ended already, and returns it with its times."""
    ended = operation.state.ended
    stored = replace(operation, start_time=tx.now, update_time=tx.now, end_time=tx.now if ended else 0.0)
    tx.insert(
        "operations",
        f"{COLUMNS}, ended, holder, lease_time, due_time",
        (
            *(
                stored.name,
                stored.tenant,
                stored.method,
                stored.target,
                int(stored.state),
                stored.progress,
                stored.step,
            ),
            orjson.dumps(stored.work).decode(),
            *(stored.principal, stored.creator, stored.correlation_id, stored.attempt, stored.fence),
            *(stored.start_time, stored.update_time, stored.end_time, stored.response, stored.error),
            *(int(ended), "", 0.0, tx.now),
        ),
    )
    return stored


def get(tx: Transaction, tenant: str, name: str) -> Operation:
    """Returns an operation.

    Raises:
        NotFound: If the tenant has none of this name.
    """
    row = tx.one(f"SELECT {COLUMNS} FROM operations WHERE name = ? AND tenant = ?", (name, tenant))
    if row is None:
        raise not_found(name)
    return from_row(row)


def open_for(tx: Transaction, tenant: str, target: str) -> Operation | None:
    """Returns the operation that works on a thing now, if there is one."""
    row = tx.one(f"SELECT {COLUMNS} FROM operations WHERE tenant = ? AND target = ? AND ended = 0", (tenant, target))
    return None if row is None else from_row(row)


def claim(tx: Transaction, holder: str, seconds: float, limit: int) -> list[Operation]:
    """Takes due operations that nobody holds.

    Each gets the next fencing number, and counts as the next attempt unless it only rested.
    """
    rows = tx.all(
        f"SELECT {COLUMNS}, holder FROM operations WHERE ended = 0 AND due_time <= ? AND lease_time <= ? "
        "ORDER BY due_time LIMIT ?",
        (tx.now, tx.now, limit),
    )
    taken = []
    for *row, before in rows:
        operation = from_row(row)
        state = State.CANCELLING if operation.state is State.CANCELLING else State.RUNNING
        attempt = operation.attempt + (before != RESTS)
        held = replace(operation, state=state, attempt=attempt, fence=operation.fence + 1, update_time=tx.now)
        tx.send(
            "UPDATE operations SET state = ?, attempt = ?, fence = ?, holder = ?, lease_time = ?, update_time = ? "
            "WHERE name = ?",
            (int(state), held.attempt, held.fence, holder, tx.now + seconds, tx.now, held.name),
        )
        taken.append(held)
    return taken


def end_dead(tx: Transaction) -> None:
    """Ends the leases of holders that are certainly dead, so that what they held can be claimed at once."""
    rows = tx.all("SELECT DISTINCT holder FROM operations WHERE ended = 0 AND lease_time > ?", (tx.now,))
    tx.many(
        "UPDATE operations SET lease_time = 0 WHERE ended = 0 AND holder = ?",
        [(holder,) for (holder,) in rows if is_dead(holder)],
    )


def renew(tx: Transaction, holder: str, names: Sequence[str], seconds: float) -> None:
    """Keeps held operations; those that another holder has taken meanwhile stay theirs."""
    tx.many(
        "UPDATE operations SET lease_time = ? WHERE name = ? AND holder = ? AND ended = 0",
        [(tx.now + seconds, name, holder) for name in names],
    )


def move(tx: Transaction, name: str, fence: int | None, state: State, **changes: Any) -> Operation:
    """Moves an operation, with whatever else changes.

    Args:
        tx: The transaction.
        name: Which one.
        fence: The fencing number that the caller holds; None for moves that need no lease, such as a cancel.
        state: The new state.
        **changes: New values of ``progress``, ``step``, ``response`` or ``error``.

    Raises:
        Conflict: With LEASE_LOST if another holder has taken over: the caller must not change anything any more.
        FailedPrecondition: If the state cannot move so.
    """
    row = tx.one(f"SELECT {COLUMNS} FROM operations WHERE name = ?", (name,))
    if row is None:
        raise not_found(name)
    operation = from_row(row)
    if fence is not None and fence != operation.fence:
        raise Conflict(f"another holder works on {name} now", reason="LEASE_LOST", metadata={"lease": name})
    if state not in MOVES[operation.state]:
        raise FailedPrecondition(
            f"{name} is {operation.state.name}", metadata={"state": operation.state.name}, resource=name
        )
    end_time = tx.now if state.ended else 0.0
    moved = replace(operation, state=state, update_time=tx.now, end_time=end_time, **changes)
    tx.send(
        "UPDATE operations SET state = ?, progress = ?, step = ?, update_time = ?, end_time = ?, response = ?, "
        "error = ?, ended = ? WHERE name = ?",
        (
            *(int(state), moved.progress, moved.step, tx.now, end_time, moved.response, moved.error),
            *(int(state.ended), name),
        ),
    )
    return moved


def is_held(tx: Transaction, name: str, fence: int, holder: str) -> bool:
    """Returns whether an operation goes on in this attempt: not ended, postponed or taken over."""
    query = "SELECT 1 FROM operations WHERE name = ? AND fence = ? AND holder = ? AND ended = 0"
    return tx.one(query, (name, fence, holder)) is not None


def check(tx: Transaction, name: str, fence: int) -> None:
    """Checks that the caller still holds an operation, before it writes anything else.

    Raises:
        Conflict: With LEASE_LOST if not.
    """
    if tx.one("SELECT 1 FROM operations WHERE name = ? AND fence = ? AND ended = 0", (name, fence)) is None:
        raise Conflict(f"another holder works on {name} now", reason="LEASE_LOST", metadata={"lease": name})


def postpone(tx: Transaction, name: str, fence: int, until: float, error: bytes) -> None:
    """Gives an operation back until a time (seconds since 1970), with the error of this attempt.

    Raises:
        Conflict: With LEASE_LOST if another holder has taken over.
    """
    check(tx, name, fence)
    tx.send(
        "UPDATE operations SET due_time = ?, lease_time = 0, holder = '', error = ?, update_time = ? WHERE name = ?",
        (until, error, tx.now, name),
    )


def rest(tx: Transaction, name: str, fence: int, until: float) -> None:
    """Gives an operation back until a time or until it is woken. Nothing has failed, so going on is no new attempt.

    Raises:
        Conflict: With LEASE_LOST if another holder has taken over.
    """
    postpone(tx, name, fence, until, b"")
    tx.send("UPDATE operations SET holder = ? WHERE name = ?", (RESTS, name))


def set_work(tx: Transaction, name: str, fence: int, work: Mapping[str, Any]) -> None:
    """Stores what the holder needs to go on.

    Raises:
        Conflict: With LEASE_LOST if another holder has taken over.
    """
    check(tx, name, fence)
    tx.send("UPDATE operations SET work = ? WHERE name = ?", (orjson.dumps(work).decode(), name))


def wake(tx: Transaction, name: str) -> None:
    """Makes an operation that waits due at once; one that has ended, or is not there, stays as it is."""
    tx.send("UPDATE operations SET due_time = ? WHERE name = ? AND ended = 0", (tx.now, name))


def request_cancel(tx: Transaction, tenant: str, name: str) -> Operation:
    """Asks for the end of an operation; one that has ended stays as it is. It becomes due at once."""
    operation = get(tx, tenant, name)
    if operation.state.ended or operation.state is State.CANCELLING:
        return operation
    moved = move(tx, name, None, State.CANCELLING)
    tx.send("UPDATE operations SET due_time = ? WHERE name = ?", (tx.now, name))
    return moved


def next_due(tx: Transaction) -> float | None:
    """Returns when the next operation can be claimed (seconds since 1970); None if none is open."""
    row = tx.one(
        "SELECT MIN(CASE WHEN lease_time > due_time THEN lease_time ELSE due_time END) FROM operations WHERE ended = 0"
    )
    return None if row is None or row[0] is None else float(row[0])
