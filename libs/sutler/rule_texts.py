"""What a broken rule of a contract means, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, reduce
from typing import TYPE_CHECKING

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sutler.fields import is_map

if TYPE_CHECKING:
    import protovalidate
    from protovalidate import FieldPathElementPb as FieldPathElement

REQUIRED = "REQUIRED"
"""The reason of a violation where nothing was sent."""

_FORMS = {
    r"[^\x00-\x1f\x7f]+": "must hold no control characters",
    r"subjects/[^\x00-\x1f\x7f]+": "must be subjects/ and a name without control characters",
    "[0-9a-f]{64}": "must be 64 lower-case hexadecimal digits",
    "[!-~]+/[ -~]+": "must be a media type, such as text/plain",
    r"[^\s\x00-\x1f\x7f]+": "must hold no spaces and no control characters",
    r"[A-Za-z][A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9]*(/[A-Za-z][A-Za-z0-9]*){1,5}": (
        "must be a namespace of two parts and 1 to 5 collections, such as Custom.Org/servers"
    ),
    (
        "[A-Za-z][A-Za-z0-9]{0,62}/[A-Za-z][A-Za-z0-9._-]{0,62}"
        "(/[A-Za-z][A-Za-z0-9]{0,62}/[A-Za-z][A-Za-z0-9._-]{0,62}){0,7}"
    ): (
        "must be 1 to 8 pairs of a collection and an id, with / between all, such as subscriptions/s/resourceGroups/g; "
        "an id is a letter, then up to 62 letters, digits, '.', '_' or '-'"
    ),
    "[A-Za-z][A-Za-z0-9_]*([.][A-Za-z0-9_-]+)*": "must be the name of a model, such as res.partner",
    "[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*){0,7}": (
        "must be a field, or up to 8 with dots between them, such as partner_id.name"
    ),
    "([A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*){0,7}|[*])": (
        "must be *, a field, or up to 8 with dots between them, such as partner_id.name"
    ),
    "[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*(@[A-Za-z]+)?": "must be a language, such as de_DE",
    "https?://[^ /?#@]+(/[^ ?#]*)?": (
        "must be a URL without user, query and fragment, such as https://erp.example.com or http://10.0.0.5:8069/odoo"
    ),
    r"https?://[^\x00-\x1f\x7f]+": "must be a URL, such as https://example.com/orders",
    "[^ /?#@]+:[0-9]{1,5}": "must be a host and a port, such as rules.example.com:50054",
    "[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)+": "must be lower-case words with dots between them, such as order.confirmed",
    "[A-Za-z0-9_.*-]+": "must be letters, digits, '_', '.', '-' or '*', such as res.*",
    "SIG[A-Z0-9]{1,12}": "must be the name of a signal, such as SIGTERM",
    r"[^\x00-\x08\x0a-\x1f\x7f]*": "must hold no control characters but tabs",
    "queues/(-|[A-Za-z][A-Za-z0-9._-]{0,62})": "must be queues/{queue}, or queues/- for all",
    "[A-Za-z0-9!#$%&'*+.^_`|~-]+": "must be the name of a header, such as X-Request-Id",
    "[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*/[A-Za-z_][A-Za-z0-9_]*": (
        "must be a service and a method, such as sutler.resource.v1.ResourceService/CreateResource"
    ),
    "[a-z0-9]+": "must be lower-case letters and digits",
    "[A-Za-z0-9_+/-]+": "must be the name of a time zone, such as Europe/Vienna",
}
"""What patterns ask for that are not made of identifiers alone."""

_CLASS = r"\[([^\]^\\]+)\]"
_ID = re.compile(rf"{_CLASS}{_CLASS}(?:\{{0,(\d+)\}}|\*)")
"""A first character, and up to so many others."""

_SET = re.compile(r"A-Za-z|a-z|A-Z|0-9|.")
_CHARACTERS = {"A-Za-z": "letters", "a-z": "lower-case letters", "A-Z": "capital letters", "0-9": "digits"}
_NUMBER = "[0-9]{1,18}"
_NAME = re.compile(r"\w+(/\w+|/{id}|/{number})+")


def told(violation: protovalidate.Violation, message: Descriptor) -> tuple[str, str]:
    """Returns what is wrong, and a reason in UPPER_SNAKE_CASE.

    Args:
        violation: A rule that a message does not keep.
        message: What kind of message it is.
    """
    proto, value, rule = violation.proto, violation.field_value, violation.rule_value
    reason = proto.rule_id.upper().replace(".", "_").replace("-", "_")
    text = proto.message or "breaks a rule"
    path = proto.field.elements if proto.field else []
    alone = bool(path) and path[-1].subscript is None
    if value == "" and proto.rule_id.startswith("string."):
        return ("is required" if alone else "must not be empty"), REQUIRED
    if proto.rule_id == "required" and (choices := _choices(message, path)):
        return f"must have one of {', '.join(choices)}", REQUIRED
    if proto.rule_id == "required" or (alone and value == 0 and proto.rule_id == "enum.not_in"):
        return "is required", REQUIRED
    if proto.rule_id == "string.pattern":
        text = form(str(rule)) or text
    elif proto.rule_id in ("enum.in", "enum.not_in"):
        names = ", ".join(_named(_enum(message, path), rule))
        text = f"must be one of {names}" if proto.rule_id == "enum.in" else f"must be none of {names}"
    elif proto.rule_id == "enum.defined_only":
        enum = _enum(message, path)
        text = f"must be one of {', '.join(_named(enum, [number for number in enum.values_by_number if number]))}"
    return text, reason


@cache
def form(pattern: str) -> str:
    """Returns what a regular expression of a contract asks for; empty if nothing is known that reads better."""
    inside = pattern.removeprefix("^").removesuffix("$")
    if inside in _FORMS:
        return _FORMS[inside]
    found = _ID.search(inside)
    if found is None:
        return ""
    id = _id(found)
    shape = _ID.sub("{id}", inside).replace(_NUMBER, "{number}")
    if shape == "{id}":
        return f"must be {id}"
    return f"must be {shape}, where an id is {id}" if _NAME.fullmatch(shape) else ""


def _id(found: re.Match[str]) -> str:
    first, others, most = found.groups()
    start = _alternatives(first, plural=False)
    return f"{start}, then {f'up to {most}' if most else 'any number of'} {_alternatives(others, plural=True)}"


def _alternatives(characters: str, *, plural: bool) -> str:
    """Returns what stands in the brackets of a regular expression."""
    kinds = [_CHARACTERS.get(kind, f"'{kind}'") for kind in _SET.findall(characters)]
    if not plural:
        kinds = [kind if kind.startswith("'") else f"a {kind.removesuffix('s')}" for kind in kinds]
    *most, last = kinds
    return f"{', '.join(most)} or {last}" if most else last


def _choices(message: Descriptor, path: Sequence[FieldPathElement]) -> list[str]:
    """Returns the fields of the oneof that a path ends in; none if it ends in a field."""
    if not path:
        return []
    oneof = reduce(_entered, path[:-1], message).oneofs_by_name.get(path[-1].field_name)
    return [field.name for field in oneof.fields] if oneof else []


def _enum(message: Descriptor, path: Sequence[FieldPathElement]) -> EnumDescriptor:
    above = reduce(_entered, path[:-1], message)
    enum = _value(above, path[-1]).enum_type
    assert enum is not None  # a rule of enums stands at an enum
    return enum


def _entered(above: Descriptor, element: FieldPathElement) -> Descriptor:
    inner = _value(above, element).message_type
    assert inner is not None  # the path goes on below
    return inner


def _value(above: Descriptor, element: FieldPathElement) -> FieldDescriptor:
    """Returns the field of a step; of a map, that of its values."""
    field = above.fields_by_name[element.field_name]
    if is_map(field) and field.message_type:
        return field.message_type.fields_by_name["value"]
    return field


def _named(enum: EnumDescriptor, numbers: Sequence[int]) -> list[str]:
    names = enum.values_by_number
    return [names[number].name if number in names else str(number) for number in numbers]
