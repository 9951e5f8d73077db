from typing import Any

import pytest
from sutler.errors import Conflict, FailedPrecondition, Invalid

from services.rule.subjects import (
    Applied,
    Subject,
    apply,
    check_properties,
    check_revision,
    merge_writes,
)
from services.rule.values import ABSENT, plain, same
from services.rule.writes import Write


def subject(properties: dict[str, Any] | None = None, **fields: Any) -> Subject:
    return Subject("s", "t", "uid", 1.0, 1.0, properties or {}, **{"revision": 1, **fields})


def evaluate(write: Write, old: Any, now: Subject) -> Any:
    return write.value(old, now)


def applied(stored: Subject, *writes: Write) -> tuple[Subject, list[Applied]]:
    return apply(stored, writes, 5.0, evaluate)


def test_deleting_and_setting_a_property_in_one_go_keeps_the_set() -> None:
    after, changes = applied(subject({"a": 1}), Write("a", "delete"), Write("a", "set", 2))
    assert after.properties == {"a": 2}
    assert [(one.change.has_old, one.change.has_new) for one in changes] == [(True, False), (False, True)]


def test_what_does_not_change_does_not_count() -> None:
    stored = subject({"a": {"x": 1, "y": [1, 2]}})
    after, changes = applied(stored, Write("a", "set", {"y": [1.0, 2], "x": 1}), Write("none", "delete"))
    assert (after.revision, after.update_time, changes) == (1, 1.0, [])


def test_several_changes_count_once() -> None:
    after, changes = applied(subject(), *(Write(f"p{i}", "set", i) for i in range(3)))
    assert (after.revision, after.update_time, len(changes)) == (2, 5.0, 3)


def test_an_expression_sees_the_changes_made_before_it() -> None:
    double = Write("a", "expression", lambda old, now: old * 2 + now.properties["b"])
    after, _ = applied(subject({"a": 1, "b": 0}), Write("b", "set", 10), double, double)
    assert after.properties == {"a": 34, "b": 10}


def test_increments() -> None:
    after, _ = applied(subject({"a": 1}), Write("a", "increment", 1.5), Write("new", "increment", 2.0))
    assert after.properties == {"a": 2.5, "new": 2}
    assert isinstance(after.properties["new"], int)
    for value in (None, "1", True, [1]):
        with pytest.raises(FailedPrecondition) as caught:
            applied(subject({"a": value}), Write("a", "increment", 1))
        assert caught.value.reason == "PROPERTY_TYPE_MISMATCH"


def test_null_is_a_value() -> None:
    after, changes = applied(subject(), Write("a", "set", None))
    assert after.properties == {"a": None}
    assert changes[0].change.has_new
    assert applied(after, Write("a", "set", None))[1] == []


def test_ext_and_muted_changes_are_not_told() -> None:
    _, changes = applied(
        subject(), Write("a", "set", 1), Write("b", "set", 1, muted=True), Write("c", "set", 1, ext=True)
    )
    assert [one.told for one in changes] == [True, False, False]


def test_a_subject_has_a_largest_size() -> None:
    with pytest.raises(Invalid) as caught:
        applied(subject({"a": "x" * 600_000}), Write("b", "set", "x" * 600_000, ext=True))
    assert caught.value.reason == "TOO_LARGE"


def test_the_ttl_begins_anew_with_every_write() -> None:
    stored = subject({"a": 1}, ttl=10.0, expire_time=8.0)
    after, changes = applied(stored, Write("a", "set", 1))
    assert (after.expire_time, changes) == (15.0, [])


def test_expected_revisions() -> None:
    check_revision(None, None, "s")
    check_revision(0, None, "s")
    check_revision(1, subject(), "s")
    for expected, stored in ((0, subject()), (1, None), (2, subject())):
        with pytest.raises(Conflict) as caught:
            check_revision(expected, stored, "s")
        assert caught.value.reason == "REVISION_MISMATCH"


def test_merging_removes_what_is_not_named() -> None:
    writes = merge_writes(subject({"a": 1, "b": 2}), {"b": 3}, {"e": 1})
    after, _ = applied(subject({"a": 1, "b": 2}), *writes)
    assert (after.properties, after.ext_properties) == ({"b": 3}, {"e": 1})


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "a\x7f"])
def test_names_of_properties(name: str) -> None:
    with pytest.raises(Invalid):
        check_properties({name: 1}, "subject.properties")


def test_values() -> None:
    assert same({"a": 1, "b": [True]}, {"b": [True], "a": 1.0})
    assert not same(1, True)
    assert not same("1", 1)
    assert plain(3.0) == 3
    assert isinstance(plain(3.0), int)
    assert plain({1: [2.5]}) == {"1": [2.5]}
    assert not ABSENT
