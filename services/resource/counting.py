"""Keeps what is used of quotas: in their outputs, following every change in the same transaction.

That is no change of the quota itself: it makes no revision and is not watched.
"""

from __future__ import annotations

from services.resource.linking import group_of
from services.resource.names import key, parse
from services.resource.ports import Above, Unit, View
from services.resource.quotas import DIGITS, TYPE, UNCOUNTED, Quota, parse_quota
from services.resource.resource import Resource
from services.resource.scopes import GROUPS, is_scope


def quotas_above(view: View, above: tuple[Above, ...]) -> list[Quota]:
    """Returns the quotas that hold for what stands below these scopes."""
    scopes = [*(scope.name for scope in above if is_scope(scope.type)), ""]
    return [_stored(view, found) for found in view.standing(TYPE, scopes)]


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
    moved = _group(before) != _group(after)
    if moved:
        for found in unit.standing_below(TYPE, GROUPS):
            quota = _stored(unit, found)
            unit.set_used(quota.name, unit.total(quota, quota.scope))
    above = unit.above(parse(resource.name))
    for quota in quotas_above(unit, above):
        change = quota.amount(after) - quota.amount(before)
        if change and not (moved and key(quota.scope).startswith(f"{key(GROUPS)}/")):
            unit.set_used(quota.name, max(0, round(quota.used + change, DIGITS)))


def _group(resource: Resource | None) -> str:
    return "" if resource is None else key(group_of(resource.type, resource.declared))


def _stored(view: View, found: Above) -> Quota:
    stored = view.resource(found.name)
    assert stored is not None  # it was found in the same view
    return parse_quota(stored)
