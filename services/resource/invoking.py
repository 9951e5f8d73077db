"""Accepts actions on resources: finds the action, checks what it is given, asks the handler, stores the operation."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.errors import Conflict, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.operations.model import Operation

from services.resource import lifecycle
from services.resource.actions import find_action
from services.resource.announcing import Origin, event
from services.resource.callers import Caller
from services.resource.checks import check_free, locked
from services.resource.compiling import Compiler
from services.resource.declaring import MAX_REPEATS, Outcome
from services.resource.handling import Invocation, Planned
from services.resource.history import Change
from services.resource.judging import Case, PolicyBook, judge
from services.resource.names import parse
from services.resource.ports import Above, Handlers, SecretBox, Store, Unit, View
from services.resource.proposals import rejected
from services.resource.resource import ActionResult, Finding, Lock, Resource
from services.resource.resource_type import ResourceType, unknown_type
from services.resource.work import operation_for, question_for, with_invocation, work_for


@dataclass(frozen=True, slots=True)
class _Accepted:
    """An action that may be carried out: on what, of which type, with parameters completed, and what policies found."""

    resource: Resource
    type: ResourceType
    invocation: Invocation
    findings: tuple[Finding, ...]


class Invocations:
    """Has handlers carry out actions.

    Args:
        store: Where resources are kept.
        compiler: Compiles types.
        policies: Compiles policies.
        handlers: Asks handlers.
        box: Encrypts secrets.
        wait: Seconds to wait for a handler before a call answers.
    """

    def __init__(
        self,
        store: Store,
        compiler: Compiler,
        policies: PolicyBook,
        handlers: Handlers,
        box: SecretBox,
        *,
        wait: float = 0.0,
    ) -> None:
        self._store = store
        self._compiler = compiler
        self._policies = policies
        self._handlers = handlers
        self._box = box
        self._wait = wait

    async def invoke(
        self, caller: Caller, name: str, invocation: Invocation, *, etag: str, once: Once | None, validate_only: bool
    ) -> Outcome:
        """Has an action carried out.

        Args:
            caller: Who asks.
            name: The resource.
            invocation: The action and what it is given.
            etag: The etag that must still be the current one; empty if any will do.
            once: How the answer, an :class:`~sutler.operations.Operation`, is remembered.
            validate_only: Checks and changes nothing.

        Raises:
            SutlerError: As the contract of InvokeAction says.
        """
        parse(name)
        for _ in range(MAX_REPEATS):
            accepted = await self._store.read(
                caller.tenant, lambda view: self._checked(view, caller, name, etag, invocation)
            )
            plan = await self._ask_handler(caller, accepted, validate_only)
            if validate_only:
                return Outcome(None, ActionResult({}, accepted.resource), (), plan)
            operation = await self._store.write(
                caller.tenant,
                lambda unit, asked=accepted: self._store_operation(unit, caller, asked, etag, once),  # type: ignore[misc]
            )
            if operation is not None:
                return Outcome(await self._store.ended(operation, self._wait))
        raise Conflict(f"what {name} depends on keeps changing; try again", resource=name)

    def _checked(self, view: View, caller: Caller, name: str, etag: str, invocation: Invocation) -> _Accepted:
        resource = view.resource(name)
        if resource is None:
            raise not_found(name)
        check_etag(etag, resource.etag, resource.name)
        type = view.type(resource.type)
        if type is None:
            raise unknown_type(resource.type)
        action = self._compiler.action(type, find_action(type, invocation.action))
        given = Invocation(invocation.action, action.completed(invocation.parameters), bool(action.secrets))
        at = parse(resource.name)
        above = view.above(at)
        check_free(resource.name, resource, above)
        lifecycle.engage(resource, "")
        _check_lock(resource, above)
        policies = self._policies.of(view, resource.name, above)
        parent = view.resource(at.parent) if policies and at.parent else None
        found = judge(policies, Case(caller, "invoke", resource, resource, parent, invocation.action))
        return _Accepted(resource, type, given, found)

    async def _ask_handler(self, caller: Caller, asked: _Accepted, validate_only: bool) -> tuple[Planned, ...]:
        now, resource = await self._store.read(caller.tenant, lambda view: (view.now, view.opened(asked.resource)))
        call = question_for(asked.type, caller, now, validate_only=validate_only)
        verdict = await self._handlers.validate_action(call, resource, asked.invocation)
        if verdict.violations:
            secrets = self._compiler.action(asked.type, find_action(asked.type, asked.invocation.action)).secrets
            raise rejected(asked.type.type, verdict.violations, secrets, prefix="", of="parameters")
        return verdict.plan

    def _store_operation(
        self, unit: Unit, caller: Caller, asked: _Accepted, etag: str, once: Once | None
    ) -> Operation | None:
        """Stores an action that the handler has checked; None if its resource or type has changed meanwhile."""
        now = self._checked(unit, caller, asked.resource.name, etag, asked.invocation)
        if (now.resource.revision, now.resource.uid, now.type.uid, now.type.revision) != (
            asked.resource.revision,
            asked.resource.uid,
            asked.type.uid,
            asked.type.revision,
        ):
            return None
        resource = now.resource
        work = with_invocation(work_for(now.type, "invoke", resource.uid, caller), now.invocation, self._box)
        operation = operation_for(caller, resource.name, ended=False, work=work)
        engaged = lifecycle.engage(resource, operation.name, now.findings)
        stored = unit.put(resource, engaged, caller.entry(Change.PROGRESSED, operation.name))
        operation = unit.add_operation(operation, None)
        unit.announce(event("accepted", stored, operation, Origin(caller.request_id, caller.traceparent), unit.now))
        unit.remember(once, operation)
        return operation


def _check_lock(resource: Resource, above: tuple[Above, ...]) -> None:
    for holder, lock in ((resource.name, resource.declared.lock), *((scope.name, scope.lock) for scope in above)):
        if lock is Lock.READ_ONLY:
            raise locked(resource.name, lock, holder)
