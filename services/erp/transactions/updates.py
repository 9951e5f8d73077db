"""Steps that change records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.errors import SutlerError

from services.erp.attempts import repeated
from services.erp.batches.sameness import EXACT, has, normal
from services.erp.ports import Prepared
from services.erp.records import canonical
from services.erp.schemas import ModelSchema
from services.erp.transactions import faults
from services.erp.transactions.model import Step, StepSpec, StepState
from services.erp.transactions.ways import Scene, Way, ids_of

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """See :class:`services.erp.transactions.ways.Act`."""

    scene: Scene
    step: Step
    schema: ModelSchema
    values: Values
    prepared: Prepared
    again: bool

    async def take(self) -> Step:
        """Writes the values, and notes what the ERP made of them if they may be undone."""
        scene, ids = self.scene, self.step.record_ids

        async def write() -> None:
            await scene.link.driver.write(scene.ask, self.schema, ids, self.prepared)

        async def written() -> bool:
            return await self.look() is not None

        if self.prepared.repeatable:
            await repeated(scene.link, scene.attempt(again=self.again), write, written)
        else:
            await write()
        return await self._noted()

    async def look(self) -> Step | None:
        """Compares what is there with what was written."""
        found = await self.scene.read(self.schema, self.step.record_ids, list(self.values))
        if all(has(self.schema, one, self.values) for one in found):
            return await self._noted()
        return None

    async def _noted(self) -> Step:
        exact = all(self.schema.fields[name].type in EXACT for name in self.values)
        if not self.step.old_values or (exact and self.step.spec.rows):
            return self.step
        try:
            found = await self.scene.read(self.schema, self.step.record_ids, list(self.values))
        except SutlerError:  # it was written all the same; its undo compares with what was asked for
            return self.step
        return replace(self.step, new_values=tuple(found))


async def check(scene: Scene, spec: StepSpec) -> str:
    """Checks the values."""
    schema = await scene.schema(spec.model)
    prepared = await scene.link.driver.prepare(scene.ask, schema, spec.values[0], scene.schemas)
    for name, value in spec.values[0].items():
        if isinstance(value, Mapping) and schema.fields[name].to_many and {"create", "update", "delete"} & set(value):
            return f"{name} creates, changes or deletes related records"
    return "" if prepared.repeatable else "it creates related records"


async def ready(scene: Scene, step: Step) -> Update:
    """Brings the values into the ERP's forms and reads those that they replace."""
    return await ready_values(scene, step, step.spec.values[0])


async def ready_values(scene: Scene, step: Step, values: Values) -> Update:
    """Makes a step ready that writes these values to its records."""
    schema = await scene.schema(step.spec.model)
    prepared = await scene.link.driver.prepare(scene.ask, schema, values, scene.schemas)
    if step.state is not StepState.PENDING:
        return Update(scene, step, schema, values, prepared, again=True)
    ids = ids_of(step.spec)
    old = () if step.spec.last else await _old(scene, schema, ids, list(values))
    begun = replace(step, record_ids=ids, old_values=old, repeatable=prepared.repeatable)
    return Update(scene, begun, schema, values, prepared, again=False)


async def _old(scene: Scene, schema: ModelSchema, ids: Sequence[int], names: Sequence[str]) -> tuple[Values, ...]:
    if all(one in scene.known and scene.known[one].keys() >= set(names) for one in ids):
        return tuple({name: scene.known[one][name] for name in names} for one in ids)
    return tuple(await scene.read(schema, ids, names))


async def undo(scene: Scene, step: Step, again: bool) -> None:
    """Restores the old values."""
    await undo_values(scene, step, step.spec.values[0])


async def undo_values(scene: Scene, step: Step, values: Values) -> None:
    """Restores the old values of records that still have these new ones.

    Raises:
        Conflict: If somebody else has changed one of them since; then nothing is restored.
        FailedPrecondition: If the ERP does not show what was written (STEP_NOT_UNDOABLE).
    """
    schema = await scene.schema(step.spec.model)
    now = await scene.read(schema, step.record_ids, list(values))
    wanted: dict[int, Values] = {}
    changed, hidden = [], []
    for index, (record_id, old) in enumerate(zip(step.record_ids, step.old_values, strict=True)):
        left = step.new_values[index] if step.new_values else None
        if _equal(schema, now[index], old):
            if left is not None and _equal(schema, left, old) and not has(schema, old, values):
                hidden.append(record_id)
            continue
        if _equal(schema, now[index], left) if left is not None else has(schema, now[index], values):
            wanted[record_id] = old
        else:
            changed.append(record_id)
    if changed:
        raise faults.changed_since(scene.link.name, schema.name, changed)
    await restore(scene, schema, wanted)
    if hidden:
        raise faults.not_shown(scene.link.name, schema.name, hidden)


async def restore(scene: Scene, schema: ModelSchema, wanted: Mapping[int, Values]) -> None:
    """Writes values to records, with one call for all that get the same."""
    alike: dict[bytes, list[int]] = {}
    for record_id, values in wanted.items():
        alike.setdefault(canonical(values), []).append(record_id)
    for ids in alike.values():
        await _restore_alike(scene, schema, ids, wanted[ids[0]])


async def _restore_alike(scene: Scene, schema: ModelSchema, ids: Sequence[int], values: Values) -> None:
    prepared = await scene.link.driver.prepare(scene.ask, schema, values, scene.schemas)

    async def write() -> None:
        await scene.link.driver.write(scene.ask, schema, ids, prepared)

    async def written() -> bool:
        return all(has(schema, one, values) for one in await scene.read(schema, ids, list(values)))

    await repeated(scene.link, scene.attempt(), write, written)


def _equal(schema: ModelSchema, one: Values, other: Values) -> bool:
    return all(normal(schema.fields[name], one[name]) == normal(schema.fields[name], other[name]) for name in other)


UPDATE = Way(check, ready, undo)
"""How records are changed."""
