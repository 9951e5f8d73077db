"""What each process has counted, in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sutler.store import Database, Transaction


class StoredFigures:
    """See :class:`services.erp.ports.FigureStore`.

    Args:
        db: The store.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, process: str, figures: Mapping[str, Any]) -> None:
        """Stores what a process has counted."""

        def change(tx: Transaction) -> None:
            tx.execute("UPDATE figures SET time = ? WHERE process = ?", (tx.now, process))
            for uid, one in figures.items():
                tx.execute(
                    "INSERT INTO figures (process, connection_uid, figures, time) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (process, connection_uid)"
                    " DO UPDATE SET figures = excluded.figures, time = excluded.time",
                    (process, uid, orjson.dumps(one).decode(), tx.now),
                )

        await self._db.write(change)

    async def others(self, process: str, uid: str, seconds: float) -> list[Mapping[str, Any]]:
        """Returns what other processes have counted of a connection."""
        rows = await self._db.read(
            lambda tx: tx.all(
                "SELECT figures FROM figures WHERE connection_uid = ? AND process <> ? AND time > ?",
                (uid, process, tx.now - seconds),
            )
        )
        return [orjson.loads(row[0]) for row in rows]

    async def drop(self, process: str) -> None:
        """Removes what a process stored."""
        await self._db.write(lambda tx: tx.execute("DELETE FROM figures WHERE process = ?", (process,)))
