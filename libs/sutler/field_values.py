"""Copies, compares and clears single fields of messages."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from sutler.fields import descriptor_of, is_map, is_output_only, message_of

M = TypeVar("M", bound=Message)


def copy_of(message: M) -> M:
    """Returns a copy of a message."""
    found = type(message)()
    found.CopyFrom(message)
    return found


def entered(message: Message, field: FieldDescriptor) -> Message:
    """Returns a message's child, which is there from now on."""
    child: Message = getattr(message, field.name)
    child.SetInParent()
    return child


def only(message: Message, field: FieldDescriptor) -> Message:
    """Returns a message with nothing but one field of another."""
    found = type(message)()
    copy_field(found, message, field)
    return found


def copy_field(target: Message, source: Message, field: FieldDescriptor) -> None:
    """Makes a field of one message equal to that of another."""
    target.ClearField(field.name)
    if field.is_repeated:
        getattr(target, field.name).MergeFrom(getattr(source, field.name))
    elif is_populated(source, field):
        if field.message_type is None:
            setattr(target, field.name, getattr(source, field.name))
        else:
            entered(target, field).CopyFrom(getattr(source, field.name))


def is_populated(message: Message, field: FieldDescriptor) -> bool:
    """Returns whether a field is set or, where it cannot be unset, differs from its default."""
    if field.has_presence:
        return message.HasField(field.name)
    return bool(getattr(message, field.name))


def clear_output_only(message: Message) -> None:
    """Clears the OUTPUT_ONLY fields of a message, in place and at every depth: what a caller sends there is ignored."""
    for field in _ways_to_output_only(descriptor_of(message)):
        if is_output_only(field):
            message.ClearField(field.name)
        elif is_map(field):
            for child in getattr(message, field.name).values():
                clear_output_only(child)
        elif field.is_repeated:
            for child in getattr(message, field.name):
                clear_output_only(child)
        elif message.HasField(field.name):
            clear_output_only(getattr(message, field.name))


@cache
def _ways_to_output_only(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Returns the fields of a message that are OUTPUT_ONLY or lead to some."""
    return tuple(field for field in descriptor.fields if _leads_to_output_only(field, frozenset()))


def _leads_to_output_only(field: FieldDescriptor, seen: frozenset[str]) -> bool:
    if is_output_only(field):
        return True
    inner = message_of(field)
    if inner is None or inner.full_name in seen:
        return False
    return any(_leads_to_output_only(child, seen | {inner.full_name}) for child in inner.fields)
