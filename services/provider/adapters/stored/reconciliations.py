"""The operations of reconciliations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sutler.errors import Cancelled, SutlerError
from sutler.ids import new_id
from sutler.operations import records
from sutler.operations.model import Operation, State
from sutler.store import Transaction

from services.provider.adapters.stored.operations import will
from services.provider.adapters.stored.shapes import Shapes
from services.provider.ports import Turn
from services.provider.reconcile.findings import METHOD, Inquiry, Progress


class StoredReconciliations:
    """The operations within one transaction; see :class:`services.provider.ports.Reconciliations`."""

    def __init__(self, tx: Transaction, shapes: Shapes) -> None:
        self._tx = tx
        self._shapes = shapes

    def begin(self, inquiry: Inquiry) -> Operation:
        """Stores the operation of a reconciliation."""
        operation = Operation(
            name=f"providerOperations/{new_id()}",
            tenant=inquiry.tenant,
            method=METHOD,
            target=inquiry.provider,
            work=_Work(inquiry, Progress()).dump(),
            principal=will(inquiry.tenant),
            creator=inquiry.creator,
            correlation_id=inquiry.correlation_id,
        )
        return records.insert(self._tx, operation)

    def applying(self, tenant: str, provider: str) -> Operation | None:
        """Returns the open operation that reconciles a provider and acts on what it finds."""
        found = self._rows("AND tenant = ? AND target = ?", (tenant, provider))
        return next((operation for operation in found if _Work.load(operation).inquiry.apply), None)

    def open(self, place: str, limit: int) -> Sequence[tuple[Operation, Inquiry, Progress]]:
        """Returns the operations of reconciliations at a place that have not ended, the oldest first."""
        works = [(operation, _Work.load(operation)) for operation in self._rows("ORDER BY start_time", ())]
        return [(o, work.inquiry, work.progress) for o, work in works if work.inquiry.place == place][:limit]

    def resume(self, operation: Operation, turn: Turn) -> None:
        """Notes that a holder of the turn begins to carry an operation out; raises Conflict (LEASE_LOST)."""
        if self._open(operation).fence != turn.fence:
            self._tx.execute(
                "UPDATE operations SET fence = ?, attempt = attempt + 1 WHERE name = ?", (turn.fence, operation.name)
            )

    def advance(self, operation: Operation, inquiry: Inquiry, progress: Progress, percent: int) -> None:
        """Stores how far an operation has come; raises Conflict (LEASE_LOST)."""
        stored = self._open(operation)
        records.set_work(self._tx, stored.name, stored.fence, _Work(inquiry, progress).dump())
        keep = State.CANCELLING if stored.state is State.CANCELLING else State.RUNNING
        step = f"{progress.observed} machines compared, {progress.count} findings"
        records.move(self._tx, stored.name, None, keep, progress=max(stored.progress, percent), step=step)

    def succeed(self, operation: Operation, inquiry: Inquiry, progress: Progress) -> None:
        """Ends an operation with what it found; raises Conflict (LEASE_LOST)."""
        self._open(operation)
        response = self._shapes.reconciliation_response(inquiry, progress)
        records.move(self._tx, operation.name, None, State.SUCCEEDED, response=response, progress=100, step="")

    def fail(self, operation: Operation, error: SutlerError) -> None:
        """Ends an operation with an error; does nothing if it has ended."""
        if records.get(self._tx, operation.tenant, operation.name).state.ended:
            return
        state = State.CANCELLED if isinstance(error, Cancelled) else State.FAILED
        records.move(self._tx, operation.name, None, state, error=self._shapes.status(error))

    def _open(self, operation: Operation) -> Operation:
        stored = records.get(self._tx, operation.tenant, operation.name)
        records.check(self._tx, stored.name, stored.fence)
        return stored

    def _rows(self, condition: str, values: Sequence[Any]) -> list[Operation]:
        rows = self._tx.all(
            f"SELECT {records.COLUMNS} FROM operations WHERE ended = 0 AND method = ? {condition}", (METHOD, *values)
        )
        return [records.from_row(row) for row in rows]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is stored of a reconciliation that has not ended."""

    inquiry: Inquiry
    progress: Progress

    def dump(self) -> Mapping[str, Any]:
        """Returns it as JSON."""
        dumped: Mapping[str, Any] = _WORK.dump_python(self, mode="json")
        return dumped

    @staticmethod
    def load(operation: Operation) -> _Work:
        """Returns that of an operation."""
        return _WORK.validate_python(operation.work)


_WORK = TypeAdapter(_Work)
