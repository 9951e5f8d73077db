"""What can be checked of members before anything is done with them: permissions, and what each change would meet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sutler.auth import authorize
from sutler.errors import SutlerError, Violation
from sutler.validation import MAX_VIOLATIONS

from services.resource.accepting import concerns_handler
from services.resource.callers import Caller
from services.resource.declaring import Declarations
from services.resource.names import key
from services.resource.ports import Store, View
from services.resource.preparing import pass_stages, prepared
from services.resource.proposals import PREFIX, Proposal
from services.resource.stacks.planning import Plan, Step
from services.resource.stacks.resolving import field_of
from services.resource.stacks.stack import Action

PARALLEL = 32
"""How many members are checked at once."""

VERBS = ("create", "update", "delete")


def check_permissions(caller: Caller, declared: Sequence[str], leaving: Sequence[str]) -> None:
    """Checks that the caller may do with all members whatever a run may have to do, and take it back.

    Raises:
        PermissionDenied: If it may not (PERMISSION_MISSING).
    """
    for verb in VERBS:
        targets = [*declared, *leaving] if verb == "delete" else declared
        if targets:
            authorize(caller.principal, f"resource.resources.{verb}", targets)


async def check_members(store: Store, declarations: Declarations, caller: Caller, plan: Plan) -> None:
    """Checks members as CreateResource and UpdateResource would, where all values are known.

    Raises:
        SutlerError: The error of the first member in the request; with the violations of others that fail alike.
    """
    expected = frozenset(step.name.key for step in plan.steps if step.before is None)
    places = asyncio.Semaphore(PARALLEL)

    async def check(step: Step) -> SutlerError | None:
        async with places:
            try:
                await _check(store, declarations, caller, step, expected)
            except SutlerError as error:
                return _of_member(error, step)
        return None

    steps = sorted(plan.steps, key=lambda step: step.index)
    checked = [step for step in steps if step.complete and step.state.action is not Action.KEEP]
    errors = [error for error in await asyncio.gather(*map(check, checked)) if error is not None]
    if errors:
        raise _together(errors)


async def _check(
    store: Store, declarations: Declarations, caller: Caller, step: Step, expected: frozenset[str]
) -> None:
    """Checks one member as far as that can be done before what it needs is there.

    Args:
        store: Where everything is kept.
        declarations: Knows how.
        caller: In whose name it would be done.
        step: The member.
        expected: The keys of the resources that will be there by then.
    """

    def propose(view: View) -> Proposal:
        above = view.above(step.name)
        proposal = declarations.proposal(view, caller, step.type, step.name, above, step.before, step.after)
        if key(step.name.parent) in expected and proposal.compiled.sees_parent:
            return replace(proposal, compiled=replace(proposal.compiled, rules=()))
        return proposal

    proposal = prepared(caller, await store.read(caller.tenant, propose))
    there = _without(proposal, expected)
    await store.read(caller.tenant, lambda view: pass_stages(view, there))
    if concerns_handler(proposal):
        await declarations.ask_handler(caller, proposal, validate_only=True)


def _without(proposal: Proposal, expected: frozenset[str]) -> Proposal:
    """Returns a proposal that does not name what is not there yet."""
    wished = proposal.wished
    references = tuple(name for name in wished.references if key(name) not in expected)
    location = "" if key(wished.location) in expected else wished.location
    return replace(proposal, wished=replace(wished, references=references, location=location))


def _of_member(error: SutlerError, step: Step) -> SutlerError:
    """Returns an error with the member in its metadata, and with paths as they stand in the request."""
    error.metadata["member"] = step.member.id
    where = field_of(step.index)
    error.violations = tuple(
        Violation(_moved(violation.field, where), violation.description, violation.reason)
        for violation in error.violations
    )
    if "field" in error.metadata:
        error.metadata["field"] = _moved(error.metadata["field"], where)
    return error


def _moved(field: str, where: str) -> str:
    return where + field.removeprefix(PREFIX) if field == PREFIX or field.startswith(f"{PREFIX}.") else field


def _together(errors: Sequence[SutlerError]) -> SutlerError:
    first = errors[0]
    alike = [error for error in errors if (error.code, error.reason) == (first.code, first.reason)]
    first.violations = tuple(violation for error in alike for violation in error.violations)[:MAX_VIOLATIONS]
    return first
