from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.expression_limits import MAX_ITEMS
from sutler.expressions import MAX_BYTES, Environment, EvaluationFailed, ExpressionInvalid, bindable

ENVIRONMENT = Environment(
    {
        "event": {
            "id": "string",
            "time": "timestamp",
            "extensions": "map",
            "count": "int",
            "last": "bool",
            "data": "dyn",
        },
        "old": "dyn",
        "extra": "map",
    }
)
NOON = datetime(2026, 1, 2, 12, 0, 0, 250_000, tzinfo=UTC)
EVENT = {"id": "a", "time": NOON, "extensions": {"k": "v"}, "count": 3, "last": True, "data": {"total": 7.0}}


def evaluate(text: str, old: Any = None, **extra: Any) -> Any:
    bindings = ENVIRONMENT.bind({"event": EVENT, "old": old, "extra": extra})
    return ENVIRONMENT.compile(text).evaluate(bindings)


def failure(text: str, old: Any = None) -> str:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(text, old)
    return str(caught.value)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
"""Open data hold no U+0000, where the engine ends a text."""


class TestWholeNumbers:
    @pytest.mark.parametrize(
        ("text", "old", "expected"),
        [
            ("old + 1", 1.0, 2),
            ("old + 1", 1, 2),
            ("old / 2", 7.0, 3),
            ("old + 0.5", 1.5, 2.0),
            ("old == 1", 1.0, True),
            ("old == 1.5", 1.5, True),
            ("old[0] + 1", [1.0], 2),
            ("old.a.b + 1", {"a": {"b": 1.0}}, 2),
            ("event.count + 1", None, 4),
            ("event.data.total + 1", None, 8),
            ("double(old) * 0.5", 3.0, 1.5),
            ("old", -(2.0**53), -(2**53)),
        ],
    )
    def test_are_ints(self, text: str, old: Any, expected: Any) -> None:
        found = evaluate(text, old)
        assert (found, type(found)) == (expected, type(expected))

    @pytest.mark.parametrize("old", [1e300, 2.0**63, -(2.0**64), 0.5, float("inf")])
    def test_others_stay_doubles(self, old: float) -> None:
        found = evaluate("old", old)
        assert (found, type(found)) == (old, float)

    @settings(max_examples=60)
    @given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, st.lists, max_leaves=10))
    def test_values_come_back_as_they_were(self, value: Any) -> None:
        assert evaluate("old", value) == value


