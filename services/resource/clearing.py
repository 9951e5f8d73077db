"""What an attempt at a delete changes in the store: it takes resources in hand, the deepest first, and removes them."""

from __future__ import annotations

from dataclasses import replace

from sutler.operations.model import Operation
from sutler.operations.model import State as OperationState

from services.resource import lifecycle
from services.resource.announcing import event
from services.resource.attempting import Attempt
from services.resource.history import Cause, Change
from services.resource.names import is_below, key
from services.resource.ports import Unit, View
from services.resource.provisioning import warned
from services.resource.removing import last_entry
from services.resource.resource import Resource
from services.resource.resource_type import RECORD, Handler
from services.resource.states import State

BATCH = 100
"""How many resources are read at once."""


def in_hand(view: View, operation: Operation) -> list[tuple[Resource, Handler]]:
    """Returns what the handlers may have begun to remove: the target itself only when nothing is left below it."""
    found = view.worked_on(operation.target, operation.name)
    left_below = view.children(operation.target, 1)
    return [
        (resource, _handler(view, resource))
        for resource in found
        if not left_below or key(resource.name) != key(operation.target)
    ]


def next_removable(view: View, target: str) -> list[tuple[Resource, Handler]]:
    """Returns what can be removed next, of which none is below another; at last the target itself."""
    below = view.below(target, BATCH)
    if not below:
        root = view.resource(target)
        below = [] if root is None else [root]
    chosen: list[Resource] = []
    for resource in below:  # the deepest come first
        if not any(is_below(other.name, resource.name) for other in chosen):
            chosen.append(resource)
    return [(resource, _handler(view, resource)) for resource in chosen]


def _handler(view: View, resource: Resource) -> Handler:
    type = view.type(resource.type)
    return RECORD if type is None else type.made_by


def take(unit: Unit, attempt: Attempt, resource: Resource) -> Resource:
    """Takes a resource in hand, and returns it as DELETING."""
    current = unit.resource(resource.name)
    assert current is not None  # only the holder of the operation removes what is below its target
    if current.state is State.DELETING and current.operation == attempt.operation.name:
        return current
    going = lifecycle.begin(current, State.DELETING, attempt.operation.name)
    return unit.put(
        current, going, replace(attempt.entry(Change.PROGRESSED, Cause.CASCADE), origin=attempt.operation.target)
    )


def remove_records(unit: Unit, attempt: Attempt, records: list[Resource]) -> None:
    """Removes resources that no handler has made."""
    for record in records:
        _drop(unit, attempt, take(unit, attempt, record))


def remove(unit: Unit, attempt: Attempt, resource: Resource, warnings: tuple[str, ...] = ()) -> None:
    """Removes a resource of which its handler has left nothing; warnings stand in its last revision.

    Raises:
        Conflict: If another process holds the operation (LEASE_LOST).
    """
    unit.check_held(attempt.operation.name, attempt.operation.fence)
    current = take(unit, attempt, resource)
    if warnings:
        current = unit.put(
            current, replace(current, findings=warned(current, warnings)), attempt.entry(Change.PROGRESSED)
        )
    _drop(unit, attempt, current)


def _drop(unit: Unit, attempt: Attempt, resource: Resource) -> None:
    """Removes a resource that is DELETING; with the target the operation ends."""
    root = attempt.current(unit)
    entry = attempt.entry(Change.DELETED, attempt.work.cause)
    unit.remove(resource, resource, last_entry(entry, root, resource))
    unit.announce(event("deleted", resource, attempt.operation, attempt.origin, unit.now))
    if resource.uid == root.uid:
        attempt.end(unit, OperationState.SUCCEEDED, None, None)
