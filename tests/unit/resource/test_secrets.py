from typing import Any

import pytest
from sutler.errors import Invalid

from services.resource.marking import compile_marked, secret_paths
from services.resource.schemas import SchemaInvalid, compile_schema
from services.resource.secrets import without

SECRET = {"type": "string", "writeOnly": True}
TWICE = {"$ref": "#/$defs/a b"}


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        (None, []),
        ({"properties": {"a": {"type": "string"}}}, []),
        ({"properties": {"a": {"writeOnly": False}, "writeOnly": {"const": True}}}, []),
        ({"properties": {"a": SECRET, "b": {"properties": {"c": SECRET}}}}, ["a", "b/c"]),
        ({"properties": {"a": {"items": {"properties": {"p": SECRET}}}}}, ["a/[*]/p"]),
        ({"properties": {"a": {"items": SECRET}}}, ["a"]),
        ({"properties": {"a": {"items": {"items": SECRET}}}}, ["a"]),
        ({"properties": {"a": {"additionalProperties": SECRET}}}, ["a/*"]),
        ({"allOf": [{"properties": {"a": SECRET}}, {"properties": {"a": SECRET}}]}, ["a"]),
        ({"properties": {"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": SECRET}}, ["a"]),
        ({"properties": {"a": {"writeOnly": True, "properties": {"b": SECRET}}}}, ["a"]),
        ({"allOf": [{"properties": {"a": SECRET}}] * 300 + [{"properties": {"b": SECRET}}]}, ["a", "b"]),
        ({"properties": {"a": TWICE, "b": {"items": {"$ref": "#/$defs/a%20b"}}}, "$defs": {"a b": SECRET}}, ["a", "b"]),
    ],
)
def test_where_secrets_stand(schema: dict[str, object] | None, paths: list[str]) -> None:
    assert ["/".join(path) for path in secret_paths(schema)] == paths


@pytest.mark.parametrize(
    "schema",
    [
        SECRET,
        {"anyOf": [{"properties": {"a": SECRET}}]},
        {"properties": {"a": {"if": SECRET}}},
        {"patternProperties": {"^x": SECRET}},
        {"$defs": {"unused": SECRET}},
        {"properties": {"a": {}}, "additionalProperties": SECRET},
        {"properties": {"child": {"$ref": "#"}, "a": SECRET}},
        {"items": SECRET},
    ],
)
def test_what_would_have_no_effect_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(SchemaInvalid):
        secret_paths(schema)


@pytest.mark.parametrize(
    "other",
    [
        {"properties": {"b": {"anyOf": [{"$ref": "#/$defs/pw"}, {"type": "null"}]}}},
        {"properties": {"b": {"$ref": "#pw"}}},
        {"properties": {"b": {"$dynamicRef": "#pw"}}},
        {"properties": {"b": {"$ref": "https://example.com/s#/$defs/pw"}}},
        {"properties": {"b": {"prefixItems": [{"$ref": "#/$defs/pw"}]}}},
        {"properties": {"b": {"patternProperties": {"^x": {"$ref": "#/$defs/pw"}}}}},
        {"properties": {"b": {"if": True, "then": {"$ref": "#/$defs/pw"}}}},
        {"properties": {"b": {"contains": {"$ref": "#/$defs/pw"}}}},
        {"dependencies": {"b": {"properties": {"b": {"$ref": "#/$defs/pw"}}}}},
        {"not": {"not": {"properties": {"b": {"$ref": "#/$defs/pw"}}}}},
        {"properties": {"b": {"unevaluatedProperties": {"allOf": [{"$ref": "#/$defs/pw"}]}}}},
        {"additionalProperties": {"$ref": "#/$defs/pw"}},
        {"properties": {"b": {"$ref": "#/$defs/node"}}},
    ],
)
def test_a_secret_is_one_whichever_way_leads_to_it(other: dict[str, Any]) -> None:
    node = {"properties": {"child": {"$ref": "#/$defs/node"}, "p": {"$ref": "#/$defs/pw"}}}
    marked = {"$anchor": "pw", **SECRET} if "#pw" in str(other) else SECRET
    schema = {
        "$id": "https://example.com/s",
        "$defs": {"pw": marked, "node": node},
        **other,
        "properties": {"a": {"$ref": "#/$defs/pw"}, **other.get("properties", {})},
    }
    with pytest.raises(Invalid):
        compile_marked(schema, "v1", "schema")


def test_schemas_without_marks_refer_as_they_like() -> None:
    schema = {"$defs": {"a": {"$anchor": "a", "type": "string"}}, "properties": {"b": {"anyOf": [{"$ref": "#a"}]}}}
    compile_schema(schema)
    assert secret_paths(schema) == ()


def test_values_without_secrets() -> None:
    paths = [("a",), ("b", "c"), ("list", "[*]", "p"), ("any", "*", "q")]
    values = {
        "a": {"deep": 1},
        "b": {"c": 1, "d": 2},
        "list": [{"p": 1, "k": 2}, "text", {"k": 3}],
        "any": {"x": {"q": 1, "r": 2}, "y": 3},
        "other": [1],
    }
    assert without(values, paths) == {
        "b": {"d": 2},
        "list": [{"k": 2}, "text", {"k": 3}],
        "any": {"x": {"r": 2}, "y": 3},
        "other": [1],
    }
    assert values["a"] == {"deep": 1}
    assert without(values, ()) is values
