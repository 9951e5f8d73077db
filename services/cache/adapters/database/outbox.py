"""Events that wait to be told, in the service's own database."""

from __future__ import annotations

from sutler.events import Event
from sutler.store import Database, outbox


class StoredOutbox:
    """Events in the library's outbox. See :class:`services.cache.ports.Outbox`.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def post(self, event: Event) -> None:
        """Stores an event behind those that wait."""
        await self._db.write(lambda tx: outbox.append(tx, event))
