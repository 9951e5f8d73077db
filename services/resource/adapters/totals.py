"""Which part of the tree is below something, and what it adds up to."""

from __future__ import annotations

from typing import Any

from sutler.store import Transaction

from services.resource.adapters import encoding
from services.resource.names import key
from services.resource.quotas import DIGITS, Quota
from services.resource.scopes import GROUPS

CHUNK = 500

MEMBERS = (
    "WITH RECURSIVE members (key) AS"
    " (SELECT key FROM resources WHERE tenant = ? AND group_key = ? AND group_key <> ''"
    " UNION SELECT r.key FROM resources AS r JOIN members AS m ON r.group_key = m.key"
    " WHERE r.tenant = ? AND r.group_key <> '')"
    " SELECT key FROM members"
)
"""Finds the keys of the groups and subscriptions that belong to a management group: tenant, its key, tenant."""


def below(name: str) -> tuple[str, str]:
    """Returns between which texts the keys of all below a name lie: ``0`` follows ``/``."""
    return f"{key(name)}/", f"{key(name)}0"


def total(tx: Transaction, tenant: str, quota: Quota, name: str) -> float:
    """Returns what all below a name adds to a quota; below a management group is what belongs to it."""
    place, params = _within(tenant, name)
    counts = tx.all(f"SELECT type, COUNT(*) FROM resources WHERE tenant = ? AND {place} GROUP BY type", params)
    types: dict[str, float] = {type: number for type, number in counts if quota.counts(type)}
    if not quota.field:
        return sum(types.values())
    return round(sum(_amount(tx, quota, type, place, params) for type in types), DIGITS)


def _amount(tx: Transaction, quota: Quota, type: str, place: str, params: tuple[Any, ...]) -> float:
    amount, last = 0.0, ""
    while rows := tx.all(
        f"SELECT key, document FROM resources WHERE tenant = ? AND {place} AND type = ? AND key > ?"
        " ORDER BY key LIMIT ?",
        (*params, type, last, CHUNK),
    ):
        amount += sum(quota.amount_in(encoding.parsed(row[1])) for row in rows)
        last = rows[-1][0]
    return amount


def _within(tenant: str, name: str) -> tuple[str, tuple[Any, ...]]:
    """Returns the condition for what is below a name, with its parameters, the tenant first."""
    if not name:
        return "key <> ''", (tenant,)
    if not key(name).startswith(f"{key(GROUPS)}/"):
        return "key > ? AND key < ?", (tenant, *below(name))
    return f"((key > ? AND key < ?) OR root_key IN ({MEMBERS}))", (tenant, *below(name), tenant, key(name), tenant)
