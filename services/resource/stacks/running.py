"""Carries out runs of stacks: one attempt, which begins what can be begun and then gives its place back.

A run holds no place while it waits. Whatever it decides, it decides in one change of the store that sees every
operation that it began; the end of such an operation makes the run due in the same change. So no end is overlooked,
and an attempt that dies is followed by one that goes on with what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from sutler.auth import decode_principal

from services.resource.attempting import Attempt
from services.resource.callers import Caller
from services.resource.declaring import Declarations
from services.resource.removing import Removals
from services.resource.stacks import turns
from services.resource.stacks.advancing import Moment, advance
from services.resource.stacks.members import Workshop
from services.resource.stacks.stack import MemberState, Stack, lifts

PARALLEL = 32
"""How many members one run begins at once."""

Turns = Callable[[turns.States], list[MemberState]]
Begin = Callable[[Workshop, MemberState], Awaitable[MemberState]]


class Running:
    """Carries out runs of stacks.

    Args:
        declarations: Creates and updates resources; does not wait for them.
        removals: Deletes them; does not wait either.
    """

    def __init__(self, declarations: Declarations, removals: Removals) -> None:
        self._declarations = declarations
        self._removals = removals

    async def run(self, attempt: Attempt) -> None:
        """Makes one attempt.

        Raises:
            Conflict: If another process holds the operation (LEASE_LOST); then nothing was changed.
            SutlerError: If the store does not work.
        """
        while True:
            moment = await attempt.store.write(attempt.operation.tenant, lambda unit: advance(unit, attempt))
            if not moment.phase:
                return
            caller = replace(_caller(attempt, moment.stack), parts=_parting(moment))
            workshop = Workshop(attempt, moment.stack, caller, self._declarations, self._removals)
            phases: dict[str, tuple[Turns, Begin]] = {
                "apply": (turns.to_apply, Workshop.apply),
                "remove": (turns.to_remove, Workshop.remove),
                "undo": (turns.to_undo, Workshop.undo),
            }
            ready, begin = phases[moment.phase]
            await _begin_all(workshop, moment, ready, begin)


async def _begin_all(workshop: Workshop, moment: Moment, ready: Turns, begin: Begin) -> None:
    """Begins one member after the other as their turns come, in parallel, until none is left whose turn it is."""
    states = {state.key: state for state in moment.stack.member_states}
    undoes = moment.phase == "undo"
    tasks: dict[asyncio.Task[MemberState], str] = {}
    tried: set[str] = set()
    try:
        while True:
            stopped = not undoes and (workshop.attempt.cancelled.is_set() or turns.failures(states))
            turn = () if stopped else ready(states)
            due = [state for state in turn if state.key not in tried and state.due <= moment.now]
            if chosen := due[: PARALLEL - len(tasks)]:
                now = replace(workshop, caller=replace(workshop.caller, lifts=lifts(states.values())))
                tasks |= {asyncio.create_task(_call(begin, now, state)): state.key for state in chosen}
                tried.update(tasks.values())
            if not tasks:
                return
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                states[tasks.pop(task)] = task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _parting(moment: Moment) -> frozenset[str]:
    """Returns the keys of what the run removes."""
    states = {state.key: state for state in moment.stack.member_states}
    if moment.phase == "undo":
        return frozenset(state.key for state in turns.created(states))
    return frozenset(state.key for state in states.values() if state.left and not state.keep and state.uid)


async def _call(begin: Begin, workshop: Workshop, state: MemberState) -> MemberState:
    return await begin(workshop, state)


def _caller(attempt: Attempt, stack: Stack) -> Caller:
    operation, work = attempt.operation, attempt.work
    principal: Any = decode_principal(operation.principal)
    return Caller(
        tenant=operation.tenant,
        principal=principal,
        method=operation.method,
        request_id=work.request_id,
        correlation_id=operation.correlation_id,
        traceparent=work.traceparent,
        stack=stack.name,
        run=operation.name,
    )
