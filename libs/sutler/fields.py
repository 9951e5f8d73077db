"""What the contracts say of a field: its behaviours (AIP-203), and whether it is open data, a message or a value."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_OPEN = frozenset({"google.protobuf.Struct", "google.protobuf.Value"})


@cache
def behaviors(field: FieldDescriptor) -> frozenset[int]:
    """Returns the values of ``google.api.field_behavior`` that a field has."""
    extension: Any = field_behavior_pb2.field_behavior
    return frozenset(field.GetOptions().Extensions[extension])


def descriptor_of(message: Message) -> Descriptor:
    """Returns a message's descriptor; the stubs give it a type that nothing else takes."""
    return cast(Descriptor, message.DESCRIPTOR)


def is_output_only(field: FieldDescriptor) -> bool:
    """Returns whether only the server sets a field."""
    return field_behavior_pb2.OUTPUT_ONLY in behaviors(field)


def is_input_only(field: FieldDescriptor) -> bool:
    """Returns whether a field is never given out: a secret."""
    return field_behavior_pb2.INPUT_ONLY in behaviors(field)


def is_immutable(field: FieldDescriptor) -> bool:
    """Returns whether a field keeps the value that it was created with."""
    return not behaviors(field).isdisjoint({field_behavior_pb2.IMMUTABLE, field_behavior_pb2.IDENTIFIER})


def is_map(field: FieldDescriptor) -> bool:
    """Returns whether a field is a map."""
    return bool(field.is_repeated and field.message_type and field.message_type.GetOptions().map_entry)


def is_open(field: FieldDescriptor) -> bool:
    """Returns whether a field holds open data: one Struct or Value."""
    return bool(not field.is_repeated and field.message_type and field.message_type.full_name in _OPEN)


def message_of(field: FieldDescriptor) -> Descriptor | None:
    """Returns the message that a field, or each element of a list or map, holds, if its fields count one by one.

    None for scalars, and for Google's messages: a Duration, a Timestamp, Money or a Status makes sense as a whole only.
    """
    inner = field.message_type
    if inner is not None and is_map(field):
        inner = inner.fields_by_name["value"].message_type
    return None if inner is None or inner.full_name.startswith("google.") else inner


def is_message(field: FieldDescriptor) -> bool:
    """Returns whether a field holds one message whose fields count one by one."""
    return not field.is_repeated and message_of(field) is not None
