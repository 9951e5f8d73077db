"""Steps that create records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sutler.errors import NotFound, SutlerError, Unimplemented
from sutler.ids import derive

from services.erp.attempts import repeated
from services.erp.keyed import KEY_MODULE, claim, create_once
from services.erp.ports import Capability, Prepared
from services.erp.schemas import ModelSchema
from services.erp.transactions.model import CreateUndo, Step, StepSpec, StepState
from services.erp.transactions.passing import passes
from services.erp.transactions.updates import restore
from services.erp.transactions.ways import Scene, Way


@dataclass(frozen=True, slots=True)
class Create:
    """See :class:`services.erp.transactions.ways.Act`."""

    scene: Scene
    step: Step
    schema: ModelSchema
    rows: Sequence[Prepared]
    again: bool

    async def take(self) -> Step:
        """Creates the records, or finds those of an earlier try."""
        scene, step = self.scene, self.step
        attempt = scene.attempt(again=self.again, keys=step.keys)
        own = [one for one in step.spec.external_ids if one]
        made = await create_once(scene.keys, scene.link, scene.ask, self.schema, self.rows, own, attempt)
        return replace(step, record_ids=tuple(made))

    async def look(self) -> Step | None:
        """Finds the records by their keys; they were stored together, and not before the ERP was asked for all."""
        driver = self.scene.link.driver
        own = [driver.same_key(one) for one in self.step.spec.external_ids if one]
        asked = await self.scene.keys.asked(claim(self.scene.link, self.schema.name, own, self.scene.entry.uid))
        if not asked.issuperset(own):
            return None
        known = await driver.find_externals(self.scene.ask, self.schema.name, self.step.keys)
        if not known:
            return None
        return replace(self.step, record_ids=tuple(known.get(key, 0) for key in self.step.keys))


async def check(scene: Scene, spec: StepSpec) -> str:
    """Checks values and keys."""
    schema = await scene.schema(spec.model)
    rows = [await scene.link.driver.prepare(scene.ask, schema, values, scene.schemas) for values in spec.values]
    if any(spec.external_ids):
        _check_keyed(scene, spec, rows)
    if spec.undo is CreateUndo.ARCHIVE and not schema.model.archive_field:
        return f"records of {spec.model} cannot be archived"
    return ""


async def ready(scene: Scene, step: Step) -> Create:
    """Brings the values into the ERP's forms and gives each record its key."""
    spec = step.spec
    schema = await scene.schema(spec.model)
    rows = [await scene.link.driver.prepare(scene.ask, schema, values, scene.schemas) for values in spec.values]
    if step.state is not StepState.PENDING:
        return Create(scene, step, schema, rows, again=True)
    if any(spec.external_ids):
        _check_keyed(scene, spec, rows)
    own = spec.external_ids or ("",) * len(rows)
    keys: tuple[str, ...] = ()
    if Capability.CREATE_KEYS in scene.link.driver.info.capabilities and all(row.keyed for row in rows):
        keys = tuple(
            key or f"{KEY_MODULE}.{derive(scene.entry.uid, f'steps/{step.position}/{i}')}" for i, key in enumerate(own)
        )
    return Create(scene, replace(step, keys=keys, repeatable=bool(keys)), schema, rows, again=False)


async def undo(scene: Scene, step: Step, again: bool) -> None:
    """Deletes the records, or archives them."""
    schema = await scene.schema(step.spec.model)
    driver, ids = scene.link.driver, [one for one in step.record_ids if one]
    ids = [row.id for row in await driver.read(scene.ask, schema, ids, ["id"])]
    if not ids:
        return

    async def gone() -> bool:
        return not await driver.read(scene.ask, schema, ids, ["id"])

    archive = schema.model.archive_field
    if step.spec.undo is not CreateUndo.ARCHIVE:
        try:
            await repeated(scene.link, scene.attempt(), lambda: driver.delete(scene.ask, schema, ids), gone)
        except NotFound:
            if not await gone():
                raise
        except SutlerError as refused:
            if passes(refused) or step.spec.undo is CreateUndo.DELETE or not archive:
                raise
        else:
            return
    await restore(scene, schema, {one: {archive: False} for one in ids})


def _check_keyed(scene: Scene, spec: StepSpec, rows: Sequence[Prepared]) -> None:
    if Capability.EXTERNAL_IDS not in scene.link.driver.info.capabilities or not all(row.keyed for row in rows):
        raise Unimplemented(
            "values of this form cannot be created together with an external id",
            metadata={"method": "external_id", "model": spec.model},
        )


CREATE = Way(check, ready, undo)
"""How records are created."""
