"""Values on their way in and out: from JSON to a column, from a column to JSON."""

import re
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from services.erp.sandbox.errors import BadDateInDomain, BadValue
from services.erp.sandbox.orm.env import MICROSECONDS, SECONDS
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

DAY = "%Y-%m-%d"
MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2})(:\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?")
SIZES = ("bytes", "Kb", "Mb", "Gb")


def round_half_up(value: float, digits: int) -> float:
    """Round to `digits` decimals, halves away from zero, as amounts are rounded."""
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def to_column(model: Model, name: str, field: Field, value: Any) -> Any:
    """Convert what a caller wrote into what the column keeps; BadValue if it is no such value."""
    if value is None or (value is False and field.type != "boolean"):
        return 0 if value is False and field.number else None
    try:
        return _convert(model, name, field, value)
    except (ValueError, TypeError) as error:
        raise BadValue(str(error)) from None


def _convert(model: Model, name: str, field: Field, value: Any) -> Any:
    match field.type:
        case "boolean":
            return int(bool(value))
        case "integer":
            return int(value)
        case "float":
            number = float(value)
            return round_half_up(number, field.digits[1]) if field.digits else number
        case "monetary":
            return round_half_up(float(value), 2)
        case "date":
            return datetime.strptime(str(value)[:10], DAY).strftime(DAY)
        case "datetime":
            return datetime.strptime(str(value), SECONDS[: max(len(str(value)) - 2, 0)]).strftime(MICROSECONDS)
        case "selection":
            if value not in [choice for choice, _ in field.selection]:
                raise BadValue(f"Wrong value for {model.name}.{name}: {value!r}")
            return value
        case "many2one":
            identifier = value[0] if isinstance(value, list) and value else value
            if not isinstance(identifier, int):
                raise BadValue(f"Wrong value for {model.name}.{name}: {value!r}")
            return identifier or None
        case "html":
            return value if str(value).lstrip().startswith("<") or not value else f"<p>{value}</p>"
        case _:
            return str(value)


def to_operand(field: Field, value: Any) -> Any:
    """Convert the right-hand side of a comparison. Microseconds are accepted here, though answers never have any."""
    if value is None or value is False:
        return None
    try:
        match field.type:
            case "boolean":
                return int(bool(value))
            case "integer" | "many2one":
                return value if isinstance(value, int) else int(value)
            case "float" | "monetary":
                return float(value)
            case "date":
                return moment(value)[:10]
            case "datetime":
                return moment(value)
            case _:
                return str(value)
    except (ValueError, TypeError) as error:
        raise BadValue(str(error)) from None


def moment(value: Any) -> str:
    """Return a date or time in the form that is stored, so that texts compare as times do."""
    found = MOMENT.fullmatch(str(value))
    if not found:
        raise BadDateInDomain(f'invalid input syntax for type timestamp: "{value}"\n')
    day, minutes, seconds = found.groups()
    seconds, _, fraction = (seconds or ":00").partition(".")
    return f"{day} {minutes or '00:00'}{seconds}.{fraction.ljust(6, '0')}"


def to_answer(field: Field, stored: Any) -> Any:
    """Convert what a column keeps into what is sent; a missing value is false, or zero for a number."""
    match field.type:
        case "boolean":
            return bool(stored)
        case "integer":
            return stored or 0
        case "float" | "monetary":
            return float(stored or 0.0)
        case "datetime":
            return stored[:19] if stored else False
        case _:
            return False if stored is None else stored


def human_size(base64_text: str) -> str:
    """Return the size of a file as text, such as `5.13 Kb`."""
    size, step = float(len(base64_text) * 3 // 4), 0
    while size >= 1024 and step < len(SIZES) - 1:
        size, step = size / 1024, step + 1
    return f"{size:0.2f} {SIZES[step]}"
