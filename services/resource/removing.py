"""Deletes resources: at once where only records are concerned, else through an operation that a runner carries out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sutler.errors import Conflict, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.operations.model import Operation

from services.resource import lifecycle
from services.resource.announcing import Origin, event
from services.resource.callers import Caller
from services.resource.declaring import MAX_REPEATS, Outcome
from services.resource.deletable import check_deletable
from services.resource.handling import Planned
from services.resource.history import Cause, Change, Entry
from services.resource.judging import PolicyBook, refuses
from services.resource.names import parse
from services.resource.ports import Above, Store, Unit, View
from services.resource.refusing import MAX_CHANGED, Judged, findings_of, held, judge_one, judge_some
from services.resource.resource import Resource
from services.resource.resource_type import ResourceType, unknown_type
from services.resource.states import State
from services.resource.taking import check_may_take
from services.resource.unreachable import goes_without
from services.resource.work import operation_for, work_for

AT_ONCE = 200
"""How many records may be deleted within a call; more are deleted by the runner."""

MAX_PLAN = 1000


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be deleted.

    Attributes:
        name: Which resource.
        etag: The etag that must still be the current one; empty if any will do.
        allow_missing: Succeeds if there is none.
        force: Deletes all below it too, and goes on without a handler that an earlier delete could not reach.
        cause: What leads to it.
        uid: The uid that it must have; any if empty. Another of the same name is passed over as if there were none.
    """

    name: str
    etag: str = ""
    allow_missing: bool = False
    force: bool = False
    cause: Cause = Cause.REQUEST
    uid: str = ""


class Removals:
    """Deletes resources.

    Args:
        store: Where they are kept.
        policies: Compiles policies.
        wait: Seconds to wait for a handler before a call answers.
    """

    def __init__(self, store: Store, policies: PolicyBook, *, wait: float = 0.0) -> None:
        self._store = store
        self._policies = policies
        self._wait = wait

    async def delete(
        self,
        caller: Caller,
        removal: Removal,
        *,
        once: Once | None,
        validate_only: bool,
        also: Callable[[Unit, Operation], None] | None = None,
    ) -> Outcome:
        """Deletes a resource.

        Args:
            caller: Who asks.
            removal: What is to be deleted.
            once: How the answer, an :class:`~sutler.operations.Operation`, is remembered.
            validate_only: Checks and changes nothing.
            also: What else is done in the same change.

        Raises:
            SutlerError: As the contract of DeleteResource says.
        """
        parse(removal.name)
        if validate_only:
            plan = await self._store.scan(caller.tenant, lambda view: _plan(view, self._policies, caller, removal))
            return Outcome(plan=tuple(plan))

        for _ in range(MAX_REPEATS):
            judged = await self._judged_below(caller, removal)

            def change(unit: Unit, judged: Judged | None = judged) -> Operation | None:
                operation = _accept(unit, self._policies, caller, removal, judged)
                if operation is None:
                    return None
                unit.remember(once, operation)
                if also is not None:
                    also(unit, operation)
                return operation

            operation = await self._store.write(caller.tenant, change)
            if operation is not None:
                if not operation.state.ended:
                    operation = await self._store.ended(operation, self._wait)
                return Outcome(operation)
        raise Conflict(f"the policies for {removal.name} keep changing; try again", resource=removal.name)

    async def _judged_below(self, caller: Caller, removal: Removal) -> Judged | None:
        """Has policies judge what goes too, a portion at a time; None if that is nothing or nobody can refuse it."""
        judged = await self._store.read(caller.tenant, lambda view: _judging(view, self._policies, caller, removal))
        last = ""
        while judged is not None and judged.refuses:
            found = await self._store.scan(
                caller.tenant,
                lambda view, last=last: judge_some(view, self._policies, caller, removal.name, last),  # type: ignore[misc]
            )
            if not found:
                break
            last = found
        return judged


def last_entry(entry: Entry, root: Resource, removed: Resource) -> Entry:
    """Returns what the log says of a resource that goes because the root of a delete goes."""
    if removed.uid == root.uid:
        return replace(entry, kind=Change.DELETED)
    return replace(entry, kind=Change.DELETED, cause=Cause.CASCADE, origin=root.name)


def _checked(
    view: View, policies: PolicyBook, caller: Caller, removal: Removal, judged: Judged | None = None
) -> Resource | None:
    found = _allowed(view, caller, removal)
    if found is None:
        return None
    resource, above = found
    return replace(resource, findings=findings_of(view, policies, caller, resource, above, judged))


