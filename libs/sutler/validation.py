"""Field rules of the contracts, pydantic models and JSON Schemas: all end as the same field violations."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from sutler import rule_texts
from sutler.errors import Violation, invalid_fields
from sutler.fields import descriptor_of

if TYPE_CHECKING:
    import jsonschema_rs
    import pydantic
    from protovalidate import FieldPathElementPb as FieldPathElement

MAX_VIOLATIONS = 100
"""How many broken rules one answer lists at the most."""

MAX_OPEN_BYTES = 1 << 20
"""The largest open field (Struct, Value), event data or inline value."""

MAX_OPEN_DEPTH = 20
"""How deep objects and lists may stand in each other in open data. Each level is up to three messages on the wire, of
which protobuf's parsers take 100 in each other; events, revisions and answers put more around them."""

MAX_TEXT = 200
"""How many characters of a JSON Schema's message are told: it may quote the whole value."""

_OPEN_TYPES = frozenset(f"google.protobuf.{kind}" for kind in ("Struct", "Value", "ListValue"))


@cache
def _validator() -> protovalidate.Validator:
    return protovalidate.Validator()


def validate_message(message: Message) -> None:
    """Checks a message against the rules in its contract.

    Raises:
        Invalid: With one violation for every broken rule.
    """
    found = _validator().collect_violations(message)
    if found:
        told = dict.fromkeys(_from_protovalidate(violation, descriptor_of(message)) for violation in found)
        raise invalid_fields(list(told)[:MAX_VIOLATIONS])


def _from_protovalidate(violation: protovalidate.Violation, kind: Descriptor) -> Violation:
    path = violation.proto.field.elements if violation.proto.field else ()
    return Violation(".".join(map(_element, path)), *rule_texts.told(violation, kind))


def _element(element: FieldPathElement) -> str:
    if element.subscript is None:
        return element.field_name
    return f"{element.field_name}[{json.dumps(element.subscript.value, ensure_ascii=False)}]"


def validate_open_data(message: Message) -> None:
    """Checks what contracts cannot say of Struct and Value fields.

    Each is at most 1 MiB and 20 levels deep, and holds no U+0000 and only finite numbers.

    Raises:
        Invalid: With a violation for every open field and rule that it breaks.
    """
    if _ways_to_open_data(message.DESCRIPTOR) and (
        found := list(islice(_open_violations(message, ""), MAX_VIOLATIONS))
    ):
        raise invalid_fields(found)


def _open_violations(message: Message, prefix: str) -> Iterable[Violation]:
    for name, repeated in _ways_to_open_data(message.DESCRIPTOR):
        if not repeated and not message.HasField(name):
            continue
        value = getattr(message, name)
        where = f"{prefix}.{name}" if prefix else name
        if not repeated:
            children = [(where, value)]
        elif isinstance(value, Mapping):
            children = [(f"{where}[{json.dumps(key, ensure_ascii=False)}]", item) for key, item in value.items()]
        else:
            children = [(f"{where}[{i}]", item) for i, item in enumerate(value)]
        for at, child in children:
            if child.DESCRIPTOR.full_name in _OPEN_TYPES:
                yield from _check_open(child, at)
            else:
                yield from _open_violations(child, at)


def _check_open(value: Message, where: str) -> Iterable[Violation]:
    size = value.ByteSize()
    if size > MAX_OPEN_BYTES:
        yield Violation(where, f"is {size} bytes, more than {MAX_OPEN_BYTES}", "TOO_LARGE")
    else:
        yield from (Violation(_shown(where + at), *what) for at, *what in _problems(value))


def _shown(field: str) -> str:
    """Returns a path with keys of open data as far as it may be told: they may be long, and hold anything."""
    field = field.replace("\0", "\\u0000")
    return field if len(field) <= MAX_TEXT else f"{field[:MAX_TEXT]}…"


_Problem = tuple[str, str, str]
_NONE: Sequence[_Problem] = ()
_DEEP = ("", f"has more than {MAX_OPEN_DEPTH} levels of objects and lists in each other", "TOO_DEEP")
_NUL_IN_KEY = ("", "has a key with the character U+0000", "NUL_CHARACTER")
_NUL = ("", "holds the character U+0000", "NUL_CHARACTER")
_NOT_FINITE = ("", "holds a number that is not finite", "NUMBER_NOT_FINITE")


