"""Goes through the actions of a rule as an execution would, without any effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.context import Principal
from sutler.errors import SutlerError

from services.rule.definitions import Deed, Delay, DeleteProperty, EmitEvent, OutsideCall, SetProperty
from services.rule.effects import Effects, Load
from services.rule.events import Content, Event
from services.rule.executions import Execution
from services.rule.failures import Failure, from_error
from services.rule.faults import refuse
from services.rule.paths import Path, paths
from services.rule.ports import Outside
from services.rule.programs import CompiledAction, Program
from services.rule.rights import check_rights
from services.rule.sight import Sight
from services.rule.simulations import SimulatedAction
from services.rule.steps import Change, Step, StepState
from services.rule.subjects import Evaluate, Subject
from services.rule.writes import Write

_NO_ANSWER = (SetProperty, DeleteProperty, EmitEvent, Delay)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the actions of a rule would do with one event.

    Attributes:
        actions: The actions, up to the first that would fail.
        contents: The events that would be emitted; none if an action would fail.
        subjects: The subjects as they would be; none if an action would fail.
        changes: What would change in them.
        failure: Why the execution would fail.
    """

    actions: Sequence[SimulatedAction]
    contents: Sequence[Content] = ()
    subjects: Sequence[Subject] = ()
    changes: Sequence[Change] = ()
    failure: Failure | None = None


class Rehearsing:
    """Rehearses one execution.

    Args:
        execution: As it would be.
        event: The event that it would handle.
        program: The rule.
        author: The principal in whose name it acts.
        sight: What its expressions see.
        outside: What it may call.
        now: Epoch seconds.
    """

    def __init__(
        self,
        execution: Execution,
        event: Event,
        program: Program,
        author: Principal,
        sight: Sight,
        outside: Outside,
        now: float,
    ) -> None:
        self._execution = execution
        self._event = event
        self._program = program
        self._author = author
        self._sight = sight
        self._outside = outside
        self._now = now
        self._unknown: set[Path] = set()
        self._actions: list[SimulatedAction] = []

    async def act(self) -> Sequence[str]:
        """Works out the actions, up to the first that would fail, and returns the ids of the subjects they write."""
        for index, action in enumerate(self._program.actions):
            known = await self._work_out(action, f"actions[{index}]")
            self._actions.append(known)
            if known.error is not None:
                break
        return [
            action.do.subject
            for action in self._actions
            if isinstance(action.do, SetProperty | DeleteProperty) and not action.uncertain and not action.error
        ]

    def take_effect(self, load: Load) -> Rehearsal:
        """Returns what would be written and emitted together, by what can be known of it.

        Args:
            load: Gives the subjects that :meth:`act` has named.
        """
        failed = next((action.error for action in self._actions if action.error), None)
        if failed is not None:
            return Rehearsal(self._actions, failure=failed)
        values: dict[str, Any] = {}
        effects = Effects(self._execution, self._event, _noting(self._sight.at_commit(), values), load, self._now)
        changes: list[Change] = []
        for index, action in enumerate(self._actions):
            if action.uncertain:
                continue
            try:
                step = effects.make(Step(action.id, action.do.kind, StepState.SUCCEEDED, action.do))
            except SutlerError as error:
                failure = from_error(error)
                return Rehearsal([*self._actions[:index], replace(action, error=failure)], failure=failure)
            changes += [replace(change, event="") for change in step.changes]
            if action.id in values and isinstance(action.do, SetProperty):
                do = replace(action.do, expression="", value=values[action.id])
                self._actions[index] = replace(action, do=do)
        return Rehearsal(self._actions, effects.contents, effects.subjects, changes)

    async def _work_out(self, action: CompiledAction, field: str) -> SimulatedAction:
        uncertain = any(map(self._needs_unknown, action.sources))
        deed = action.do
        try:
            deed = self._deed(action, field, uncertain=uncertain)
            if isinstance(deed, OutsideCall):
                refuse(await self._outside.check(deed, f"{field}.{deed.kind}", self._author.tenant), "")
            if not uncertain:
                check_rights(self._author, deed)
                self._sight.did(action, Step(action.id, deed.kind, deed=deed))
        except SutlerError as error:
            return SimulatedAction(action.id, deed, uncertain, from_error(error))
        if not isinstance(deed, _NO_ANSWER):
            self._unknown.add(("results", action.id))
        elif uncertain and isinstance(deed, SetProperty | DeleteProperty):
            self._unknown.add(("subject",))
        return SimulatedAction(action.id, deed, uncertain)

    def _deed(self, action: CompiledAction, field: str, *, uncertain: bool) -> Deed:
        if isinstance(action.do, Delay):
            if uncertain:
                return action.do
            return Delay(self._sight.delay(action, f"{field}.delay.expression", self._now))
        return self._sight.render(action, field, lambda text: any(map(self._needs_unknown, text.expressions)))

    def _needs_unknown(self, expression: str) -> bool:
        return any(
            path[: len(unknown)] == unknown[: len(path)] for path in paths(expression) for unknown in self._unknown
        )


def _noting(evaluate: Evaluate, values: dict[str, Any]) -> Evaluate:
    """Returns what evaluates and notes the value by the id of the action that it is for."""

    def noting(write: Write, old: Any, subject: Subject) -> Any:
        values[write.value] = evaluate(write, old, subject)
        return values[write.value]

    return noting
