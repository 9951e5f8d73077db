"""The gateway's values in Odoo's forms: checked against the model, relations as Odoo's commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sutler.errors import Violation

from services.erp import faults, literals
from services.erp.adapters.odoo.reading import SECONDS
from services.erp.records import EXTERNAL_ID
from services.erp.schemas import NUMBERS, TEXTS, FieldType, ModelField, ModelSchema
from services.erp.selecting import SchemaSource

FindExternal = Callable[[str, str], Awaitable[int | None]]
"""Returns the record of a model behind an external id."""

LINKS = frozenset({"create", "update", "add", "remove", "delete"})
MAX_DEPTH = 4
TIME = "a time with a zone such as 2026-11-21T09:30:00Z"


class _WrongError(Exception):
    """A value does not fit its field.

    Args:
        description: Why, for people.
        reason: The contract's reason.
    """

    def __init__(self, description: str, reason: str = "VALUE_INVALID") -> None:
        super().__init__(description)
        self.reason = reason


@dataclass(slots=True)
class Encoder:
    """Brings the values of one write into Odoo's forms.

    Attributes:
        schemas: Gives the models that relations lead to; asked for each whose records change or
            are found by an external id, as it may refuse.
        find_external: Resolves external ids.
        violations: What does not fit.
        repeatable: Whether writing it twice is the same as once.
    """

    schemas: SchemaSource
    find_external: FindExternal
    violations: list[Violation] = field(default_factory=list)
    repeatable: bool = True

    async def encode(self, schema: ModelSchema, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values in Odoo's forms.

        Raises:
            Invalid: With a violation for every value that does not fit.
        """
        encoded = await self._record(schema, values, "values", 0)
        if self.violations:
            raise faults.values_invalid(schema.name, self.violations)
        return encoded

    async def _record(self, schema: ModelSchema, values: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
        encoded: dict[str, Any] = {}
        for name, value in values.items():
            try:
                known = schema.fields.get(name)
                if known is None or name == "id":
                    raise _WrongError(f"the model {schema.name} has no field {name!r} to write", "FIELD_NOT_FOUND")
                encoded[name] = await self._value(known, value, f"{place}.{name}", depth)
            except _WrongError as wrong:
                self.violations.append(Violation(f"{place}.{name}", str(wrong), wrong.reason))
        return encoded

    async def _value(self, known: ModelField, value: Any, place: str, depth: int) -> Any:
        if known.to_many and _changes_related(known, value):
            await self.schemas(known.relation)
        if value is None:
            if known.required and known.type is not FieldType.BOOLEAN:
                raise _WrongError("is required and cannot be emptied", "VALUE_MISSING")
            return [[5, 0, 0]] if known.to_many else False
        if known.type is FieldType.MANY_TO_ONE:
            return await self._one(known, value)
        if known.to_many:
            return await self._many(known, value, place, depth)
        return plain(known, value)

    async def _one(self, known: ModelField, value: Any) -> int:
        """Returns the id that a reference names: an id, ``{"id": 7}`` or ``{"external_id": "shop.anna"}``."""
        if isinstance(value, Mapping) and isinstance(value.get(EXTERNAL_ID), str):
            await self.schemas(known.relation)  # who may not reach the model does not learn what it has
            found = await self.find_external(known.relation, value[EXTERNAL_ID])
            if found is None:
                raise _WrongError(f"no {known.relation} has the external id {value[EXTERNAL_ID]!r}")
            return found
        given = value.get("id") if isinstance(value, Mapping) else value
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise _WrongError('is a reference: an id, {"id": 7} or {"external_id": "shop.anna"}')
        return given

    async def _many(self, known: ModelField, value: Any, place: str, depth: int) -> list[Any]:
        """Returns Odoo's commands: a list replaces the set, an object says what to create, link and so on."""
        if isinstance(value, list):
            return [[6, 0, [await self._one(known, item) for item in value]]]
        if not isinstance(value, Mapping) or not set(value) <= LINKS or depth >= MAX_DEPTH:
            raise _WrongError("is a relation to many: a list of references, or an object of create, update, add …")
        commands = await self._nested(known, value, place, depth) if {"create", "update"} & set(value) else []
        for command, key in ((4, "add"), (3, "remove"), (2, "delete")):
            commands += [[command, await self._one(known, item), 0] for item in _items(value, key)]
        return commands

    async def _nested(self, known: ModelField, value: Mapping[str, Any], place: str, depth: int) -> list[Any]:
        """Returns the commands that carry values of related records."""
        related = await self.schemas(known.relation)
        commands: list[Any] = []
        for index, row in enumerate(_rows(value, "create")):
            self.repeatable = False
            inner = await self._record(related, row, f"{place}.create[{index}]", depth + 1)
            commands.append([0, 0, inner])
        for index, row in enumerate(_rows(value, "update")):
            changed = {name: item for name, item in row.items() if name != "id"}
            inner = await self._record(related, changed, f"{place}.update[{index}]", depth + 1)
            commands.append([1, await self._one(known, row.get("id")), inner])
        return commands


def _changes_related(known: ModelField, value: Any) -> bool:
    """Returns whether records of the related model change: one to many is a field of theirs, so links to it count."""
    return known.type is FieldType.ONE_TO_MANY or (
        isinstance(value, Mapping) and bool({"create", "update", "delete"} & set(value))
    )


def _rows(value: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    for item in _items(value, key):
        if not isinstance(item, Mapping):
            raise _WrongError(f"{key} is a list of objects with values")
        yield item


def _items(value: Mapping[str, Any], key: str) -> Sequence[Any]:
    items = value.get(key, [])
    if not isinstance(items, list):
        raise _WrongError(f"{key} is a list")
    return items


def plain(known: ModelField, value: Any) -> Any:
    """Returns a value of a field that is no relation, as Odoo takes it."""
    kind = known.type
    if kind is FieldType.BOOLEAN:
        return _typed(value, bool, "true or false")
    if kind in TEXTS or kind is FieldType.BINARY:
        text: str = _typed(value, str, "a text")
        allowed = [option.value for option in known.options]
        if kind is FieldType.SELECTION and allowed and text not in allowed:
            raise _WrongError(f"is one of {', '.join(allowed[:20])}")
        if known.max_length and len(text) > known.max_length:
            raise _WrongError(f"has at most {known.max_length} characters")
        return text
    if kind in NUMBERS or kind in (FieldType.DATE, FieldType.DATETIME):
        return _literal(kind, value)
    if kind is FieldType.REFERENCE and isinstance(value, Mapping):
        return f"{value.get('model')},{value.get('id')}"
    return value


def _typed(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise _WrongError(f"is {name}")
    return value


def _literal(kind: FieldType, value: Any) -> Any:
    """Returns a number, a date, or a time in UTC and without a zone."""
    try:
        if kind is FieldType.DATE:
            return literals.day(value).isoformat()
        if kind is FieldType.DATETIME:
            return literals.moment(_typed(value, str, TIME)).strftime(SECONDS)
        return literals.whole(value) if kind is FieldType.INTEGER else literals.number(value)
    except ValueError as error:
        raise _WrongError(str(error)) from None
