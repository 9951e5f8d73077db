"""Stores a checked declaration: what is done at once, and what a handler is to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import not_found
from sutler.ids import new_id
from sutler.operations.model import Operation

from services.resource import lifecycle
from services.resource.announcing import Happening, Origin, events
from services.resource.callers import Caller
from services.resource.checks import proposal_key
from services.resource.differences import same
from services.resource.history import Change
from services.resource.judging import PolicyBook
from services.resource.linking import group_of
from services.resource.moving import moved, renew
from services.resource.names import key
from services.resource.ports import Unit
from services.resource.preparing import pass_stages
from services.resource.proposals import Proposal
from services.resource.resource import Declared, Lock, Resource
from services.resource.states import State
from services.resource.work import operation_for, work_for


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
    pass_stages(unit, current)
    handled = concerns_handler(current)
    before = current.before
    if before is not None and current.idle:
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
    if before is None and parent and above[0].name != parent:
        return None  # it was deleted, and created again in another case
    if proposal.parent is not None and above[0].revision != proposal.parent.revision:
        return None
    group = group_of(type.type, proposal.wished)
    if policies.of(unit, proposal.name.text, above, group) != proposal.policies:
        return None
    return proposal if above is proposal.above else replace(proposal, above=above)


def _store(unit: Unit, caller: Caller, proposal: Proposal, handled: bool) -> Accepted:
    before, now = proposal.before, unit.now
    uid = new_id() if before is None else before.uid
    work = work_for(proposal.type, "apply", uid, caller) if handled else None
    operation = operation_for(caller, proposal.name.text, ended=not handled, work=work)
    wished = _created(proposal, caller, uid, now) if before is None else _changed(before, proposal, caller)
    stored = (_put_begun if handled else _put_done)(unit, caller, wished, before, operation.name)
    _hold_keys(unit, proposal)
    operation = unit.add_operation(operation, None if handled else stored)
    happenings: tuple[Happening, ...] = ("accepted",) if handled else ("accepted", "succeeded")
    origin = Origin(caller.request_id, caller.traceparent)
    unit.announce(*events(happenings, stored, operation, origin, now))
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


def _put_begun(unit: Unit, caller: Caller, wished: Resource, before: Resource | None, operation: str) -> Resource:
    """Stores a change that a handler is to carry out."""
    if before is None:
        return unit.put(None, replace(wished, operation=operation), caller.entry(Change.CREATED, operation))
    begun = lifecycle.begin(wished, lifecycle.first_state(wished), operation)
    return unit.put(before, begun, caller.entry(Change.UPDATED, operation))


def _put_done(unit: Unit, caller: Caller, wished: Resource, before: Resource | None, operation: str) -> Resource:
    """Stores a change of a record; of one that had failed in two steps, because every move of states is stored."""
    if before is None:
        return unit.put(None, lifecycle.succeed(wished), caller.entry(Change.CREATED, operation))
    begun = lifecycle.begin(wished, State.UPDATING, operation)
    if before.state is State.SUCCEEDED:
        return unit.put(before, lifecycle.succeed(begun), caller.entry(Change.UPDATED, operation))
    begun = unit.put(before, begun, caller.entry(Change.UPDATED, operation))
    return unit.put(begun, lifecycle.succeed(begun), caller.entry(Change.PROGRESSED, operation))


def _hold_keys(unit: Unit, proposal: Proposal) -> None:
    before = proposal.before
    if before is None:
        unique = proposal_key(proposal)
        if unique is not None:
            unit.hold_keys({proposal.name.text: unique})
        return
    renew(unit, moved(unit, proposal))


def _as_handlers_see(declared: Declared) -> Declared:
    return replace(declared, lock=Lock.UNSPECIFIED, expire_time=None)
