"""What may stand in a field of a document, for people."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sutler.fields import is_map, is_output_only

MAX_LISTED = 20
"""How many allowed values or fields a message lists."""

_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_INT32: "a whole number of at most 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "a whole number of at most 64 bits",
}

_KNOWN = {
    "google.protobuf.Duration": "a time span in seconds, such as 1.5s",
    "google.protobuf.Timestamp": "a time, such as 2026-01-02T03:04:05Z",
    "google.protobuf.Struct": "a mapping of any JSON data",
    "google.protobuf.Value": "any JSON data",
    "google.protobuf.FieldMask": "field names with commas between them",
}


def expected(field: FieldDescriptor) -> str:
    """Returns what may stand in a field, such as ``a list; each text``."""
    if field.message_type and is_map(field):
        return f"a mapping; each value {_one(field.message_type.fields_by_name['value'])}"
    return f"a list; each {_one(field)}" if field.is_repeated else _one(field)


def settable(descriptor: Descriptor) -> list[str]:
    """Returns the names of the fields that a document may set."""
    return sorted(field.name for field in descriptor.fields if not is_output_only(field))


def _one(field: FieldDescriptor) -> str:
    if field.enum_type:
        values = [value.name for value in field.enum_type.values if value.number]
        return f"one of {_listed(values)}"
    if field.message_type:
        named = f"a mapping with {_listed(settable(field.message_type))}"
        return _KNOWN.get(field.message_type.full_name, named)
    return "text in Base64" if field.type == FieldDescriptor.TYPE_BYTES else _SCALARS[field.cpp_type]


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else ""
    return ", ".join(words[:MAX_LISTED]) + more
