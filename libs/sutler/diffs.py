"""Differences between two versions of a resource, as answers to ``validate_only`` show them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from sutler.fields import descriptor_of, is_input_only, is_map, is_message, is_open, is_output_only, message_of

M = TypeVar("M", bound=Message)

_BARE = re.compile(r"\w[\w-]*")


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field that differs.

    Attributes:
        field: Its path, such as ``properties.size`` or ``tags."app.io/name"``.
        before: Its JSON value; None if it was not set.
        after: Its JSON value; None if it is no longer set.
    """

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value as it compares, and as it may be shown."""

    value: Any
    shown: Any


def changes(before: M | None, after: M) -> list[FieldDiff]:
    """Returns the fields that differ, by path; what the server sets (OUTPUT_ONLY, the resource's ``etag``) is left out.

    Messages, maps and open fields are entered key by key, lists compare as a whole. Values are those of protobuf's
    JSON form: 64-bit integers are strings, enums their names. An INPUT_ONLY field that differs is listed without its
    values, which are secret.

    Args:
        before: The resource before; None if there was none.
        after: The resource after.
    """
    old = {} if before is None else _leaves(before)
    new = _leaves(after)
    absent = _Leaf(None, None)
    return [
        FieldDiff(path, old.get(path, absent).shown, new.get(path, absent).shown)
        for path in sorted(old.keys() | new.keys())
        if old.get(path, absent).value != new.get(path, absent).value
    ]


def _leaves(message: Message) -> dict[str, _Leaf]:
    tree = MessageToDict(message, preserving_proto_field_name=True)
    tree.pop("etag", None)
    return dict(_fields(tree, descriptor_of(message), ""))


def _fields(tree: Mapping[str, Any], descriptor: Descriptor, prefix: str) -> Iterator[tuple[str, _Leaf]]:
    for name, value in tree.items():
        field = descriptor.fields_by_name[name]
        where = prefix + name
        if is_output_only(field):
            continue
        if is_input_only(field):
            yield where, _Leaf(value, None)
        elif is_open(field):
            yield from _open(value, where)
        elif is_message(field) and (inner := message_of(field)) and value:
            yield from _fields(value, inner, f"{where}.")
        elif is_map(field):
            for key, item in value.items():
                yield _below(where, key), _leaf(item, field)
        elif field.is_repeated:
            items = [_leaf(item, field) for item in value]
            yield where, _Leaf([item.value for item in items], [item.shown for item in items])
        else:
            yield where, _Leaf(value, value)


def _open(value: Any, where: str) -> Iterator[tuple[str, _Leaf]]:
    if not isinstance(value, dict) or not value:
        yield where, _Leaf(value, value)
        return
    for key, item in value.items():
        yield from _open(item, _below(where, key))


def _leaf(value: Any, field: FieldDescriptor) -> _Leaf:
    """Returns an element of a list or map."""
    inner = message_of(field)
    if inner is None:
        return _Leaf(value, value)
    return _Leaf(_stripped(value, inner, secrets=True), _stripped(value, inner, secrets=False))


def _stripped(tree: Mapping[str, Any], descriptor: Descriptor, *, secrets: bool) -> dict[str, Any]:
    """Returns a message without what the server sets, and with or without secrets."""
    kept: dict[str, Any] = {}
    for name, value in tree.items():
        field = descriptor.fields_by_name[name]
        if is_output_only(field) or (is_input_only(field) and not secrets):
            continue
        inner = message_of(field)
        if inner is None:
            kept[name] = value
        elif is_map(field):
            kept[name] = {key: _stripped(item, inner, secrets=secrets) for key, item in value.items()}
        elif field.is_repeated:
            kept[name] = [_stripped(item, inner, secrets=secrets) for item in value]
        else:
            kept[name] = _stripped(value, inner, secrets=secrets)
    return kept


def _below(where: str, key: str) -> str:
    """Returns the path of a key, quoted as in filters where it is no plain word."""
    if _BARE.fullmatch(key):
        return f"{where}.{key}"
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{where}."{escaped}"'
