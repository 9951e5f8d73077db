"""Finds the records that rows are about, by external id or by key fields: a call or two for many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sutler.errors import FailedPrecondition, SutlerError, Unimplemented, Violation, invalid
from sutler.filtering import Compare, Field, Filter, Kind, Op, Ref
from sutler.filtering.nodes import And, Node, Or

from services.erp import faults
from services.erp.batches.sameness import has, normal
from services.erp.creating import NewRecord
from services.erp.links import Link
from services.erp.ports import Capability, Prepared
from services.erp.records import EXTERNAL_ID, hash_of
from services.erp.schemas import FieldType, ModelField, ModelSchema
from services.erp.selecting import Selector, kind_of
from services.erp.users import Ask

AT_ONCE = 200
"""How many rows one search looks for."""

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one row finds.

    Attributes:
        record_id: The record; None if there is none yet.
        unchanged: Whether it is as the row wants it already.
        error: Why the row cannot be told apart (KEY_NOT_UNIQUE); None if it can.
    """

    record_id: int | None = None
    unchanged: bool = False
    error: SutlerError | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one model, with the values as the driver takes them.

    Attributes:
        schema: The model.
        given: The rows.
        prepared: The same, prepared.
        key_fields: The fields that tell records apart; if empty, external ids do.
        archived: Whether archived records are found by key fields too.
    """

    schema: ModelSchema
    given: Sequence[NewRecord]
    prepared: Sequence[Prepared]
    key_fields: Sequence[str] = ()
    archived: bool = False

    def values(self, index: int) -> dict[str, Any]:
        """Returns what a row wants, with references by external id as ids."""
        known, ready = self.schema.fields, self.prepared[index].values
        return {
            name: ready[name] if known[name].type is FieldType.MANY_TO_ONE and _external(value) else value
            for name, value in self.given[index].values.items()
        }

    def key(self, index: int) -> tuple[Any, ...]:
        """Returns what tells the record of a row apart."""
        if not self.key_fields:
            return (self.given[index].external_id,)
        values = self.values(index)
        return tuple(normal(self.schema.fields[name], values.get(name)) for name in self.key_fields)


def check_keys(rows: Rows) -> list[Violation]:
    """Returns what is wrong with the keys of rows: each row must have a value in every key field.

    Raises:
        Invalid: If the model has no such field (FIELD_NOT_FOUND), or it cannot be searched for (VALUE_INVALID).
    """
    for index, name in enumerate(rows.key_fields):
        known = rows.schema.fields.get(name.partition(".")[0])
        if known is None:
            raise faults.field_not_found(rows.schema.name, name, f"key_fields[{index}]")
        if "." in name or known.to_many or kind_of(known) is None:
            raise invalid(
                f"key_fields[{index}]",
                f"{name} is not a field of the rows that records can be found by",
                reason="VALUE_INVALID",
                metadata={"model": rows.schema.name, "field": name},
            )
    return [
        Violation(f"rows[{index}].values.{name}", "is a key field and needs a value", "VALUE_MISSING")
        for index in range(len(rows.given))
        for name, part in zip(rows.key_fields, rows.key(index), strict=False)
        if part is None
    ]


def found_by(link: Link, rows: Rows) -> list[str]:
    """Returns what the records of rows are found by, as keys that one write alone may use."""
    if not rows.key_fields:
        return [link.driver.same_key(row.external_id) for row in rows.given]
    names = ", ".join(rows.key_fields)
    return [f"{names} {hash_of(str(rows.key(index)))}" for index in range(len(rows.given))]


async def find(link: Link, ask: Ask, rows: Rows) -> list[Finding]:
    """Finds the records of rows whose keys were checked, and compares them with what the rows want.

    Raises:
        Unimplemented: If records are to be found by external ids and the driver has none.
        SutlerError: Why the ERP cannot be asked.
    """
    if not rows.key_fields and Capability.EXTERNAL_IDS not in link.driver.info.capabilities:
        raise Unimplemented(
            f"the driver {link.driver.info.driver} has no external ids; set key_fields",
            metadata={"method": EXTERNAL_ID, "model": rows.schema.name},
        )
    wanted = list(dict.fromkeys(name for row in rows.given for name in row.values))
    found = await (_by_keys if rows.key_fields else _by_external_ids)(link, ask, rows, wanted)
    keys = [rows.key(index) for index in range(len(rows.given))]
    if not rows.key_fields:  # two external ids may stand for one record
        keys = [tuple(found.get(key, {})) or key for key in keys]
        found = {tuple(values): values for values in found.values()} | found
    return [
        _finding(rows, index, [other for other, key in enumerate(keys) if key == keys[index]] if _twice(keys) else [],
                 found.get(keys[index], {}))
        for index in range(len(keys))
    ]  # fmt: skip


def not_unique(errors: Sequence[tuple[int, SutlerError]]) -> SutlerError:
    """Returns the error for rows that cannot be told apart; the first decides the message."""
    first = errors[0][1]
    return FailedPrecondition(
        first.base,
        reason=first.reason,
        metadata=first.metadata,
        violations=[Violation(f"rows[{row}]", error.base, error.reason) for row, error in errors[:SHOWN]],
        more=len(errors) - 1,
    )


def _twice(keys: Sequence[tuple[Any, ...]]) -> bool:
    return len(set(keys)) < len(keys)


def _finding(rows: Rows, index: int, alike: Sequence[int], found: Mapping[int, Mapping[str, Any]]) -> Finding:
    if len(alike) > 1:
        return Finding(error=_ambiguous(rows, index, "rows", alike))
    if len(found) > 1:
        return Finding(error=_ambiguous(rows, index, "ids", sorted(found)))
    for record_id, values in found.items():
        return Finding(record_id, has(rows.schema, values, rows.values(index)))
    return Finding()


def _ambiguous(rows: Rows, index: int, what: str, several: Sequence[int]) -> FailedPrecondition:
    shown = ", ".join(str(one) for one in several[:SHOWN])
    by = ", ".join(rows.key_fields) or EXTERNAL_ID
    said = f"has the same {by} as others: rows {shown}" if what == "rows" else f"finds several records by {by}: {shown}"
    return FailedPrecondition(
        f"rows[{index}] {said}",
        reason="KEY_NOT_UNIQUE",
        metadata={"model": rows.schema.name, "row": str(index), what: shown},
    )


Found = dict[tuple[Any, ...], dict[int, Mapping[str, Any]]]
"""The records that were found, by key: the values of each by its id."""


async def _by_external_ids(link: Link, ask: Ask, rows: Rows, wanted: Sequence[str]) -> Found:
    known = await link.driver.find_externals(ask, rows.schema.name, [row.external_id for row in rows.given])
    ids = list(dict.fromkeys(known.values()))
    read = await link.driver.read(ask, rows.schema, ids, list(wanted) or ["id"], binaries=True) if ids else []
    values = {row.id: row.values for row in read}
    return {(key,): {one: values[one]} for key, one in known.items() if one in values}


async def _by_keys(link: Link, ask: Ask, rows: Rows, wanted: Sequence[str]) -> Found:
    found: Found = {}
    fields = {name: rows.schema.fields[name] for name in rows.key_fields}
    for start in range(0, len(rows.given), AT_ONCE):
        several = range(start, min(start + AT_ONCE, len(rows.given)))
        terms: list[Node] = [And(tuple(_equals(known, rows.values(i)[name]) for name, known in fields.items()))
                             for i in several]  # fmt: skip
        selector = Selector(
            filter=Filter(", ".join(rows.key_fields), Or(tuple(terms))),
            paths={(name,): (known,) for name, known in fields.items()},
            archived=rows.archived,
        )
        names = list(dict.fromkeys([*rows.key_fields, *wanted]))
        for row in list(await link.driver.search(ask, rows.schema, selector, fields=names, binaries=True)):
            key = tuple(normal(known, row.values.get(name)) for name, known in fields.items())
            found.setdefault(key, {})[row.id] = row.values
    return found


def _equals(known: ModelField, value: Any) -> Compare:
    ref = Ref((known.field,), Field(kind_of(known) or Kind.STRING, "erp"))
    assert ref.type is not None
    return Compare(ref, Op.EQ, _native(known, value), ref.type)


def _native(known: ModelField, value: Any) -> Any:
    """Returns a value as filters have it."""
    if known.type is FieldType.MANY_TO_ONE:
        return value["id"] if isinstance(value, Mapping) else value
    kind = kind_of(known)
    if kind is Kind.TIME:
        return datetime.fromisoformat(value).timestamp()
    if kind is Kind.DOUBLE:
        return float(value)
    return int(value) if kind is Kind.INT else value


def _external(value: Any) -> bool:
    return isinstance(value, Mapping) and EXTERNAL_ID in value
