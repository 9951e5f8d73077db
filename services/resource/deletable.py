"""What must hold before a resource, and all below it, may be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sutler.errors import FailedPrecondition

from services.resource.checks import in_progress, locked
from services.resource.names import is_below
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
        lifts: Locks that do not count, by the uids of their resources.

    Raises:
        Conflict: If an operation works on it, above it or, with force, below it (OPERATION_IN_PROGRESS).
        FailedPrecondition: If it, something above or something below has a lock (LOCKED), it has children and ``force``
            is not set (HAS_CHILDREN), or another resource refers to it or to one below it (IN_USE).
    """
    name = resource.name
    above = list(above)
    if resource.operation:
        raise in_progress(name, resource.operation)
    for scope in above:
        if scope.state is State.DELETING and scope.operation and is_below(name, scope.name):
            raise in_progress(scope.name, scope.operation)
    children = view.children(name, limit=1000)
    _check_locks(resource, above, lifts)
    holder = view.locked_below(name) if children else None
    if holder is not None:
        raise locked(name, holder.lock, holder.name)
    if children and not force:
        child = view.names_below(name, 1)[0]
        raise FailedPrecondition(
            f"{name} has resources below it, such as {child}; delete them first, or set force to delete them too",
            reason="HAS_CHILDREN",
            metadata={"children": str(children), "child": child},
            resource=name,
        )
    user = view.user_of(name)
    if user is not None:
        raise FailedPrecondition(
            f"{user} refers to {name} or to a resource below it; delete {user}, or have it refer to another one, first",
            reason="IN_USE",
            metadata={"user": user},
            resource=name,
        )
    busy = view.busy_below(name) if children else None
    if busy is not None:
        raise in_progress(busy.name, busy.operation)


def _check_locks(resource: Resource, above: Iterable[Above], lifts: Mapping[str, Lock]) -> None:
    own = (resource.name, resource.uid, resource.declared.lock)
    for holder, uid, lock in (own, *((scope.name, scope.uid, scope.lock) for scope in above)):
        if lock >= Lock.CAN_NOT_DELETE and lifts.get(uid) is not lock:
            raise locked(resource.name, lock, holder)
