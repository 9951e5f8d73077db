"""Walks through JSON Schemas: which subschemas stand in one, below which keyword, and where a ``$ref`` leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from services.resource.resource_type import Json

DEFINITIONS = ("$defs", "definitions")
"""Keywords that hold subschemas and apply none."""

CERTAIN = ("properties", "items", "additionalProperties", "allOf", *DEFINITIONS)
"""Keywords whose subschemas hold for sure where they stand; beside ``$ref`` the only ones that defaults and secrets
follow."""

_KINDS: Mapping[str, Literal["map", "list", "single"]] = {
    **dict.fromkeys(("properties", "patternProperties", *DEFINITIONS, "dependentSchemas", "dependencies"), "map"),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), "list"),
    **dict.fromkeys(("items", "additionalProperties", "not", "if", "then", "else", "contains"), "single"),
    **dict.fromkeys(("propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema"), "single"),
}


class Child(NamedTuple):
    """A subschema, or true or false, that stands directly in a schema.

    Attributes:
        keyword: The keyword below which it stands.
        part: Its name or number there; empty where there is only one.
        schema: What it is.
    """

    keyword: str
    part: str
    schema: Any

    @property
    def pointer(self) -> str:
        """The JSON Pointer from the schema in which it stands."""
        if _KINDS[self.keyword] == "single":
            return f"/{self.keyword}"
        return f"/{self.keyword}/{self.part.replace('~', '~0').replace('/', '~1')}"


def children(schema: Json) -> Iterator[Child]:
    """Yields what stands directly in a schema; what is data, such as ``const``, is left out."""
    for keyword, below in schema.items():
        kind = _KINDS.get(keyword)
        if kind == "single":
            yield Child(keyword, "", below)
        elif kind == "map" and isinstance(below, dict | Mapping):
            for name, child in below.items():
                yield Child(keyword, name, child)
        elif kind == "list" and isinstance(below, list):
            for index, child in enumerate(below):
                yield Child(keyword, str(index), child)


def subschemas(schema: Any, pointer: str = "") -> Iterator[tuple[str, Json]]:
    """Yields a schema and all below it, each with its JSON Pointer."""
    if not isinstance(schema, dict | Mapping):
        return
    yield pointer, schema
    for child in children(schema):
        yield from subschemas(child.schema, pointer + child.pointer)


def resolve(root: Json, reference: object) -> Any:
    """Returns the subschema that a local ``$ref`` such as ``#/$defs/size`` leads to; None if it is not such a one."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    found: Any = root
    for part in unquote(reference).split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found
