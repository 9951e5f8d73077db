"""Refuses schemas that compile and under which nothing could be created."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from sutler.errors import Invalid

from services.resource import defaults
from services.resource.resource_type import Json
from services.resource.schemas import MAX_STEPS, SchemaInvalid, compile_unbounded
from services.resource.walking import CERTAIN, children
from services.resource.weighing import counts, weights

_ROOT = "urn:sutler:schema"


def check_usable(schema: Json) -> None:
    """Checks a schema that compiles.

    Raises:
        SchemaInvalid: If it takes no object, or has a default that does not fit where it stands.
    """
    types = schema.get("type", "object")
    if "object" not in ([types] if isinstance(types, str) else types):
        raise SchemaInvalid("/type", "must be object, for that is what the schema is asked about")
    _check_defaults(schema)


def _check_defaults(root: Json) -> None:
    given = [(pointer, found) for pointer, found in _certain(root, "") if pointer and "default" in found]
    if not given:
        return
    parts = {pointer: {"$ref": f"{_ROOT}#{quote(pointer)}"} for pointer, _ in given}
    check = compile_unbounded({"$defs": {"root": {**root, "$id": _ROOT}}, "properties": parts})
    left = MAX_STEPS // max(weights(root))
    for pointer, found in given:
        try:
            value = defaults.fill(found, found["default"], root=root)
        except Invalid as error:
            raise SchemaInvalid(f"{pointer}/default", "with the defaults in it, it becomes too large") from error
        left -= sum(counts(value))
        if left < 0:
            raise SchemaInvalid(f"{pointer}/default", "the defaults together are too large to be checked")
        if not check.is_valid({pointer: value}):
            raise SchemaInvalid(f"{pointer}/default", "does not fit the schema in which it stands")


def _certain(schema: object, pointer: str) -> Iterator[tuple[str, Json]]:
    """Yields the subschemas of which defaults count, each with its JSON Pointer."""
    if isinstance(schema, dict):
        yield pointer, schema
        for child in children(schema):
            if child.keyword in CERTAIN:
                yield from _certain(child.schema, pointer + child.pointer)
