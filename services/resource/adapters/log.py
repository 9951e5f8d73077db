"""The log of revisions as watches read it: in order, by position, once for all of a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sutler.paging import fitting
from sutler.store import Database, Transaction

from services.resource.adapters.changes import COLUMNS, LoggedChange, changes


@dataclass(frozen=True, slots=True)
class RevisionLog:
    """Implements :class:`sutler.tails.Log` for a tenant.

    Attributes:
        database: Where the log is.
        identity: The tenant.
    """

    database: Database
    identity: str

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""
        return await self.database.read(self.bounds_in)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, LoggedChange]]:
        """Returns entries after a position, in order."""
        return await self.database.read(lambda tx: self.after_in(tx, position, limit))

    def bounds_in(self, tx: Transaction) -> tuple[int, int]:
        """Returns what :meth:`bounds` does, as of the moment of a transaction."""
        compacted = tx.one("SELECT revision FROM compactions WHERE tenant = ?", (self.identity,))
        newest = tx.one("SELECT MAX(revision) FROM revisions WHERE tenant = ?", (self.identity,))
        oldest = compacted[0] if compacted else 0
        return oldest, max(oldest, (newest[0] if newest else 0) or 0)

    def size(self, change: LoggedChange) -> int:
        """Returns how many bytes a change takes in memory."""
        return change.size

    def after_in(self, tx: Transaction, position: int, limit: int) -> list[tuple[int, LoggedChange]]:
        """Returns what :meth:`after` does, as of the moment of a transaction."""
        which = "FROM revisions WHERE tenant = ? AND revision > ?"
        sizes = tx.all(
            f"SELECT revision, COALESCE(LENGTH(shown_before), 0) + COALESCE(LENGTH(shown_after), 0) {which}"
            " ORDER BY revision LIMIT ?",
            (self.identity, position, limit),
        )
        if not sizes:
            return []
        last = sizes[fitting(size for _, size in sizes) - 1][0]
        rows = tx.all(f"SELECT {COLUMNS} {which} AND revision <= ? ORDER BY revision", (self.identity, position, last))
        return [(change.revision, change) for change in changes(tx, self.identity, rows)]
