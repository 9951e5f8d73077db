"""Policies: rules of a scope, in CEL, that refuse a change, leave a finding, or set what is not set.

A policy holds for its scope and all below it, but not for policies themselves: so none can make itself unchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import orjson
from sutler.expressions import Environment, Expression

from services.resource.names import BUILT_IN, MAX_TYPE_BYTES, is_below, key

TYPE = f"{BUILT_IN}/policies"
ENVIRONMENT = Environment(
    {
        **dict.fromkeys(("self", "old_self", "parent"), "dyn"),
        **dict.fromkeys(("method", "action", "principal", "tenant"), "string"),
    }
)
"""What the expressions of policies see."""

_ID = "^[A-Za-z][A-Za-z0-9_-]{0,62}$"
_NAME = (
    "^[A-Za-z][A-Za-z0-9]{0,62}/[A-Za-z][A-Za-z0-9._-]{0,62}(/[A-Za-z][A-Za-z0-9]{0,62}/[A-Za-z][A-Za-z0-9._-]{0,62})"
    "{0,7}$"
)


class Effect(IntEnum):
    """What a rule does where its condition holds, by the numbers of ``sutler.resource.v1.PolicyRule.Effect``."""

    DENY = 1
    AUDIT = 2
    SET_DEFAULT = 3


_RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "condition", "effect"],
    "properties": {
        "id": {"type": "string", "pattern": _ID},
        "condition": {"type": "string", "minLength": 1, "maxLength": 4096},
        "effect": {"enum": [f"EFFECT_{effect.name}" for effect in Effect]},
        "message": {"type": "string", "maxLength": 1024},
        "field": {"type": "string", "maxLength": 256},
        "value": True,
        "value_expression": {"type": "string", "minLength": 1, "maxLength": 4096},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rules"],
    "properties": {
        "rules": {"type": "array", "minItems": 1, "maxItems": 100, "items": _RULE},
        "types": {
            "type": "array",
            "maxItems": 100,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_TYPE_BYTES},
            "description": "The types that it concerns, with * for any run of characters; all if empty.",
        },
        "exclusions": {
            "type": "array",
            "maxItems": 100,
            "items": {"type": "string", "pattern": _NAME, "maxLength": 1024},
            "description": "Scopes and resources that it does not concern, with all below them.",
        },
        "enabled": {"type": "boolean", "description": "Whether it has any effect; true if not set."},
    },
}
"""The schema of a policy's properties."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a policy, compiled.

    Attributes:
        id: Its name within the policy.
        condition: Is true where the effect is wanted.
        effect: What is done.
        message: Why, for people.
        field: The path to set, or that a violation or finding names.
        value: What is set, if there is no expression.
        value_expression: Gives what is set.
    """

    id: str
    condition: Expression
    effect: Effect
    message: str
    field: str
    value: Any
    value_expression: Expression | None

    @property
    def size(self) -> int:
        """How many characters its expressions and its value have."""
        expressions = len(self.condition.text) + (len(self.value_expression.text) if self.value_expression else 0)
        return expressions + len(orjson.dumps(self.value))


@dataclass(frozen=True, slots=True)
class Policy:
    """A stored policy, compiled.

    Attributes:
        name: Its name.
        digest: Of all that is stored of it; tells whether it has changed, or is another one.
        scope: Where it holds; empty for the whole tenant.
        rules: Its rules, in order; none if it is not enabled.
        types: Patterns of the types that it concerns; all if empty.
        exclusions: Names that it does not concern, with all below them.
    """

    name: str
    digest: bytes
    scope: str
    rules: tuple[PolicyRule, ...] = field(compare=False)
    types: tuple[str, ...] = field(compare=False)
    exclusions: tuple[str, ...] = field(compare=False)

    def concerns(self, name: str, type: str) -> bool:
        """Returns whether it holds for a resource of its scope."""
        if key(type) == key(TYPE) or not self.rules:
            return False
        if self.types and not any(matches(pattern, type) for pattern in self.types):
            return False
        return not any(key(name) == key(excluded) or is_below(name, excluded) for excluded in self.exclusions)


def matches(pattern: str, type: str) -> bool:
    """Returns whether a type fits a pattern, where ``*`` is any run; takes no longer for many stars."""
    first, *rest = key(pattern).split("*")
    text = key(type)
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
