from typing import Any

import pytest
from sutler.errors import Violation
from sutler.expressions import Environment, EvaluationFailed

from services.rule.paths import inputs, paths
from services.rule.templates import compile_template, is_template

ENV = Environment({"payload": "dyn"})


def render(template: Any, **payload: Any) -> Any:
    found: list[Violation] = []
    compiled = compile_template(template, "f", ENV, found)
    assert not found, found
    return compiled.render(ENV.bind({"payload": payload}))


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${payload.n}", 3),
        ("${payload.f}", 1.5),
        ("${payload.b}", True),
        ("${payload.none}", None),
        ("${payload.list}", [1, {"x": "y"}]),
        ("n-${payload.n}", "n-3"),
        ("${payload.n}${payload.s}", "3text"),
        (" ${payload.n}", " 3"),
        ("${payload.b}!", "true!"),
        ("${payload.none}!", "null!"),
        ("${payload.list}!", '[1,{"x":"y"}]!'),
        ("$${payload.n}", "${payload.n}"),
        ("$${a} ${payload.n} $${b}", "${a} 3 ${b}"),
        ("$$${payload.n}", "$${payload.n}"),
        ("$ { } $5", "$ { } $5"),
        ("${ {'a': '}'}['a'] }", "}"),
        ("${\"it's }\" + 'ok'}", "it's }ok"),
        ("${'''a'}'''}", "a'}"),
        ("${r'\\d}'}", "\\d}"),
        ("${duration('90s')}", "90s"),
        ("${timestamp('2026-01-02T03:04:05.5Z')}", "2026-01-02T03:04:05.500000Z"),
        ("${b'\\x00\\xff'}", "AP8="),
        ("${payload.n * 2.0}", None),
    ],
)
def test_a_template_gives_the_value_or_a_text(template: str, value: Any) -> None:
    payload = {"n": 3, "f": 1.5, "b": True, "none": None, "s": "text", "list": [1, {"x": "y"}]}
    if template == "${payload.n * 2.0}":
        with pytest.raises(EvaluationFailed):
            render(template, **payload)
        return
    found = render(template, **payload)
    assert found == value
    assert type(found) is type(value)


def test_open_data_are_rendered_at_every_depth_and_left_as_they_are() -> None:
    template = {"a": ["${payload.x}", {"b": "${payload.x}", "c": 1, "d": None}], "${k}": "x"}
    found: list[Violation] = []
    compiled = compile_template(template, "f", ENV, found)
    assert compiled.render(ENV.bind({"payload": {"x": 1}})) == {"a": [1, {"b": 1, "c": 1, "d": None}], "${k}": "x"}
    assert compiled.render(ENV.bind({"payload": {"x": 2}}))["a"][0] == 2
    assert compiled.sources == ("payload.x", "payload.x")


@pytest.mark.parametrize(
    ("template", "position"),
    [("${payload.n", "1:1"), ("ab${", "1:3"), ("x${nope}", "1:4"), ("a\nb${payload.}", "2:12"), ("${'open}", "1:3")],
)
def test_what_is_wrong_has_a_place(template: str, position: str) -> None:
    found: list[Any] = []
    compile_template({"k": [template]}, "f", ENV, found)
    (fault,) = found
    assert (fault.field, fault.reason, fault.metadata["position"]) == ("f.k[0]", "TEMPLATE_INVALID", position)


def test_what_is_a_template() -> None:
    assert is_template("a${b}")
    assert is_template("${")
    assert not is_template("$${b}")
    assert not is_template(3)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("payload.total > 100", [("payload", "total")]),
        ("has(payload.a.b) && event.type == 'payload.x'", [("payload", "a", "b"), ("event", "type")]),
        ("payload.lines[0].id == payload['k k']", [("payload", "lines", 0, "id"), ("payload", "k k")]),
        ("event.type.startsWith('a') || size(payload.x) > 1", [("event", "type"), ("payload", "x")]),
        ("payload.list.exists(l, l.ok)", [("payload", "list"), ("l",), ("l", "ok")]),
        ("1 + 2 == 3", []),
    ],
)
def test_the_paths_of_an_expression(expression: str, found: list[tuple[str | int, ...]]) -> None:
    assert list(paths(expression)) == found


def test_inputs_leave_out_what_is_missing_or_large() -> None:
    values = {"payload": {"a": 1, "big": "x" * 5000, "list": [{"id": 7}]}}
    looked = paths("payload.a + payload.b + payload.big + payload.list[0].id + payload.list[9].id")
    assert inputs(looked, values) == {"payload.a": 1, "payload.list.0.id": 7}
