import pytest

from services.resource.schemas import SchemaInvalid
from services.resource.secrets import secret_paths, without

SECRET = {"type": "string", "writeOnly": True}


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
    ],
)
def test_what_would_have_no_effect_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(SchemaInvalid):
        secret_paths(schema)


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