class TestValues:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[1, 2.5, 'a', null, true, {'a': [1]}]", [1, 2.5, "a", None, True, {"a": [1]}]),
            ("{'ü': {}}", {"ü": {}}),
            ("event.id + '!'", "a!"),
            ("event.extensions.k", "v"),
            ("extra.x", 1),
            ("has(extra.x) && !has(extra.y)", True),
            ("event.last ? 'yes' : 'no'", "yes"),
            ("'a,b'.split(',')", ["a", "b"]),
        ],
    )
    def test_are_plain(self, text: str, expected: Any) -> None:
        assert evaluate(text, x=1.0) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("event.time", NOON),
            ("event.time + duration('90m')", NOON + timedelta(minutes=90)),
            ("event.time > timestamp('2026-01-02T11:59:59Z')", True),
            ("event.time - old", timedelta(hours=1)),
            ("[old]", [NOON - timedelta(hours=1)]),
            ("event.time.getHours('+02:00')", 14),
        ],
    )
    def test_times(self, text: str, expected: Any) -> None:
        old = datetime(2026, 1, 2, 13, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
        assert evaluate(text, old) == expected

    def test_times_inside_of_values(self) -> None:
        assert evaluate("old.at[0] == event.time", {"at": [NOON]}) is True

    def test_what_cel_cannot_take(self) -> None:
        assert "old" in failure("old", object())

    def test_bindable_leaves_the_argument_alone(self) -> None:
        value = {"a": [1.0, {"b": 2.0}]}
        assert bindable(value) == {"a": [1, {"b": 2}]}
        assert isinstance(value["a"][0], float)


class TestCompiling:
    @pytest.mark.parametrize(
        ("text", "position"),
        [
            ("1 +", "1:4"),
            ("(\n  old +\n  )", "3:3"),
            ("", "1:1"),
            ("nobody", "1:1"),
            ("old.x + nobody.y", "1:15"),
            ("event.nothing", "1:6"),
            ("event.id == 1", "1:10"),
            ("'a' + 1", "1:5"),
            ("event.last +\n event.id", "1:12"),
        ],
    )
    def test_says_where(self, text: str, position: str) -> None:
        with pytest.raises(ExpressionInvalid) as caught:
            ENVIRONMENT.compile(text)
        assert caught.value.position == position
        assert caught.value.reason and "<input>" not in caught.value.reason and "[INVALID" not in caught.value.reason
        violation = caught.value.violation("rule.when[0]")
        assert (violation.field, violation.reason) == ("rule.when[0]", "EXPRESSION_INVALID")
        assert position in violation.description

    @pytest.mark.parametrize("text", ["(" * 5000 + "1" + ")" * 5000, "old" + ".a" * 3000, "+".join(["1"] * 3000)])
    def test_too_deep(self, text: str) -> None:
        with pytest.raises(ExpressionInvalid) as caught:
            ENVIRONMENT.compile(text)
        assert "-1" not in str(caught.value)

    def test_too_long(self) -> None:
        ENVIRONMENT.compile("'" + "é" * (MAX_BYTES // 2 - 1) + "'")
        with pytest.raises(ExpressionInvalid):
            ENVIRONMENT.compile("'" + "é" * (MAX_BYTES // 2) + "'")

    def test_a_variable_without_fixed_fields_takes_any(self) -> None:
        assert ENVIRONMENT.compile("extra.anything.at.all == old.whatever")


class TestEvaluating:
    @pytest.mark.parametrize(
        ("text", "old"),
        [
            ("old.x", {}),
            ("old.x.y", {"x": 1}),
            ("old[5]", [1]),
            ("old + 'a'", 1),
            ("old + 1", 1.5),
            ("1 / old", 0),
            ("old + 1", 2**63 - 1),
            ("int(old)", "x"),
        ],
    )
    def test_failures_are_told(self, text: str, old: Any) -> None:
        message = failure(text, old)
        assert message and "INVALID_ARGUMENT" not in message and "\n" not in message

    @pytest.mark.parametrize(
        ("text", "count"), [("old.all(x, true)", 20_000), ("old.map(x, old.map(y, x + y)).size() > 0", 150)]
    )
    def test_iterations_are_bounded(self, text: str, count: int) -> None:
        assert "budget" in failure(text, list(range(count)))

    @pytest.mark.parametrize("text", ["old.a.map(x, x)", "old.a. filter (x, true)", "[1].map(x, old)"])
    def test_no_list_is_built_of_very_many_items(self, text: str) -> None:
        """The engine would hold the whole process up for seconds."""
        evaluate(text, {"a": list(range(1000))})
        assert "too long" in failure(text, {"a": [0] * (MAX_ITEMS + 1)})
        assert "too long" in failure(text, {"a": [], "b": [{"c": [0] * (MAX_ITEMS + 1)}]})
        assert evaluate("old.a.exists(x, x == 1)", {"a": [0] * 5000 + [1]}) is True

    def test_patterns_run_in_linear_time(self) -> None:
        assert evaluate("old.matches('(a+)+$')", "a" * 5000 + "b") is False

    def test_conditions_are_bools(self) -> None:
        bindings = ENVIRONMENT.bind({"event": EVENT, "old": 1, "extra": {}})
        assert ENVIRONMENT.compile("old == 1").test(bindings) is True
        assert ENVIRONMENT.compile("old == 2").test(bindings) is False
        for text in ("old", "'true'", "null", "[true]"):
            with pytest.raises(EvaluationFailed):
                ENVIRONMENT.compile(text).test(bindings)

    @pytest.mark.parametrize("text", ["'x'", "1 + 1", "null", "[true]", "event.id", "old.map(x, x)", "size(old)"])
    def test_what_is_never_a_bool_is_no_condition(self, text: str) -> None:
        ENVIRONMENT.compile(text)
        with pytest.raises(ExpressionInvalid):
            ENVIRONMENT.compile_condition(text)

    @pytest.mark.parametrize(
        "text", ["true", "old", "old.a", "event.data", "extra.x", "has(old.a) && old.a", "[old][0]"]
    )
    def test_what_may_be_a_bool_is_a_condition(self, text: str) -> None:
        assert ENVIRONMENT.compile_condition(text).text == text

    def test_one_binding_serves_many_expressions(self) -> None:
        bindings = ENVIRONMENT.bind({"event": EVENT, "old": 2.0, "extra": {}})
        compiled = [ENVIRONMENT.compile(f"old * {n}") for n in range(5)]
        assert [expression.evaluate(bindings) for expression in compiled] == [0, 2, 4, 6, 8]
