import pytest
from sutler.expressions import MAX_BYTES, Environment, ExpressionInvalid

EVENT = Environment({"event": {"id": "string", "time": "timestamp", "data": "dyn", "extensions": "map"}, "x": "dyn"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("event.id == 'a'", True),
        ("event.data.x.y + 1", 4),
        ("event.extensions.any", "e"),
        ("has(event.data.z)", False),
        ("x.whatever", 5),
    ],
)
def test_a_variable_with_fields_is_a_map_of_them(text: str, value: object) -> None:
    event = {"id": "a", "time": "", "data": {"x": {"y": 3.0}}, "extensions": {"any": "e"}}
    assert EVENT.compile(text).evaluate(EVENT.bind({"event": event, "x": {"whatever": 5}})) == value


@pytest.mark.parametrize(
    ("text", "position"), [("event.ids", "1:6"), ("event.id > 3", "1:10"), ("event.time.x", "1:11")]
)
def test_another_field_or_type_does_not_compile(text: str, position: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        EVENT.compile(text)
    assert caught.value.position == position


def test_an_expression_has_a_longest_length() -> None:
    fits = "true" + " " * (MAX_BYTES - 4)
    assert EVENT.compile(fits)
    with pytest.raises(ExpressionInvalid):
        EVENT.compile(fits + " ")
