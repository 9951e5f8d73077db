"""Tryton's ``fields_get`` as the gateway's model schema."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from services.erp.records import DISPLAY_NAME
from services.erp.schemas import TO_MANY, FieldType, Model, ModelField, ModelSchema, SelectionOption

RECORD_NAME = "rec_name"
"""Where Tryton keeps the title of a record."""

ARCHIVE_FIELD = "active"
TYPES = {
    "boolean": FieldType.BOOLEAN,
    "integer": FieldType.INTEGER,
    "biginteger": FieldType.INTEGER,
    "float": FieldType.FLOAT,
    "numeric": FieldType.DECIMAL,
    "char": FieldType.STRING,
    "color": FieldType.STRING,
    "text": FieldType.TEXT,
    "fulltext": FieldType.TEXT,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
    "timestamp": FieldType.DATETIME,
    "time": FieldType.TIME,
    "timedelta": FieldType.TIME,
    "selection": FieldType.SELECTION,
    "multiselection": FieldType.JSON,
    "dict": FieldType.JSON,
    "binary": FieldType.BINARY,
    "many2one": FieldType.MANY_TO_ONE,
    "one2one": FieldType.MANY_TO_ONE,
    "one2many": FieldType.ONE_TO_MANY,
    "many2many": FieldType.MANY_TO_MANY,
    "reference": FieldType.REFERENCE,
}


def erp_name(field: str) -> str:
    """Returns Tryton's name of a field."""
    return RECORD_NAME if field == DISPLAY_NAME else field


def to_schema(model: str, told: Mapping[str, Mapping[str, Any]]) -> ModelSchema:
    """Returns a model with its fields, in the order of their names; the title also under the gateway's name for it.

    Args:
        model: Its name.
        told: What ``fields_get`` answered.
    """
    named = {**told, DISPLAY_NAME: told[RECORD_NAME]} if RECORD_NAME in told else told
    lines = frozenset(str(one.get("relation"))[:128] for one in told.values() if one["type"] == "one2many")
    fields = {name: _field(name, named[name], lines) for name in sorted(named)}
    archive = ARCHIVE_FIELD if ARCHIVE_FIELD in fields else ""
    return ModelSchema(Model(model=model, archive_field=archive), fields, read_time=time.time())


def _field(name: str, told: Mapping[str, Any], lines: frozenset[str]) -> ModelField:
    """Returns a field; ``lines`` are the models of its model's lines, of which it may be computed."""
    searchable = bool(told.get("searchable", True))
    options = told.get("selection")
    relation = str(told.get("relation") or "")[:128]
    kind = FieldType.MONETARY if told.get("monetary") else TYPES.get(told["type"], FieldType.UNSPECIFIED)
    return ModelField(
        field=name,
        type=kind,
        erp_type=told["type"],
        label=str(told.get("string") or "")[:1024],
        description=str(told.get("help") or "")[:16_384],
        required=bool(told.get("required")),
        readonly=bool(told.get("readonly")),
        stored=searchable,  # Tryton does not tell; what it cannot search it computes
        searchable=searchable,
        sortable=bool(told.get("sortable")) and name != DISPLAY_NAME,
        translated=bool(told.get("translate")),
        relation=relation,
        relation_field=str(told.get("relation_field") or "")[:128],
        options=tuple(SelectionOption(str(value), str(label)) for value, label in options if value)
        if isinstance(options, list)
        else (),
        max_length=_whole(told.get("size")),
        scale=_scale(told.get("digits")),
        made_of=frozenset({relation}) if kind in TO_MANY else frozenset() if searchable else lines,
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _scale(digits: Any) -> int | None:
    """Returns how many digits follow the point; None where that depends on the record."""
    try:
        parsed = orjson.loads(digits) if isinstance(digits, str) else digits
    except orjson.JSONDecodeError:
        return None
    scale = parsed[1] if isinstance(parsed, list) and len(parsed) == 2 else None
    return scale if isinstance(scale, int) else None
