"""Fills in what a schema gives as ``default``.

Defaults count where a value must fit the schema for sure: below ``properties``, ``items``, ``additionalProperties``,
``allOf`` and local ``$ref``. What stands below ``anyOf``, ``oneOf``, ``if`` or ``not`` is a question, not a wish.

A schema may fill without end, where a default leads back to itself, or make much of little. So filling ends with an
error as soon as the result is certain to be more than a resource may hold, or it has taken too many steps.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import orjson
from sutler.errors import Invalid
from sutler.open_data import too_deep, too_large
from sutler.validation import MAX_OPEN_BYTES, MAX_OPEN_DEPTH

from services.resource.resource_type import Json
from services.resource.walking import resolve, subschemas

PROPERTIES = "resource.properties"
LEAST_BYTES = 8
"""What a property takes as a message at the least, beside its name."""

FILLING_STEPS = 400_000
"""How many subschemas may be gone through, for all values together; each takes one to two microseconds."""

LONGEST_JSON = 3
"""How many bytes of JSON a byte of a message is at the most: a number of 24 digits has 9."""


def has_defaults(schema: Json) -> bool:
    """Returns whether a schema has any default."""
    return any("default" in found for _, found in subschemas(schema))


def fill(schema: Json, values: Any, field: str = PROPERTIES, *, root: Json | None = None) -> Any:
    """Returns values with the defaults of a schema filled in; the argument stays as it is.

    Args:
        schema: The schema.
        values: What was given.
        field: Where it stands in the request.
        root: The schema in which ``schema`` stands, if that is a part.

    Raises:
        Invalid: If they become larger or deeper than open data may be, or are so much already that filling takes too
            long (TOO_LARGE).
    """
    return _Filling(schema if root is None else root, field).fill(schema, values, frozenset(), 0)


def check_size(values: Mapping[str, Any], field: str = PROPERTIES) -> None:
    """Checks values that were completed or merged; ``field`` is where they stand in the request.

    Raises:
        Invalid: If they are larger or deeper than open data may be (TOO_LARGE).
    """
    if too_deep(values):
        raise _exceeded(field, "limit_levels", MAX_OPEN_DEPTH)
    if too_large(values):
        raise _exceeded(field, "limit_bytes", MAX_OPEN_BYTES)


def _exceeded(field: str, which: str, limit: int) -> Invalid:
    return Invalid(
        f"{field} would exceed its {which} of {limit}, with what is stored and the defaults of the type",
        reason="TOO_LARGE",
        metadata={"field": field, which: str(limit)},
    )


class _Filling:
    def __init__(self, root: Json, field: str) -> None:
        self._root = root
        self._field = field
        self._left = MAX_OPEN_BYTES
        self._steps = FILLING_STEPS

    def fill(self, schema: Any, value: Any, seen: frozenset[int], depth: int) -> Any:
        if not isinstance(schema, Mapping) or id(schema) in seen:
            return value
        self._steps -= 1
        if self._steps < 0:
            raise _exceeded(self._field, "limit_steps", FILLING_STEPS)
        seen |= {id(schema)}  # a $ref that leads back to the same value ends here
        if "$ref" in schema:
            value = self.fill(resolve(self._root, schema["$ref"]), value, seen, depth)
        parts = schema.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            value = self.fill(part, value, seen, depth)
        if isinstance(value, Mapping):
            return self._fill_object(schema, value, depth)
        items = schema.get("items")
        if isinstance(value, list) and isinstance(items, Mapping):
            return [self.fill(items, item, frozenset(), depth + 1) for item in value]
        return value

    def _fill_object(self, schema: Json, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        filled = dict(value)
        known = schema.get("properties")
        known = known if isinstance(known, Mapping) else {}
        for name, below in known.items():
            if name not in filled and isinstance(below, Mapping):
                default = _default(self._root, below)
                if default is not None:
                    filled[name] = self._copy(name, default[0], depth)
            if name in filled:
                filled[name] = self.fill(below, filled[name], frozenset(), depth + 1)
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping):
            for name in filled.keys() - known.keys():
                filled[name] = self.fill(others, filled[name], frozenset(), depth + 1)
        return filled

    def _copy(self, name: str, default: Any, depth: int) -> Any:
        if depth >= MAX_OPEN_DEPTH:
            raise _exceeded(self._field, "limit_levels", MAX_OPEN_DEPTH)
        self._left -= LEAST_BYTES + len(name) + len(orjson.dumps(default)) // LONGEST_JSON
        if self._left < 0:
            raise _exceeded(self._field, "limit_bytes", MAX_OPEN_BYTES)
        return copy.deepcopy(default)


def _default(root: Json, schema: Json) -> tuple[Any] | None:
    """Returns a property's default, as a tuple because null is one too; that of a ``$ref`` if it has none itself."""
    seen: set[int] = set()
    found: Any = schema
    while isinstance(found, Mapping) and id(found) not in seen:
        if "default" in found:
            return (found["default"],)
        seen.add(id(found))
        found = resolve(root, found.get("$ref"))
    return None
