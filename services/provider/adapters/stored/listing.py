"""Lists and watches of stored things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from sutler.filtering import Schema, after_sql, order_sql, parse, position
from sutler.paging import Order, fitting, parse_order_by
from sutler.store import Database, Row, Transaction

from services.provider.adapters.stored import marks, schemas, shelves
from services.provider.adapters.stored.book import CHANGES
from services.provider.adapters.stored.shapes import Shapes
from services.provider.adapters.stored.shelves import Table
from services.provider.cost.prices import PriceTable
from services.provider.machines import Machine
from services.provider.ports import ChangeKind, Listed, Noticed
from services.provider.providers import Provider
from services.provider.requests import MachineRequest
from services.provider.templates import Template

T = TypeVar("T", bound=Provider | Template | MachineRequest | Machine | PriceTable)


class StoredListing(Generic[T]):
    """The things in one table; see :class:`services.provider.ports.Listing`.

    Args:
        database: Where it is.
        table: The table.
        schema: What can be filtered and ordered by.
        orders: The order where the caller names none.
        size: How many bytes a thing takes in a message.
    """

    def __init__(
        self,
        database: Database,
        table: Table[T],
        schema: Schema,
        orders: Sequence[Order],
        size: Callable[[T], int],
    ) -> None:
        self._database = database
        self._table = table
        self._schema = schema
        self._orders = orders
        self._size = size

    async def find(
        self, tenant: str, filter: str, order_by: str, after: Sequence[Any] | None, limit: int
    ) -> Sequence[Listed[T]]:
        """Returns things that pass a filter, in order, after a position."""
        dialect = self._database.dialect
        orders = parse_order_by(order_by, self._schema.orderable, self._orders)
        condition, values = parse(filter, self._schema).sql(dialect)
        beyond, beyond_values = ("TRUE", ()) if after is None else after_sql(orders, self._schema, after, dialect)
        order, order_values = order_sql(orders, self._schema, dialect)
        sql = (
            f"SELECT body FROM {self._table.name} WHERE tenant = ? AND ({condition}) AND ({beyond})"
            f" ORDER BY {order} LIMIT ?"
        )
        parameters: tuple[Any, ...] = (tenant, *values, *beyond_values, *order_values, limit)
        rows = await self._database.scan(lambda tx: tx.all(sql, parameters))
        return [Listed(self._table.load(body), position(orjson.loads(body), orders, self._schema)) for (body,) in rows]

    def matches(self, filter: str) -> Callable[[T], bool]:
        """Returns a function that tells whether a thing passes a filter."""
        predicate = parse(filter, self._schema).predicate()
        return lambda item: predicate(orjson.loads(self._table.dump(item)))

    def log(self, tenant: str, filter: str) -> StoredLog[T]:
        """Returns the changes of a tenant's things, as a watch with a filter sees them."""
        passes = parse(filter, self._schema).predicate()
        return StoredLog(self._database, self._table, tenant, filter, passes, self._size)


@dataclass(frozen=True, slots=True)
class StoredLog(Generic[T]):
    """The log of changes of one table and tenant; see :class:`sutler.tails.Log`.

    Attributes:
        database: Where it is.
        table: The table.
        tenant: Whose changes.
        filter: The filter as it was written.
        passes: Whether a thing passes it.
        length: How many bytes a thing takes in a message.
    """

    database: Database
    table: Table[T]
    tenant: str
    filter: str
    passes: Callable[[Mapping[str, Any]], bool]
    length: Callable[[T], int]

    @property
    def identity(self) -> tuple[str, str, str]:
        """Says which log it is, and how it is seen."""
        return self.table.name, self.tenant, self.filter

    def size(self, change: Noticed[T]) -> int:
        """Returns how many bytes a change takes in a message."""
        return 0 if change.item is None else self.length(change.item)

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""

        def read(tx: Transaction) -> tuple[int, int]:
            drawn = tx.one("SELECT value FROM sequences WHERE name = ?", (CHANGES,))
            oldest = marks.oldest(tx, self.table.name, self.tenant)
            return oldest, max(oldest, int(drawn[0]) if drawn else 0)

        return await self.database.read(read)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Noticed[T]]]:
        """Returns entries after a position, in order, each with its own: at most ``limit``, and not more than go into
        one message of 3 MiB, but at least one if there is one."""
        rows = await self.database.read(lambda tx: self._rows(tx, position, limit))
        entries = [(seq, self._noticed(time, before, after)) for seq, time, before, after in rows]
        return entries[: fitting(self.size(seen) for _, seen in entries)]

    def _rows(self, tx: Transaction, position: int, limit: int) -> Sequence[Row]:
        """Returns the rows of entries; what is stored may be far larger than what is sent, so it is bounded too."""
        which = "FROM changes WHERE collection = ? AND tenant = ? AND seq > ?"
        log = (self.table.name, self.tenant, position)
        lengths = "COALESCE(LENGTH(body_before), 0) + COALESCE(LENGTH(body_after), 0)"
        found = tx.all(f"SELECT seq, {lengths} {which} ORDER BY seq LIMIT ?", (*log, limit))
        if not found:
            return []
        last = found[fitting(length for _, length in found) - 1][0]
        return tx.all(
            f"SELECT seq, change_time, body_before, body_after {which} AND seq <= ? ORDER BY seq", (*log, last)
        )

    def _noticed(self, time: float, before: str | None, after: str | None) -> Noticed[T]:
        was = before is not None and self.passes(orjson.loads(before))
        fits = after is not None and self.passes(orjson.loads(after))
        if not was and not fits:
            return Noticed(None, None, time)
        kind = ChangeKind.UPDATED if was and fits else ChangeKind.CREATED if fits else ChangeKind.DELETED
        body = after or before
        assert body is not None
        return Noticed(kind, self.table.load(body), time)


@dataclass(frozen=True, slots=True)
class Listings:
    """The listings of all tables.

    Attributes:
        providers: The providers.
        templates: The templates.
        requests: The machine requests.
        machines: The machines.
        price_tables: The price tables.
    """

    providers: StoredListing[Provider]
    templates: StoredListing[Template]
    requests: StoredListing[MachineRequest]
    machines: StoredListing[Machine]
    price_tables: StoredListing[PriceTable]


def listings(database: Database, shapes: Shapes) -> Listings:
    """Returns the listings of a database."""
    return Listings(
        StoredListing(database, shelves.PROVIDERS, schemas.PROVIDERS, schemas.BY_NAME, shapes.size),
        StoredListing(database, shelves.TEMPLATES, schemas.TEMPLATES, schemas.BY_NAME, shapes.size),
        StoredListing(database, shelves.REQUESTS, schemas.REQUESTS, schemas.NEWEST_FIRST, shapes.size),
        StoredListing(database, shelves.MACHINES, schemas.MACHINES, schemas.BY_NAME, shapes.size),
        StoredListing(database, shelves.PRICE_TABLES, schemas.PRICE_TABLES, schemas.BY_NAME, shapes.size),
    )
