"""Where the secrets of a schema stand: what it marks as ``writeOnly``.

A value is a secret wherever it stands below ``properties``, ``items``, ``additionalProperties``, ``allOf`` and local
``$ref``, as with defaults. Where a mark can be reached in any other way it is refused, because whether it holds would
depend on the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.resource.paths import ANY, EACH
from services.resource.resource_type import Json
from services.resource.schemas import SchemaInvalid, Validator, compile_schema
from services.resource.secrets import Path
from services.resource.usable import check_usable
from services.resource.walking import CERTAIN, DEFINITIONS, children, resolve, subschemas

MAX_SECRETS = 200
"""In how many places secrets of one schema may stand."""

_NAMES = ("$anchor", "$dynamicAnchor", "$dynamicRef")


def secret_paths(schema: Json | None) -> tuple[Path, ...]:
    """Returns where the secrets of a schema stand.

    Raises:
        SchemaInvalid: If something is marked where that would have no effect, or can also be reached in a way where it
            would have none.
    """
    return () if schema is None else _Search(schema).paths()


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
        Invalid: If it is none, breaks a bound, cannot be used, or marks secrets where it must not (SCHEMA_INVALID).
    """
    if schema is None:
        return None, ()
    try:
        validator = compile_schema(schema)
        check_usable(schema)
        secrets = secret_paths(schema)
        if secrets and public:
            raise SchemaInvalid("", "it is of what everybody may see, so nothing in it can be writeOnly")
        return (compile_schema(schema, hides=True) if secrets else validator), secrets
    except SchemaInvalid as error:
        raise error.error(version, field) from error


class _Search:
    """A search for all ways to marked subschemas."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._pointers = {id(found): pointer for pointer, found in subschemas(root)}
        self._marked = [found for _, found in subschemas(root) if _is_marked(found)]
        self._seen: set[int] = set()

    def paths(self) -> tuple[Path, ...]:
        if not self._marked:
            return ()
        self._check_names()
        self._leading = self._leads()
        found: dict[Path, None] = {}
        for path in self._find(self._root, (), frozenset()):
            found[path] = None
            if len(found) > MAX_SECRETS:
                raise SchemaInvalid("", f"there are more than {MAX_SECRETS} places with writeOnly")
        for marked in self._marked:
            if id(marked) not in self._seen:
                raise _without_effect(f"{self._pointers[id(marked)]}/writeOnly")
        return tuple(found)

    def _check_names(self) -> None:
        for pointer, found in subschemas(self._root):
            for keyword in _NAMES:
                if keyword in found:
                    raise SchemaInvalid(f"{pointer}/{keyword}", "a schema with writeOnly refers by #/… only")

    def _leads(self) -> set[int]:
        """Returns the subschemas that are marked or lead to marked ones, by whatever way."""
        above: dict[int, list[int]] = {}
        for _, found in subschemas(self._root):
            below = [child.schema for child in children(found) if child.keyword not in DEFINITIONS]
            for target in (*below, self._target(found)):
                above.setdefault(id(target), []).append(id(found))
        todo = [id(found) for found in self._marked]
        leading = set(todo)
        while todo:
            new = set(above.get(todo.pop(), ())) - leading
            leading |= new
            todo += new
        return leading

    def _target(self, schema: Json) -> Any:
        return resolve(self._root, schema.get("$ref"))

    def _find(self, schema: Any, at: Path, above: frozenset[int]) -> Iterator[Path]:
        if id(schema) not in self._leading:
            return
        pointer = self._pointers[id(schema)]
        if id(schema) in above:
            raise SchemaInvalid(pointer, "a schema that leads back to itself cannot hold writeOnly")
        above |= {id(schema)}
        if _is_marked(schema):
            if not (whole := _whole(at)):
                raise SchemaInvalid(f"{pointer}/writeOnly", "mark single properties, not all of them")
            self._seen.update(id(found) for _, found in subschemas(schema))
            yield whole
            return
        yield from self._find(self._target(schema), at, above)
        for keyword, name, child in children(schema):
            if id(child) not in self._leading or keyword in DEFINITIONS:
                continue
            if keyword not in CERTAIN:
                raise _without_effect(f"{pointer}/{keyword}")
            if keyword == "additionalProperties" and schema.get("properties"):
                raise SchemaInvalid(
                    f"{pointer}/{keyword}", "writeOnly cannot stand beside properties; use another object"
                )
            step = {"properties": (name,), "items": (EACH,), "additionalProperties": (ANY,)}.get(keyword, ())
            yield from self._find(child, (*at, *step), above)


def _is_marked(schema: Json) -> bool:
    return schema.get("writeOnly") is True


def _without_effect(pointer: str) -> SchemaInvalid:
    return SchemaInvalid(
        pointer, "writeOnly has an effect below properties, items, additionalProperties, allOf and local $ref only"
    )


def _whole(at: Path) -> Path:
    """Returns the path of a list of which every item is a secret."""
    while at and at[-1] == EACH:
        at = at[:-1]
    return at
