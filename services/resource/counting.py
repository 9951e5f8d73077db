"""Keeps what is used of quotas: in their outputs, following every change in the same transaction.

That is no change of the quota itself: it makes no revision and is not watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.errors import Exhausted

from services.resource.linking import group_of
from services.resource.names import key, parse
from services.resource.ports import Above, Unit, View
from services.resource.quotas import DIGITS, TYPE, UNCOUNTED, Quota, parse_quota
from services.resource.resource import Resource
from services.resource.scopes import is_scope

MAX_SUMMED = 2000
"""How many resources one change may look at to add up what moves to another management group."""


def quotas_above(view: View, above: tuple[Above, ...]) -> list[Quota]:
    """Returns the quotas that hold for what stands below these scopes."""
    return [_stored(view, found) for found in _standing(view, above)]


def number_above(view: View, above: tuple[Above, ...]) -> int:
    """Returns how many quotas hold for what stands below these scopes."""
    return len(_standing(view, above)) if view.has_quotas() else 0


def count(unit: Unit, before: Resource | None, after: Resource | None) -> None:
    """Keeps what is used of quotas, after a resource was stored or removed.

    Args:
        unit: The change.
        before: The resource before; None if it is new.
        after: The resource after; None if it is gone.
    """
    resource = after or before
    if resource is None or key(resource.type) in UNCOUNTED or not unit.has_quotas():
        return
    if before and after and before.declared == after.declared:
        return
    above = quotas_above(unit, unit.above(parse(resource.name)))
    changes = {quota: quota.amount(after) - quota.amount(before) for quota in above}
    if _group(before) != _group(after):
        totals = Totals(unit, resource.name)
        left, joined = quotas_of_group(unit, _group(before)), quotas_of_group(unit, _group(after))
        changes |= {quota: quota.amount(after) + totals.of(quota) for quota in joined - left}
        changes |= {quota: -quota.amount(before) - totals.of(quota) for quota in left - joined}
    for quota, change in changes.items():
        if change:
            unit.set_used(quota.name, max(0, round(quota.used + change, DIGITS)))


class Totals:
    """What all below a resource adds to quotas, worked out once for those that count alike.

    Args:
        view: The store at one moment.
        name: The resource.
    """

    def __init__(self, view: View, name: str) -> None:
        self._view = view
        self._name = name
        self._known: dict[tuple[str, tuple[str, ...]], float] = {}
        self._summed = 0.0

    def of(self, quota: Quota) -> float:
        """Returns what it adds to a quota.

        Raises:
            Exhausted: If too many resources would have to be looked at for sums (LIMIT_REACHED).
        """
        alike = (key(quota.type), quota.field)
        if alike not in self._known:
            if quota.field:
                self._summed += self._view.total(replace(quota, field=()), self._name)
            if self._summed > MAX_SUMMED:
                raise Exhausted(
                    f"the quota {quota.name} adds up a field of more than {MAX_SUMMED} resources in {self._name}, "
                    "which is too much for one change; delete the quota, move, and create it again",
                    reason="LIMIT_REACHED",
                    metadata={"type": quota.type, "scope": self._name, "limit": str(MAX_SUMMED)},
                    resource=self._name,
                )
            self._known[alike] = self._view.total(quota, self._name)
        return self._known[alike]


def quotas_of_group(view: View, group: str) -> set[Quota]:
    """Returns the quotas of a management group and those above it."""
    return {quota for quota in quotas_above(view, view.groups(group)) if quota.scope} if group else set()


def _standing(view: View, above: tuple[Above, ...]) -> Sequence[Above]:
    return view.standing(TYPE, [*(scope.name for scope in above if is_scope(scope.type)), ""])


def _group(resource: Resource | None) -> str:
    return "" if resource is None else key(group_of(resource.type, resource.declared))


def _stored(view: View, found: Above) -> Quota:
    stored = view.resource(found.name)
    assert stored is not None  # it was found in the same view
    return parse_quota(stored)
