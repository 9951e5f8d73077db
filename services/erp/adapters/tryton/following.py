"""Raw domains: whether they are one, and to which models they lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.erp import faults
from services.erp.schemas import FieldType, ModelField, ModelSchema
from services.erp.selecting import SchemaSource

NESTED = frozenset({"where", "not where"})
"""Operators whose value is a domain of the related model."""

TREES = frozenset({"child_of", "not child_of", "parent_of", "not parent_of"})
PLAIN = frozenset(
    {"=", "!=", "<", "<=", ">", ">=", "in", "not in", "like", "not like", "ilike", "not ilike"}
)  # fmt: skip
OPERATORS = NESTED | TREES | PLAIN


async def follow(schema: ModelSchema, domain: Sequence[Any], schemas: SchemaSource) -> None:
    """Asks for the schema of each model that a domain leads to: nobody may look there unseen.

    A relation that is compared with ids or with nothing stays with its own model. One that is compared with a text does
    not: Tryton then searches the titles of the related records.

    Args:
        schema: The model that the domain is for.
        domain: A raw domain: conditions, or ``AND`` or ``OR`` and conditions, which may be domains in turn.
        schemas: Gives the models that relations lead to.

    Raises:
        Invalid: If the domain is malformed (DOMAIN_INVALID) or names a field that does not exist (FIELD_NOT_FOUND).
    """
    for index, term in enumerate(domain):
        if index == 0 and term in ("AND", "OR"):
            continue
        if not isinstance(term, list | tuple):
            raise faults.domain_invalid(schema.name, f"term {index} is neither a condition nor a list of them")
        if term and isinstance(term[0], str) and term[0] not in ("AND", "OR"):
            await _condition(schema, term, index, schemas)
        else:
            await follow(schema, term, schemas)


async def _condition(schema: ModelSchema, term: Sequence[Any], index: int, schemas: SchemaSource) -> None:
    if len(term) not in (3, 4) or not isinstance(term[1], str):
        raise faults.domain_invalid(schema.name, f"term {index} is not of the form [field, operator, value]")
    path, operator, value = term[:3]
    if operator not in OPERATORS or (operator in NESTED and not isinstance(value, list | tuple)):
        raise faults.domain_invalid(
            schema.name, f"term {index} has no operator of Tryton, or a value that it does not take"
        )
    last = await _end(schema, path, schemas)
    if last.type is FieldType.REFERENCE and "." in path:
        raise faults.domain_invalid(
            schema.name, f"term {index} leads through a reference, to a model that it names itself"
        )
    if not last.related or (operator not in NESTED and _compares_ids(value)):
        return
    related = await schemas(last.relation)
    if operator in NESTED:
        await follow(related, value, schemas)


async def _end(schema: ModelSchema, path: str, schemas: SchemaSource) -> ModelField:
    """Returns the field that a path ends at."""
    first, *more = path.split(".")
    known = schema.fields.get(first)
    if known is None:
        raise faults.field_not_found(schema.name, first, "domain")
    for part in more:
        if not known.related:
            return known  # such as the key of a dictionary, or into a reference
        schema = await schemas(known.relation)
        known = schema.fields.get(part)
        if known is None:
            raise faults.field_not_found(schema.name, part, "domain")
    return known


def _compares_ids(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return all(one is None or isinstance(one, int | float) for one in values)
