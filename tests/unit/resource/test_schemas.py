import time
from typing import Any

import pytest
from sutler.errors import Invalid

from services.resource.defaults import fill, has_defaults
from services.resource.hiding import violations
from services.resource.schemas import MAX_DEPTH, SchemaInvalid, compile_schema
from services.resource.usable import check_usable
from services.resource.walking import resolve, subschemas


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


def doubling(levels: int) -> dict[str, object]:
    defs = {"l0": {"type": "string"}}
    for level in range(1, levels):
        reference = {"$ref": f"#/$defs/l{level - 1}"}
        defs[f"l{level}"] = {"allOf": [reference, reference]}  # type: ignore[dict-item]
    return {"$defs": defs, "$ref": f"#/$defs/l{levels - 1}"}


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "strin"}, "/type"),
        ({"properties": {"a": {"type": "strin"}}}, "/properties/a/type"),
        ({"properties": 3}, "/properties"),
        ({"pattern": "("}, "/pattern"),
        ({"pattern": "(?=a)b"}, "/pattern"),
        ({"pattern": r"(a)\1"}, "/pattern"),
        ({"pattern": "a" * 2000}, ""),
        ({"patternProperties": {"a" * 2000: {}}}, ""),
        ({"pattern": "((a{1,1000}){1,1000}){1,1000}"}, "/pattern"),
        ({"$ref": "http://example.com/schema"}, "/$ref"),
        ({"$ref": "#/nowhere"}, "/$ref"),
        ({"$ref": "#/const", "const": {"type": "string"}}, "/$ref"),
        ({"$id": "https://a.test/b", "$ref": "b#/const", "const": {}}, "/$ref"),
        ({"$defs": {"a": {"$id": "https://a.test/b"}}}, "/$defs/a/$id"),
        ({"properties": {f"p{i}": {"pattern": f"^[a-z]{{20}}{i}$"} for i in range(2000)}}, None),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "/$schema"),
        ({"required": "a"}, "/required"),
        (nested(MAX_DEPTH + 1), ""),
        ({"properties": {f"p{i}": {} for i in range(20_001)}}, None),
        (doubling(40), ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused(schema: dict[str, object], pointer: str | None) -> None:
    began = time.monotonic()
    with pytest.raises(SchemaInvalid) as caught:
        compile_schema(schema)
    assert pointer is None or caught.value.pointer == pointer
    assert caught.value.cause
    error = caught.value.error("v1", "resource_type.versions[0].schema")
    assert (error.reason, error.metadata["version"]) == ("SCHEMA_INVALID", "v1")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"child": {"$ref": "#"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/a"}]}}},
        nested(MAX_DEPTH - 2),
        doubling(10),
        {"properties": {"writeOnly": {"type": "boolean"}}, "const": {"writeOnly": True}},
    ],
    ids=lambda value: str(value)[:40],
)
def test_accepted(schema: dict[str, object]) -> None:
    compile_schema(schema).is_valid({"child": {"child": {}}})


def test_patterns_are_linear() -> None:
    validator = compile_schema({"type": "string", "pattern": "^(a+)+$"})
    began = time.process_time()
    assert not validator.is_valid("a" * 200_000 + "!")
    assert time.process_time() - began < 2


def items(schema: dict[str, object]) -> dict[str, object]:
    return {"properties": {"a": {"items": schema}}}


LEVELS: dict[str, object] = {}
for _ in range(19):
    LEVELS = {"a": LEVELS}


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (items({"anyOf": [{"const": i} for i in range(9000)]}), {"a": [8999] * 4000}),
        (items({"enum": [[i] for i in range(9000)]}), {"a": [[8999]] * 4000}),
        (items({"required": [f"x{i}" for i in range(4000)]}), {"a": [{}] * 5000}),
        (items({"patternProperties": {f"x{i}": {} for i in range(2000)}}), {"a": [{f"k{i}": 1} for i in range(2000)]}),
        ({"properties": {"a": {"anyOf": [{"maxLength": i} for i in range(3000)]}}}, {"a": "a" * 900_000}),
        ({"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": [f"x{i}"]} for i in range(3)]}, LEVELS),
        ({"allOf": [{"properties": {"a": {"$ref": "#n"}}} for _ in range(3)], "$anchor": "n"}, LEVELS),
        (
            items({"$dynamicRef": "#n"})
            | {"$defs": {"n": {"$dynamicAnchor": "n", "anyOf": [{"const": i} for i in range(9000)]}}},
            {"a": [8999] * 4000},
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_would_take_too_many_steps_is_refused_at_once(schema: Any, values: Any) -> None:
    validator = compile_schema(schema)
    began = time.process_time()
    assert [violation.reason for violation in violations(validator, values, ())] == ["TOO_LARGE"]
    assert time.process_time() - began < 1


def test_a_large_schema_checks_what_it_says_little_about() -> None:
    schema = {"required": ["p1"], "properties": {f"p{i}": {"items": {"type": "integer"}} for i in range(5000)}}
    validator = compile_schema(schema)
    assert not violations(validator, {f"p{i}": [1] * 20 for i in range(5000)}, ())
    tree = {"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [{"type": "string"}, {"properties": {"n": {"$ref": "#"}}}]}}}
    assert not violations(compile_schema(tree), {"n": {"n": {"n": "x"}}}, ())


def test_of_many_errors_the_first_is_told() -> None:
    values = {"a": [{}] * 5000}
    found = violations(compile_schema(items({"required": [f"x{i}" for i in range(300)]})), values, ())
    assert [violation.field for violation in found] == ["a[0].x0"]
    found = violations(compile_schema(items({"anyOf": [{"const": i} for i in range(300)]})), values, ())
    assert [violation.reason for violation in found] == ["TOO_LARGE"]


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "array"}, "/type"),
        ({"type": ["string", "null"]}, "/type"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "/properties/a/default"),
        ({"properties": {"a/b": {"items": {"properties": {"c d": {"enum": [1], "default": 2}}}}}}, None),
        ({"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"type": "string", "default": 1}}}, None),
        ({"properties": {"a": {"$ref": "#", "default": {}}}}, "/properties/a/default"),
    ],
)
def test_schemas_of_which_nothing_could_be_created(schema: dict[str, object], pointer: str | None) -> None:
    compile_schema(schema)
    with pytest.raises(SchemaInvalid) as caught:
        check_usable(schema)
    assert pointer is None or caught.value.pointer == pointer


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["object", "null"]},
        {"required": ["a"], "additionalProperties": False},
        {"properties": {"a": {"default": {}, "required": ["b"], "properties": {"b": {"default": 1}}}}},
        {"properties": {"a": {"anyOf": [{"type": "integer", "default": "x"}]}}},
        {
            "$id": "https://example.com/s",
            "properties": {"é/~": {"default": "x", "$ref": "#/$defs/s"}},
            "$defs": {"s": {}},
        },
    ],
)
def test_schemas_that_can_be_used(schema: dict[str, object]) -> None:
    compile_schema(schema)
    check_usable(schema)


