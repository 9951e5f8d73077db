"""Rules of policies are compiled once between their check and their first use, and not kept for ever."""

from typing import Any

from services.resource.policies import PolicyRule
from services.resource.policy_rules import RECENT_SIZE, compile_policy


def properties(id: str, value: str = "x") -> dict[str, Any]:
    fields = {"effect": "EFFECT_SET_DEFAULT", "field": "properties.a", "value": value}
    return {"rules": [{"id": id, "condition": "true", **fields}]}


def rules(id: str, value: str = "x") -> tuple[PolicyRule, ...]:
    return compile_policy("policies/p", properties(id, value)).rules


def test_they_are_compiled_once() -> None:
    first = rules("once")
    assert rules("once") is first


def test_large_ones_are_kept_only_as_far_as_there_is_room() -> None:
    first = rules("first")
    for number in range(4):
        rules(f"large{number}", "x" * (RECENT_SIZE // 3))
    assert rules("first") is not first
