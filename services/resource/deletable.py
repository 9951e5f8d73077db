"""What must hold before a resource, and all below it, may be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sutler.errors import FailedPrecondition

from services.resource.checks import in_progress, locked
from services.resource.names import is_below, key
from services.resource.ports import Above, View
from services.resource.resource import Lock, Resource
from services.resource.states import State


def check_deletable(
    view: View,
    resource: Resource,
    above: Iterable[Above],
    force: bool,
    lifts: Mapping[str, Lock] = MappingProxyType({}),
) -> None:
    """Checks that a resource, and all below it, may be deleted.

    Args:
        view: The store at this moment.
        resource: The resource.
        above: What is above it.
        force: Whether what is below it goes too.
        lifts: Locks that do not count, by the keys of their resources.

    Raises:
        Conflict: If an operation works on it, above it or, with force, below it (OPERATION_IN_PROGRESS).
        FailedPrecondition: If it has children and ``force`` is not set (HAS_CHILDREN), another resource refers to it
            or to one below it (IN_USE), or there is a lock (LOCKED).
    """
    name = resource.name
    above = list(above)
    if resource.operation:
        raise in_progress(name, resource.operation)
    for scope in above:
        if scope.state is State.DELETING and scope.operation and is_below(name, scope.name):
            raise in_progress(scope.name, scope.operation)
    children = view.children(name, limit=1000)
    if children and not force:
        raise FailedPrecondition(
            f"{name} has resources below it; delete them first, or set force to delete them too",
            reason="HAS_CHILDREN",
            metadata={"children": str(children)},
            resource=name,
        )
    user = view.user_of(name)
    if user is not None:
        raise FailedPrecondition(
            f"{user} refers to {name} or to a resource below it",
            reason="IN_USE",
            metadata={"user": user},
            resource=name,
        )
    _check_locks(resource, above, lifts)
    if children:
        _check_below(view, name)


def _check_locks(resource: Resource, above: Iterable[Above], lifts: Mapping[str, Lock]) -> None:
    own = (resource.name, resource.declared.lock)
    for holder, lock in (own, *((scope.name, scope.lock) for scope in above)):
        if lock >= Lock.CAN_NOT_DELETE and lifts.get(key(holder)) is not lock:
            raise locked(resource.name, lock, holder)


def _check_below(view: View, name: str) -> None:
    busy = view.busy_below(name)
    if busy is not None:
        raise in_progress(busy.name, busy.operation)
    holder = view.locked_below(name)
    if holder is not None:
        raise locked(name, holder.lock, holder.name)
