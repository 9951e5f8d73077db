"""Operations of this service in its database: each function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from sutler.context import current
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.operations import Operation, State, records
from sutler.store import Transaction
from sutler.store.requests import remember


def begin(
    tx: Transaction, tenant: str, creator: str, method: str, target: str, work: Mapping[str, Any], once: Once | None
) -> Operation:
    """Stores a new operation and remembers it as the answer of its request.

    Args:
        tx: The change.
        tenant: Whose it is.
        creator: The subject of the principal that asks for it.
        method: The RPC.
        target: What it works on.
        work: What is needed to carry it out.
        once: What remembers the answer.
    """
    wanted = Operation(
        name=f"ruleOperations/{new_id()}",
        tenant=tenant,
        method=method,
        target=target,
        work=work,
        creator=creator,
        correlation_id=current().correlation_id,
    )
    operation = records.insert(tx, wanted)
    remember(tx, once, operation)
    return operation


def work_of(tx: Transaction, operation: Operation) -> dict[str, Any]:
    """Returns how far an operation is. Raises Conflict (LEASE_LOST) if another process goes on with it."""
    records.check(tx, operation.name, operation.fence)
    return dict(records.get(tx, operation.tenant, operation.name).work)


def save(tx: Transaction, operation: Operation, work: Mapping[str, Any], percent: int, step: str) -> None:
    """Notes how far an operation is."""
    stored = records.get(tx, operation.tenant, operation.name)
    keep = State.CANCELLING if stored.state is State.CANCELLING else State.RUNNING
    records.set_work(tx, operation.name, operation.fence, work)
    records.move(tx, operation.name, operation.fence, keep, progress=max(stored.progress, percent), step=step)


def end(tx: Transaction, operation: Operation, state: State, response: Message) -> None:
    """Ends an operation; the response is that of one that succeeded."""
    changes: dict[str, Any] = {}
    if state is State.SUCCEEDED:
        packed = AnyMessage()
        packed.Pack(response)
        changes = {"response": packed.SerializeToString(), "progress": 100, "step": ""}
    records.move(tx, operation.name, operation.fence, state, **changes)


def wait_for(tx: Transaction, operation: Operation, seq: int) -> None:
    """Lets an operation wait for the end of an execution."""
    tx.execute("INSERT INTO replayed_executions (operation, execution) VALUES (?, ?)", (operation.name, seq))
