"""Configs of providers, checked against the JSON Schema of their type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import jsonschema_rs
from sutler.errors import Invalid
from sutler.validation import from_json_schema


class ConfigSchema:
    """The schema of the configs of one type.

    Args:
        type: The type.
        schema: Its JSON Schema (2020-12).

    Raises:
        ValueError: If it is none.
    """

    def __init__(self, type: str, schema: Mapping[str, Any]) -> None:
        self._type = type
        self._schema = dict(schema)
        self._validator = jsonschema_rs.Draft202012Validator(self._schema)

    @property
    def has_secrets(self) -> bool:
        """Whether a part of it is marked ``writeOnly``."""
        return any(part.get("writeOnly") is True for part in _objects(self._schema))

    def filled(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with its defaults filled in, whether or not it is right."""
        found = _filled(self._schema, deepcopy(dict(config)), self._schema)
        assert isinstance(found, dict)
        return found

    def checked(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with its defaults filled in.

        Raises:
            Invalid: If it breaks the schema (CONFIG_INVALID), with all violations.
        """
        whole = self.filled(config)
        violations = from_json_schema(self._validator.iter_errors(whole), ["provider", "config"])
        if violations:
            raise Invalid(
                f"{violations[0].field}: {violations[0].description}",
                reason="CONFIG_INVALID",
                metadata={"type": self._type, "field": violations[0].field},
                violations=violations,
            )
        return whole


def _filled(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> Any:
    schema = _resolved(schema, root)
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            whole = _resolved(part, root)
            if name not in value and "default" in whole:
                value[name] = deepcopy(whole["default"])
            if name in value:
                value[name] = _filled(part, value[name], root)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [_filled(schema["items"], each, root) for each in value]
    return value


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a schema with what its ``$ref`` within the document says; what stands beside that goes first."""
    found: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    seen: set[str] = set()
    while (ref := found.get("$ref")) is not None and str(ref).startswith("#/") and ref not in seen:
        seen.add(ref)
        target: Any = root
        for step in str(ref)[2:].split("/"):
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        found = {**target, **{key: part for key, part in found.items() if key != "$ref"}}
    return found


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
