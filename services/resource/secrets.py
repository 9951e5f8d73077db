"""Secrets: what a schema marks as ``writeOnly``. Handlers get them; nobody else sees them again.

A value is a secret wherever it stands below ``properties``, ``items``, ``additionalProperties``, ``allOf`` and local
``$ref``, as with defaults. Elsewhere ``writeOnly`` is refused, because whether it holds would depend on the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from services.resource.paths import ANY, EACH
from services.resource.resource_type import Json
from services.resource.schemas import SchemaInvalid, Validator, compile_schema, resolve, subschemas

MAX_SECRETS = 200
"""In how many places secrets of one schema may stand."""

Path = tuple[str, ...]
"""Keys, :data:`~services.resource.paths.EACH` for items, and :data:`ANY` for keys that have no schema of their own."""


def secret_paths(schema: Json | None) -> tuple[Path, ...]:
    """Returns where the secrets of a schema stand.

    Raises:
        SchemaInvalid: If something is marked where that would have no effect.
    """
    if schema is None:
        return ()
    marked = {id(found): pointer for pointer, found in subschemas(schema) if found.get("writeOnly") is True}
    if not marked:
        return ()
    seen: set[int] = set()
    paths = tuple(dict.fromkeys(islice(_find(schema, schema, (), frozenset(), seen), MAX_SECRETS + 1)))
    if len(paths) > MAX_SECRETS:
        raise SchemaInvalid("", f"there are more than {MAX_SECRETS} places with writeOnly")
    for found, pointer in marked.items():
        if found not in seen:
            raise SchemaInvalid(
                f"{pointer}/writeOnly",
                "writeOnly has an effect below properties, items, additionalProperties, allOf and local $ref only",
            )
    return paths


def compile_marked(
    schema: Json | None, version: str, field: str, *, public: bool = False
) -> tuple[Validator | None, tuple[Path, ...]]:
    """Returns the validator of a schema and where its secrets stand; no validator for no schema.

    Args:
        schema: The schema.
        version: The version or action that it belongs to.
        field: Where it stands in the request.
        public: Whether it is one of values that everybody may see, and so must mark none.

    Raises:
        Invalid: If it is none, breaks a bound, or marks secrets where it must not (SCHEMA_INVALID).
    """
    if schema is None:
        return None, ()
    try:
        validator = compile_schema(schema)
        paths = secret_paths(schema)
        if paths and public:
            raise SchemaInvalid("", "it is of what everybody may see, so nothing in it can be writeOnly")
        return (compile_schema(schema, hides=True) if paths else validator), paths
    except SchemaInvalid as error:
        raise error.error(version, field) from error


def without(values: Any, paths: Sequence[Path]) -> Any:
    """Returns values without what stands at the paths; the argument stays as it is."""
    if not paths:
        return values
    if isinstance(values, Mapping):
        return {key: without(value, below) for key, value, below in _entries(values, paths) if () not in below}
    if isinstance(values, list):
        below = [path[1:] for path in paths if path[0] == EACH]
        return [without(item, below) for item in values]
    return values


def touches(path: Sequence[str], paths: Sequence[Path]) -> bool:
    """Returns whether what stands at a path is, holds or belongs to a secret; list items may have their number."""
    return any(all(_meets(step, at) for step, at in zip(path, secret, strict=False)) for secret in paths)


def _meets(step: str, at: str) -> bool:
    return at == ANY or step == at or (at == EACH and step.isdigit())


def _entries(values: Mapping[str, Any], paths: Sequence[Path]) -> Iterator[tuple[str, Any, list[Path]]]:
    for key, value in values.items():
        yield key, value, [path[1:] for path in paths if path[0] in (key, ANY)]


def _find(root: Json, schema: Any, at: Path, above: frozenset[int], seen: set[int]) -> Iterator[Path]:
    if not isinstance(schema, Mapping):
        return
    if id(schema) in above:
        if any(found.get("writeOnly") is True for _, found in subschemas(schema)):
            raise SchemaInvalid("", "a schema that leads back to itself cannot hold writeOnly")
        return
    above |= {id(schema)}
    if schema.get("writeOnly") is True:
        if not at:
            raise SchemaInvalid("/writeOnly", "mark single properties, not all of them")
        seen.update(id(found) for _, found in subschemas(schema))
        yield at if at[-1] != EACH else _whole(at)
        return
    if "$ref" in schema:
        yield from _find(root, resolve(root, schema["$ref"]), at, above, seen)
    for part in schema["allOf"] if isinstance(schema.get("allOf"), list) else ():
        yield from _find(root, part, at, above, seen)
    below, others = schema.get("properties"), schema.get("additionalProperties")
    for name, child in below.items() if isinstance(below, Mapping) else ():
        yield from _find(root, child, (*at, name), above, seen)
    yield from _find(root, schema.get("items"), (*at, EACH), above, seen)
    if below and any(found.get("writeOnly") is True for _, found in subschemas(others)):
        raise SchemaInvalid("/additionalProperties", "writeOnly cannot stand beside properties; use another object")
    yield from _find(root, others, (*at, ANY), above, seen)


def _whole(at: Path) -> Path:
    """Returns the path of a list of which every item is a secret."""
    while at and at[-1] == EACH:
        at = at[:-1]
    return at
