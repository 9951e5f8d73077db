"""Where raw domains lead: to which models, through which relations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.erp import faults
from services.erp.adapters.odoo.domains import explicit
from services.erp.schemas import ModelField, ModelSchema
from services.erp.selecting import SchemaSource

BY_ID = frozenset({"=", "!=", "<>", "=?", "in", "not in"})
"""Operators that compare a relation with ids; with texts they search the names of the related records."""

NESTED = frozenset({"any", "not any", "any!", "not any!"})
"""Operators whose value is a domain of the related model (Odoo 17)."""


async def follow(schema: ModelSchema, domain: Sequence[Any], schemas: SchemaSource) -> None:
    """Asks for the schema of each model that a domain leads to: nobody may look there unseen.

    A relation that is compared with ids or with nothing stays with its own model. One that is compared with a text does
    not: Odoo then searches the related records by whatever their model counts as a name, such as an e-mail address.

    Args:
        schema: The model that the domain is for.
        domain: A raw domain, in prefix form.
        schemas: Gives the models that relations lead to.

    Raises:
        Invalid: If the domain is malformed (DOMAIN_INVALID) or names a field that does not exist (FIELD_NOT_FOUND).
    """
    for term in explicit(schema.name, domain):
        if isinstance(term, str) or not isinstance(term[0], str):
            continue  # an operator, or one of the constants (1, "=", 1) and (0, "=", 1)
        path, operator, value = term
        if not isinstance(operator, str):
            raise faults.domain_invalid(schema.name, f"the operator of {path!r} is not a text")
        last = await _end(schema, path, schemas)
        if last is None or not last.related or _compares_ids(operator, value):
            continue
        related = await schemas(last.relation)
        if operator.lower() in NESTED and isinstance(value, list | tuple):
            await follow(related, value, schemas)


async def _end(schema: ModelSchema, path: str, schemas: SchemaSource) -> ModelField | None:
    """Returns the field that a path ends at; None if it ends within a field, such as the month of a date."""
    first, *more = path.split(".")
    known = schema.fields.get(first)
    if known is None:
        raise faults.field_not_found(schema.name, first, "domain")
    for part in more:
        if not known.related:
            return None
        schema = await schemas(known.relation)
        known = schema.fields.get(part)
        if known is None:
            raise faults.field_not_found(schema.name, part, "domain")
    return known


def _compares_ids(operator: str, value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return operator in BY_ID and all(one is None or isinstance(one, int | float) for one in values)
