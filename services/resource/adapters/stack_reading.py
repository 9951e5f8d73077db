"""Reads stacks for the API, one by one or in pages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson
from sutler.errors import not_found
from sutler.filtering import position
from sutler.paging import fitting
from sutler.store import Database, Transaction

from services.resource.adapters import encoding
from services.resource.adapters.fields import STACKS
from services.resource.adapters.reading import Found, Query, page
from services.resource.names import key
from services.resource.stacks.stack import Became, MemberState, Stack


@dataclass(frozen=True, slots=True)
class StackReader:
    """Answers reads of stacks.

    Attributes:
        database: Where they are.
    """

    database: Database

    async def stack(self, tenant: str, name: str) -> Stack:
        """Returns a stack with the states of its members.

        Raises:
            NotFound: If there is none of this name.
        """
        found = await self.database.read(lambda tx: _stack(tx, tenant, name))
        if found is None:
            raise not_found(name)
        return found

    async def list_stacks(self, tenant: str, query: Query) -> Found:
        """Returns a page of stacks; it ends early where they are large.

        Raises:
            Invalid: If the page is of another order (PAGE_TOKEN_INVALID).
        """
        return await self.database.scan(lambda tx: _list(tx, tenant, query))


def _stack(tx: Transaction, tenant: str, name: str) -> Stack | None:
    row = tx.one("SELECT document FROM stacks WHERE tenant = ? AND key = ?", (tenant, key(name)))
    return None if row is None else _with_states(tx, tenant, row[0], name)


def _with_states(tx: Transaction, tenant: str, text: str, name: str) -> Stack:
    """Returns the stack in a column with the states of its members; those that others have deleted are GONE."""
    rows = tx.all(
        "SELECT m.document, r.uid FROM stack_members AS m"
        " LEFT JOIN resources AS r ON r.tenant = m.tenant AND r.key = m.key"
        " WHERE m.tenant = ? AND m.stack_key = ? ORDER BY m.place",
        (tenant, key(name)),
    )
    found = encoding.stack(tenant, text, [document for document, _ in rows])
    states = zip(found.member_states, (uid for _, uid in rows), strict=True)
    return replace(found, member_states=tuple(_as_it_is(state, uid) for state, uid in states))


def _as_it_is(state: MemberState, uid: str | None) -> MemberState:
    """Returns the state of a member, given the uid of the resource that has its name now."""
    if state.became is Became.SUCCEEDED and state.uid not in ("", uid):
        return replace(state, became=Became.GONE)
    return state


def _list(tx: Transaction, tenant: str, query: Query) -> Found:
    """Reads how large stacks are, and then only those that fit into one answer."""
    size = (
        "LENGTH(document) + (SELECT COALESCE(SUM(LENGTH(m.document)), 0) FROM stack_members AS m"
        " WHERE m.tenant = stacks.tenant AND m.stack_key = stacks.key)"
    )
    rows = page(tx, "stacks", f"key, {size}", ("tenant = ?", (tenant,)), query, STACKS)
    count = min(query.size, fitting(row[1] for row in rows))
    found: list[Stack] = []
    last: dict[str, Any] = {}
    for at, _ in rows[:count]:
        row = tx.one("SELECT document FROM stacks WHERE tenant = ? AND key = ?", (tenant, key(at)))
        assert row is not None  # it was there at this very moment
        found.append(_with_states(tx, tenant, row[0], at))
        last = orjson.loads(row[0])
    return Found(found, position(last, query.orders, STACKS) if count < len(rows) else None)
