"""What went wrong: counted together, the worst first, and as the error that it becomes."""

import pytest
from sutler.errors import Code

from services.provider.diagnostics import MAX_KEPT, Category, Diagnostic, Kind, merged, to_error
from tests.unit.provider.yard import trouble


def test_like_ones_are_counted_together() -> None:
    found = merged((), trouble(Kind.TRANSIENT, Category.INTERNAL), 1.0)
    found = merged(found, trouble(Kind.TRANSIENT, Category.INTERNAL), 2.0)
    assert [(d.count, d.first_time, d.last_time) for d in found] == [(2, 1.0, 2.0)]


def test_the_worst_is_first() -> None:
    found: tuple[Diagnostic, ...] = ()
    for category in (Category.UNKNOWN, Category.CAPACITY, Category.AUTH, Category.INTERNAL):
        found = merged(found, trouble(Kind.UNKNOWN, category), 1.0)
    assert [d.category for d in found] == sorted(d.category for d in found)
    assert found[0].category is Category.AUTH


def test_no_more_are_kept_than_the_contract_allows() -> None:
    found: tuple[Diagnostic, ...] = ()
    for number in range(MAX_KEPT + 20):
        found = merged(found, trouble(Kind.UNKNOWN, Category.UNKNOWN, str(number)), 1.0)
    assert len(found) == MAX_KEPT


@pytest.mark.parametrize(
    ("category", "code", "reason"),
    [
        (Category.AUTH, Code.FAILED_PRECONDITION, "CREDENTIALS_REJECTED"),
        (Category.VALIDATION, Code.FAILED_PRECONDITION, "PROVIDER_REFUSED"),
        (Category.CAPACITY, Code.RESOURCE_EXHAUSTED, "CAPACITY_MISSING"),
        (Category.RATE_LIMIT, Code.RESOURCE_EXHAUSTED, "THROTTLED"),
        (Category.DEADLINE, Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (Category.INTERNAL, Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (Category.CANCELED, Code.CANCELLED, "CANCELLED"),
        (Category.UNKNOWN, Code.FAILED_PRECONDITION, "PROVIDER_REFUSED"),
    ],
)
def test_errors(category: Category, code: Code, reason: str) -> None:
    error = to_error(trouble(Kind.UNKNOWN, category, "E1"), "machineRequests/r")
    assert (error.code, error.reason, error.metadata["code"]) == (code, reason, "E1")
    assert error.resource == "machineRequests/r"


def test_only_some_kinds_are_worth_another_attempt() -> None:
    worth = {kind for kind in Kind if trouble(kind, Category.UNKNOWN).retryable}
    assert worth == {Kind.TRANSIENT, Kind.CAPACITY}