def test_a_wrong_type_is_told_with_the_right_ones() -> None:
    with pytest.raises(SchemaInvalid) as caught:
        compile_schema({"properties": {"a": {"type": "objekt"}}})
    assert caught.value.pointer == "/properties/a/type"
    assert "objekt" in caught.value.cause
    assert "object" in caught.value.cause.split("one of")[1]


def test_subschemas_leaves_data_out() -> None:
    schema = {"properties": {"default": {"enum": [{"default": 1}]}}, "examples": [{"type": "x"}]}
    assert [pointer for pointer, _ in subschemas(schema)] == ["", "/properties/default"]
    assert not has_defaults(schema)
    assert has_defaults({"properties": {"a": {"default": None}}})


def test_resolve() -> None:
    root = {"$defs": {"a/b": {"x": 1}, "l": [{"y": 2}]}}
    assert resolve(root, "#") is root
    assert resolve(root, "#/$defs/a~1b") == {"x": 1}
    assert resolve(root, "#/$defs/l/0") == {"y": 2}
    assert resolve(root, "#/$defs/l/7") is None
    assert resolve(root, "http://x") is None


@pytest.mark.parametrize(
    ("schema", "values", "filled"),
    [
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"default": None}}}, {}, {"a": None}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {}, {}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {"a": {}}, {"a": {"b": 1}}),
        ({"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}}}}}, {}, {"a": {"b": 1}}),
        (
            {"properties": {"l": {"items": {"properties": {"b": {"default": 1}}}}}},
            {"l": [{}, {"b": 2}]},
            {"l": [{"b": 1}, {"b": 2}]},
        ),
        ({"additionalProperties": {"properties": {"b": {"default": 1}}}}, {"x": {}}, {"x": {"b": 1}}),
        ({"allOf": [{"properties": {"a": {"default": 1}}}]}, {}, {"a": 1}),
        ({"anyOf": [{"properties": {"a": {"default": 1}}}]}, {}, {}),
        ({"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"default": 7}}}, {}, {"a": 7}),
        ({"$ref": "#/$defs/d", "$defs": {"d": {"properties": {"a": {"default": 1}}}}}, {}, {"a": 1}),
        ({"$ref": "#", "properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        (
            {"properties": {"c": {"$ref": "#"}, "a": {"default": 1}}},
            {"c": {"c": {}}},
            {"a": 1, "c": {"a": 1, "c": {"a": 1}}},
        ),
    ],
)
def test_defaults(schema: dict[str, object], values: dict[str, object], filled: dict[str, object]) -> None:
    before = repr(values)
    assert fill(schema, values) == filled
    assert repr(values) == before


WIDE: Any = {
    "$ref": "#/$defs/l0",
    "$defs": {
        f"l{level}": {"properties": {f"p{i}": {"$ref": f"#/$defs/l{level + 1}", "default": {}} for i in range(30)}}
        for level in range(6)
    },
}
LARGE: Any = {"properties": {"a": {"items": {"properties": {"b": {"default": "x" * 100_000}}}}}}


@pytest.mark.parametrize(
    ("schema", "values", "limit"),
    [
        ({"properties": {"a": {"$ref": "#", "default": {}}}}, {}, {"limit_levels": "20"}),
        ({"properties": {"a": {"default": [], "items": {"$ref": "#"}}}}, {"a": [[{}]] * 9}, {}),
        (WIDE, {}, {"limit_bytes": "1048576"}),
        (LARGE, {"a": [{}] * 100_000}, {"limit_bytes": "1048576"}),
        (items({"allOf": [{"title": str(i)} for i in range(2000)]}), {"a": [{}] * 2000}, {"limit_steps": "400000"}),
    ],
)
def test_defaults_make_no_more_than_a_resource_may_have(schema: Any, values: Any, limit: dict[str, str]) -> None:
    began = time.monotonic()
    if limit:
        with pytest.raises(Invalid) as caught:
            fill(schema, values)
        assert caught.value.reason == "TOO_LARGE"
        assert limit.items() <= caught.value.metadata.items()
    else:
        assert fill(schema, values) == values
    assert time.monotonic() - began < 5


def test_defaults_are_copies() -> None:
    schema = {"properties": {"a": {"default": {"list": []}}}}
    first = fill(schema, {})
    first["a"]["list"].append(1)
    assert fill(schema, {}) == {"a": {"list": []}}
