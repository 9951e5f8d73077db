"""Simulates an event: which rules would fire, what they would do, and what stops the others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from sutler.context import Principal
from sutler.ids import new_id

from services.rule.attempts import check
from services.rule.casting import Cast
from services.rule.emissions import caused_by, too_deep
from services.rule.events import HANDLER_FAILED, Cause, Content, Event, EventState, event_name
from services.rule.executions import Execution, execution_name
from services.rule.failures import Failure, from_error
from services.rule.letters import letter_name
from services.rule.obstacles import obstacle_now, obstacle_to_begin
from services.rule.outcomes import Context, Failed
from services.rule.ports import Outside
from services.rule.rehearsing import Rehearsal, Rehearsing
from services.rule.sight import Sight
from services.rule.simulations import (
    MAX_ACTIONS,
    MAX_ITEMS,
    Candidate,
    Obstacle,
    RuleSimulation,
    Scene,
    Setting,
    Simulated,
    Supposition,
)
from services.rule.subjects import Subject, fresh
from services.rule.tellings import of_failure


class Simulator:
    """Simulates events.

    Args:
        scene: What is stored.
        outside: What rules may call.
        max_depth: How deep a cascade may be.
        clock: Gives epoch seconds.
    """

    def __init__(self, scene: Scene, outside: Outside, max_depth: int, clock: Callable[[], float] = time.time) -> None:
        self._scene = scene
        self._outside = outside
        self._max_depth = max_depth
        self._clock = clock

    async def run(self, tenant: str, caller: Principal, supposition: Supposition, cause: Cause) -> Simulated:
        """Tells what an event would do.

        All rules that an event fires begin with the subjects as they are then; their writes are made in the order of
        their priorities. What is emitted is followed in the order in which it is emitted.

        Args:
            tenant: Whose event it is.
            caller: In whose name drafts act.
            supposition: What to simulate.
            cause: Where the event comes from.

        Raises:
            Invalid: If a draft does not compile.
            NotFound: If one of the rules does not exist.
        """
        cast = await Cast.of(self._scene, tenant, caller, supposition)
        return await _Run(self._scene, self._outside, self._max_depth, self._clock(), tenant, cast).follow(
            supposition, cause
        )


class _Run:
    def __init__(self, scene: Scene, outside: Outside, max_depth: int, now: float, tenant: str, cast: Cast) -> None:
        self._scene = scene
        self._outside = outside
        self._max_depth = max_depth
        self._now = now
        self._tenant = tenant
        self._cast = cast
        self._subjects: dict[str, Subject | None] = {}
        self._found = Simulated()
        self._queue: deque[Event] = deque()
        self._action_count = 0

    async def follow(self, supposition: Supposition, cause: Cause) -> Simulated:
        await self._suppose(supposition)
        self._add([supposition.content], cause)
        while self._queue:
            event = self._queue.popleft()
            if event.cause.depth <= supposition.max_depth:
                await self._fire(event)
        return self._found

    async def _suppose(self, supposition: Supposition) -> None:
        supposed = supposition.subject
        if supposed is None:
            return
        id_ = supposed.id or supposition.content.subject
        await self._load([id_])
        base = self._subjects[id_] or fresh(self._tenant, id_, self._now)
        self._subjects[id_] = replace(
            base,
            properties=supposed.properties,
            ext_properties=supposed.ext_properties,
            ttl=supposed.ttl,
            revision=max(1, base.revision),
        )

    async def _fire(self, event: Event) -> None:
        candidates = await self._cast.candidates(event)
        subject = event.content.subject
        await self._load([subject] if subject else [])
        setting = await self._scene.setting(self._tenant, [c.rule.uid for c in candidates], subject)
        context = Context("", subject=self._subjects.get(subject))
        for candidate in candidates:
            if len(self._found.simulations) == MAX_ITEMS or self._action_count >= MAX_ACTIONS:
                self._found.truncated = True
                return
            await asyncio.sleep(0)
            await self._judge(event, candidate, setting, context)

    async def _judge(self, event: Event, candidate: Candidate, setting: Setting, context: Context) -> None:
        obstacle = obstacle_to_begin(candidate, event)
        simulation = RuleSimulation(candidate.rule.name, event.content.id, obstacle)
        if obstacle in (Obstacle.TYPE, Obstacle.SUBJECT):
            self._found.simulations.append(simulation)
            return
        execution = self._execution(event, candidate)
        sight = Sight(event, candidate.program, context)
        execution, result = check(execution, candidate.program, sight)
        simulation = replace(simulation, conditions=execution.conditions)
        failure = result.failure if isinstance(result, Failed) else None
        if not obstacle and result is not None:
            simulation = replace(simulation, obstacle=Obstacle.ERROR if failure else Obstacle.CONDITION)
        elif not obstacle:
            rehearsal = await self._rehearse(execution, event, candidate, sight)
            failure = rehearsal.failure
            self._action_count += len(rehearsal.actions)
            waits = obstacle_now(execution, candidate, setting, self._now)
            simulation = replace(simulation, obstacle=waits, actions=rehearsal.actions)
        self._found.simulations.append(simulation)
        if failure is not None and not obstacle:
            self._tell(event, execution, failure, candidate)

    async def _rehearse(self, execution: Execution, event: Event, candidate: Candidate, sight: Sight) -> Rehearsal:
        rehearsing = Rehearsing(execution, event, candidate.program, candidate.author, sight, self._outside, self._now)
        await self._load(await rehearsing.act())
        rehearsal = rehearsing.take_effect(lambda id_: (self._subjects[id_], None))
        cause = caused_by(execution, event, candidate.author.subject)
        if rehearsal.contents and cause.depth > self._max_depth:
            failure = from_error(too_deep(self._max_depth, cause, rehearsal.contents[0].type))
            *before, last = rehearsal.actions
            return Rehearsal([*before, replace(last, error=failure)], failure=failure)
        self._subjects.update((subject.id, subject) for subject in rehearsal.subjects)
        self._found.truncated |= len(self._found.changes) + len(rehearsal.changes) > MAX_ITEMS
        self._found.changes += rehearsal.changes[: MAX_ITEMS - len(self._found.changes)]
        self._add(rehearsal.contents, cause)
        return rehearsal

    def _tell(self, event: Event, execution: Execution, failure: Failure, candidate: Candidate) -> None:
        """Adds the event that tells of a failed execution, where there would be one."""
        if event.content.type != HANDLER_FAILED and execution.depth < self._max_depth:
            told = of_failure(event, execution, failure, letter_name(execution.name), new_id(), self._now)
            self._add([told], caused_by(execution, event, candidate.author.subject))

    def _add(self, contents: Sequence[Content], cause: Cause) -> None:
        for content in contents:
            if len(self._found.events) == MAX_ITEMS:
                self._found.truncated = True
                return
            name = event_name(self._tenant, content.source, content.id)
            content = replace(content, time=self._now if content.time is None else content.time)
            own = replace(cause, root=cause.root or name)
            event = Event(name, 0, self._tenant, content, own, self._now, self._now, EventState.ACTIVE)
            self._found.events.append(event)
            self._queue.append(event)

    def _execution(self, event: Event, candidate: Candidate) -> Execution:
        rule, cause = candidate.rule, event.cause
        name = execution_name(event.name, rule.uid)
        return Execution(
            *(name, 0, self._tenant, event.name, cause.root, rule.name, rule.uid, rule.active, event.content.subject),
            *(cause.depth, cause.correlation_id, self._now, self._now),
        )

    async def _load(self, ids: Collection[str]) -> None:
        missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in self._subjects]
        if missing:
            found = await self._scene.subjects(self._tenant, missing)
            self._subjects.update((id_, found.get(id_)) for id_ in missing)
