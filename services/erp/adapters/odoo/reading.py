"""Odoo's values in the gateway's forms: real nulls, RFC 3339 times, relations as objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload

from services.erp import literals
from services.erp.adapters.shapes import id_of, understood
from services.erp.records import DISPLAY_NAME, Row
from services.erp.schemas import FieldType, ModelSchema

SECONDS = "%Y-%m-%d %H:%M:%S"
MICROSECONDS = f"{SECONDS}.%f"
CREATED = "create_date"
CHANGED = "write_date"

AS_TOLD = frozenset(
    {
        FieldType.INTEGER,
        FieldType.FLOAT,
        FieldType.STRING,
        FieldType.TEXT,
        FieldType.HTML,
        FieldType.DATE,
        FieldType.TIME,
        FieldType.SELECTION,
    }
)
"""Types whose values stay as they are, but for the false of one that is not there."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", re.ASCII)
_SIZE = re.compile(r"([0-9.]+) ?(bytes|[KMGT]?i?b)", re.IGNORECASE)
_UNITS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def to_rfc3339(text: str) -> str:
    """Returns Odoo's date-time, which is in UTC, as RFC 3339."""
    return f"{text.replace(' ', 'T')}Z"


def to_seconds(text: str) -> float:
    """Returns Odoo's date-time as epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def to_odoo_time(seconds: float) -> str:
    """Returns epoch seconds as a date-time; domains take microseconds too. Raises as :func:`literals.moment`."""
    moment = literals.moment(seconds)
    return moment.strftime(MICROSECONDS if moment.microsecond else SECONDS)


class Rows(Sequence[Row]):
    """Records of an answer, each made when it is looked at: who only needs the last id need not wait for the others.

    Whoever looks at one that is none, or that lacks a field that was asked for, gets Unavailable (ERP_ANSWER_INVALID).

    Args:
        connection: The name of the connection.
        schema: The model.
        raw: What Odoo answered.
        asked: The fields that were asked for.
        binaries: As in :func:`to_row`.
    """

    def __init__(
        self,
        connection: str,
        schema: ModelSchema,
        raw: Sequence[Mapping[str, Any]],
        asked: frozenset[str],
        *,
        binaries: bool,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._raw = raw
        self._asked = asked
        self._binaries = binaries

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Rows: ...

    def __getitem__(self, place: int | slice) -> Row | Rows:
        if isinstance(place, slice):
            return Rows(self._connection, self._schema, self._raw[place], self._asked, binaries=self._binaries)
        raw = self._raw[place]
        with understood(self._connection):
            if not raw.keys() >= self._asked:
                raise ValueError("fields that were asked for are missing")
            return to_row(self._schema, raw, binaries=self._binaries)


def to_row(schema: ModelSchema, raw: Mapping[str, Any], *, binaries: bool) -> Row:
    """Returns a record in the gateway's forms.

    Args:
        schema: The model.
        raw: What Odoo answered for one record.
        binaries: Whether binaries were read in full; else Odoo told their size.

    Raises:
        ValueError: If it is no record, or not one of this model.
    """
    values = {}
    for name, value in raw.items():
        known = schema.fields.get(name)
        values[name] = value if known is None else to_value(known.type, value, binaries=binaries)
    return Row(
        id=id_of(raw["id"]),
        values=values,
        create_time=_time(raw.get(CREATED)),
        update_time=_time(raw.get(CHANGED)),
        display_name=str(raw.get(DISPLAY_NAME) or ""),
    )


def to_value(kind: FieldType, value: Any, *, binaries: bool = False) -> Any:
    """Returns one value: Odoo says false for everything that is not there. Raises ValueError if its type is another."""
    if kind in AS_TOLD:
        return None if value is False else value
    if kind is FieldType.BOOLEAN:
        return bool(value)
    if value is False or value is None:
        return [] if kind in (FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY) else None
    if kind is FieldType.MANY_TO_ONE:
        if not isinstance(value, list):
            return {"id": id_of(value)}
        related, title = value
        return {"id": id_of(related), DISPLAY_NAME: title}
    if kind in (FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY):
        if not isinstance(value, list) or not set(map(type, value)) <= {int}:
            raise ValueError(f"no ids of records: {value!r:.100}")
        return [{"id": one} for one in value]
    if kind is FieldType.DATETIME:
        if not _MOMENT.fullmatch(value):
            raise ValueError(f"no time: {value!r:.100}")
        return to_rfc3339(value)
    if kind in (FieldType.MONETARY, FieldType.DECIMAL):
        if type(value) not in (int, float):
            raise ValueError(f"no number: {value!r:.100}")
        return repr(value)
    if kind is FieldType.BINARY and not binaries:
        return byte_size(value)
    if kind is FieldType.REFERENCE:
        model, _, record_id = str(value).partition(",")
        return {"model": model, "id": int(record_id)} if record_id.isdecimal() else None
    return value


def byte_size(value: Any) -> int:
    """Returns the size of a binary in bytes; Odoo tells large ones rounded, such as ``5.13 Kb``."""
    if isinstance(value, int | float):
        return int(value)
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:  # the content itself, which computed binaries give whatever is asked
        return len(str(value)) * 3 // 4
    return int(float(match[1]) * 1024 ** _UNITS[match[2][0].lower()])


def _time(value: Any) -> float | None:
    return to_seconds(value) if isinstance(value, str) and value else None
