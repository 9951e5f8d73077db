"""Begins what a run does with one member: creates or changes its resource, removes it, or lets it go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sutler.errors import Code, Invalid, SutlerError
from sutler.operations.model import Operation

from services.resource.accepting import Accepted
from services.resource.attempting import Attempt
from services.resource.callers import Caller
from services.resource.declaring import Declarations
from services.resource.differences import same
from services.resource.hiding import hide
from services.resource.history import Cause, Change
from services.resource.names import key
from services.resource.ports import Unit, View
from services.resource.problems import problem
from services.resource.proposing import Sent
from services.resource.removing import Removal, Removals
from services.resource.resource import Declared, Resource
from services.resource.stacks.failures import conflict, short
from services.resource.stacks.merging import Applied, applied, merged
from services.resource.stacks.resolving import lookup_in, wished
from services.resource.stacks.settling import failed, gone
from services.resource.stacks.stack import Action, Became, MemberState, Stack
from services.resource.stacks.stage import field_of
from services.resource.states import State
from services.resource.work import TIMEOUT_SECONDS

PATIENCE_SECONDS = TIMEOUT_SECONDS
"""How long a member is tried again that cannot begin, because something else works on it or its handler is away."""

MIN_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 5.0
LATER = frozenset((Code.UNAVAILABLE, Code.ABORTED))
LEASE_LOST = "LEASE_LOST"


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the members of one run are worked on, by one attempt.

    Attributes:
        attempt: The attempt.
        stack: The stack when it began.
        caller: In whose name members are changed.
        declarations: Creates and updates resources.
        removals: Deletes them.
    """

    attempt: Attempt
    stack: Stack
    caller: Caller
    declarations: Declarations
    removals: Removals

    async def apply(self, state: MemberState) -> MemberState:
        """Begins to make a member what is declared, and returns its state; a record is done then.

        Raises:
            Conflict: If another process holds the run (LEASE_LOST).
            SutlerError: If the store does not work.
        """
        return await self._guarded(state, self._apply, undoes=False)

    async def remove(self, state: MemberState) -> MemberState:
        """Begins to remove a member that left, or lets it go if it is kept; raises as :meth:`apply`."""
        return await self._guarded(state, self._release if state.keep else self._remove, undoes=False)

    async def undo(self, state: MemberState) -> MemberState:
        """Begins to remove a member that the run created; raises as :meth:`apply`."""
        return await self._guarded(state, self._remove, undoes=True)

    async def _guarded(self, state: MemberState, begin: Callable[..., Any], *, undoes: bool) -> MemberState:
        """Begins, and stores what is wrong if that does not succeed: to be tried again, or for good."""
        try:
            found: MemberState = await begin(state, undoes)
            return found
        except SutlerError as error:
            if error.reason in (LEASE_LOST, "SHUTTING_DOWN"):
                raise
            why = problem(error)

        def change(unit: Unit) -> MemberState:
            known = unit.stack(self.stack.name)
            now = next((other for other in known.member_states if other.key == state.key), state) if known else state
            if now != state:  # it was stored all the same, and only the answer was lost
                return now
            begun = state.begun or unit.now
            if Code(why.code) in LATER and unit.now - begun < PATIENCE_SECONDS:
                pause = max(
                    min(MAX_PAUSE_SECONDS, MIN_PAUSE_SECONDS * 2.0 ** min(state.tries, 10)), why.retry_after or 0.0
                )
                told = state.error if undoes else short(why)  # in an undo it says why the run failed
                later = replace(state, begun=begun, due=unit.now + pause, tries=state.tries + 1, error=told)
                return self._put(unit, later)
            return self._put(unit, failed(replace(state, operation=""), why, undoes=undoes))

        return await self.attempt.store.write(self.caller.tenant, change)

    async def _apply(self, state: MemberState, undoes: bool) -> MemberState:
        wish, present = await self.attempt.store.read(self.caller.tenant, lambda view: self._wished(view, state))
        onto = self._onto(state, wish)
        if present is not None and _is_there(present, onto(present)):
            kept = await self.attempt.store.write(self.caller.tenant, lambda unit: self._keep(unit, state, wish))
            if kept is not None:
                return kept
        stored: list[MemberState] = []

        def note(unit: Unit, accepted: Accepted) -> None:
            stored.append(self._put(unit, self._begun(unit, state, wish, accepted)))

        sent = Sent("", "", onto)
        await self.declarations.update(
            self.caller, state.resource, sent, allow_missing=True, once=None, validate_only=False, also=note
        )
        return stored[-1]

    def _wished(self, view: View, state: MemberState) -> tuple[Declared, Resource | None]:
        template = view.opened_stack(self.stack).template
        index = next(index for index, member in enumerate(template.members) if member.id == state.member)
        names = {other.member: other.resource for other in self.stack.member_states if not other.left}

        def outputs(id: str) -> Mapping[str, Any]:
            resource = view.resource(names[id])
            return resource.outputs if resource is not None else {}

        member = template.members[index]
        try:
            wish, _ = wished(member, index, lookup_in(template, names, outputs))
        except Invalid as error:
            raise hide(error, field_of(index, "properties"), member.secrets) from error
        present = view.resource(state.resource)
        return wish, None if present is None else view.opened(present)

    def _onto(self, state: MemberState, wish: Declared) -> Callable[[Resource | None], Declared]:
        def onto(before: Resource | None) -> Declared:
            if before is None:
                return merged(None, wish, None)
            if key(before.stack) not in ("", key(self.stack.name)):
                raise conflict(before.name, before.stack)
            return merged(before.declared, wish, _set_before(state, before))

        return onto

    def _keep(self, unit: Unit, state: MemberState, wish: Declared) -> MemberState | None:
        """Notes that a resource is as declared already; None if it no longer is."""
        resource = unit.resource(state.resource)
        resource = None if resource is None else unit.opened(resource)
        if resource is None or not _is_there(resource, self._onto(state, wish)(resource)):
            return None
        kept = self._belonging(unit, resource, self.stack.name)
        return self._put(unit, _done(state, wish, resource, kept, Action.KEEP))

    def _begun(self, unit: Unit, state: MemberState, wish: Declared, accepted: Accepted) -> MemberState:
        resource, operation = accepted.resource, accepted.operation
        if key(resource.stack) != key(self.stack.name):
            resource = self._belonging(unit, resource, self.stack.name)
        if accepted.before is not None and accepted.before.revision == accepted.resource.revision:
            return _done(state, wish, accepted.before, resource, Action.KEEP)
        action = Action.CREATE if accepted.before is None else Action.UPDATE
        done = _done(state, wish, accepted.before, resource, action)
        done = replace(done, operation=operation.name, created=state.created or accepted.before is None)
        return done if operation.state.ended else replace(done, became=Became.RUNNING)

    async def _remove(self, state: MemberState, undoes: bool) -> MemberState:
        work = self.attempt.work
        removal = Removal(state.resource, allow_missing=True, force=work.force, cause=Cause.STACK, uid=state.uid)
        stored: list[MemberState] = []

        def note(unit: Unit, operation: Operation) -> None:
            begun = replace(state, operation=operation.name)
            ended = operation.state.ended
            after = gone(begun, undoes=undoes) if ended else replace(begun, became=Became.RUNNING)
            stored.append(self._put(unit, after))

        await self.removals.delete(self.caller, removal, once=None, validate_only=False, also=note)
        return stored[-1]

    async def _release(self, state: MemberState, undoes: bool) -> MemberState:
        def change(unit: Unit) -> MemberState:
            resource = unit.resource(state.resource)
            if resource is not None and resource.uid == state.uid:
                self._belonging(unit, resource, "")
            return self._put(unit, replace(state, became=Became.SUCCEEDED, uid="", error=None))

        return await self.attempt.store.write(self.caller.tenant, change)

    def _belonging(self, unit: Unit, resource: Resource, stack: str) -> Resource:
        """Stores that a resource belongs to a stack, or to none; nothing that is wished changes."""
        if resource.stack == stack:
            return resource
        entry = self.caller.entry(Change.PROGRESSED, self.attempt.operation.name)
        return unit.put(resource, replace(resource, stack=stack), entry)

    def _put(self, unit: Unit, state: MemberState) -> MemberState:
        """Stores the state of a member, if this process still holds the run."""
        unit.check_held(self.attempt.operation.name, self.attempt.operation.fence)
        unit.put_member_state(self.stack.name, state)
        return state


def _done(state: MemberState, wish: Declared, before: Resource | None, after: Resource, action: Action) -> MemberState:
    """Returns the state of a member that is as declared: the resource before and after that was done."""
    set_before = None if before is None else _set_before(state, before)
    return replace(
        state,
        resource=after.name,
        uid=after.uid,
        action=action,
        became=Became.SUCCEEDED,
        error=None,
        applied=applied(wish, None if before is None else before.declared, set_before),
    )


def _set_before(state: MemberState, resource: Resource) -> Applied | None:
    """Returns what earlier runs set in a resource; nothing in another of the same name."""
    return state.applied if resource.uid == state.uid else None


def _is_there(resource: Resource, declared: Declared) -> bool:
    return resource.state is State.SUCCEEDED and not resource.operation and same(resource.declared, declared)
