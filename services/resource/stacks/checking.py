"""What can be checked of members before anything is done with them: permissions, and what each change would meet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sutler.auth import authorize

from services.resource.accepting import concerns_handler
from services.resource.callers import Caller
from services.resource.declaring import Declarations
from services.resource.names import key
from services.resource.ports import Store, View
from services.resource.preparing import pass_stages, prepared
from services.resource.proposals import Proposal
from services.resource.stacks.planning import Plan, Step
from services.resource.stacks.stack import Action
from services.resource.stacks.stage import Stage

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
        SutlerError: The error of the first member in the request; with the violations of all that have its code.
    """
    expected = frozenset(step.name.key for step in plan.steps if step.before is None)
    places = asyncio.Semaphore(PARALLEL)

    stage = Stage()

    async def check(step: Step) -> None:
        async with places:
            with stage.member(step.index, step.member.id):
                await _check(store, declarations, caller, step, expected)

    checked = [step for step in plan.steps if step.complete and step.state.action is not Action.KEEP]
    await asyncio.gather(*map(check, checked))
    stage.end()


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
        proposal = declarations.proposer.proposal(view, caller, step.type, step.name, above, step.before, step.after)
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
