"""Purges of dead letters in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sutler.filtering import parse
from sutler.idempotency import Once
from sutler.operations import Operation, State
from sutler.store import Database, Transaction

from services.rule.adapters.database import operating, schemas
from services.rule.purging import ALL, Purged
from services.rule.wire.operations import purge_response

CHUNK = 500
SAMPLE = 100


class DatabasePurges:
    """Stores purges. See :class:`services.rule.purging.Purges`.

    Args:
        database: Where dead letters and operations are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, tenant: str, filter_: str) -> Purged:
        """Returns what a purge would delete now."""

        def read(tx: Transaction) -> Purged:
            where, values = matching(tx, tenant, filter_)
            count, _ = extent(tx, where, values)
            rows = tx.all(f"SELECT name FROM dead_letters WHERE {where} ORDER BY seq LIMIT ?", (*values, SAMPLE))
            return Purged(count, [name for (name,) in rows])

        return await self._database.scan(read)

    async def begin(self, tenant: str, creator: str, filter_: str, once: Once | None) -> Operation:
        """Stores a purge of what matches now."""

        def read(tx: Transaction) -> tuple[int, int]:
            return extent(tx, *matching(tx, tenant, filter_))

        total, last = await self._database.scan(read)
        work = {"filter": filter_, "last": last, "total": total, "count": 0}
        return await self._database.write(
            lambda tx: operating.begin(tx, tenant, creator, "PurgeDeadLetters", "deadLetters", work, once)
        )

    async def delete_some(self, operation: Operation) -> bool:
        """Deletes some of what is left."""

        def change(tx: Transaction) -> bool:
            work = operating.work_of(tx, operation)
            where, values = matching(tx, operation.tenant, work["filter"])
            deleted = tx.execute(
                "DELETE FROM dead_letters WHERE seq IN "
                f"(SELECT seq FROM dead_letters WHERE {where} AND seq <= ? ORDER BY seq LIMIT ?)",
                (*values, work["last"], CHUNK),
            )
            work["count"] += deleted
            percent = min(99, 100 * work["count"] // max(1, work["total"]))
            operating.save(tx, operation, work, percent, f"{work['count']} of {work['total']} deleted")
            return deleted == CHUNK

        return await self._database.write(change)

    async def end(self, operation: Operation, state: State) -> None:
        """Ends a purge."""

        def change(tx: Transaction) -> None:
            count = operating.work_of(tx, operation)["count"]
            operating.end(tx, operation, state, purge_response(Purged(count)))

        await self._database.write(change)


def matching(tx: Transaction, tenant: str, filter_: str) -> tuple[str, Sequence[Any]]:
    """Returns the condition, with its values, for the dead letters that match a filter.

    Raises:
        Invalid: If the filter is wrong (FILTER_INVALID).
    """
    wanted, values = parse("" if filter_.strip() == ALL else filter_, schemas.LETTERS).sql(tx.dialect)
    return f"tenant = ? AND ({wanted})", (tenant, *values)


def extent(tx: Transaction, where: str, values: Sequence[Any]) -> tuple[int, int]:
    """Returns how many there are, and the place of the last."""
    row = tx.one(f"SELECT COUNT(*), COALESCE(MAX(seq), 0) FROM dead_letters WHERE {where}", values)
    assert row is not None
    return int(row[0]), int(row[1])
