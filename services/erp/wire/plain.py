"""Messages as plain data and back, field by field: the domain's objects have the contract's names."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from sutler.wire import duration, from_struct, from_value, seconds, timestamp, to_struct, to_value

M = TypeVar("M", bound=Message)

_TIMES = frozenset(f"google.protobuf.{kind}" for kind in ("Timestamp", "Duration"))


def to_plain(message: Message) -> dict[str, Any]:
    """Returns a message as a mapping.

    Times and spans become seconds, enums the names of their values without the enum's prefix, open data JSON; what is
    not set and has presence is None.
    """
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_single(field, one) for one in value]
    if field.has_presence and not message.HasField(field.name):
        return {} if _full_name(field) == "google.protobuf.Struct" else None
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    name = _full_name(field)
    if not name:
        return value
    if name in _TIMES:
        return seconds(value)
    if name == "google.protobuf.Struct":
        return from_struct(value)
    if name == "google.protobuf.ListValue":
        return [from_value(one) for one in value.values]
    if name == "google.protobuf.Value":
        return from_value(value)
    return to_plain(value)


def fill(message: M, source: object) -> M:
    """Sets the fields of a message from an object's attributes of the same names, and returns the message.

    What is None, an empty mapping or an empty list, or what the object does not have, stays unset.
    """
    for field in message.DESCRIPTOR.fields:
        value = _attribute(source, field.name)
        if value is None or (field.message_type is not None and value in ({}, ())):
            continue
        if field.message_type is None:
            _set_scalars(message, field, value)
        elif field.is_repeated:
            for one in value:
                _put(getattr(message, field.name).add(), one)
        else:
            target = getattr(message, field.name)
            target.SetInParent()
            _put(target, value)
    return message


def _attribute(source: Any, name: str) -> Any:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def _set_scalars(message: Message, field: Any, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(_scalar(field, one) for one in value)
    else:
        setattr(message, field.name, _scalar(field, value))


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_name[f"{prefix(field.enum_type)}{value}"].number
    return str(value) if isinstance(value, StrEnum) else value


def _put(target: Any, value: Any) -> None:
    """Fills a message that is a field of another."""
    name = target.DESCRIPTOR.full_name
    if name in _TIMES:
        target.CopyFrom(timestamp(value) if name.endswith("Timestamp") else duration(value))
    elif name == "google.protobuf.Struct":
        target.CopyFrom(to_struct(value))
    elif name == "google.protobuf.Value":
        target.CopyFrom(to_value(value))
    elif name == "google.protobuf.ListValue":
        target.CopyFrom(to_value(list(value)).list_value)
    else:
        fill(target, value)


def _full_name(field: Any) -> str:
    return str(field.message_type.full_name) if field.message_type is not None else ""


def enum_name(kind: EnumDescriptor, number: int) -> str:
    """Returns the name of a value without the enum's prefix."""
    found = kind.values_by_number.get(number)
    return found.name.removeprefix(prefix(kind)) if found is not None else "UNSPECIFIED"


@cache
def prefix(kind: EnumDescriptor) -> str:
    """Returns what the names of an enum's values begin with, such as ``STATE_``."""
    return kind.values[0].name.removesuffix("UNSPECIFIED")
