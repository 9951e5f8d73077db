from dataclasses import replace
from typing import Any

import pytest
from sutler.errors import Code, Conflict, Invalid, Unavailable

from services.rule.breakers import Breaker, BreakerState, after_failure, closed, deferred_until, needs_probe, probing
from services.rule.failures import Failure, Kind, from_error, to_error
from services.rule.policies import BreakerPolicy, RetryPolicy
from services.rule.retrying import Again, Cause, GiveUp, decide


def failure(code: Code = Code.INVALID_ARGUMENT, reason: str = "X", **fields: Any) -> Failure:
    return Failure(int(code), "no", reason, **fields)


@pytest.mark.parametrize(
    ("failed", "kind"),
    [
        (failure(Code.UNAVAILABLE), Kind.PATIENT),
        (failure(Code.DEADLINE_EXCEEDED), Kind.PATIENT),
        (failure(Code.RESOURCE_EXHAUSTED), Kind.PATIENT),
        (failure(Code.ABORTED), Kind.PATIENT),
        (failure(Code.ABORTED, "OUTCOME_UNKNOWN", domain="erp.sutler.dev"), Kind.FINAL),
        (failure(Code.FAILED_PRECONDITION, "EXPRESSION_FAILED"), Kind.FINAL),
        (failure(Code.FAILED_PRECONDITION, "EXPRESSION_FAILED", domain="resource.sutler.dev"), Kind.ATTEMPT),
        (failure(Code.FAILED_PRECONDITION, "CASCADE_TOO_DEEP"), Kind.FINAL),
        (failure(Code.INVALID_ARGUMENT), Kind.ATTEMPT),
        (failure(Code.PERMISSION_DENIED), Kind.ATTEMPT),
        (failure(Code.INTERNAL), Kind.ATTEMPT),
        (failure(Code.UNKNOWN), Kind.ATTEMPT),
    ],
)
def test_what_an_error_means(failed: Failure, kind: Kind) -> None:
    assert failed.kind is kind


def test_errors_survive_being_stored() -> None:
    for error in (Unavailable("a", metadata={"x": "y"}), Conflict("b", resource="things/1"), Invalid("c", domain="d")):
        stored = from_error(error)
        again = to_error(stored)
        assert type(again) is type(error)
        assert from_error(again) == stored


def decided(failed: Failure, **fields: Any) -> Again | GiveUp:
    given: dict[str, Any] = {"attempts": 0, "tries": 1, "left": 1000.0, "of_error_event": False}
    policy = fields.pop("policy", RetryPolicy())
    return decide(failed, policy, **{**given, **fields}, jitter=lambda low, high: high)


def test_an_answer_that_says_no_is_tried_three_times_in_all() -> None:
    assert decided(failure(), attempts=0) == Again(1.0, used=True)
    assert decided(failure(), attempts=1, tries=2) == Again(2.0, used=True)
    assert decided(failure(), attempts=2, tries=3) == GiveUp(Cause.ATTEMPTS_EXHAUSTED, used=True)
    assert decided(failure(), policy=RetryPolicy(max_attempts=1)) == GiveUp(Cause.ATTEMPTS_EXHAUSTED, used=True)


def test_no_answer_waits_until_it_gives_up() -> None:
    away = failure(Code.UNAVAILABLE)
    assert decided(away, attempts=2, tries=50) == Again(30.0, used=False)
    assert decided(away, left=0.5) == GiveUp(Cause.GAVE_UP, used=False)
    assert decided(replace(away, retry_after=77.0)) == Again(77.0, used=False)


def test_what_would_come_again_ends_at_once() -> None:
    assert decided(failure(reason="EXPRESSION_FAILED")) == GiveUp(Cause.NOT_RETRYABLE, used=True)
    assert decided(failure(reason="CASCADE_TOO_DEEP")) == GiveUp(Cause.CASCADE_TOO_DEEP, used=True)


def test_an_execution_of_an_error_event_has_one_attempt() -> None:
    assert decided(failure(), of_error_event=True) == GiveUp(Cause.ERROR_EVENT, used=True)
    assert decided(failure(Code.UNAVAILABLE), of_error_event=True) == Again(1.0, used=False)


def test_pauses_grow_to_their_limit() -> None:
    policy = RetryPolicy(initial_backoff=0.5, max_backoff=3.0, multiplier=2.0)
    assert [policy.pause(tries) for tries in (1, 2, 3, 4, 1000)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert RetryPolicy(initial_backoff=60.0).pause(5) == 60.0


POLICY = BreakerPolicy(max_failures=2, window=100.0, open_duration=10.0)
FRESH = Breaker("breakers/b", "t", "rules/r", "uid", "s", 0.0, 0.0)


def failing(*times: float) -> Breaker:
    breaker = FRESH
    for now in times:
        breaker = after_failure(breaker, POLICY, failure(), now)
    return breaker


def test_more_failures_than_allowed_within_the_window_open_it() -> None:
    assert failing(1, 2).state is BreakerState.CLOSED
    opened = failing(1, 2, 3)
    assert (opened.state, opened.probe_time, opened.open_time) == (BreakerState.OPEN, 13.0, 3)
    assert failing(1, 90, 110).state is BreakerState.CLOSED


def test_open_it_defers_and_lets_one_probe_through() -> None:
    opened = failing(1, 2, 3)
    assert deferred_until(opened, POLICY, "x", 5) == 13.0
    assert deferred_until(opened, POLICY, "x", 13) is None
    assert needs_probe(opened, POLICY)
    trying = probing(opened, POLICY, "x", 13)
    assert deferred_until(trying, POLICY, "x", 14) is None
    assert deferred_until(trying, POLICY, "y", 14) == 23.0
    assert deferred_until(trying, POLICY, "y", 23) is None  # nothing was heard of the probe


def test_the_probe_decides() -> None:
    trying = probing(failing(1, 2, 3), POLICY, "x", 13)
    assert after_failure(trying, POLICY, failure(), 200).state is BreakerState.OPEN
    assert (closed(trying, 14).state, closed(trying, 14).failures) == (BreakerState.CLOSED, ())


def test_a_disabled_breaker_never_opens() -> None:
    never = replace(POLICY, disabled=True)
    breaker = FRESH
    for now in range(10):
        breaker = after_failure(breaker, never, failure(), now)
    assert breaker.state is BreakerState.CLOSED
    assert deferred_until(failing(1, 2, 3), never, "x", 5) is None
