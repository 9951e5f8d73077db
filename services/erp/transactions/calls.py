"""Steps that call methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.erp import faults
from services.erp.attempts import repeated
from services.erp.connections import Effect, MethodRule
from services.erp.faults import AnswerLostError
from services.erp.transactions.faults import step_unknown
from services.erp.transactions.model import MethodCall, Step, StepSpec, StepState
from services.erp.transactions.ways import Scene, Way, ids_of

REPEATABLE = (Effect.READ_ONLY, Effect.IDEMPOTENT)


@dataclass(frozen=True, slots=True)
class Call:
    """See :class:`services.erp.transactions.ways.Act`."""

    scene: Scene
    step: Step
    call: MethodCall

    async def take(self) -> Step:
        """Calls the method; once only, unless its rule says that this does not matter."""
        result = await _call(self.scene, self.step.spec.model, self.step.record_ids, self.call)
        return replace(self.step, result=result)

    async def look(self) -> Step | None:
        """Nobody can see whether a method was called."""
        return None


async def check(scene: Scene, spec: StepSpec) -> str:
    """Checks that the connection allows the method and the one that undoes it."""
    await scene.schema(spec.model)
    assert spec.call is not None
    rule = _rule(scene, spec.model, spec.call)
    if spec.undo_call is not None:
        _rule(scene, spec.model, spec.undo_call)
    return "" if spec.undo_call or rule.effect is Effect.READ_ONLY else "call without undo"


async def ready(scene: Scene, step: Step) -> Call:
    """Looks up whether the method may be called again."""
    call = step.spec.call
    assert call is not None
    if step.state is StepState.PENDING:
        rule = _rule(scene, step.spec.model, call)
        step = replace(step, record_ids=ids_of(step.spec), repeatable=rule.effect in REPEATABLE)
    return Call(scene, step, call)


async def undo(scene: Scene, step: Step, again: bool) -> None:
    """Calls the method that undoes it."""
    call, model = step.spec.undo_call, step.spec.model
    if call is None:
        return
    if again and _rule(scene, model, call).effect not in REPEATABLE:
        raise step_unknown(scene.entry.name, step.spec)
    try:
        await _call(scene, model, step.record_ids, call)
    except AnswerLostError as lost:
        if _rule(scene, model, call).effect in REPEATABLE:
            raise
        raise step_unknown(scene.entry.name, step.spec) from lost


async def _call(scene: Scene, model: str, ids: Sequence[int], call: MethodCall) -> Any:
    rule = _rule(scene, model, call)
    results: list[Any] = []

    async def ask() -> None:
        args = (scene.ask, model, call.method, ids, call.positional, call.named)
        results.append(await scene.link.driver.call(*args))

    try:
        async with scene.answers.asking(scene.link, model, ids, rule.changed_models):
            await (repeated(scene.link, scene.attempt(), ask, _never) if rule.effect in REPEATABLE else ask())
    finally:
        if rule.effect is not Effect.READ_ONLY:
            await scene.answers.changed_somewhere(scene.link, rule.changed_models)
    return results[-1]


def _rule(scene: Scene, model: str, call: MethodCall) -> MethodRule:
    rule = scene.link.connection.spec.method_rule(model, call.method)
    if rule is None:
        raise faults.method_not_allowed(model, call.method)
    return rule


async def _never() -> bool:
    return False


CALL = Way(check, ready, undo)
"""How methods are called."""
