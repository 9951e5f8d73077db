"""The gateway's values in Tryton's forms: checked against the model, relations to many as lists of changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sutler.errors import Violation

from services.erp import faults
from services.erp.adapters.tryton.reading import to_value
from services.erp.adapters.tryton.typed import encode
from services.erp.schemas import TEXTS, FieldType, ModelField, ModelSchema
from services.erp.selecting import SchemaSource

LINKS = frozenset({"create", "update", "add", "remove", "delete"})
MAX_DEPTH = 4
ONE = 'is a reference: an id or {"id": 7}'


class _WrongError(Exception):
    """A value does not fit its field.

    Args:
        description: Why, for people.
        reason: The contract's reason.
    """

    def __init__(self, description: str, reason: str = "VALUE_INVALID") -> None:
        super().__init__(description)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Replaced:
    """A relation to many is to lead to these records and to no others: what to change depends on each record."""

    ids: tuple[int, ...]

    def changes(self, present: Sequence[int]) -> list[Any]:
        """Returns the changes that lead there from the records to which it leads now."""
        added = [one for one in self.ids if one not in present]
        removed = [one for one in present if one not in self.ids]
        return [["remove", removed], *([["add", added]] if added else [])] if removed else [["add", added]]


@dataclass(slots=True)
class Encoder:
    """Brings the values of one write into Tryton's forms.

    Attributes:
        schemas: Gives the models that relations lead to; asked for each whose records change, as it may refuse.
        violations: What does not fit.
        repeatable: Whether writing it twice is the same as once.
    """

    schemas: SchemaSource
    violations: list[Violation] = field(default_factory=list)
    repeatable: bool = True

    async def encode(self, schema: ModelSchema, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values in Tryton's forms; relations to replace as :class:`Replaced`.

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
            return Replaced(()) if known.to_many else None
        if known.type is FieldType.MANY_TO_ONE:
            return _one(value)
        if known.to_many:
            return await self._many(known, value, place, depth)
        return _plain(known, value)

    async def _many(self, known: ModelField, value: Any, place: str, depth: int) -> Any:
        """Returns the changes that an object names, or the whole set that a list is."""
        if isinstance(value, list):
            return Replaced(tuple(dict.fromkeys(_one(item) for item in value)))
        if not isinstance(value, Mapping) or not set(value) <= LINKS or depth >= MAX_DEPTH:
            raise _WrongError("is a relation to many: a list of references, or an object of create, update, add …")
        changes = await self._nested(known, value, place, depth) if {"create", "update"} & set(value) else []
        for key in ("add", "remove", "delete"):
            ids = [_one(item) for item in _items(value, key)]
            changes += [[key, ids]] if ids else []
        return changes

    async def _nested(self, known: ModelField, value: Mapping[str, Any], place: str, depth: int) -> list[Any]:
        """Returns the changes that carry values of related records."""
        related = await self.schemas(known.relation)
        changes: list[Any] = []
        for index, row in enumerate(_rows(value, "create")):
            self.repeatable = False
            inner = await self._record(related, row, f"{place}.create[{index}]", depth + 1)
            changes.append(["create", [created(inner)]])
        for index, row in enumerate(_rows(value, "update")):
            changed = {name: item for name, item in row.items() if name != "id"}
            inner = await self._record(related, changed, f"{place}.update[{index}]", depth + 1)
            if any(isinstance(one, Replaced) for one in inner.values()):
                raise _WrongError("says what to add and to remove, as the whole set is not known here")
            changes.append(["write", [_one(row.get("id"))], inner])
        return changes


def created(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a new record, whose relations lead nowhere yet."""
    return {name: one.changes(()) if isinstance(one, Replaced) else one for name, one in values.items()}


def as_read(schema: ModelSchema, encoded: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns written values in the forms in which they are read, to know them again; relations to many as given."""
    return {
        name: values[name] if schema.fields[name].to_many else to_value(schema.fields[name], one)
        for name, one in encoded.items()
    }


def _changes_related(known: ModelField, value: Any) -> bool:
    """Returns whether records of the related model change: one to many is a field of theirs, so links to it count."""
    return known.type is FieldType.ONE_TO_MANY or (
        isinstance(value, Mapping) and bool({"create", "update", "delete"} & set(value))
    )


def _one(value: Any) -> int:
    given = value.get("id") if isinstance(value, Mapping) else value
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise _WrongError(ONE)
    return given


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


def _plain(known: ModelField, value: Any) -> Any:
    """Returns a value of a field that is no relation; Tryton itself takes nearly anything."""
    kind = known.type
    if kind is FieldType.BOOLEAN:
        return _typed(value, bool, "true or false")
    if kind in TEXTS or kind in (FieldType.BINARY, FieldType.DATE, FieldType.DATETIME):
        value = _text(known, value)
    elif kind is FieldType.REFERENCE:
        return _reference(value)
    try:
        return encode(known, value)
    except ValueError as error:
        raise _WrongError(str(error)) from None


def _typed(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise _WrongError(f"is {name}")
    return value


def _text(known: ModelField, value: Any) -> str:
    text: str = _typed(value, str, "a text")
    allowed = [option.value for option in known.options]
    if known.type is FieldType.SELECTION and allowed and text not in allowed:
        raise _WrongError(f"is one of {', '.join(allowed[:20])}")
    if known.max_length and len(text) > known.max_length:
        raise _WrongError(f"has at most {known.max_length} characters")
    return text


def _reference(value: Any) -> str:
    if not isinstance(value, Mapping) or not isinstance(value.get("model"), str):
        raise _WrongError('is a reference such as {"model": "party.party", "id": 7}')
    return f"{value['model']},{_one(value)}"
