"""What errors say of secrets."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.errors import Violation, invalid

from services.resource.hiding import hide, shown, violations
from services.resource.marking import compile_marked
from services.resource.proposals import rejected
from services.resource.secrets import Path

HIDDEN = {"type": "object", "writeOnly": True}
SECRETS: tuple[Path, ...] = (("auth",), ("users", "[*]", "key"), ("creds", "*"), ("a.b",))


def told(schema: dict[str, Any], values: Any) -> list[tuple[str, str]]:
    validator, secrets = compile_marked(schema, "v1", "schema")
    assert validator is not None
    found = violations(validator, values, secrets)
    assert "mykey" not in str(found)
    return [(violation.field, violation.reason) for violation in found]


@pytest.mark.parametrize(
    ("below", "value", "reason"),
    [
        ({"additionalProperties": {"type": "integer"}}, {"mykey": "x"}, "TYPE"),
        ({"additionalProperties": False}, {"mykey": 1}, "ADDITIONAL_PROPERTIES"),
        ({"unevaluatedProperties": False}, {"mykey": 1}, "UNEVALUATED_PROPERTIES"),
        ({"propertyNames": {"maxLength": 2}}, {"mykey": 1}, "MAX_LENGTH"),
        ({"additionalProperties": {"required": ["q"]}}, {"mykey": {}}, "REQUIRED"),
        ({"maxProperties": 1}, {"mykey": 1, "b": 1}, "MAX_PROPERTIES"),
    ],
)
def test_keys_in_a_secret_are_not_told(below: dict[str, Any], value: Any, reason: str) -> None:
    assert told({"properties": {"auth": {**HIDDEN, **below}}}, {"auth": value}) == [("auth", reason)]


def test_secrets_in_lists_and_maps() -> None:
    keys = {"items": {"properties": {"key": {**HIDDEN, "additionalProperties": {"type": "integer"}}}}}
    assert told({"properties": {"users": keys}}, {"users": [{}, {"key": {"mykey": "x"}}]}) == [("users[1].key", "TYPE")]
    creds = {"additionalProperties": {**HIDDEN, "additionalProperties": False}}
    assert told({"properties": {"creds": creds}}, {"creds": {"a": {"mykey": 1}}}) == [
        ("creds.a", "ADDITIONAL_PROPERTIES")
    ]


def test_many_errors_in_one_secret_are_one() -> None:
    schema = {"properties": {"auth": {**HIDDEN, "additionalProperties": {"type": "integer"}}}}
    assert told(schema, {"auth": {f"mykey{n}": "x" for n in range(50)}}) == [("auth", "TYPE")]


def test_all_else_is_told() -> None:
    schema = {"properties": {"auth": HIDDEN, "open": {"additionalProperties": {"type": "integer"}}}}
    assert told(schema, {"open": {"a": "x"}, "auth": 1}) == [("open.a", "TYPE"), ("auth", "TYPE")]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("properties.auth.mykey", "properties.auth"),
        ("properties.auth[3].mykey", "properties.auth"),
        ("properties.auth", "properties.auth"),
        ("properties.author.mykey", "properties.author.mykey"),
        ("properties.users[1].key.mykey", "properties.users[1].key"),
        ("properties.users[1].name", "properties.users[1].name"),
        ("properties.creds.a.mykey", "properties.creds.a"),
        ("properties.a.b.mykey", "properties.a.b"),
        ("tags.auth.mykey", "tags.auth.mykey"),
    ],
)
def test_paths_end_at_the_secret(field: str, expected: str) -> None:
    assert shown(field, "properties", SECRETS) == expected
    (violation,) = rejected("Custom.Org/vaults", [Violation(field, "no", "NO")], SECRETS).violations
    assert violation.field == f"resource.{expected}"


def test_an_error_is_cut_in_all_its_parts() -> None:
    at = "stack.members[0].properties"
    error = hide(invalid(f"{at}.auth.mykey", "has ${ without a }"), at, SECRETS)
    assert "mykey" not in f"{error.message} {error.metadata} {error.violations}"
    assert error.metadata["field"] == error.violations[0].field == f"{at}.auth"
