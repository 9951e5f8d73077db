"""A database that is not the service's own: it has copies of the caches, for its statements compare with them."""

from __future__ import annotations

from sutler.store import Database, Transaction
from sutler.store.keys import kept_key, server_key

from services.cache.adapters.database import rows
from services.cache.backend_faults import BackendForeignError
from services.cache.caches import Cache

_INSTALLATION = "installation"

_COPY = (
    "INSERT INTO caches (tenant, name, folded, uid, space, revision, create_time, update_time, rules)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{}') ON CONFLICT (space) DO UPDATE"
    " SET revision = excluded.revision"
)
_HIGHEST = (
    "SELECT MAX(space) FROM (SELECT MAX(space) AS space FROM spaces UNION SELECT MAX(space) FROM caches) AS known"
)


async def installation(database: Database) -> bytes:
    """Returns what tells this installation from others: made once, and kept in the service's own database."""
    return await server_key(database, _INSTALLATION)


async def claim(database: Database, mine: bytes) -> None:
    """Makes a database that of an installation, unless it is already.

    Raises:
        BackendForeignError: If it is that of another one.
    """
    if await kept_key(database, _INSTALLATION, mine) != mine:
        raise BackendForeignError


async def highest_number(database: Database) -> int:
    """Returns the highest number of a cache that a database knows; 0 if it knows none."""
    row = await database.read(lambda tx: tx.one(_HIGHEST))
    return (row[0] if row else 0) or 0


class CopiedCaches:
    """Keeps what the statements of a database need to know of a cache: that it is there, and its revision.

    Args:
        database: Where the entries are.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def copy(self, cache: Cache) -> None:
        """Has the database know a cache as it is now."""

        def copy(tx: Transaction) -> None:
            # A deleted cache of the same name may still be known; or the caller is late, and knows of the one before.
            tx.execute(
                "DELETE FROM caches WHERE tenant = ? AND folded = ? AND space <> ?",
                (cache.tenant, cache.id.lower(), cache.space),
            )
            tx.execute(
                _COPY,
                (
                    *(cache.tenant, cache.name, cache.id.lower(), cache.uid, cache.space, cache.revision),
                    *(cache.create_time, cache.update_time),
                ),
            )
            tx.found.clear()

        await self._db.write(copy)

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""

        def forget(tx: Transaction) -> None:
            tx.execute("DELETE FROM caches WHERE space = ?", (space,))
            rows.moved(tx, space)

        await self._db.write(forget)
