"""The log of events in the database, for those who publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sutler.idempotency import Once
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.inserting import chunks
from services.rule.events import Cause, Content
from services.rule.executions import ExecutionState
from services.rule.outcomes import Aftermath, Claim, Published


class DatabaseLog:
    """Accepts events. See :class:`services.rule.publishing.EventLog`.

    Args:
        database: Where they are stored.
        acceptor: Accepts them.
    """

    def __init__(self, database: Database, acceptor: Acceptor) -> None:
        self._database = database
        self._acceptor = acceptor

    async def accept(
        self, tenant: str, contents: Sequence[Content], cause: Cause, claim: Claim, once: Callable[[], Once | None]
    ) -> tuple[Sequence[Published], Aftermath]:
        """Stores events, and remembers the answer."""
        remembering = once()
        if not contents and remembering is None:
            return [], Aftermath()

        def change(tx: Transaction) -> tuple[Sequence[Published], Aftermath]:
            accepted = self._acceptor.accept(tx, tenant, contents, cause, claim)
            remember(tx, remembering, accepted.results)
            return accepted.results, accepted.aftermath

        return await self._database.write(change)

    async def remember(self, once: Once | None, results: Sequence[Published]) -> None:
        """Remembers an answer that was not known yet when the events were accepted."""
        if once is not None:
            await self._database.write(lambda tx: remember(tx, once, results))

    async def unfinished(self, tenant: str, names: Sequence[str]) -> Sequence[str]:
        """Returns which of some events have cascades that go on."""

        def read(tx: Transaction) -> list[str]:
            found: list[str] = []
            for chunk in chunks(names):
                marks = ", ".join("?" * len(chunk))
                rows = tx.all(
                    f"SELECT name FROM events WHERE tenant = ? AND cascade_end_time IS NULL AND name IN ({marks})",
                    (tenant, *chunk),
                )
                found += [row[0] for row in rows]
            return found

        return await self._database.read(read)

    async def failed(self, tenant: str, names: Sequence[str]) -> frozenset[str]:
        """Returns in the cascades of which events something failed or was cancelled."""
        bad = (int(ExecutionState.FAILED), int(ExecutionState.CANCELLED))

        def read(tx: Transaction) -> frozenset[str]:
            found: set[str] = set()
            for chunk in chunks(names):
                marks = ", ".join("?" * len(chunk))
                rows = tx.all(
                    f"SELECT DISTINCT root_event FROM executions WHERE tenant = ? AND root_event IN ({marks})"
                    " AND state IN (?, ?)",
                    (tenant, *chunk, *bad),
                )
                found.update(row[0] for row in rows)
            return frozenset(found)

        return await self._database.scan(read)

    async def backlog(self) -> int:
        """Returns how many executions have not ended."""

        def read(tx: Transaction) -> int:
            row = tx.one("SELECT COUNT(*) FROM executions WHERE ended = 0")
            return int(row[0]) if row else 0

        return await self._database.scan(read)
