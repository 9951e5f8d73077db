"""The gateway's values in the forms of Tryton's JSON, where JSON has none of its own."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from services.erp.schemas import FieldType, ModelField


def encode(known: ModelField, value: Any) -> Any:
    """Returns a value of a field that is no relation, in Tryton's form.

    Args:
        known: The field.
        value: In the gateway's form, of a type that fits the field.

    Raises:
        ValueError: If the value is none of the field's; the text says what one is.
    """
    match known.type:
        case FieldType.DECIMAL | FieldType.MONETARY:
            return to_decimal(value)
        case FieldType.DATE:
            return to_date(value)
        case FieldType.DATETIME:
            return to_datetime(_moment(value))
        case FieldType.TIME:
            return to_span(value) if known.erp_type == "timedelta" else to_time(value)
        case FieldType.BINARY:
            return to_bytes(value)
    return value


def to_decimal(value: Any) -> dict[str, str]:
    """Returns an exact number; of a float, the shortest that reads as the same."""
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        raise ValueError("is a number") from None
    if not number.is_finite():
        raise ValueError("is a number")
    return {"__class__": "Decimal", "decimal": str(number)}


def to_date(text: str) -> dict[str, Any]:
    """Returns a day."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("is a date such as 2026-11-21") from None
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


def to_datetime(moment: datetime) -> dict[str, Any]:
    """Returns a moment, in UTC."""
    utc = moment.astimezone(UTC)
    return {
        "__class__": "datetime",
        **{part: getattr(utc, part) for part in ("year", "month", "day", "hour", "minute", "second", "microsecond")},
    }


def to_time(text: str) -> dict[str, Any]:
    """Returns a time of day."""
    try:
        told = time.fromisoformat(text)
    except ValueError:
        raise ValueError("is a time of day such as 09:30:00") from None
    return {"__class__": "time", **{part: getattr(told, part) for part in ("hour", "minute", "second", "microsecond")}}


def to_span(text: str) -> dict[str, Any]:
    """Returns a span of time."""
    try:
        if not text.endswith("s"):
            raise ValueError
        return {"__class__": "timedelta", "seconds": float(text[:-1])}
    except ValueError:
        raise ValueError("is a span in seconds such as 5400s") from None


def to_bytes(text: str) -> dict[str, str]:
    """Returns bytes."""
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("is base64") from None
    return {"__class__": "bytes", "base64": text}


def _moment(value: Any) -> datetime:
    """Returns a moment of an RFC 3339 text, or of epoch seconds as filters have them."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is a time such as 2026-11-21T09:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("is a time with a zone, such as 2026-11-21T09:30:00Z")
    return moment
