"""How far the changes of caches have come, without a look into the database while nobody commits."""

from __future__ import annotations

from sutler.store import Database

from services.cache.adapters.database import rows
from services.cache.caches import Cache

MAX_CACHES = 10_000


class Versions:
    """Remembers the versions of caches with the mark of the database for which they are right.

    Args:
        database: Where caches and their versions are.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._known: dict[int, tuple[int, int, int]] = {}

    async def of(self, cache: Cache) -> int:
        """Returns the version of the entries of a cache. Raises as :func:`rows.to_version`."""
        mark = self._db.mark()
        known = self._known.get(cache.space)
        if known is not None and mark == known[0] and cache.revision == known[1]:
            return known[2]
        version = rows.to_version(cache, await self._db.one(rows.SELECT_VERSION, (cache.space,)))
        if mark is not None:
            if len(self._known) >= MAX_CACHES:
                self._known.clear()
            self._known[cache.space] = (mark, cache.revision, version)
        return version
