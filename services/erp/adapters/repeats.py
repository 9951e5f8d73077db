"""Repeating calls that change nothing, as the retry policy of a connection says; the same for every ERP."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import tenacity
from sutler.context import current
from sutler.errors import Unavailable

from services.erp.connections import RetryPolicy
from services.erp.faults import AnswerLostError


class Repeats:
    """Repeats calls that got no answer.

    Args:
        policy: How often and after which pauses; 3 attempts, 0.2 s to 10 s if it does not say.
        told: Called before each repeat.
    """

    def __init__(self, policy: RetryPolicy | None, told: Callable[[], None]) -> None:
        policy = policy or RetryPolicy()
        self._told = told
        self._attempts = policy.max_attempts or 3
        self._pauses = tenacity.wait_random_exponential(
            multiplier=0.2 if policy.initial_backoff is None else policy.initial_backoff,
            max=10.0 if policy.max_backoff is None else policy.max_backoff,
        )

    async def call(self, once: Callable[[], Awaitable[Any]]) -> Any:
        """Makes a call, again if it fails in a way that may pass and the caller's deadline leaves time for it.

        Raises:
            Exhausted: If the answer is too large (TOO_LARGE).
            SutlerError: What the last attempt ended with; that of the ERP's silence where the answer was lost.
        """
        ends = current().deadline

        async def attempt() -> Any:
            try:
                return await once()
            except AnswerLostError as lost:
                raise lost.error from lost

        def stop(state: tenacity.RetryCallState) -> bool:
            late = ends is not None and time.monotonic() + state.upcoming_sleep >= ends
            return state.attempt_number >= self._attempts or late

        return await tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=stop,
            wait=self._pauses,
            reraise=True,
            before_sleep=lambda _: self._told(),
        )(attempt)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and error.reason != "BREAKER_OPEN"
