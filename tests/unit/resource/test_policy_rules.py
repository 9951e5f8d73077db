"""Rules of policies are compiled once between their check and their first use, and not kept for ever."""

from typing import Any

import pytest
from sutler.errors import Invalid
from sutler.resource.v1 import resource_pb2 as pb
from sutler.validation import validate_message

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


def test_too_many_of_one_id_are_only_too_many() -> None:
    same = pb.PolicyRule(id="a", condition="true", effect=pb.PolicyRule.EFFECT_DENY)
    for many, fields in ((2, [""]), (101, ["rules"])):
        with pytest.raises(Invalid) as caught:
            validate_message(pb.PolicyProperties(rules=[same] * many))
        assert [violation.field for violation in caught.value.violations] == fields
