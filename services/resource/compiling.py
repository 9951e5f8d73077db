"""Versions of types, compiled: what is needed to complete and check a declaration without looking at text again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.expressions import ExpressionInvalid

from services.resource import defaults, paths
from services.resource.actions import CompiledAction, compile_action
from services.resource.marking import compile_marked
from services.resource.normalizing import CHANGES, FIELDS
from services.resource.recent import Recent
from services.resource.resource_type import Action, Json, ResourceType, Version
from services.resource.rules import FIELDS as RULE_FIELDS
from services.resource.rules import CompiledRule, compile_rule, no_expression
from services.resource.schemas import Validator
from services.resource.secrets import Path
from services.resource.telling import WRONG_FIELD, Problems

KEPT = 1000
"""How many compiled versions are kept, and how many actions."""

KEPT_SIZE = 4 << 20
"""How large their schemas may be together, as JSON; compiled, they take up to 70 times as much memory."""

Key = tuple[bytes, str]
"""The digest of a type, and the version or action."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A version of a type, ready for use.

    Attributes:
        version: The version.
        schema: Checks properties; None if any object will do.
        secrets: The paths to secrets in properties.
        outputs: Checks outputs; None if any object will do.
        has_defaults: Whether the schema has any.
        normalizations: Paths and what is done to the strings there, in order.
        rules: The rules.
        immutable: Paths that cannot change.
    """

    version: Version
    schema: Validator | None
    secrets: tuple[Path, ...]
    outputs: Validator | None
    has_defaults: bool
    normalizations: Sequence[tuple[tuple[str, ...], Callable[[str], str]]]
    rules: Sequence[CompiledRule]
    immutable: Sequence[tuple[str, tuple[str, ...]]]

    @property
    def size(self) -> int:
        """About how large its schemas are as JSON."""
        return sum(validator.size for validator in (self.schema, self.outputs) if validator)

    @property
    def sees_parent(self) -> bool:
        """Whether a rule names ``parent``."""
        return any(rule.sees_parent for rule in self.rules)

    def completed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Returns fields with defaults filled in and normalizations done."""
        done: dict[str, Any] = dict(fields)
        if self.has_defaults and self.version.schema is not None:
            done["properties"] = defaults.fill(self.version.schema, done.get("properties", {}))
        for steps, fn in self.normalizations:
            done = paths.change(done, steps, fn)
        return done


def compile_version(version: Version, field: str) -> Compiled:
    """Compiles a version of a type.

    Args:
        version: The version.
        field: Where it stands in the request, such as ``resource_type.versions[0]``.

    Raises:
        Invalid: If a rule is no CEL (EXPRESSION_INVALID), a schema is none or breaks a bound (SCHEMA_INVALID), or a
            path leads nowhere or an id is used twice (FIELD_INVALID); the first of these with all that is wrong.
    """
    wrong = _Wrong()
    rules = []
    for index, rule in enumerate(version.rules):
        at = f"{field}.rules[{index}]"
        try:
            rules.append(compile_rule(rule))
        except ExpressionInvalid as error:
            wrong.errors.append(no_expression(error, f"{at}.expression"))
        if rule.id in {earlier.id for earlier in version.rules[:index]}:
            wrong.add(f"{at}.id", "is used twice", "DUPLICATE")
        if rule.field:
            wrong.path(rule.field, f"{at}.field", RULE_FIELDS)
    normalizations = [
        (steps, CHANGES[each.kind])
        for index, each in enumerate(version.normalizations)
        if (steps := wrong.path(each.field, f"{field}.normalizations[{index}].field", FIELDS))
    ]
    immutable = [
        (text, steps)
        for index, text in enumerate(version.immutable_fields)
        if (steps := wrong.path(text, f"{field}.immutable_fields[{index}]", paths.WRITABLE))
    ]
    schema, marked = wrong.schema(version.schema, version.version, f"{field}.schema")
    outputs, _ = wrong.schema(version.output_schema, version.version, f"{field}.output_schema", public=True)
    wrong.errors.sort(key=lambda error: error.reason == WRONG_FIELD)
    wrong.tell()
    return Compiled(
        version=version,
        schema=schema,
        secrets=marked,
        outputs=outputs,
        has_defaults=version.schema is not None and defaults.has_defaults(version.schema),
        normalizations=normalizations,
        rules=rules,
        immutable=immutable,
    )


def compile_versions(versions: Sequence[Version], field: str) -> list[Compiled]:
    """Compiles the versions of a type; ``field`` is where they stand in the request.

    Raises:
        Invalid: As :func:`compile_version`, with all that is wrong with any of them.
    """
    wrong = Problems()
    compiled = []
    for index, version in enumerate(versions):
        with wrong.noting():
            compiled.append(compile_version(version, f"{field}[{index}]"))
    wrong.tell()
    return compiled


class _Wrong(Problems):
    """What is wrong with versions of a type."""

    def path(self, text: str, field: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """Returns the steps of a path; none if it leads nowhere."""
        try:
            return paths.parse(text, allowed)
        except paths.PathInvalid as error:
            self.add(field, str(error), "PATH")
            return ()

    def schema(
        self, schema: Json | None, version: str, field: str, *, public: bool = False
    ) -> tuple[Validator | None, tuple[Path, ...]]:
        """Returns what :func:`compile_marked` does; nothing if the schema is wrong."""
        with self.noting():
            return compile_marked(schema, version, field, public=public)
        return None, ()


class Compiler:
    """Keeps compiled versions by what is stored of their type, so that a change of a type counts at once.

    Numbers of revisions would not do: they come again after a change that was never committed.
    """

    def __init__(self) -> None:
        self._versions: Recent[Key, Compiled] = Recent(KEPT, KEPT_SIZE, lambda kept: kept.size)
        self._actions: Recent[Key, CompiledAction] = Recent(KEPT, KEPT_SIZE, lambda kept: kept.size)

    def compiled(self, type: ResourceType, version: Version) -> Compiled:
        """Returns a version of a stored type, compiled."""
        return self._versions.get(
            _key(type, version.version),
            lambda: compile_version(version, f"resource_type.versions[{type.versions.index(version)}]"),
        )

    def action(self, type: ResourceType, action: Action) -> CompiledAction:
        """Returns an action of a stored type, compiled."""
        return self._actions.get(
            _key(type, action.id),
            lambda: compile_action(type.type, action, f"resource_type.actions[{type.actions.index(action)}]"),
        )


def _key(type: ResourceType, part: str) -> Key:
    assert type.digest  # it is a stored one
    return type.digest, part
