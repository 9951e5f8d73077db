"""Versions of types, compiled: what is needed to complete and check a declaration without looking at text again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.errors import Violation, invalid_fields
from sutler.expressions import ExpressionInvalid

from services.resource import defaults, paths
from services.resource.actions import CompiledAction, compile_action
from services.resource.marking import compile_marked
from services.resource.normalizing import CHANGES, FIELDS
from services.resource.recent import Recent
from services.resource.resource_type import Action, Normalization, ResourceType, Version
from services.resource.rules import CompiledRule, compile_rule, no_expression
from services.resource.schemas import Validator
from services.resource.secrets import Path

KEPT = 1000
"""How many compiled versions are kept, and how many actions; a compiled schema takes some 100 KiB at the most."""

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
        Invalid: If a schema is none or breaks a bound (SCHEMA_INVALID), a rule is no CEL (EXPRESSION_INVALID), or a
            path leads nowhere (FIELD_INVALID).
    """
    problems: list[Violation] = []
    rules: list[CompiledRule] = []
    for index, rule in enumerate(version.rules):
        try:
            rules.append(compile_rule(rule))
        except ExpressionInvalid as error:
            raise no_expression(error, f"{field}.rules[{index}].expression") from error
        if rule.id in {earlier.id for earlier in version.rules[:index]}:
            problems.append(Violation(f"{field}.rules[{index}].id", f"the id {rule.id} is used twice", "DUPLICATE"))
    normalizations = _normalizations(version.normalizations, f"{field}.normalizations", problems)
    immutable = []
    for index, text in enumerate(version.immutable_fields):
        try:
            immutable.append((text, paths.parse(text)))
        except paths.PathInvalid as error:
            problems.append(Violation(f"{field}.immutable_fields[{index}]", str(error), "PATH"))
    if problems:
        raise invalid_fields(problems)
    schema, marked = compile_marked(version.schema, version.version, f"{field}.schema")
    outputs, _ = compile_marked(version.output_schema, version.version, f"{field}.output_schema", public=True)
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


def _normalizations(
    found: Sequence[Normalization], field: str, problems: list[Violation]
) -> list[tuple[tuple[str, ...], Callable[[str], str]]]:
    compiled = []
    for index, normalization in enumerate(found):
        try:
            compiled.append((paths.parse(normalization.field, FIELDS), CHANGES[normalization.kind]))
        except paths.PathInvalid as error:
            problems.append(Violation(f"{field}[{index}].field", str(error), "PATH"))
    return compiled


class Compiler:
    """Keeps compiled versions by what is stored of their type, so that a change of a type counts at once.

    Numbers of revisions would not do: they come again after a change that was never committed.
    """

    def __init__(self) -> None:
        self._versions: Recent[Key, Compiled] = Recent(KEPT)
        self._actions: Recent[Key, CompiledAction] = Recent(KEPT)

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
