"""Odoo's ``fields_get`` as the gateway's model schema."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from services.erp.schemas import TO_MANY, FieldType, Model, ModelField, ModelSchema, SelectionOption

ATTRIBUTES = (
    "string",
    "help",
    "type",
    "required",
    "readonly",
    "store",
    "searchable",
    "sortable",
    "translate",
    "relation",
    "relation_field",
    "selection",
    "size",
    "digits",
    "depends",
)

TYPES = {
    "boolean": FieldType.BOOLEAN,
    "integer": FieldType.INTEGER,
    "many2one_reference": FieldType.INTEGER,
    "float": FieldType.FLOAT,
    "monetary": FieldType.MONETARY,
    "char": FieldType.STRING,
    "text": FieldType.TEXT,
    "html": FieldType.HTML,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
    "selection": FieldType.SELECTION,
    "binary": FieldType.BINARY,
    "image": FieldType.BINARY,
    "many2one": FieldType.MANY_TO_ONE,
    "one2many": FieldType.ONE_TO_MANY,
    "many2many": FieldType.MANY_TO_MANY,
    "reference": FieldType.REFERENCE,
    "json": FieldType.JSON,
    "properties": FieldType.JSON,
    "properties_definition": FieldType.JSON,
    "serialized": FieldType.JSON,
}
ARCHIVE_FIELDS = ("active", "x_active")


def to_schema(model: str, told: Mapping[str, Mapping[str, Any]]) -> ModelSchema:
    """Returns a model with its fields, in the order of their names.

    Args:
        model: Its name.
        told: What ``fields_get`` answered.
    """
    fields = {name: _field(name, told[name], _made_of(name, told)) for name in sorted(told)}
    archive = next((name for name in ARCHIVE_FIELDS if name in fields), "")
    return ModelSchema(Model(model=model, archive_field=archive), fields, read_time=time.time())


def _made_of(name: str, fields: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """Returns the models behind relations to many that a field depends on, also through other fields of its model."""
    found, seen, left = set[str](), {name}, [name]
    while left:
        told = fields.get(left.pop(), {})
        if TYPES.get(str(told.get("type"))) in TO_MANY:
            found.add(_text(told, "relation", 128))
        depends = told.get("depends")
        below = {str(path).partition(".")[0] for path in depends} if isinstance(depends, list) else set[str]()
        left += below - seen
        seen |= below
    return frozenset(found)


def _field(name: str, told: Mapping[str, Any], made_of: frozenset[str]) -> ModelField:
    stored = bool(told.get("store", True))
    digits = told.get("digits")
    options = told.get("selection")
    return ModelField(
        field=name,
        type=TYPES.get(told["type"], FieldType.UNSPECIFIED),
        erp_type=told["type"],
        label=_text(told, "string", 1024),
        description=_text(told, "help", 16_384),
        required=bool(told.get("required")),
        readonly=bool(told.get("readonly")),
        stored=stored,
        searchable=bool(told.get("searchable", stored)),
        sortable=bool(told.get("sortable", stored and told["type"] not in ("one2many", "many2many", "binary"))),
        translated=bool(told.get("translate")),
        relation=_text(told, "relation", 128),
        relation_field=_text(told, "relation_field", 128),
        options=tuple(SelectionOption(str(value), str(label)) for value, label in options or ())
        if isinstance(options, list)
        else (),
        max_length=int(told.get("size") or 0),
        scale=int(digits[1]) if isinstance(digits, list) and len(digits) == 2 else None,
        made_of=made_of,
    )


def _text(told: Mapping[str, Any], key: str, limit: int) -> str:
    return str(told.get(key) or "")[:limit]
