import pytest
from sutler.errors import Code

from services.resource.attempts import TRANSIENT, Again, Over, judge, misbehaved
from services.resource.problems import Problem
from services.resource.resource_type import Handler

PATIENT = Handler(address="a", min_backoff=1, max_backoff=8)


def verdict(
    code: Code = Code.UNAVAILABLE,
    *,
    attempt: int = 1,
    retry_after: float | None = None,
    handler: Handler = PATIENT,
    left: float = 100,
) -> Again | Over:
    problem = Problem(int(code), "NO_CAPACITY", "no", retry_after=retry_after, domain="h")
    return judge(problem, resource="r", attempt=attempt, handler=handler, left=left, jitter=lambda low, high: high)


@pytest.mark.parametrize("code", list(Code))
def test_codes_decide(code: Code) -> None:
    transient = code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED)
    found = verdict(code)
    assert isinstance(found, Again if transient else Over)
    assert (int(code) in TRANSIENT) == transient
    assert (found.problem.code, found.problem.reason) == (int(code), "HANDLER_FAILED")
    assert found.problem.metadata["handler_reason"] == "NO_CAPACITY"
    assert isinstance(verdict(code, retry_after=0), Again)


@pytest.mark.parametrize(("attempt", "delay"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (10_000, 8)])
def test_pauses_double_up_to_the_longest(attempt: int, delay: float) -> None:
    found = verdict(attempt=attempt)
    assert isinstance(found, Again) and found.delay == delay


def test_the_handlers_wish_is_honoured_and_passed_on() -> None:
    found = verdict(retry_after=42)
    assert isinstance(found, Again) and found.delay == 42
    assert found.problem.retry_after == 42
    shorter = verdict(retry_after=0.1)
    assert isinstance(shorter, Again) and shorter.delay == 1


def test_attempts_run_out() -> None:
    twice = Handler(address="a", max_attempts=2)
    assert isinstance(verdict(handler=twice, attempt=1), Again)
    over = verdict(handler=twice, attempt=2, retry_after=5)
    assert isinstance(over, Over)
    assert (over.problem.code, over.problem.reason, over.problem.retry_after) == (14, "HANDLER_FAILED", 5)


def test_time_runs_out() -> None:
    over = verdict(left=0)
    assert isinstance(over, Over) and over.problem.reason == "DEADLINE_EXCEEDED"
    again = verdict(left=0.5)
    assert isinstance(again, Again) and again.delay == 0.5


def test_who_breaks_the_contract_gets_no_other_attempt() -> None:
    over = judge(misbehaved("r", "no outputs"), resource="r", attempt=1, handler=PATIENT, left=9)
    assert isinstance(over, Over) and over.problem.reason == "HANDLER_MISBEHAVED"
