"""Makes a policy of the properties that it is stored with, or tells all that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson
from sutler.expressions import Expression, ExpressionInvalid

from services.resource.names import parse
from services.resource.policies import ENVIRONMENT, Effect, Policy, PolicyRule
from services.resource.recent import Recent
from services.resource.rules import no_expression
from services.resource.settable import unfit, unsettable
from services.resource.telling import Problems

RECENT = 100
"""How many lists of rules are kept compiled between the change that stores them and their first use."""

RECENT_SIZE = 1 << 20
"""How large these may be together; compiled, they take up to 100 times as much memory."""

Rules = tuple[PolicyRule, ...]

_recent: Recent[bytes, Rules] = Recent(RECENT, RECENT_SIZE, lambda rules: sum(rule.size for rule in rules))
"""By the digest of what is stored of them. One for all: the check of a policy knows no book of policies."""


def compile_policy(name: str, properties: Mapping[str, Any], digest: bytes = b"") -> Policy:
    """Compiles a policy whose properties fit :data:`services.resource.policies.SCHEMA`.

    Args:
        name: Its name.
        properties: Its properties.
        digest: Of all that is stored of it; empty if it is only to be checked.

    Raises:
        Invalid: With all that is wrong. If an expression is no CEL, or a condition never a bool (EXPRESSION_INVALID);
            if an id is used twice, a field cannot be set, or a default is not whole (FIELD_INVALID); paths begin with
            ``resource.properties``.
    """
    stored = orjson.dumps(properties["rules"])
    rules = _recent.get(sha256(stored).digest(), lambda: _compiled(stored))
    return Policy(
        name=name,
        digest=digest,
        scope=parse(name).parent,
        rules=rules if properties.get("enabled", True) else (),
        types=tuple(properties.get("types", ())),
        exclusions=tuple(properties.get("exclusions", ())),
    )


def _compiled(document: bytes) -> Rules:
    problems = _Problems()
    rules: list[PolicyRule] = []
    seen: set[str] = set()
    for index, stored in enumerate(orjson.loads(document)):
        at = f"resource.properties.rules[{index}]"
        if stored["id"] in seen:
            problems.add(f"{at}.id", "is used twice", "DUPLICATE")
        seen.add(stored["id"])
        rule = _rule(stored, at, problems)
        if rule is not None:
            rules.append(rule)
    problems.tell()
    return tuple(rules)


class _Problems(Problems):
    """What is wrong with a policy."""

    def compiled(self, compile: Callable[[str], Expression], text: str, field: str) -> Expression | None:
        try:
            return compile(text)
        except ExpressionInvalid as error:
            self.errors.append(no_expression(error, field))
            return None


def _rule(stored: Mapping[str, Any], at: str, problems: _Problems) -> PolicyRule | None:
    """Returns a rule; None if an expression is wrong."""
    effect = Effect[stored["effect"].removeprefix("EFFECT_")]
    _check_default(effect, stored, at, problems)
    condition = problems.compiled(ENVIRONMENT.compile_condition, stored["condition"], f"{at}.condition")
    text, value = stored.get("value_expression"), None
    if text is not None:
        value = problems.compiled(ENVIRONMENT.compile, text, f"{at}.value_expression")
    if condition is None or (text is not None and value is None):
        return None
    return PolicyRule(
        id=stored["id"],
        condition=condition,
        effect=effect,
        message=stored.get("message", ""),
        field=stored.get("field", ""),
        value=stored.get("value"),
        value_expression=value,
    )


def _check_default(effect: Effect, stored: Mapping[str, Any], at: str, problems: _Problems) -> None:
    values = [name for name in ("value", "value_expression") if name in stored]
    if effect is not Effect.SET_DEFAULT:
        for name in values:
            problems.add(f"{at}.{name}", f"is for EFFECT_SET_DEFAULT only, and this is EFFECT_{effect.name}", "EFFECT")
        return
    if len(values) != 1:
        problems.add(at, f"EFFECT_SET_DEFAULT needs either value or value_expression, not {_many(values)}", "EFFECT")
    field = stored.get("field", "")
    wrong = unsettable(field) if field else "is required with EFFECT_SET_DEFAULT"
    wrong = wrong or (unfit(field, stored["value"]) if "value" in stored else "")
    if wrong:
        problems.add(f"{at}.field", wrong, "PATH")


def _many(values: Sequence[str]) -> str:
    return "both" if values else "neither"
