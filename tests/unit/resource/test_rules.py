import pytest
from sutler.errors import Invalid
from sutler.expressions import ExpressionInvalid

from services.resource import paths
from services.resource.adapters import encoding
from services.resource.compiling import Compiler, compile_version
from services.resource.normalizing import CHANGES
from services.resource.resource_type import Kind, Normalization, ResourceType, Rule, Version
from services.resource.rules import broken, compile_rule
from services.resource.type_documents import document


def rule(expression: str, id: str = "r", field: str = "properties.size") -> Rule:
    return Rule(id, expression, "broken", field)


@pytest.mark.parametrize(
    ("expression", "on_update_only", "sees_parent"),
    [
        ("self.properties.size > 1", False, False),
        ("self.properties.size >= old_self.properties.size", True, False),
        ("parent.tags.env == 'prod'", False, True),
        ("old_self.tags == parent.tags", True, True),
        ("self.properties.note != 'old_self and parent'", False, False),
    ],
)
def test_what_a_rule_sees(expression: str, on_update_only: bool, sees_parent: bool) -> None:
    compiled = compile_rule(rule(expression))
    assert (compiled.on_update_only, compiled.sees_parent) == (on_update_only, sees_parent)


@pytest.mark.parametrize("expression", ["self.", "other == 1", "self.properties.size +", "nofunction(self)"])
def test_no_rules(expression: str) -> None:
    with pytest.raises(ExpressionInvalid):
        compile_rule(rule(expression))


def seen(size: object) -> dict[str, object]:
    return {"properties": {"size": size}, "tags": {}}


@pytest.mark.parametrize(
    ("expression", "size", "old", "ids", "failure"),
    [
        ("self.properties.size < 10", 3, None, [], False),
        ("self.properties.size < 10", 30, None, ["r"], False),
        ("self.properties.size + 1 == 4", 3, None, [], False),
        ("self.properties.colour == 'red'", 3, None, ["r"], True),
        ("self.properties.size", 3, None, ["r"], True),
        ("has(self.properties.colour) || self.properties.size > 2", 3, None, [], False),
        ("self.properties.size >= old_self.properties.size", 3, None, [], False),
        ("self.properties.size >= old_self.properties.size", 3, 4, ["r"], False),
        ("parent == null", 3, None, [], False),
        ("[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, "
         "[1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, a+b+c+d+e > 0)))))", 3, None, ["r"], True),
    ],
)  # fmt: skip
def test_broken(expression: str, size: object, old: object, ids: list[str], failure: bool) -> None:
    found = broken([compile_rule(rule(expression))], seen(size), None if old is None else seen(old), None)
    assert [each.rule for each in found] == ids
    assert [bool(each.failure) for each in found] == [failure] * len(ids)
    assert all(each.violation.field == "properties.size" for each in found)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (Kind.TRIM, "  a b ", "a b"),
        (Kind.LOWER_CASE, "ÄbC", "äbc"),
        (Kind.UPPER_CASE, "abC", "ABC"),
        (Kind.COLLAPSE_SPACE, " a \t\n b", " a b"),
    ],
)
def test_normalizations(kind: Kind, before: str, after: str) -> None:
    assert CHANGES[kind](before) == after
    assert CHANGES[kind](after) == after
    assert set(CHANGES) == set(Kind)


def test_completed_fills_in_first_and_normalizes_then() -> None:
    version = Version(
        "v1",
        schema={"properties": {"tier": {"default": " GOLD "}}},
        normalizations=(
            Normalization("properties.tier", Kind.TRIM),
            Normalization("properties.tier", Kind.LOWER_CASE),
            Normalization("properties.hosts[*].name", Kind.LOWER_CASE),
            Normalization("properties.missing[*]", Kind.TRIM),
            Normalization("tags.env", Kind.UPPER_CASE),
        ),
    )
    fields = {"properties": {"hosts": [{"name": "A"}, {"name": 3}, "x"]}, "tags": {"env": "prod"}}
    done = compile_version(version, "v").completed(fields)
    assert done == {
        "properties": {"tier": "gold", "hosts": [{"name": "a"}, {"name": 3}, "x"]},
        "tags": {"env": "PROD"},
    }
    assert fields["tags"] == {"env": "prod"}


@pytest.mark.parametrize("path", ["", "a..b", "properties.", "properties[0]", "outputs.x", "properties.[*]"])
def test_no_paths(path: str) -> None:
    with pytest.raises(paths.PathInvalid):
        paths.parse(path)


@pytest.mark.parametrize(
    ("version", "reason", "fields"),
    [
        (Version("v1", rules=(rule("self."),)), "EXPRESSION_INVALID", ["v.rules[0].expression"]),
        (Version("v1", rules=(rule("'x'"),)), "EXPRESSION_INVALID", ["v.rules[0].expression"]),
        (Version("v1", rules=(rule("true"), rule("true"))), "FIELD_INVALID", ["v.rules[1].id"]),
        (
            Version("v1", normalizations=(Normalization("lock", Kind.TRIM),), immutable_fields=("uid",)),
            "FIELD_INVALID",
            ["v.normalizations[0].field", "v.immutable_fields[0]"],
        ),
        (
            Version(
                "v1",
                schema={"type": "array"},
                rules=(rule("self."), rule("true", field="bogus..field"), rule("1", field="nothing")),
            ),
            "EXPRESSION_INVALID",
            [
                *("v.rules[0].expression", "v.rules[2].expression", "v.schema"),
                *("v.rules[1].id", "v.rules[1].field", "v.rules[2].id", "v.rules[2].field"),
            ],
        ),
        (Version("v1", schema={"type": 1}), "SCHEMA_INVALID", ["v.schema"]),
        (Version("v1", output_schema={"type": 1}), "SCHEMA_INVALID", ["v.output_schema"]),
    ],
)
def test_versions_that_do_not_compile(version: Version, reason: str, fields: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        compile_version(version, "v")
    assert caught.value.reason == reason
    assert [violation.field for violation in caught.value.violations] == fields


def stored(most: int) -> ResourceType:
    """A type as it is read."""
    type = ResourceType("t", "A.B/c", uid="u", versions=(Version("v1", schema={"maxProperties": most}),), revision=2)
    return encoding.type_of("t", encoding.json(document(type)))


def test_compiled_versions_are_kept_by_what_is_stored() -> None:
    """Another change may have the same revision: one that was never committed."""
    compiler = Compiler()
    first, second = stored(1), stored(2)
    compiled = compiler.compiled(first, first.versions[0])
    again = stored(1)
    assert compiler.compiled(again, again.versions[0]) is compiled
    changed = compiler.compiled(second, second.versions[0])
    assert changed.schema is not None and changed.schema.is_valid({"a": 1, "b": 2})
