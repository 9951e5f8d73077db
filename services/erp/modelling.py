"""Describing a model: its fields, also behind relations, its title, and what the user may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sutler.errors import PermissionDenied

from services.erp import faults
from services.erp.catalogue import Kept
from services.erp.links import Link
from services.erp.schemas import Model, ModelField, ModelRights, ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.users import Ask


@dataclass(frozen=True, slots=True)
class Described:
    """A model.

    Attributes:
        schema: The model with all its fields, and how old that is.
        fields: The fields that were asked for, by name; a dotted path keeps its path as its name.
        rights: What the user may do.
        title: The model with its title, as far as the user may see that.
    """

    schema: Kept[ModelSchema]
    fields: Sequence[ModelField]
    rights: ModelRights
    title: Model


async def describe(
    link: Link,
    ask: Ask,
    model: str,
    paths: Sequence[str],
    related: SchemaSource,
    *,
    max_staleness: float | None,
    allow_stale: bool,
) -> Described:
    """Returns a model as its user sees it, with the fields at some paths; ``related`` gives the models on the way.

    Raises:
        NotFound: If there is none (MODEL_NOT_FOUND).
        Invalid: If one of the fields does not exist (FIELD_NOT_FOUND).
    """
    kept = await link.catalogue.described(ask, model, max_staleness=max_staleness, allow_stale=allow_stale)
    rights = await link.catalogue.rights(ask, model, max_staleness=max_staleness, allow_stale=allow_stale)
    fields = [await _field(kept.value, path, related) for path in paths]
    return Described(
        kept, fields or list(kept.value.fields.values()), rights.value, await _title(link, ask, kept.value)
    )


async def _field(schema: ModelSchema, path: str, related: SchemaSource) -> ModelField:
    steps = path.split(".")
    for index, step in enumerate(steps):
        known = schema.fields.get(step)
        if known is None or (index < len(steps) - 1 and not known.related):
            raise faults.field_not_found(schema.name, step)
        if index < len(steps) - 1:
            schema = await related(known.relation)
    assert known is not None
    return replace(known, field=path)


async def _title(link: Link, ask: Ask, schema: ModelSchema) -> Model:
    """Returns the model with title and modules; users who may not see the list of models get it without."""
    try:
        known = await link.catalogue.model(ask, schema.name) or schema.model
    except PermissionDenied:
        return schema.model
    return replace(known, archive_field=schema.model.archive_field)