def _allowed(view: View, caller: Caller, removal: Removal) -> tuple[Resource, tuple[Above, ...]] | None:
    """Returns what is to be deleted, and what is above it, as far as policies are not concerned; None if it is gone."""
    resource = view.resource(removal.name)
    if resource is None or removal.uid not in ("", resource.uid):
        if removal.allow_missing:
            return None
        raise not_found(removal.name)
    if removal.cause is Cause.EXPIRY and not _expired(resource, view.now):
        return None
    check_etag(removal.etag, resource.etag, resource.name)
    if removal.force and removal.cause is not Cause.EXPIRY:
        check_may_take(view, caller.principal, resource.name)
    above = view.above(parse(resource.name))
    check_deletable(view, resource, above, removal.force, caller.lifts)
    return resource, above


def _expired(resource: Resource, now: float) -> bool:
    """Returns whether the time of a resource is over; it may have been extended since that was found."""
    time = resource.declared.expire_time
    return time is not None and time <= now


def _judging(view: View, policies: PolicyBook, caller: Caller, removal: Removal) -> Judged | None:
    """Returns by what the resources below one are judged, when it is sure that all else is well; None if none go."""
    if not removal.force or not view.children(removal.name, 1):
        return None
    found = _allowed(view, caller, removal)
    if found is None:
        return None
    resource, above = found
    holding = policies.of(view, resource.name, above)
    judge_one(view, caller, resource, holding)
    concerned = (*holding, *policies.below(view, resource.name))
    return Judged(view.newest(), concerned, refuses(concerned))


def _plan(view: View, policies: PolicyBook, caller: Caller, removal: Removal) -> list[Planned]:
    resource = _checked(view, policies, caller, removal)
    if resource is None:
        return []
    below = view.below(resource.name, MAX_PLAN - 1)
    return [
        *(Planned("DELETE", child.name, reason=_reason(child, f"it is below {resource.name}")) for child in below),
        Planned("DELETE", resource.name, reason=_reason(resource)),
    ]


def _reason(resource: Resource, why: str = "") -> str:
    """Returns what a plan says of a resource that goes, with the stack that will miss it."""
    return ", and ".join(text for text in (why, resource.stack and f"it is a member of {resource.stack}") if text)


def _accept(
    unit: Unit, policies: PolicyBook, caller: Caller, removal: Removal, judged: Judged | None
) -> Operation | None:
    """Stores a delete; None if what goes too must be judged again, because policies or too many of it have changed."""
    if judged is not None:
        if held(unit, policies, removal.name) != judged.policies:
            return None
        if judged.refuses and len(unit.below(removal.name, MAX_CHANGED, since=judged.since)) == MAX_CHANGED:
            return None
    resource = _checked(unit, policies, caller, removal, judged)
    if resource is None:
        return unit.add_operation(operation_for(caller, removal.name, ended=True), None)
    type = _type(unit, resource.type)
    below = unit.children(resource.name, AT_ONCE + 1)
    types = [type, *(_type(unit, name) for name in unit.types_below(resource.name))]
    if below <= AT_ONCE and all(found.made_by.records for found in types):
        return _remove_now(unit, caller, removal, resource)
    without = removal.force and removal.cause is not Cause.EXPIRY and goes_without(resource.name, resource.error)
    work = replace(
        work_for(type, "delete", resource.uid, caller),
        children=below,
        cause=removal.cause,
        origin=caller.origin,
        gives_up=(resource.uid,) if without else (),
    )
    operation = operation_for(caller, resource.name, ended=False, work=work)
    entry = caller.entry(Change.PROGRESSED, operation.name, removal.cause)
    going = lifecycle.begin(replace(resource, updater=caller.actor), State.DELETING, operation.name)
    stored = unit.put(resource, going, entry)
    operation = unit.add_operation(operation, None)
    unit.announce(event("accepted", stored, operation, _origin(caller), unit.now))
    return operation


def _remove_now(unit: Unit, caller: Caller, removal: Removal, resource: Resource) -> Operation:
    operation = unit.add_operation(operation_for(caller, resource.name, ended=True), None)
    entry = caller.entry(Change.DELETED, operation.name, removal.cause)
    unit.announce(event("accepted", resource, operation, _origin(caller), unit.now))
    for gone in (*unit.below(resource.name, AT_ONCE), resource):
        last = lifecycle.begin(replace(gone, updater=caller.actor), State.DELETING, operation.name)
        unit.remove(gone, last, last_entry(entry, resource, gone))
        unit.announce(event("deleted", last, operation, _origin(caller), unit.now))
    return operation


def _type(view: View, name: str) -> ResourceType:
    type = view.type(name)
    if type is None:
        raise unknown_type(name)
    return type


def _origin(caller: Caller) -> Origin:
    return Origin(caller.request_id, caller.traceparent)
