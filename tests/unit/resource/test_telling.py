"""What is wrong in several ways is told as one error."""

import pytest
from sutler.errors import Conflict, Invalid, Violation, invalid_fields

from services.resource.telling import Problems, together


def several(*fields: str) -> Invalid:
    return invalid_fields([Violation(field, "is wrong") for field in fields])


def test_the_first_has_all_violations_of_its_code() -> None:
    told = together([several("a", "b"), Conflict("changed", violations=[Violation("c", "x")]), several("d")])
    assert [violation.field for violation in told.violations] == ["a", "b", "d"]
    assert (told.base, told.more, told.metadata["violations"]) == ("a: is wrong", 2, "3")
    assert told.message == str(told) == "a: is wrong (and 2 more)"


def test_what_was_told_together_can_be_so_again() -> None:
    assert together([together([several("a"), several("b")]), several("c", "d")]).message == "a: is wrong (and 3 more)"


def test_a_reason_of_its_own_says_most_and_the_order_stays() -> None:
    problems = Problems()
    problems.add("a", "is used twice", "DUPLICATE")
    problems.errors.append(Invalid("b: none", reason="SCHEMA_INVALID", violations=[Violation("b", "none")]))
    problems.errors.append(Invalid("c: none", reason="EXPRESSION_INVALID", violations=[Violation("c", "none")]))
    with pytest.raises(Invalid) as caught:
        problems.tell()
    assert (caught.value.reason, caught.value.message) == ("SCHEMA_INVALID", "b: none (and 2 more)")
    assert [violation.field for violation in caught.value.violations] == ["a", "b", "c"]


def test_nothing_is_told_of_nothing() -> None:
    Problems().tell()
