"""Stores a checked declaration: what is done at once, and what a handler is to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import not_found
from sutler.ids import new_id
from sutler.operations.model import Operation

from services.resource import lifecycle
from services.resource.announcing import Happening, Origin, event
from services.resource.callers import Caller
from services.resource.checks import STAGES, key_of, not_unique, proposal_key
from services.resource.differences import same
from services.resource.history import Change
from services.resource.judging import PolicyBook
from services.resource.linking import group_of
from services.resource.names import is_below, key
from services.resource.ports import Unit
from services.resource.proposals import Proposal
from services.resource.resource import Declared, Lock, Resource
from services.resource.scopes import Scope
from services.resource.states import State
from services.resource.work import operation_for, work_for

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that was stored.

    Attributes:
        operation: Its operation.
        resource: The resource after it.
        before: The resource before it; None if it was created.
    """

    operation: Operation
    resource: Resource
    before: Resource | None


def concerns_handler(proposal: Proposal) -> bool:
    """Returns whether the handler has something to do.

    Not if the type is only recorded, or nothing changes of what the handler sees; but always after a failure.
    """
    if proposal.type.made_by.records:
        return False
    before = proposal.before
    if before is None or before.state in (State.FAILED, State.CANCELED):
        return True
    return not same(_as_handlers_see(before.declared), _as_handlers_see(proposal.wished))


def accept(unit: Unit, caller: Caller, proposal: Proposal, policies: PolicyBook) -> Accepted | None:
    """Stores a completed proposal whose content was checked, after all stages have passed once more.

    Returns:
        What was stored; None if what the proposal was checked against has changed meanwhile.

    Raises:
        SutlerError: As the stages do.
    """
    current = _renewed(unit, proposal, policies)
    if current is None:
        return None
    for stage in STAGES:
        stage(unit, current)
    handled = concerns_handler(current)
    before = current.before
    if before is not None and not handled and same(before.declared, current.wished):
        operation = operation_for(caller, before.name, ended=True)
        return Accepted(unit.add_operation(operation, before), before, before)
    return _store(unit, caller, current, handled)


def _renewed(unit: Unit, proposal: Proposal, policies: PolicyBook) -> Proposal | None:
    """Returns the proposal with what stands around it now; None if it would have to be checked again."""
    type = unit.type(proposal.type.type)
    if type is None or (type.uid, type.revision) != (proposal.type.uid, proposal.type.revision):
        return None
    before = proposal.before
    if before is not None:
        now = unit.resource(before.name)
        if now is None or (now.uid, now.revision) != (before.uid, before.revision):
            return None
    above = unit.above(proposal.name)
    parent = proposal.name.parent
    if parent and not (above and key(above[0].name) == key(parent)):
        raise not_found(parent)
    if proposal.parent is not None and above[0].revision != proposal.parent.revision:
        return None
    group = group_of(type.type, proposal.wished)
    if policies.of(unit, proposal.name.text, above, group) != proposal.policies:
        return None
    return replace(proposal, above=above)


def _store(unit: Unit, caller: Caller, proposal: Proposal, handled: bool) -> Accepted:
    before, now = proposal.before, unit.now
    uid = new_id() if before is None else before.uid
    work = work_for(proposal.type, "apply", uid, caller) if handled else None
    operation = operation_for(caller, proposal.name.text, ended=not handled, work=work)
    wished = _created(proposal, caller, uid, now) if before is None else _changed(before, proposal, caller)
    after = _begun(wished, before, operation.name) if handled else _done(wished, before)
    kind = Change.CREATED if before is None else Change.UPDATED
    stored = unit.put(before, after, caller.entry(kind, operation.name))
    _hold_keys(unit, proposal)
    operation = unit.add_operation(operation, None if handled else stored)
    happenings: tuple[Happening, ...] = ("accepted",) if handled else ("accepted", "succeeded")
    origin = Origin(caller.request_id, caller.traceparent)
    unit.announce(*(event(happening, stored, operation, origin, now) for happening in happenings))
    return Accepted(operation, stored, before)


def _created(proposal: Proposal, caller: Caller, uid: str, now: float) -> Resource:
    return Resource(
        tenant=proposal.tenant,
        name=proposal.name.text,
        uid=uid,
        type=proposal.type.type,
        declared=proposal.wished,
        creator=caller.actor,
        updater=caller.actor,
        create_time=now,
        findings=proposal.findings,
        stack=caller.stack,
    )


def _changed(before: Resource, proposal: Proposal, caller: Caller) -> Resource:
    return replace(
        before,
        declared=proposal.wished,
        generation=before.generation + 1,
        updater=caller.actor,
        applied=before.declared if before.observed_generation == before.generation else before.applied,
        findings=proposal.findings,
        stack=caller.stack or before.stack,
    )


def _begun(wished: Resource, before: Resource | None, operation: str) -> Resource:
    if before is None:
        return replace(wished, operation=operation)
    return lifecycle.begin(wished, lifecycle.first_state(wished), operation)


def _done(wished: Resource, before: Resource | None) -> Resource:
    if before is not None:
        wished = lifecycle.begin(wished, State.UPDATING, "")
    return lifecycle.succeed(wished)


def _hold_keys(unit: Unit, proposal: Proposal) -> None:
    before = proposal.before
    if before is None:
        unique = proposal_key(proposal)
        if unique is not None:
            holder = unit.hold_key(unique, proposal.name.text)
            if key(holder) != proposal.name.key:
                raise not_unique(proposal, holder)
        return
    type = proposal.type.type
    if type.endswith("/subscriptions") and group_of(type, before.declared) != group_of(type, proposal.wished):
        _move_keys(unit, proposal, group_of(type, proposal.wished))


def _move_keys(unit: Unit, proposal: Proposal, group: str) -> None:
    """Renews the keys of what is in a subscription that moves to another management group."""
    subscription = proposal.name.text
    for name in unit.types_below(subscription):
        type = unit.type(name)
        if type is None or Scope.MANAGEMENT_GROUP not in type.uniqueness_scopes:
            continue
        moved = [name for name in _names_of_type(unit, type.type) if is_below(name, subscription)]
        for name in moved:
            unit.drop_keys(name)
        for name in moved:
            holder = unit.hold_key(key_of(type.type, name, group, type.uniqueness_scopes), name)
            if holder != name:
                raise not_unique(replace(proposal, type=type), holder)


def _names_of_type(unit: Unit, type: str) -> list[str]:
    names: list[str] = []
    while found := unit.of_type(type, names[-1] if names else "", 0, CHUNK):
        names += [resource.name for resource in found]
    return names


def _as_handlers_see(declared: Declared) -> Declared:
    return replace(declared, lock=Lock.UNSPECIFIED, expire_time=None)
