"""The rules of a type, in CEL: compiled once, each told what it needs to see."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sutler.errors import Invalid, Violation
from sutler.expressions import Bindings, Environment, EvaluationFailed, Expression, ExpressionInvalid

from services.resource import paths
from services.resource.resource_type import Rule

_FULL = Environment({"self": "dyn", "old_self": "dyn", "parent": "dyn"})
_WITHOUT_OLD = Environment({"self": "dyn", "parent": "dyn"})
_WITHOUT_PARENT = Environment({"self": "dyn", "old_self": "dyn"})

CHECKING_SECONDS = 1.0
"""How long the rules of a version may take; nothing else is served meanwhile."""

FIELDS = (*paths.WRITABLE, "name", "type", "outputs", "provisioning_state")
"""The fields of a resource that a rule may name."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule, ready to be checked.

    Attributes:
        rule: The rule.
        expression: Its expression.
        on_update_only: Whether it names ``old_self``.
        sees_parent: Whether it names ``parent``.
    """

    rule: Rule
    expression: Expression
    on_update_only: bool
    sees_parent: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that is not kept.

    Attributes:
        violation: What to tell.
        failure: Why it could not be evaluated; empty if it is simply false.
        rule: The id of the rule.
    """

    violation: Violation
    failure: str
    rule: str


def compile_rule(rule: Rule) -> CompiledRule:
    """Compiles a rule.

    Raises:
        ExpressionInvalid: If it is no CEL, names an unknown variable, or never gives a bool.
    """
    return CompiledRule(
        rule,
        _FULL.compile_condition(rule.expression),
        not _compiles(_WITHOUT_OLD, rule),
        not _compiles(_WITHOUT_PARENT, rule),
    )


def no_expression(error: ExpressionInvalid, field: str) -> Invalid:
    """Returns the error for an expression that does not compile; ``field`` is where it stands in the request."""
    return Invalid(
        f"{field} is not a valid CEL expression: {error}",
        reason="EXPRESSION_INVALID",
        metadata={"field": field, "position": error.position},
        violations=[error.violation(field)],
    )


def broken(
    rules: Iterable[CompiledRule],
    itself: Mapping[str, Any],
    old_self: Mapping[str, Any] | None,
    parent: Mapping[str, Any] | None,
) -> list[Broken]:
    """Returns the rules that a resource does not keep.

    Args:
        rules: The rules.
        itself: The resource, with the field names of the contract.
        old_self: The resource before; None on create.
        parent: The scope or resource above; None at the root.
    """
    checked = [rule for rule in rules if old_self is not None or not rule.on_update_only]
    if not checked:
        return []
    bindings = _FULL.bind({"self": itself, "old_self": old_self, "parent": parent})
    ends = time.monotonic() + CHECKING_SECONDS
    return [found for rule in checked if (found := _check(rule, bindings, ends))]


def _check(compiled: CompiledRule, bindings: Bindings, ends: float) -> Broken | None:
    rule = compiled.rule
    failure = ""
    try:
        if time.monotonic() > ends:
            raise EvaluationFailed(f"all rules together took longer than {CHECKING_SECONDS:g} s")
        if compiled.expression.test(bindings):
            return None
    except EvaluationFailed as error:
        failure = str(error)
    why = f"{rule.message} (it could not be evaluated: {failure})" if failure else rule.message
    return Broken(Violation(rule.field, why, rule.id), failure, rule.id)


def _compiles(environment: Environment, rule: Rule) -> bool:
    try:
        environment.compile(rule.expression)
    except ExpressionInvalid:
        return False
    return True
