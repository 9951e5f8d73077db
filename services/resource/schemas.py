"""JSON Schemas (2020-12) of types: walked, bounded, and compiled to validators.

Nothing that a schema says can make a check slow: patterns run on a linear engine, nothing is fetched, and depth, size
and the work of one check are bounded when the type is registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
from sutler.errors import Invalid, Violation

from services.resource.resource_type import Json

MAX_DEPTH = 32
"""How deep subschemas may nest."""

MAX_SUBSCHEMAS = 20_000
MAX_PATTERN = 1024
MAX_COST = 200_000
"""How many subschemas one check may run through, with every $ref counted as what it leads to."""

REGEX_BYTES = 1 << 20
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Validator = jsonschema_rs.Draft202012Validator
"""Checks values against a schema."""

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)


class SchemaInvalid(Exception):
    """A schema that is none, or too deep, large or costly.

    Args:
        pointer: Where, as a JSON Pointer.
        cause: What is wrong there.
    """

    def __init__(self, pointer: str, cause: str) -> None:
        super().__init__(cause)
        self.pointer = pointer
        self.cause = cause

    def error(self, version: str, field: str) -> Invalid:
        """Returns it as an error of a type's version; ``field`` is where the schema stands in the request."""
        return Invalid(
            f"{field}: {self.cause} (at {self.pointer or 'the top'})",
            reason="SCHEMA_INVALID",
            metadata={"version": version, "pointer": self.pointer, "cause": self.cause},
            violations=[Violation(field, f"{self.pointer}: {self.cause}", "SCHEMA_INVALID")],
        )


def compile_schema(schema: Json, *, hides: bool = False) -> Validator:
    """Returns the validator of a schema, whose errors show no values if it hides them.

    Raises:
        SchemaInvalid: If it is none, or breaks a bound.
    """
    _check_bounds(schema)
    options = jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES, dfa_size_limit=REGEX_BYTES)
    try:
        mask = "the value" if hides else None
        return Validator(dict(schema), pattern_options=options, offline=True, mask=mask)
    except jsonschema_rs.ValidationError as error:
        raise SchemaInvalid("".join(f"/{part}" for part in error.instance_path), error.message[:300]) from error
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaInvalid("", str(error).splitlines()[0][:300]) from error


def subschemas(schema: Any, pointer: str = "") -> Iterator[tuple[str, Json]]:
    """Yields a schema and all below it, each with its JSON Pointer; what is data, such as ``const``, is left out."""
    if not isinstance(schema, Mapping):
        return
    yield pointer, schema
    for at, child in _children(schema, pointer):
        yield from subschemas(child, at)


def resolve(root: Json, reference: object) -> Any:
    """Returns the subschema that a local ``$ref`` such as ``#/$defs/size`` leads to; None if it is not such a one."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    found: Any = root
    for part in reference.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def _children(schema: Json, pointer: str) -> Iterator[tuple[str, Any]]:
    for keyword in _MAPS:
        below = schema.get(keyword)
        if isinstance(below, Mapping):
            yield from ((f"{pointer}/{keyword}/{name}", child) for name, child in below.items())
    for keyword in _LISTS:
        below = schema.get(keyword)
        if isinstance(below, list):
            yield from ((f"{pointer}/{keyword}/{index}", child) for index, child in enumerate(below))
    for keyword in _SINGLE:
        if keyword in schema:
            yield f"{pointer}/{keyword}", schema[keyword]


def _check_bounds(schema: Json) -> None:
    declared = schema.get("$schema", DIALECT)
    if not isinstance(declared, str) or declared.rstrip("#") != DIALECT:
        raise SchemaInvalid("/$schema", f"only {DIALECT} is understood")
    if _depth(schema) > MAX_DEPTH:
        raise SchemaInvalid("", f"subschemas nest deeper than {MAX_DEPTH}")
    for count, (pointer, found) in enumerate(subschemas(schema), start=1):
        if count > MAX_SUBSCHEMAS:
            raise SchemaInvalid(pointer, f"there are more than {MAX_SUBSCHEMAS} subschemas")
        _check_one(pointer, found)
    if _cost(schema, schema, {}) > MAX_COST:
        raise SchemaInvalid("", f"a check could run through more than {MAX_COST} subschemas; use fewer nested $ref")


def _check_one(pointer: str, schema: Json) -> None:
    below = schema.get("patternProperties")
    for pattern in [schema.get("pattern"), *(below if isinstance(below, Mapping) else ())]:
        if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
            raise SchemaInvalid(pointer, f"a pattern is longer than {MAX_PATTERN} characters")


def _depth(schema: Any) -> int:
    deepest, level = 0, [schema]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [child for parent in level if isinstance(parent, Mapping) for _, child in _children(parent, "")]
    return deepest


def _cost(root: Json, schema: Any, known: dict[int, int]) -> int:
    """Returns how many subschemas a check of one value runs through; a recursive $ref ends with the value's depth."""
    if not isinstance(schema, Mapping):
        return 1
    if id(schema) not in known:
        known[id(schema)] = 0
        total = 1
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                target = resolve(root, schema[keyword])
                total += _cost(root, root if target is None else target, known)
        total += sum(_cost(root, child, known) for _, child in _children(schema, ""))
        known[id(schema)] = min(total, MAX_COST + 1)
    return known[id(schema)]
