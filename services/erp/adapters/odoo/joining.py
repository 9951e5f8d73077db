"""Groups that Odoo cannot make itself: joined here of smaller ones, such as weeks of days."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from sutler.paging import Order

from services.erp.adapters.odoo.grouping import Column
from services.erp.aggregates import COUNT, Group
from services.erp.records import DISPLAY_NAME, canonical


@dataclass(slots=True)
class Part:
    """Figures of some records of a group.

    Attributes:
        keys: The keys of the group, by alias.
        domain: The terms that find its records.
        values: By column, as Odoo tells them.
        count: How many records there are.
    """

    keys: Mapping[str, Any]
    domain: Sequence[Any]
    values: dict[Column, Any] = field(default_factory=dict)
    count: int = 0


def join(parts: Iterable[Part]) -> list[Part]:
    """Returns one part for each group."""
    joined: dict[bytes, Part] = {}
    for part in parts:
        whole = joined.setdefault(canonical(part.keys), Part(part.keys, part.domain))
        whole.count += part.count
        for column, value in part.values.items():
            whole.values[column] = _joined(column[0], whole.values.get(column), value)
    return list(joined.values())


def _joined(function: str, one: Any, other: Any) -> Any:
    known = [value for value in (one, other) if value is not None and value is not False]
    if len(known) < 2:
        return known[0] if known else None
    if function in ("min", "max"):
        return min(known) if function == "min" else max(known)
    if all(isinstance(value, int) for value in known):
        return sum(known)
    return float(sum((Decimal(str(value)) for value in known), Decimal(0)))


def ordered(groups: Sequence[Group], order: Sequence[Order], exact: Collection[str]) -> list[Group]:
    """Returns groups in order; as in Odoo's database, what is missing is the greatest.

    Args:
        groups: The groups.
        order: By aliases and ``count``.
        exact: The aliases whose values are numbers in texts.
    """

    def rank(group: Group, alias: str) -> tuple[bool, Any]:
        told = {COUNT: group.count, **group.keys, **group.values}[alias]
        if isinstance(told, dict):
            told = told.get(DISPLAY_NAME) or ""
        if told is None:
            return True, 0
        return False, Decimal(told) if alias in exact else told

    result = list(groups)
    for term in reversed(order):
        result.sort(key=partial(rank, alias=term.field), reverse=term.descending)
    return result
