"""Calls that change nothing are repeated where that may help, and answers of another shape are refused."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.errors import FailedPrecondition, SutlerError, Unavailable

from services.erp import faults
from services.erp.adapters.repeats import Repeats
from services.erp.adapters.shapes import shaped
from services.erp.connections import RetryPolicy
from services.erp.faults import AnswerLostError

POLICY = RetryPolicy(max_attempts=3, initial_backoff=0.001, max_backoff=0.001)
NAME = "connections/main"


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (Unavailable("down"), 3),
        (AnswerLostError(faults.erp_timeout(NAME, 1.0)), 3),
        (AnswerLostError(faults.answer_too_large(NAME, 5)), 1),
        (Unavailable("open", reason="BREAKER_OPEN"), 1),
        (FailedPrecondition("no"), 1),
    ],
)
async def test_only_what_may_pass_is_asked_again(error: Exception, asked: int) -> None:
    calls, told = list[int](), list[int]()

    async def once() -> None:
        calls.append(1)
        raise error

    with pytest.raises(SutlerError):
        await Repeats(POLICY, lambda: told.append(1)).call(once)
    assert (len(calls), len(told)) == (asked, asked - 1)


async def test_an_answer_ends_it() -> None:
    calls = list[int]()

    async def once() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise Unavailable("down")
        return 7

    assert await Repeats(POLICY, lambda: None).call(once) == 7


@pytest.mark.parametrize(
    ("value", "kind", "of"), [([1, 2], list, dict), ({"a": 1}, dict, dict), (None, list, object), ("x", int, object)]
)
def test_another_shape_is_no_answer(value: Any, kind: type, of: type) -> None:
    with pytest.raises(Unavailable) as caught:
        shaped(NAME, value, kind, of)
    assert caught.value.reason == "ERP_ANSWER_INVALID"
