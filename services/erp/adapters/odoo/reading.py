"""Odoo's values in the gateway's forms: real nulls, RFC 3339 times, relations as objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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

_SIZE = re.compile(r"([0-9.]+) ?(bytes|[KMGT]?i?b)", re.IGNORECASE)
_UNITS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def to_rfc3339(text: str) -> str:
    """Returns Odoo's date-time, which is in UTC, as RFC 3339."""
    return f"{text.replace(' ', 'T')}Z"


def to_seconds(text: str) -> float:
    """Returns Odoo's date-time as epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def to_odoo_time(seconds: float) -> str:
    """Returns epoch seconds as a date-time; domains take microseconds too."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime(MICROSECONDS if moment.microsecond else SECONDS)


def to_row(schema: ModelSchema, raw: Mapping[str, Any], *, binaries: bool) -> Row:
    """Returns a record in the gateway's forms.

    Args:
        schema: The model.
        raw: What Odoo answered for one record.
        binaries: Whether binaries were read in full; else Odoo told their size.
    """
    values = {}
    for name, value in raw.items():
        known = schema.fields.get(name)
        values[name] = value if known is None else to_value(known.type, value, binaries=binaries)
    return Row(
        id=int(raw["id"]),
        values=values,
        create_time=_time(raw.get(CREATED)),
        update_time=_time(raw.get(CHANGED)),
        display_name=str(raw.get(DISPLAY_NAME) or ""),
    )


def to_value(kind: FieldType, value: Any, *, binaries: bool = False) -> Any:
    """Returns one value: Odoo says false for everything that is not there."""
    if kind in AS_TOLD:
        return None if value is False else value
    if kind is FieldType.BOOLEAN:
        return bool(value)
    if value is False or value is None:
        return [] if kind in (FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY) else None
    if kind is FieldType.MANY_TO_ONE:
        return {"id": value[0], DISPLAY_NAME: value[1]} if isinstance(value, list) else {"id": value}
    if kind in (FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY):
        return [{"id": one} for one in value]
    if kind is FieldType.DATETIME:
        return to_rfc3339(str(value))
    if kind in (FieldType.MONETARY, FieldType.DECIMAL):
        return repr(value) if isinstance(value, float) else str(value)
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
