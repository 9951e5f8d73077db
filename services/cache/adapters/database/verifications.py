"""Runs of VerifyCache, as operations in the service's own database."""

from __future__ import annotations

from datetime import timedelta

from sutler.context import current
from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.operations import Operation, State, records
from sutler.status import to_status
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.cache.caches import Cache
from services.cache.faults import verification_in_progress
from services.cache.problems import Report, Run, to_document
from services.cache.wire.entries import DOMAIN
from services.cache.wire.verification import to_response


class StoredVerifications:
    """Runs in the table of operations. See :class:`services.cache.ports.Verifications`.

    Args:
        database: Where.
        keep: How long answers of repeated requests are remembered.
    """

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._db = database
        self._keep = keep

    async def begin(self, cache: Cache, creator: str, run: Run, once: Once | None) -> Operation:
        """Stores a new run."""
        wanted = Operation(
            name=f"cacheOperations/{new_id()}",
            tenant=cache.tenant,
            method="VerifyCache",
            target=cache.name,
            work=to_document(run),
            creator=creator,
            correlation_id=current().correlation_id,
        )

        def insert(tx: Transaction) -> Operation:
            other = records.open_for(tx, cache.tenant, cache.name)
            if other is not None:
                raise verification_in_progress(cache.name, other.name)
            operation = records.insert(tx, wanted)
            remember(tx, once, operation, self._keep)
            return operation

        return await self._db.write(insert)

    async def save(self, operation: Operation, run: Run, percent: int, step: str) -> None:
        """Notes how far a run is."""

        def change(tx: Transaction) -> None:
            stored = records.get(tx, operation.tenant, operation.name)
            keep = State.CANCELLING if stored.state is State.CANCELLING else State.RUNNING
            records.set_work(tx, operation.name, operation.fence, to_document(run))
            records.move(tx, operation.name, operation.fence, keep, progress=percent, step=step)

        await self._db.write(change)

    async def end(
        self, operation: Operation, state: State, *, report: Report | None = None, error: SutlerError | None = None
    ) -> None:
        """Ends a run."""
        changes = {
            "response": b"" if report is None else to_response(report),
            "error": b"" if error is None else _status(error, operation),
        }
        done = {"progress": 100, "step": ""} if state is State.SUCCEEDED else {}
        await self._db.write(lambda tx: records.move(tx, operation.name, operation.fence, state, **changes, **done))


def _status(error: SutlerError, operation: Operation) -> bytes:
    return to_status(error, DOMAIN, operation.correlation_id).SerializeToString()
