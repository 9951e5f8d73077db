"""The gateway's values in the forms of Tryton's JSON, where JSON has none of its own."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from services.erp import literals
from services.erp.schemas import FieldType, ModelField

DAY = ("year", "month", "day")
CLOCK = ("hour", "minute", "second", "microsecond")


def encode(known: ModelField, value: Any) -> Any:
    """Returns a value of a field that is no relation, in Tryton's form.

    Args:
        known: The field.
        value: In the gateway's form.

    Raises:
        ValueError: If the value is none of the field's; the text says what one is.
    """
    match known.type:
        case FieldType.INTEGER:
            return literals.whole(value)
        case FieldType.FLOAT:
            return literals.number(value)
        case FieldType.DECIMAL | FieldType.MONETARY:
            return to_decimal(value)
        case FieldType.DATE:
            return to_date(value)
        case FieldType.DATETIME:
            return to_datetime(literals.moment(value))
        case FieldType.TIME:
            return to_span(value) if known.erp_type == "timedelta" else to_time(value)
        case FieldType.BINARY:
            return to_bytes(value)
    return value


def to_decimal(value: Any) -> dict[str, str]:
    """Returns an exact number."""
    return {"__class__": "Decimal", "decimal": str(literals.exact(value))}


def to_date(text: str) -> dict[str, Any]:
    """Returns a day."""
    day = literals.day(text)
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


def to_datetime(moment: datetime) -> dict[str, Any]:
    """Returns a moment in UTC."""
    return {"__class__": "datetime", **{part: getattr(moment, part) for part in (*DAY, *CLOCK)}}


def to_time(text: str) -> dict[str, Any]:
    """Returns a time of day."""
    told = literals.clock(text)
    return {"__class__": "time", **{part: getattr(told, part) for part in CLOCK}}


def to_span(text: str) -> dict[str, Any]:
    """Returns a span of time."""
    return {"__class__": "timedelta", "seconds": literals.span(text)}


def to_bytes(text: str) -> dict[str, str]:
    """Returns bytes."""
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("is base64") from None
    return {"__class__": "bytes", "base64": text}
