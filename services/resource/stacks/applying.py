"""Accepts what is to be done with stacks: plans it, checks it, and stores it with the operation that carries it out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import Conflict, invalid, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.operations.model import Operation

from services.resource.callers import Caller
from services.resource.checks import in_progress
from services.resource.declaring import MAX_REPEATS, Declarations, Outcome
from services.resource.handling import Planned
from services.resource.names import key
from services.resource.ports import Store, Unit, View
from services.resource.resource_type import RECORD
from services.resource.stacks import lifecycle
from services.resource.stacks.checking import check_members, check_permissions
from services.resource.stacks.leaving import leaving_step, removals
from services.resource.stacks.planning import Plan, Planner
from services.resource.stacks.references import references
from services.resource.stacks.stack import MemberState, Stack, Template, lifts
from services.resource.taking import check_may_take
from services.resource.work import Work, operation_for

MAX_STATES = 1000
"""How many resources a stack may have to do with: its members, and those that left and are not gone yet."""

MAX_BYTES = 3_500_000
"""How large a stack may be with the states of its members, so that it fits into one message with its outputs."""

STATE_BYTES = 250
"""What the state of a member takes beside the name of its resource."""


@dataclass(frozen=True, slots=True)
class SentStack:
    """A stack as a caller sent it.

    Attributes:
        name: Its name.
        etag: The etag that must still be the current one; empty if any will do.
        template: Its fields.
        size: How many bytes they take.
    """

    name: str
    etag: str
    template: Template
    size: int = 0


@dataclass(frozen=True, slots=True)
class StackRemoval:
    """What is to be deleted.

    Attributes:
        name: Which stack.
        etag: The etag that must still be the current one; empty if any will do.
        allow_missing: Succeeds if there is none.
        force: Deletes what stands below members and is none, too.
    """

    name: str
    etag: str = ""
    allow_missing: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Planned:
    """A run as it was planned: the stack before, after, and what is to be done."""

    before: Stack | None
    after: Stack
    plan: Plan


class Stacks:
    """Applies and deletes stacks.

    Args:
        store: Where they are kept.
        declarations: Checks members.
        wait: Seconds to wait for a run before a call answers.
    """

    def __init__(self, store: Store, declarations: Declarations, *, wait: float = 0.0) -> None:
        self._store = store
        self._declarations = declarations
        self._wait = wait

    async def preview(self, caller: Caller, sent: SentStack) -> tuple[Planned, ...]:
        """Returns what applying a stack would do.

        Raises:
            SutlerError: As the contract of ApplyStack says.
        """
        return (await self._planned(caller, sent)).plan.planned

    async def apply(self, caller: Caller, sent: SentStack, *, once: Once | None, validate_only: bool) -> Outcome:
        """Makes a stack what is sent.

        Args:
            caller: Who asks.
            sent: The stack.
            once: How the answer, an :class:`~sutler.operations.Operation`, is remembered.
            validate_only: Checks and changes nothing.

        Raises:
            SutlerError: As the contract of ApplyStack says.
        """
        for _ in range(MAX_REPEATS):
            planned = await self._planned(caller, sent)
            if validate_only:
                return Outcome(result=planned.after, plan=planned.plan.planned)
            operation = await self._store.write(
                caller.tenant,
                lambda unit, planned=planned: _accept(unit, caller, planned, once),  # type: ignore[misc]
            )
            if operation is not None:
                return Outcome(await self._store.ended(operation, self._wait))
        raise Conflict(f"{sent.name} keeps changing; try again", resource=sent.name)

    async def delete(self, caller: Caller, removal: StackRemoval, *, once: Once | None, validate_only: bool) -> Outcome:
        """Deletes a stack with its members; the arguments are like those of :meth:`apply`.

        Raises:
            SutlerError: As the contract of DeleteStack says.
        """
        if validate_only:
            stack = await self._store.scan(caller.tenant, lambda view: _leaving(view, caller, removal))
            return Outcome(plan=tuple(map(leaving_step, stack.member_states)) if stack else ())

        def change(unit: Unit) -> Operation:
            operation = _accept_removal(unit, caller, removal)
            unit.remember(once, operation)
            return operation

        operation = await self._store.write(caller.tenant, change)
        return Outcome(await self._store.ended(operation, self._wait))

    async def _planned(self, caller: Caller, sent: SentStack) -> _Planned:
        planned = await self._store.scan(caller.tenant, lambda view: _plan(view, caller, sent))
        run = replace(caller, stack=planned.after.name, lifts=lifts(planned.plan.states))
        await check_members(self._store, self._declarations, run, planned.plan)
        return planned


def _plan(view: View, caller: Caller, sent: SentStack) -> _Planned:
    if not sent.name:
        raise invalid("stack.name", "is required")
    before = view.stack(sent.name)
    template = sent.template
    check_etag(sent.etag, before.etag if before else "", sent.name)
    if before is not None:
        _check_idle(before)
        template = _immutable(before, template)
    name = before.name if before else sent.name
    planner = Planner(view, before, name, template)
    check_permissions(caller, [name.text for name in planner.names.values()], planner.leaving_names)
    plan = planner.plan()
    _check_size(sent, plan)
    declared = replace(template, members=plan.members)
    _check_outputs(declared)
    after = Stack(
        tenant=caller.tenant,
        name=name,
        uid=before.uid if before else new_id(),
        template=declared,
        member_states=plan.states,
        outputs=before.outputs if before else {},
        creator=before.creator if before else caller.actor,
        updater=caller.actor,
        create_time=before.create_time if before else view.now,
        update_time=view.now,
        revision=before.revision if before else 0,
    )
    return _Planned(before, after, plan)


def _check_size(sent: SentStack, plan: Plan) -> None:
    states = plan.states
    if len(states) > MAX_STATES:
        raise invalid(
            "stack.members",
            f"with those that left and are not gone yet they would be {len(states)}, more than {MAX_STATES}",
            reason="TOO_LARGE",
        )
    size = sent.size + sum(len(state.resource) + STATE_BYTES for state in states)
    if size > MAX_BYTES:
        raise invalid(
            "stack", f"is {size} bytes with the names of its resources, more than {MAX_BYTES}", reason="TOO_LARGE"
        )


def _immutable(before: Stack, template: Template) -> Template:
    """Returns a template with the scope of the stack, which a caller may leave out but not change."""
    scope = before.template.scope
    if template.scope and key(template.scope) != key(scope):
        raise invalid("stack.scope", "cannot change after creation", reason="FIELD_IMMUTABLE")
    return replace(template, scope=scope)


def _check_outputs(template: Template) -> None:
    """Checks that no output shows a parameter that is a secret of a member."""
    hidden = template.hidden
    for where, reference in references(template.output_values, "stack.output_values") if hidden else ():
        if not reference.member and (not reference.path or reference.path[0] in hidden):
            raise invalid(where, f"shows the parameter {'.'.join(reference.path)}, which is a secret of a member")


def _check_idle(stack: Stack) -> None:
    if stack.operation:
        raise in_progress(stack.name, stack.operation)


def _accept(unit: Unit, caller: Caller, planned: _Planned, once: Once | None) -> Operation | None:
    """Stores a run; None if the stack has changed since it was planned."""
    before, now = planned.before, unit.stack(planned.after.name)
    if (before and (before.uid, before.revision)) != (now and (now.uid, now.revision)):
        return None
    operation = _operation(caller, planned.after, "apply_stack")
    unit.put_stack(before, replace(planned.after, operation=operation.name))
    unit.set_member_states(planned.after.name, planned.after.member_states)
    operation = unit.add_operation(operation, None)
    unit.remember(once, operation)
    return operation


def _leaving(view: View, caller: Caller, removal: StackRemoval) -> Stack | None:
    """Returns a stack as a delete leaves it to be carried out, with all members leaving; None if there is none."""
    stack = view.stack(removal.name)
    if stack is None:
        if removal.allow_missing:
            return None
        raise not_found(removal.name)
    check_etag(removal.etag, stack.etag, stack.name)
    _check_idle(stack)
    leaving = {state.key: state for state in stack.member_states if state.uid}
    check_permissions(caller, (), [state.resource for state in leaving.values()])
    states: list[MemberState] = removals(view, stack.name, leaving, (), force=removal.force)
    for state in states if removal.force else ():
        if not state.keep:
            check_may_take(view, caller.principal, state.resource)
    return replace(stack, member_states=tuple(states))


def _accept_removal(unit: Unit, caller: Caller, removal: StackRemoval) -> Operation:
    before, stack = unit.stack(removal.name), _leaving(unit, caller, removal)
    if before is None or stack is None:
        return unit.add_operation(operation_for(caller, removal.name, ended=True), None)
    if not stack.member_states:
        unit.remove_stack(stack.name)
        return unit.add_operation(operation_for(caller, stack.name, ended=True), None)
    operation = _operation(caller, stack, "delete_stack", force=removal.force)
    unit.put_stack(before, lifecycle.delete(stack, operation.name, caller.actor))
    unit.set_member_states(stack.name, stack.member_states)
    return unit.add_operation(operation, None)


def _operation(caller: Caller, stack: Stack, verb: str, *, force: bool = False) -> Operation:
    work = Work(
        verb,  # type: ignore[arg-type]
        stack.uid,
        RECORD,
        request_id=caller.request_id,
        traceparent=caller.traceparent,
        force=force,
    )
    return operation_for(caller, stack.name, ended=False, work=work)
