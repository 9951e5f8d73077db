"""What a stack wishes, put onto what is there: what it set before and leaves out goes, what others added stays."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.resource.resource import Declared, Lock
from services.resource.stacks.merging import Applied, applied, merge, merged, shape

VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@pytest.mark.parametrize(
    ("current", "wished", "before", "after"),
    [
        ({}, {"a": 1}, {}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 1}, {"a": 3, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 1, "b": 1}, {"a": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 3}}, {"a": {"x": 1, "y": 1}}, {"a": {"x": 3}}),
        ({"a": {"x": 1, "hand": 2}}, {}, {"a": {"x": 1}}, {"a": {"hand": 2}}),
        ({"a": {"x": 1}}, {}, {"a": {"x": 1}}, {}),
        ({"a": 5}, {}, {"a": {"x": 1}}, {}),
        ({"a": {"hand": 1}}, {}, {"a": 1}, {}),
        ({"a": 1}, {"a": None}, {}, {}),
        ({}, {"a": {"x": None, "y": 1}}, {}, {"a": {"y": 1}}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": 1}, {"a": {"x": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [1]}, {"a": [3]}),
        ({"gone": 1}, {}, {"other": 1}, {"gone": 1}),
    ],
)
def test_properties(current: Any, wished: Any, before: Any, after: Any) -> None:
    assert merge(current, wished, shape(before)) == after


@given(OBJECTS, OBJECTS)
def test_a_repeat_changes_nothing(current: dict[str, Any], wished: dict[str, Any]) -> None:
    once = merge(current, wished, {})
    assert merge(once, wished, shape(wished)) == once


@given(OBJECTS, OBJECTS)
def test_what_nobody_else_touched_becomes_what_is_wished(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The second run leads where it would have led without the first."""
    assert merge(merge({}, first, {}), second, shape(first)) == merge({}, second, {})


def test_the_other_fields() -> None:
    before = Declared(
        "v1",
        "Shop",
        {"x": 1},
        {"a": "1"},
        "locations/here",
        ("subscriptions/a", "subscriptions/b"),
        5.0,
        Lock.READ_ONLY,
    )
    made = merged(None, before, None)
    assert made == before
    by_hand = Declared(
        "v2", "Shop", {"x": 1, "y": 2}, {"a": "1", "h": "2"}, "locations/here", (*made.references, "subscriptions/h")
    )
    wished = Declared(references=("subscriptions/b", "subscriptions/c"), location="locations/there")
    assert merged(by_hand, wished, applied(before, None, None)) == Declared(
        "v2", "", {"y": 2}, {"h": "2"}, "locations/there", ("subscriptions/b", "subscriptions/h", "subscriptions/c")
    )


UNSET, NONE, CAN_NOT_DELETE, READ_ONLY = Lock


@pytest.mark.parametrize(
    ("current", "wished", "own", "after", "owned"),
    [
        (UNSET, READ_ONLY, UNSET, READ_ONLY, READ_ONLY),
        (NONE, CAN_NOT_DELETE, UNSET, CAN_NOT_DELETE, CAN_NOT_DELETE),
        (READ_ONLY, CAN_NOT_DELETE, READ_ONLY, CAN_NOT_DELETE, CAN_NOT_DELETE),
        (READ_ONLY, UNSET, READ_ONLY, UNSET, UNSET),
        (NONE, UNSET, NONE, UNSET, UNSET),
        (NONE, UNSET, READ_ONLY, NONE, UNSET),
        (READ_ONLY, NONE, NONE, READ_ONLY, UNSET),
        (READ_ONLY, CAN_NOT_DELETE, CAN_NOT_DELETE, READ_ONLY, UNSET),
        (READ_ONLY, UNSET, CAN_NOT_DELETE, READ_ONLY, UNSET),
        (READ_ONLY, READ_ONLY, CAN_NOT_DELETE, READ_ONLY, UNSET),
        (CAN_NOT_DELETE, READ_ONLY, UNSET, READ_ONLY, UNSET),
    ],
)
def test_a_lock_that_others_have_set_is_never_weakened(
    current: Lock, wished: Lock, own: Lock, after: Lock, owned: Lock
) -> None:
    now, wish, before = Declared(lock=current), Declared(lock=wished), Applied(lock=own)
    assert merged(now, wish, before).lock is after
    assert applied(wish, now, before).lock is owned


def test_what_the_stack_never_set_stays() -> None:
    by_hand = Declared("v1", "Shop", {}, {}, "locations/here", (), 5.0, Lock.READ_ONLY)
    assert merged(by_hand, Declared(), Applied()) == by_hand
    assert merged(by_hand, Declared(), None) == by_hand
