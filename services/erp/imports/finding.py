"""Finds the records that rows are about: by external id, or by the values of key fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sutler.errors import SutlerError, Violation
from sutler.filtering import And, Compare, Field, Filter, Kind, Node, Op, Or, Ref, Type

from services.erp.faults import values_invalid
from services.erp.imports import faults
from services.erp.imports.chunks import Chunk, Target
from services.erp.records import hash_of
from services.erp.sameness import normal
from services.erp.schemas import ModelField, ModelSchema
from services.erp.selecting import Selector, kind_of

AT_ONCE = 200
"""How many rows one search looks for."""


async def find_records(target: Target, chunk: Chunk) -> dict[int, int]:
    """Returns the record of each row that has one; rows that fit none, or several, get their result."""
    if target.spec.key_fields:
        return await _by_key(target, chunk)
    for index in chunk.open():
        if not chunk.rows[index].external_id:
            chunk.fail(index, _missing(target.spec.model, "external_id"))
    keys = {index: chunk.rows[index].external_id for index in chunk.open()}
    _refuse_repeated(target, chunk, keys)
    wanted = [keys[index] for index in chunk.open()]
    found = await target.link.driver.find_externals(target.ask, target.spec.model, wanted) if wanted else {}
    return {index: found[keys[index]] for index in chunk.open() if keys[index] in found}


async def _by_key(target: Target, chunk: Chunk) -> dict[int, int]:
    fields = {name: target.schema.fields[name] for name in target.spec.key_fields}
    for index in chunk.open():
        wrong = _unusable(fields, chunk.rows[index].values)
        if wrong is not None:
            chunk.fail(index, values_invalid(target.spec.model, [wrong]))
    keys = {index: _key(fields, chunk.rows[index].values) for index in chunk.open()}
    _refuse_repeated(target, chunk, keys)
    rows, known = chunk.open(), dict[str, list[int]]()
    for start in range(0, len(rows), AT_ONCE):
        wanted = [chunk.rows[index].values for index in rows[start : start + AT_ONCE]]
        found = await target.link.driver.search(
            target.ask, target.schema, _having(target.schema, fields, wanted), fields=list(fields)
        )
        for one in found:
            known.setdefault(_key(fields, one.values), []).append(one.id)
    for index in rows:
        ids = known.get(keys[index], [])
        if len(ids) > 1:
            chunk.fail(index, faults.key_not_unique(target.spec.model, index, ids))
    return {index: known[keys[index]][0] for index in chunk.open() if keys[index] in known}


def _refuse_repeated(target: Target, chunk: Chunk, keys: Mapping[int, str]) -> None:
    """Fails the rows whose key another row of the chunk had before."""
    first: dict[str, int] = {}
    for index in chunk.open():
        if first.setdefault(keys[index], index) != index:
            chunk.fail(index, faults.key_repeated(target.spec.model, index, first[keys[index]]))


def _having(schema: ModelSchema, fields: Mapping[str, ModelField], rows: Sequence[Mapping[str, Any]]) -> Selector:
    """Returns the selector of records that have the key of one of some rows."""
    alternatives: list[Node] = []
    for values in rows:
        terms = [_equals(known, values[name]) for name, known in fields.items()]
        alternatives.append(terms[0] if len(terms) == 1 else And(tuple(terms)))
    root = alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))
    return Selector(filter=Filter("key fields", root), paths={(name,): (known,) for name, known in fields.items()})


def _equals(known: ModelField, value: Any) -> Compare:
    ref = Ref((known.field,), Field(kind_of(known) or Kind.STRING, "erp"))
    return Compare(ref, Op.EQ, _value(known, value), ref.type or Type.TEXT)


def _key(fields: Mapping[str, ModelField], values: Mapping[str, Any]) -> str:
    return hash_of([str(normal(known, values.get(name))) for name, known in fields.items()])


def _value(known: ModelField, value: Any) -> Any:
    """Returns a value as filters have it."""
    kind = kind_of(known)
    if isinstance(value, Mapping):
        return int(value["id"])
    if kind is Kind.TIME:
        return datetime.fromisoformat(value).timestamp()
    if kind is Kind.DOUBLE:
        return float(value)
    return value


def _unusable(fields: Mapping[str, ModelField], values: Mapping[str, Any]) -> Violation | None:
    """Returns what is wrong with the key of a row; None if nothing is."""
    for name, known in fields.items():
        value = values.get(name)
        if value in (None, ""):
            return Violation(f"values.{name}", "is a key field, which every row must have", "VALUE_MISSING")
        if known.to_many or kind_of(known) is None or (isinstance(value, Mapping) and "id" not in value):
            text = json.dumps(value)[:100]
            return Violation(f"values.{name}", f"cannot be a key as {text}; relations are by id", "VALUE_INVALID")
    return None


def _missing(model: str, field: str) -> SutlerError:
    return values_invalid(model, [Violation(field, "is needed, as there are no key_fields", "VALUE_MISSING")])
