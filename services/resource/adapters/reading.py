"""Reads for the API: resources, types and revisions as they are shown, one by one or in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sutler.errors import invalid, not_found
from sutler.filtering import Filter, Schema, after_sql, order_sql, position
from sutler.paging import Order, fitting
from sutler.store import Database, Row, Transaction

from services.resource.adapters import encoding
from services.resource.adapters.fields import RESOURCES, REVISIONS, TYPES
from services.resource.adapters.totals import MEMBERS
from services.resource.names import is_below, key, parse, root_of
from services.resource.resource_type import ResourceType

Condition = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Query:
    """Which items, in which order, and which page of them.

    Attributes:
        filter: What the caller filters by.
        orders: By what they are ordered.
        after: Where the page begins; None for the first.
        size: How many items at the most.
    """

    filter: Filter
    orders: Sequence[Order]
    after: Sequence[Any] | None
    size: int


@dataclass(frozen=True, slots=True)
class Within:
    """Which part of the tree is meant.

    Attributes:
        parent: The scope or resource above; empty for the root.
        recursive: All below it, not only its own level.
        type: Only this type; any if empty.
    """

    parent: str
    recursive: bool
    type: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One page.

    Attributes:
        rows: What was found; for resources and revisions with messages as bytes.
        next: Where the next page begins; None at the end.
    """

    rows: Sequence[Any]
    next: Sequence[Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Resources that were asked for by name.

    Attributes:
        found: Those that exist, as messages.
        missing: The names that do not.
        next: How many names this answer and those before it have dealt with; None if all.
    """

    found: Sequence[bytes]
    missing: Sequence[str]
    next: int | None


class Reader:
    """Answers reads.

    Args:
        database: Where everything is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def resource(self, tenant: str, name: str) -> bytes:
        """Returns a resource as a message.

        Raises:
            NotFound: If there is none of this name.
            Invalid: If the name cannot be one (FIELD_INVALID).
        """
        wanted = (tenant, key(name))
        row = await self._database.one("SELECT shown FROM resources WHERE tenant = ? AND key = ?", wanted)
        if row is None:
            parse(name)
            raise not_found(name)
        found: bytes = row[0]
        return found

    async def batch(self, tenant: str, parent: str, names: Sequence[str], start: int, *, missing_ok: bool) -> Batch:
        """Returns resources as messages, in the order asked for, as many as fit into one answer.

        Args:
            tenant: Whose they are.
            parent: The scope that all names must be in; any if empty.
            names: Which resources.
            start: How many of them an earlier answer had.
            missing_ok: Whether those that do not exist are told instead of refused.

        Raises:
            NotFound: Naming the first that does not exist.
            Invalid: If a name is not in the scope (FIELD_INVALID).
        """
        for index, name in enumerate(names):
            if not is_below(name, parent) and key(name) != key(parent):
                raise invalid(f"names[{index}]", f"{name} is not in {parent}")
        wanted = names[start:]
        keys = [key(name) for name in wanted]
        marks = ", ".join("?" * len(keys))
        rows = await self._database.read(
            lambda tx: tx.all(
                f"SELECT key, shown FROM resources WHERE tenant = ? AND key IN ({marks})", (tenant, *keys)
            )
        )
        found: dict[str, bytes] = {row[0]: row[1] for row in rows}
        missing = [name for name in wanted if key(name) not in found]
        if missing and not missing_ok:
            raise not_found(missing[0])
        count = fitting(len(found.get(wanted_key, b"")) for wanted_key in keys)
        return Batch(
            [found[wanted_key] for wanted_key in keys[:count] if wanted_key in found],
            [name for name in wanted[:count] if key(name) not in found],
            start + count if count < len(wanted) else None,
        )

    async def list_resources(self, tenant: str, within: Within, query: Query) -> Found:
        """Returns a page of resources as messages.

        Raises:
            NotFound: If the parent does not exist.
            Invalid: If the parent is no name (FIELD_INVALID), or the page is of another order (PAGE_TOKEN_INVALID).
        """

        def read(tx: Transaction) -> Found:
            _check_exists(tx, tenant, within.parent)
            rows = page(tx, "resources", "shown, key", _scope(tenant, within), query, RESOURCES)
            shown = [row[0] for row in rows]
            sizes = [len(message) for message in shown]
            return _found(shown, sizes, rows, query, lambda row: _stored(tx, tenant, row[1]), RESOURCES)

        return await self._database.scan(read)

    async def list_types(self, tenant: str, query: Query) -> Found:
        """Returns a page of types. Raises Invalid as :meth:`list_resources`."""

        def read(tx: Transaction) -> Found:
            condition: Condition = ("tenant IN (?, '')", (tenant,))
            rows = page(tx, "types", "tenant, document", condition, query, TYPES)
            types: list[ResourceType] = [encoding.type_of(*row) for row in rows]
            return _found(types, [len(row[1]) for row in rows], rows, query, _document_item, TYPES)

        return await self._database.scan(read)

    async def list_revisions(self, tenant: str, within: Within, query: Query) -> Found:
        """Returns a page of revisions as rows of :data:`REVISION`. Raises Invalid as :meth:`list_resources`."""
        if within.parent:
            parse(within.parent, "parent")

        def read(tx: Transaction) -> Found:
            rows = page(tx, "revisions", REVISION, _history(tenant, within), query, REVISIONS)
            sizes = [len(row[-2] or b"") + len(row[-1] or b"") for row in rows]
            return _found(rows, sizes, rows, query, lambda row: {"revision": row[0]}, REVISIONS)

        return await self._database.scan(read)


REVISION = (
    "revision, resource, uid, kind, actor, cause, origin, method, request_id, operation, correlation_id, create_time,"
    " shown_before, shown_after"
)
"""The columns of a revision."""


def page(tx: Transaction, table: str, columns: str, condition: Condition, query: Query, schema: Schema) -> list[Row]:
    """Returns the rows of one page of a table, and one more if there is a next page."""
    where, params = condition
    wanted, values = query.filter.sql(tx.dialect)
    order, order_params = order_sql(query.orders, schema, tx.dialect)
    beyond: Condition = ("TRUE", ())
    if query.after is not None:
        beyond = after_sql(query.orders, schema, query.after, tx.dialect)
    return tx.all(
        f"SELECT {columns} FROM {table} WHERE {where} AND ({wanted}) AND ({beyond[0]}) ORDER BY {order} LIMIT ?",
        (*params, *values, *beyond[1], *order_params, query.size + 1),
    )


def _found(
    items: Sequence[Any], sizes: Sequence[int], rows: Sequence[Row], query: Query, item: Any, schema: Schema
) -> Found:
    count = min(query.size, fitting(sizes))
    if count >= len(items):
        return Found(items, None)
    return Found(items[:count], position(item(rows[count - 1]), query.orders, schema))


def _stored(tx: Transaction, tenant: str, key: str) -> dict[str, Any]:
    row = tx.one("SELECT document FROM resources WHERE tenant = ? AND key = ?", (tenant, key))
    assert row is not None  # it was found in the same read
    return encoding.parsed(row[0])


def _document_item(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(row[1])
    return found


def _check_exists(tx: Transaction, tenant: str, parent: str) -> None:
    if parent and tx.one("SELECT 1 FROM resources WHERE tenant = ? AND key = ?", (tenant, key(parent))) is None:
        parse(parent, "parent")
        raise not_found(parent)


def _scope(tenant: str, within: Within) -> Condition:
    parent = key(within.parent)
    condition, params = _below(tenant, parent, "key") if within.recursive else ("parent_key = ?", (parent,))
    if within.type:
        # Without statistics SQLite would take the index of all resources of the type, unless it cannot.
        column = "type_key" if within.recursive else "type_key || ''"
        condition, params = f"{condition} AND {column} = ?", (*params, key(within.type))
    return f"tenant = ? AND {condition}", (tenant, *params)


def _history(tenant: str, within: Within) -> Condition:
    parent = key(within.parent)
    if not within.recursive:
        return "tenant = ? AND resource_key = ?", (tenant, parent)
    below, params = _below(tenant, parent, "resource_key")
    return f"tenant = ? AND (resource_key = ? OR {below})", (tenant, parent, *params)


def _below(tenant: str, parent: str, column: str) -> Condition:
    """Returns the condition for all below a key; below a management group is also what belongs to it."""
    if not parent:
        return "TRUE", ()
    path: Condition = (f"({column} > ? AND {column} < ?)", (f"{parent}/", f"{parent}0"))
    if parent != root_of(parent) or not parent.startswith("managementgroups/"):
        return path
    return f"({path[0]} OR root_key IN ({MEMBERS}))", (*path[1], tenant, parent, tenant)
