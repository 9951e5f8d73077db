"""Creates and updates resources: complete, check, ask the handler, store; then a handler works, or all is done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sutler.auth import authorize
from sutler.errors import Conflict, SutlerError, invalid, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.operations.model import Operation

from services.resource.accepting import Accepted, accept, concerns_handler
from services.resource.blaming import blame
from services.resource.callers import Caller
from services.resource.compiling import Compiler
from services.resource.differences import FieldChange, differences
from services.resource.handling import Planned
from services.resource.judging import PolicyBook
from services.resource.names import key, parse
from services.resource.permitting import CREATE
from services.resource.ports import Handlers, Result, Store, Unit, View
from services.resource.preparing import pass_stages, prepared
from services.resource.proposals import Proposal, rejected
from services.resource.proposing import Proposer, Sent
from services.resource.work import question_for

MAX_REPEATS = 20
"""How often a change is checked anew because its type, parent or resource changed meanwhile."""

QUICK_BYTES = 16_384
"""Up to how much JSON a change is worked out on the event loop, which takes about 0.7 µs for each byte."""

QUICK_QUOTAS = 20
"""Up to how many quotas a change is stored on the event loop; each is read and written, which takes 0.1 ms."""

Propose = Callable[[View, int], Proposal | None]
"""Returns what is proposed; None if what is stored has more bytes of JSON than the number given."""
Also = Callable[[Unit, Accepted], None]
"""What else is done in the change that stores a declaration; like all that a store is given it may run again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change led to.

    Attributes:
        operation: Its operation; None if it was only checked.
        result: What the operation would answer, if it was only checked.
        changes: What would differ, if it was only checked.
        plan: The steps that would be taken, as far as that can be told.
    """

    operation: Operation | None = None
    result: Result = None
    changes: tuple[FieldChange, ...] = ()
    plan: tuple[Planned, ...] = ()


class Declarations:
    """Creates and updates resources.

    Args:
        store: Where they are kept.
        compiler: Compiles types.
        policies: Compiles policies.
        handlers: Asks handlers.
        wait: Seconds to wait for a handler before a call answers.
        limits: How many resources of a type may stand in one scope, by the key of the type.

    Attributes:
        proposer: Makes what is sent ready for checks.
    """

    def __init__(
        self,
        store: Store,
        compiler: Compiler,
        policies: PolicyBook,
        handlers: Handlers,
        *,
        wait: float = 0.0,
        limits: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.proposer = Proposer(compiler, policies, limits)
        self._store = store
        self._policies = policies
        self._handlers = handlers
        self._wait = wait

    async def create(
        self, caller: Caller, parent: str, id: str, sent: Sent, *, once: Once | None, validate_only: bool
    ) -> Outcome:
        """Creates a resource.

        Args:
            caller: Who asks.
            parent: The scope or resource above; empty for the root.
            id: The last part of the name.
            sent: The resource.
            once: How the answer, an :class:`~sutler.operations.Operation`, is remembered.
            validate_only: Checks and changes nothing.

        Raises:
            SutlerError: As the contract of CreateResource says.
        """
        if not sent.type:
            raise invalid("resource.type", "is required")
        parse(parent, "parent") if parent else None
        return await self._carry_out(
            caller, lambda view, _: self.proposer.creation(view, caller, parent, id, sent), sent, once, validate_only
        )

    async def update(
        self,
        caller: Caller,
        name: str,
        sent: Sent,
        *,
        allow_missing: bool,
        once: Once | None,
        validate_only: bool,
        also: Also | None = None,
    ) -> Outcome:
        """Changes a resource, or creates it with ``allow_missing``; other arguments are those of :meth:`create`.

        Args:
            caller: Who asks.
            name: The resource.
            sent: What is sent.
            allow_missing: Creates it if there is none.
            once: How the answer is remembered.
            validate_only: Checks and changes nothing.
            also: What else is done in the same change.

        Raises:
            SutlerError: As the contract of UpdateResource says.
        """
        wanted = parse(name, "resource.name")

        def propose(view: View, most: int) -> Proposal | None:
            before = view.resource(name)
            if before is not None and before.size > most:
                return None
            if before is not None:
                proposal = self.proposer.change(view, caller, view.opened(before), sent)
                return _unguessing(proposal, sent) if validate_only else proposal
            if not allow_missing:
                raise not_found(name)
            check_etag(sent.etag, "", name)
            authorize(caller.principal, CREATE, [name])
            new = replace(sent, type=sent.type or wanted.type)
            if key(new.type) != key(wanted.type):
                raise invalid("resource.type", f"must fit the name: {wanted.type}")
            return self.proposer.creation(view, caller, wanted.parent, wanted.id, new)

        return await self._carry_out(caller, propose, sent, once, validate_only, also)

    async def _carry_out(
        self,
        caller: Caller,
        propose: Propose,
        sent: Sent,
        once: Once | None,
        validate_only: bool,
        also: Also | None = None,
    ) -> Outcome:
        hurried = None if validate_only else self._hurried(caller, propose, sent)
        for _ in range(MAX_REPEATS):
            proposal = hurried or await self._looked_up(caller, propose, sent)
            hurried = None
            plan: tuple[Planned, ...] = ()
            asks = concerns_handler(proposal)
            if asks or validate_only:
                await self._store.read(caller.tenant, lambda view, proposal=proposal: pass_stages(view, proposal))  # type: ignore[misc]
            if asks:
                plan = await self.ask_handler(caller, proposal, validate_only)
            if validate_only:
                before = proposal.before.declared if proposal.before else None
                return Outcome(None, proposal.would_be, tuple(differences(before, proposal.wished)), plan)
            operation = await self._write(caller, proposal, once, also)
            if operation is not None:
                return Outcome(operation)
        raise Conflict(f"what {proposal.name.text} depends on keeps changing; try again", resource=proposal.name.text)

    async def _looked_up(self, caller: Caller, propose: Propose, sent: Sent) -> Proposal:
        """Returns a proposal made of what is stored; what is large is worked out in threads."""
        small = None
        if sent.size <= QUICK_BYTES:
            small = await self._store.read(caller.tenant, lambda view: propose(view, QUICK_BYTES))
        if small is not None:
            return prepared(caller, small)
        large = await self._store.scan(caller.tenant, lambda view: propose(view, sys.maxsize))
        assert large is not None  # nothing is larger
        return await asyncio.to_thread(prepared, caller, large)

    def _hurried(self, caller: Caller, propose: Propose, sent: Sent) -> Proposal | None:
        """Returns a proposal made of what was last known, where that is enough and speaks for the change.

        The write checks whether it still holds. What speaks against the change is worth a look at the store, and so is
        what a handler is asked about.
        """
        if sent.size > QUICK_BYTES:
            return None
        try:
            found = self._store.recall(caller.tenant, lambda view: propose(view, QUICK_BYTES))
            if found is None or not found.type.made_by.records:
                return None
            return prepared(caller, found)
        except SutlerError:
            return None

    async def _write(
        self, caller: Caller, proposal: Proposal, once: Once | None, also: Also | None
    ) -> Operation | None:
        def change(unit: Unit) -> Accepted | None:
            accepted = accept(unit, caller, proposal, self._policies)
            if accepted is not None:
                unit.remember(once, accepted.operation)
                if also is not None:
                    also(unit, accepted)
            return accepted

        quick = not proposal.type.builtin and proposal.quotas <= QUICK_QUOTAS and proposal.size <= QUICK_BYTES
        accepted = await self._store.write(caller.tenant, change, quick=quick)
        if accepted is None:
            return None
        operation = accepted.operation
        return operation if operation.state.ended else await self._store.ended(operation, self._wait)

    async def ask_handler(self, caller: Caller, proposal: Proposal, validate_only: bool) -> tuple[Planned, ...]:
        """Has the handler check a change; returns what it would do.

        Raises:
            Invalid: If it refuses (HANDLER_REJECTED).
            Unavailable: If it cannot be asked (DEPENDENCY_UNAVAILABLE).
        """
        now = await self._store.read(caller.tenant, lambda view: view.now)
        call = question_for(proposal.type, caller, now, validate_only=validate_only)
        verdict = await self._handlers.validate(call, proposal.would_be, proposal.before)
        if verdict.violations:
            refusal = rejected(proposal.type.type, verdict.violations, proposal.compiled.secrets)
            blame(refusal, proposal.sources)
            raise refusal
        return verdict.plan


def _unguessing(proposal: Proposal, sent: Sent) -> Proposal:
    """Returns a change whose check does not tell whether secrets that are sent are those that are stored."""
    assert proposal.before is not None
    known = proposal.before.declared.forgetting(sent.onto(None).properties, proposal.compiled.secrets)
    return replace(proposal, before=replace(proposal.before, declared=known))