def _problems(value: Message, depth: int = 0) -> Sequence[_Problem]:
    """Returns where there is what JSON stores cannot keep, U+0000, NaN and the infinities, and that it is too deep."""
    if isinstance(value, struct_pb2.Value):
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            return (_NUL,) if "\0" in value.string_value else _NONE
        if kind == "number_value":
            return _NONE if math.isfinite(value.number_value) else (_NOT_FINITE,)
        return _problems(getattr(value, kind), depth) if kind in ("struct_value", "list_value") else _NONE
    if depth == MAX_OPEN_DEPTH:
        return (_DEEP,)
    found: list[_Problem] = []
    if isinstance(value, struct_pb2.Struct):
        for key, item in value.fields.items():
            if "\0" in key:
                found.append(_NUL_IN_KEY)
            if below := _problems(item, depth + 1):
                found += ((f".{key}{at}", text, reason) for at, text, reason in below)
    elif isinstance(value, struct_pb2.ListValue):
        for index, item in enumerate(value.values):
            if below := _problems(item, depth + 1):
                found += ((f"[{index}]{at}", text, reason) for at, text, reason in below)
    return found[:MAX_VIOLATIONS]


@cache
def _ways_to_open_data(descriptor: Descriptor) -> tuple[tuple[str, bool], ...]:
    """Returns the fields of a message that are open data or lead to some, but for rows that the RPC checks itself.

    Each is its name, and whether it is repeated.
    """
    return tuple(
        (f.name, f.is_repeated)
        for f in descriptor.fields
        if f.message_type and not _own_rows(f) and _leads_to_open(f.message_type, frozenset())
    )


def _own_rows(field: FieldDescriptor) -> bool:
    """Returns whether the contract leaves the items of a list to the RPC, which gives each its own result."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return bool(rules.repeated.items.ignore == validate_pb2.IGNORE_ALWAYS)


def _leads_to_open(descriptor: Descriptor, seen: frozenset[str]) -> bool:
    if descriptor.full_name in _OPEN_TYPES:
        return True
    if descriptor.full_name in seen:
        return False
    below = seen | {descriptor.full_name}
    return any(f.message_type and _leads_to_open(f.message_type, below) for f in descriptor.fields)


def path(parts: Iterable[str | int]) -> str:
    """Returns a field path: ``["rule", "actions", 2, "delay"]`` becomes ``rule.actions[2].delay``."""
    out = ""
    for part in parts:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def from_pydantic(error: pydantic.ValidationError, prefix: Sequence[str | int] = ()) -> list[Violation]:
    """Returns the violations of a pydantic error, with paths below ``prefix``."""
    return [
        Violation(path([*prefix, *e["loc"]]), e["msg"], e["type"].upper())
        for e in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_VIOLATIONS]
    ]


def from_json_schema(
    errors: Iterable[jsonschema_rs.ValidationError], prefix: Sequence[str | int] = ()
) -> list[Violation]:
    """Returns the violations of JSON Schema errors, with paths below ``prefix``."""
    found: list[Violation] = []
    for error in errors:
        keyword = str(error.schema_path[-1]) if error.schema_path else ""
        reason = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", keyword).upper()
        text = error.message if len(error.message) <= MAX_TEXT else f"{error.message[:MAX_TEXT]}…"
        at = [*prefix, *error.instance_path]
        found.extend(Violation(path([*at, *name]), text, reason) for name in _properties(error))
        if len(found) >= MAX_VIOLATIONS:
            break
    return found[:MAX_VIOLATIONS]


def _properties(error: jsonschema_rs.ValidationError) -> list[list[str]]:
    """Returns the names of the properties that an error is about, if it stands at the object that they belong to."""
    kind: Any = error.kind
    if kind.name == "required":
        return [[kind.property]]
    if kind.name in ("additionalProperties", "unevaluatedProperties"):
        return [[name] for name in kind.unexpected]
    return [[]]
