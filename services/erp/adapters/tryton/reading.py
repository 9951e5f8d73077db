"""Tryton's values in the gateway's forms: RFC 3339 times, decimals as strings, relations as objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from services.erp.adapters.shapes import id_of
from services.erp.adapters.tryton.fields import RECORD_NAME, erp_name
from services.erp.records import DISPLAY_NAME, Row
from services.erp.schemas import TEXTS, TO_MANY, FieldType, ModelField, ModelSchema

CREATED = "create_date"
CHANGED = "write_date"


def to_row(schema: ModelSchema, raw: Mapping[str, Any]) -> Row:
    """Returns a record in the gateway's forms.

    Args:
        schema: The model.
        raw: What Tryton answered for one record; of a relation to one also its title, under ``<field>.``.

    Raises:
        ValueError: If it is no record, or not one of this model; or another error of Python, and so do the others.
    """
    values = {}
    for name in [*raw, DISPLAY_NAME] if RECORD_NAME in raw else raw:
        known = schema.fields.get(name)
        if known is not None:
            values[name] = to_value(known, raw.get(erp_name(name)), raw.get(f"{name}."))
    for name, related in raw.items():  # where only the title was asked for, the relation itself is left out
        known = schema.fields.get(name[:-1]) if name.endswith(".") else None
        if known is not None and known.field not in raw:
            values[known.field] = to_value(known, related and related["id"], related)
    created = _seconds(raw.get(CREATED))
    changed = _seconds(raw.get(CHANGED))
    return Row(
        id=id_of(raw["id"]),
        values=values,
        create_time=created,
        update_time=created if changed is None else changed,  # null until the first change
        display_name=str(raw.get(RECORD_NAME) or ""),
    )


def to_value(known: ModelField, value: Any, related: Any = None) -> Any:
    """Returns one value; ``related`` is what was read of the record behind a relation.

    Empty texts become null: Tryton takes them for the same.
    """
    kind = known.type
    if kind is FieldType.BOOLEAN:
        return bool(value)
    if kind in TO_MANY:
        if value is not None and not (isinstance(value, list) and set(map(type, value)) <= {int}):
            raise ValueError(f"no ids of records: {value!r:.100}")
        return [{"id": one} for one in value or ()]
    if value is None or (value == "" and kind in TEXTS):
        return None
    if kind is FieldType.MANY_TO_ONE:
        title = related.get(RECORD_NAME) if isinstance(related, Mapping) else None
        end = {"id": id_of(value)}
        return end if related is None else end | {DISPLAY_NAME: str(title or "")}
    if kind is FieldType.REFERENCE:
        model, _, record_id = str(value).partition(",")
        return {"model": model, "id": int(record_id)} if record_id.isdecimal() else None
    return plain(value)


def plain(value: Any) -> Any:
    """Returns JSON data with Tryton's typed values in the gateway's forms."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    match value.get("__class__"):
        case "Decimal":
            return str(value["decimal"])
        case "datetime":
            return to_moment(value).isoformat().replace("+00:00", "Z")
        case "date":
            return date(value["year"], value["month"], value["day"]).isoformat()
        case "time":
            return time(value["hour"], value["minute"], value["second"], value["microsecond"]).isoformat()
        case "timedelta":
            return f"{value['seconds']:.6f}".rstrip("0").rstrip(".") + "s"
        case "bytes":
            return str(value["base64"]).replace("\n", "")
    return {key: plain(one) for key, one in value.items()}


def to_moment(value: Mapping[str, int]) -> datetime:
    """Returns Tryton's date-time, which is in UTC."""
    day = (value["year"], value["month"], value["day"])
    return datetime(*day, value["hour"], value["minute"], value["second"], value["microsecond"], tzinfo=UTC)


def _seconds(value: Any) -> float | None:
    return to_moment(value).timestamp() if isinstance(value, Mapping) else None
