"""The actions of a type, compiled: what they are given and what they give back is checked against their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sutler.errors import FailedPrecondition, Invalid, Violation, invalid
from sutler.validation import MAX_VIOLATIONS

from services.resource import defaults, hiding
from services.resource.marking import compile_marked
from services.resource.resource_type import Action, ResourceType
from services.resource.schemas import Validator
from services.resource.secrets import Path
from services.resource.telling import Problems


@dataclass(frozen=True, slots=True)
class CompiledAction:
    """An action, ready for use; a validator is None where its schema is not set. Some parameters may be secrets."""

    type: str
    action: Action
    parameters: Validator | None
    secrets: tuple[Path, ...]
    result: Validator | None

    @property
    def size(self) -> int:
        """About how large its schemas are as JSON."""
        return sum(validator.size for validator in (self.parameters, self.result) if validator)

    def completed(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns parameters with the defaults of their schema, checked.

        Raises:
            Invalid: If they do not fit the schema, or are given where none are taken (PARAMETERS_INVALID).
        """
        schema = self.action.parameter_schema
        if schema is None or self.parameters is None:
            if given:
                raise self._invalid([Violation("parameters", "the action takes none", "UNEXPECTED")])
            return {}
        filled: dict[str, Any] = defaults.fill(schema, given, "parameters")
        defaults.check_size(filled, "parameters")
        violations = [_below(found) for found in hiding.violations(self.parameters, filled, self.secrets)]
        if violations:
            raise self._invalid(violations)
        return filled

    def wrong_result(self, result: Mapping[str, Any]) -> str:
        """Returns what is wrong with a result; empty if it fits its schema."""
        if self.result is None:
            return ""
        found = hiding.violations(self.result, result, ())
        return "; ".join(f"{v.field or 'result'}: {v.description}"[:200] for v in found[:5])

    def _invalid(self, violations: list[Violation]) -> Invalid:
        first = violations[0]
        return Invalid(
            f"{first.field}: {first.description}",
            reason="PARAMETERS_INVALID",
            metadata={"type": self.type, "action": self.action.id},
            violations=violations[:MAX_VIOLATIONS],
            more=len(violations) - 1,
        )


def find_action(type: ResourceType, id: str) -> Action:
    """Returns an action of a type.

    Raises:
        FailedPrecondition: If the type has no such action (ACTION_UNKNOWN).
    """
    for action in type.actions:
        if action.id == id:
            return action
    known = ", ".join(action.id for action in type.actions)
    raise FailedPrecondition(
        f"{type.type} has no action {id}; it has: {known or 'none'}",
        reason="ACTION_UNKNOWN",
        metadata={"type": type.type, "action": id, "known": known},
    )


def compile_action(type: str, action: Action, field: str) -> CompiledAction:
    """Compiles an action of a type; ``field`` is where it stands in the request.

    Raises:
        Invalid: If a schema is none or breaks a bound (SCHEMA_INVALID), with all that is wrong with both.
    """
    wrong = Problems()
    with wrong.noting():
        parameters, marked = compile_marked(action.parameter_schema, action.id, f"{field}.parameter_schema")
    with wrong.noting():
        result, _ = compile_marked(action.result_schema, action.id, f"{field}.result_schema", public=True)
    wrong.tell()
    return CompiledAction(type, action, parameters, marked, result)


def compile_actions(type: ResourceType) -> list[CompiledAction]:
    """Compiles the actions of a type that is to be registered.

    Raises:
        Invalid: If an id is used twice, a schema is none, or the type has actions but no handler; with all of that.
    """
    wrong = Problems()
    if type.actions and type.made_by.records:
        wrong.errors.append(
            invalid("resource_type.actions", "a type that is only recorded has no handler that could act")
        )
    compiled: list[CompiledAction] = []
    for index, action in enumerate(type.actions):
        field = f"resource_type.actions[{index}]"
        if action.id in {earlier.id for earlier in type.actions[:index]}:
            wrong.errors.append(invalid(f"{field}.id", "is used twice"))
        with wrong.noting():
            compiled.append(compile_action(type.type, action, field))
    wrong.tell()
    return compiled


def _below(violation: Violation) -> Violation:
    separator = "" if not violation.field or violation.field.startswith("[") else "."
    return Violation(f"parameters{separator}{violation.field}", violation.description[:300], violation.reason)
