"""The caches themselves, in the service's own database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import orjson
import structlog
from sutler.errors import AlreadyExists, not_found
from sutler.etags import check_etag
from sutler.events import Event
from sutler.filtering import after_sql, order_sql
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.store import Database, Transaction, outbox
from sutler.store.requests import remember
from sutler.store.sequences import draw

from services.cache.adapters.database import rows
from services.cache.caches import COLLECTION, Cache, Compression, Eviction, Rules
from services.cache.faults import has_children
from services.cache.listing import CACHES, Query
from services.cache.results import Deletion, Dropped

log = structlog.get_logger("sutler.cache")

MAX_KNOWN = 10_000
MAX_COUNTED = 1000
"""So many children are counted for an error; more are called as many."""

_NUMBERS = "caches"
"""The sequence of the numbers of caches."""

_COLUMNS = "tenant, name, uid, space, revision, create_time, update_time, rules"


class StoredCatalogue:
    """Caches in a table. See :class:`services.cache.ports.Catalogue`.

    Args:
        database: Where.
        keep: How long answers of repeated requests are remembered.
    """

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._db = database
        self._keep = keep
        self._known: dict[tuple[str, str], Cache] = {}

    def recall(self, tenant: str, cache_id: str) -> Cache | None:
        """Returns a cache as it was known last."""
        return self._known.get((tenant, cache_id))

    async def get(self, tenant: str, cache_id: str) -> Cache | None:
        """Returns a cache as it is now."""
        found = await self._db.read(lambda tx: _find(tx, tenant, cache_id))
        if found is None:
            self._known.pop((tenant, cache_id), None)
        else:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[tenant, cache_id] = found
        return found

    async def page(self, tenant: str, query: Query) -> list[Cache]:
        """Returns caches of a tenant."""
        return await self._db.scan(lambda tx: _page(tx, tenant, query))

    async def after(self, space: int, limit: int) -> list[Cache]:
        """Returns caches of all tenants, by number."""
        sql = f"SELECT {_COLUMNS} FROM caches WHERE space > ? ORDER BY space LIMIT ?"
        return [_cache(row) for row in await self._db.scan(lambda tx: tx.all(sql, (space, limit)))]

    async def create(self, cache: Cache, once: Once | None, *, validate_only: bool) -> Cache:
        """Stores a new cache."""
        if validate_only:
            await self._db.read(lambda tx: _check_free(tx, cache))
            return cache

        def insert(tx: Transaction) -> Cache:
            stored = _insert(tx, cache)
            remember(tx, once, stored, self._keep)
            return stored

        return await self._db.write(insert)

    async def change(
        self,
        tenant: str,
        cache_id: str,
        decide: Callable[[Cache | None], Cache],
        once: Once | None,
        *,
        validate_only: bool,
    ) -> Cache:
        """Stores what ``decide`` makes of a cache."""
        if validate_only:
            return await self._db.read(lambda tx: _would_be(tx, decide(_find(tx, tenant, cache_id))))

        def update(tx: Transaction) -> Cache:
            found = _find(tx, tenant, cache_id)
            decided = decide(found)
            if decided == found:
                stored = decided
            else:
                stored = _update(tx, decided) if decided.uid else _insert(tx, decided)
            remember(tx, once, stored, self._keep)
            return stored

        return await self._db.write(update)

    async def delete(
        self,
        deletion: Deletion,
        once: Once | None,
        *,
        validate_only: bool,
        event: Callable[[Cache], Event] | None = None,
    ) -> None:
        """Deletes a cache."""
        if validate_only:
            await self._db.read(lambda tx: _deletable(tx, deletion))
            return

        def remove(tx: Transaction) -> None:
            found = _deletable(tx, deletion)
            if found is not None:
                if event is not None and found.rules.publish_invalidations:
                    outbox.append(tx, event(found))
                _drop(tx, found)
            remember(tx, once, None, self._keep)

        await self._db.write(remove)

    async def dropped(self, limit: int) -> list[Dropped]:
        """Returns caches that were deleted."""
        sql = "SELECT space, metadata_backend, drop_time FROM dropped_caches ORDER BY space LIMIT ?"
        return [Dropped(*row) for row in await self._db.scan(lambda tx: tx.all(sql, (limit,)))]

    async def gone(self, tenant: str) -> list[int]:
        """Returns the numbers of deleted caches of a tenant."""
        sql = "SELECT space FROM dropped_caches WHERE tenant = ? ORDER BY space"
        return [row[0] for row in await self._db.scan(lambda tx: tx.all(sql, (tenant,)))]

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        await self._db.write(lambda tx: tx.execute("DELETE FROM dropped_caches WHERE space = ?", (space,)))

    async def pass_over(self, highest: int) -> None:
        """Gives no new cache a number up to this one, which a backend knows already.

        A number that was never given is known where the database is an older copy of itself: entries of caches that
        it has lost are still there, and must not be taken for those of new caches.
        """

        def draw_up_to(tx: Transaction) -> int:
            missing = highest - draw(tx, _NUMBERS, 0)
            return draw(tx, _NUMBERS, missing) if missing > 0 else 0

        if await self._db.write(draw_up_to):
            log.warning("cache.database_older_than_backend", highest=highest)


def _cache(row: Sequence[Any]) -> Cache:
    tenant, name, uid, space, revision, create_time, update_time, rules = row
    values = orjson.loads(rules)
    values["eviction"] = Eviction[values["eviction"]]
    values["compression"] = Compression[values["compression"]]
    return Cache(
        tenant=tenant,
        id=name.removeprefix(f"{COLLECTION}/"),
        uid=uid,
        space=space,
        revision=revision,
        create_time=create_time,
        update_time=update_time,
        rules=Rules(**values),
    )


def _rules(cache: Cache) -> str:
    values = asdict(cache.rules)
    values["eviction"], values["compression"] = cache.rules.eviction.name, cache.rules.compression.name
    return orjson.dumps({name: value for name, value in values.items() if value is not None}).decode()


def _find(tx: Transaction, tenant: str, cache_id: str) -> Cache | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM caches WHERE tenant = ? AND name = ?", (tenant, f"{COLLECTION}/{cache_id}"))
    return None if row is None else _cache(row)


def _check_free(tx: Transaction, cache: Cache) -> None:
    """Checks that no cache of the tenant has this id in any case."""
    row = tx.one("SELECT name FROM caches WHERE tenant = ? AND folded = ?", (cache.tenant, cache.id.lower()))
    if row is not None:
        raise AlreadyExists(f"{row[0]} exists already", resource=row[0])


def _insert(tx: Transaction, cache: Cache) -> Cache:
    _check_free(tx, cache)
    stored = replace(cache, uid=new_id(), space=draw(tx, _NUMBERS), revision=1, create_time=tx.now, update_time=tx.now)
    tx.execute(
        f"INSERT INTO caches ({_COLUMNS}, folded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stored.tenant,
            stored.name,
            stored.uid,
            stored.space,
            stored.revision,
            tx.now,
            tx.now,
            _rules(stored),
            stored.id.lower(),
        ),
    )
    return stored


def _update(tx: Transaction, cache: Cache) -> Cache:
    stored = replace(cache, revision=cache.revision + 1, update_time=tx.now)
    tx.execute(
        "UPDATE caches SET revision = ?, update_time = ?, rules = ? WHERE space = ?",
        (stored.revision, tx.now, _rules(stored), stored.space),
    )
    rows.moved(tx, stored.space)
    return stored


def _would_be(tx: Transaction, decided: Cache) -> Cache:
    if not decided.uid:
        _check_free(tx, decided)
    return decided


def _deletable(tx: Transaction, deletion: Deletion) -> Cache | None:
    found = _find(tx, deletion.tenant, deletion.cache_id)
    if found is None:
        if deletion.allow_missing:
            return None
        raise not_found(f"{COLLECTION}/{deletion.cache_id}")
    check_etag(deletion.etag, found.etag, found.name)
    if not deletion.force:
        _check_empty(tx, found)
    return found


def _check_empty(tx: Transaction, cache: Cache) -> None:
    row = tx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM entries WHERE space = ? AND (expire_time IS NULL OR expire_time > ?)"
        " LIMIT ?) AS children",
        (cache.space, tx.now, MAX_COUNTED),
    )
    if row is not None and row[0]:
        raise has_children(cache.name, row[0], more=row[0] == MAX_COUNTED)


def _drop(tx: Transaction, cache: Cache) -> None:
    for table in ("caches", "counters", "gauges"):
        tx.execute(f"DELETE FROM {table} WHERE space = ?", (cache.space,))
    tx.execute(
        "INSERT INTO dropped_caches (space, tenant, metadata_backend, drop_time) VALUES (?, ?, ?, ?)",
        (cache.space, cache.tenant, cache.rules.metadata_backend, tx.now),
    )
    rows.moved(tx, cache.space)


def _page(tx: Transaction, tenant: str, query: Query) -> list[Cache]:
    condition, values = query.filter.sql(tx.dialect)
    parts, params = ["tenant = ?", condition], [tenant, *values]
    if query.after is not None:
        text, last = after_sql(query.orders, CACHES, query.after, tx.dialect)
        parts.append(f"({text})")
        params += last
    order, ordering = order_sql(query.orders, CACHES, tx.dialect)
    found = tx.all(
        f"SELECT {_COLUMNS} FROM caches WHERE {' AND '.join(parts)} ORDER BY {order} LIMIT ?",
        (*params, *ordering, query.limit + 1),
    )
    return [_cache(row) for row in found]
