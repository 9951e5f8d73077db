"""Whether a record has the values that somebody wants it to have, whatever form they are given in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.erp.records import EXTERNAL_ID
from services.erp.schemas import NUMBERS, FieldType, ModelField, ModelSchema

EXACT = frozenset(
    {
        FieldType.BOOLEAN,
        FieldType.INTEGER,
        FieldType.STRING,
        FieldType.TEXT,
        FieldType.SELECTION,
        FieldType.DATE,
        FieldType.DATETIME,
        FieldType.MANY_TO_ONE,
    }
)
"""Types whose values an ERP keeps as they are written; it may round or clean the others."""


def has(schema: ModelSchema, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Returns whether values that were read are those that were wanted."""
    return all(same(schema.fields[name], found.get(name), value) for name, value in wanted.items())


def same(known: ModelField, found: Any, wanted: Any) -> bool:
    """Returns whether a value that was read is the wanted one; false for what only a write can tell."""
    if known.to_many and isinstance(wanted, Mapping):
        there, named = _ids(found), {EXTERNAL_ID in one for one in _references(wanted)}
        changing = any(wanted.get(key) for key in ("create", "update", "delete"))
        return (
            not changing
            and True not in named
            and set(_ids(wanted.get("add"))) <= set(there)
            and not set(_ids(wanted.get("remove"))) & set(there)
        )
    if isinstance(wanted, Mapping) and EXTERNAL_ID in wanted:
        return False
    return bool(normal(known, found) == normal(known, wanted))


def normal(known: ModelField, value: Any) -> Any:
    """Returns a value in a form that is the same for equal values; None for what is not there."""
    kind = known.type
    if kind is FieldType.BOOLEAN:
        return bool(value)
    if known.to_many:
        return _ids(value)
    if value is None or value == "":
        return None
    if kind is FieldType.MANY_TO_ONE:
        return value.get("id") if isinstance(value, Mapping) else value
    if kind in NUMBERS:
        number = Decimal(str(value))
        return number if known.scale is None else round(number, known.scale)
    if kind is FieldType.DATETIME:
        return datetime.fromisoformat(value).astimezone(UTC).replace(microsecond=0)
    return value


def _references(wanted: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for key in ("add", "remove") for one in wanted.get(key) or () if isinstance(one, Mapping)]


def _ids(value: Any) -> list[Any]:
    """Returns the ids of references, sorted; one by external id stands for itself and equals no id."""
    given = [one.get("id", str(one)) if isinstance(one, Mapping) else one for one in value or ()]
    return sorted(given, key=lambda one: (isinstance(one, str), one))
