"""Fills messages from YAML, and collects every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from ruamel.yaml.scalarbool import ScalarBoolean

from sutler.cli.kinds import nearest
from sutler.cli.shapes import expected, settable
from sutler.errors import Violation, invalid_fields
from sutler.fields import descriptor_of, is_map, is_output_only

OPEN = "google.protobuf."


class Reader:
    """Fills messages from the YAML of one file.

    Args:
        file: What the file is called.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Violation] = []

    def problem(self, node: Any, key: Any, text: str) -> None:
        """Notes what is wrong at a key of a node, or with the node itself."""
        self._problems.append(Violation(f"{self._file}{_place(node, key)}", text))

    def finish(self) -> None:
        """Raises what was noted.

        Raises:
            Invalid: With every problem so far.
        """
        if self._problems:
            raise invalid_fields(self._problems)

    def fill(self, message: Message, values: Mapping[Any, Any], node: Any) -> None:
        """Sets the fields of a message; what only the server sets is left out."""
        fields = _fields(message)
        given: dict[str, Any] = {}
        for key, value in values.items():
            field = fields.get(key)
            if field is None:
                self._unknown(message, key, node)
                continue
            if is_output_only(field):
                continue
            slot = field.containing_oneof.name if field.containing_oneof else field.name
            if slot in given:
                self.problem(node, key, f"{key} and {given[slot]} exclude each other")
                continue
            given[slot] = key
            self._set(message, field, key, value, node)

    def _unknown(self, message: Message, key: Any, node: Any) -> None:
        known = settable(descriptor_of(message))
        near = nearest(str(key), {name.lower(): name for name in known})
        name = descriptor_of(message).name
        self.problem(node, key, f"unknown field {key!r} of {name}{near}; it has: {', '.join(known)}")

    def _set(self, message: Message, field: FieldDescriptor, key: Any, value: Any, node: Any) -> None:
        if _is_nested(field) and isinstance(value, Mapping):
            getattr(message, field.name).SetInParent()
            self.fill(getattr(message, field.name), value, value)
        elif _is_nested_list(field) and isinstance(value, list) and all(isinstance(v, Mapping) for v in value):
            for item in value:
                self.fill(getattr(message, field.name).add(), item, item)
        else:
            self._parse(message, field, key, value, node)

    def _parse(self, message: Message, field: FieldDescriptor, key: Any, value: Any, node: Any) -> None:
        part = type(message)()
        try:
            json_format.ParseDict({field.name: plain(value)}, part)
        except (json_format.ParseError, TypeError, ValueError, AttributeError):  # protobuf's words are for programs
            self.problem(node, key, f"{key} must be {expected(field)}")
        else:
            message.MergeFrom(part)


def _place(node: Any, key: Any) -> str:
    """Returns ``:line:column`` of a key, or of the node where the key comes from elsewhere, such as by ``<<``."""
    place = getattr(node, "lc", None)
    if place is None:
        return ""
    line, column = place.line, place.col
    with suppress(KeyError, TypeError):  # what comes by ``<<`` has no place of its own
        line, column = place.key(key)
    return f":{line + 1}:{column + 1}"


def plain(value: Any) -> Any:
    """Returns YAML's values as plain JSON: dates and the parser's own types become text, dict and list."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, ScalarBoolean):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _fields(message: Message) -> dict[str, FieldDescriptor]:
    return {name: field for field in descriptor_of(message).fields for name in (field.name, field.json_name)}


def _is_nested(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and not field.is_repeated and not kind.full_name.startswith(OPEN)


def _is_nested_list(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return bool(kind and field.is_repeated and not is_map(field) and not kind.full_name.startswith(OPEN))
