"""Steps that archive records, or delete them for good."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.erp.attempts import repeated
from services.erp.schemas import ModelSchema
from services.erp.transactions.model import Step, StepSpec, StepState
from services.erp.transactions.updates import ready_values, undo_values
from services.erp.transactions.ways import Act, Scene, Way, ids_of


@dataclass(frozen=True, slots=True)
class Delete:
    """See :class:`services.erp.transactions.ways.Act`: deletes for good."""

    scene: Scene
    step: Step
    schema: ModelSchema

    async def take(self) -> Step:
        """Deletes the records."""
        scene, ids = self.scene, self.step.record_ids

        async def delete() -> None:
            await scene.link.driver.delete(scene.ask, self.schema, ids)

        async def gone() -> bool:
            return await self.look() is not None

        await repeated(scene.link, scene.attempt(), delete, gone)
        return self.step

    async def look(self) -> Step | None:
        """Looks whether they are gone."""
        found = await self.scene.link.driver.read(self.scene.ask, self.schema, self.step.record_ids, ["id"])
        return None if found else self.step


async def check(scene: Scene, spec: StepSpec) -> str:
    """Tells whether the records can be archived."""
    schema = await scene.schema(spec.model)
    if spec.permanent:
        return "what is deleted for good cannot be brought back"
    return "" if schema.model.archive_field else f"records of {spec.model} cannot be archived"


async def ready(scene: Scene, step: Step) -> Act:
    """Reads whether the records exist and are archived."""
    schema = await scene.schema(step.spec.model)
    archive = schema.model.archive_field
    if archive and not step.spec.permanent:
        return await ready_values(scene, step, {archive: False})
    if step.state is StepState.PENDING:
        await scene.read(schema, ids_of(step.spec), [])
        step = replace(step, record_ids=ids_of(step.spec))
    return Delete(scene, step, schema)


async def undo(scene: Scene, step: Step, again: bool) -> None:
    """Brings archived records back."""
    schema = await scene.schema(step.spec.model)
    await undo_values(scene, step, {schema.model.archive_field: False})


DELETE = Way(check, ready, undo)
"""How records are archived or deleted."""
