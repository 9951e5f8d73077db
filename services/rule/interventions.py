"""What people do to executions and breakers: try again, and reset."""

from __future__ import annotations

from typing import Protocol

from sutler.errors import FailedPrecondition
from sutler.idempotency import Once

from services.rule.breakers import Breaker
from services.rule.executions import Execution, ExecutionState

RETRYABLE = (ExecutionState.FAILED, ExecutionState.WAITING, ExecutionState.DEFERRED)


class Interventions(Protocol):
    """Changes executions and breakers for callers."""

    async def retry(self, tenant: str, name: str, once: Once | None, *, restart: bool) -> Execution:
        """Tries an execution again at once, or begins it anew.

        Args:
            tenant: Whose it is.
            name: The name of the execution.
            once: What remembers the answer.
            restart: Begins a new execution with the active revision.

        Raises:
            NotFound: If it, or what it needs, is not stored.
            FailedPrecondition: If it is in another state than failed, waiting or deferred (STATE_INVALID).
        """
        ...

    async def reset(self, tenant: str, name: str, once: Once | None) -> tuple[Breaker, int]:
        """Closes a breaker; what it deferred runs at once. Raises NotFound."""
        ...


def check_retryable(execution: Execution) -> None:
    """Checks that an execution can be tried again.

    Raises:
        FailedPrecondition: If not (STATE_INVALID).
    """
    if execution.state not in RETRYABLE:
        allowed = ", ".join(state.name for state in RETRYABLE)
        raise FailedPrecondition(
            f"{execution.name} is {execution.state.name}; only one that is {allowed} can be tried again",
            metadata={"state": execution.state.name, "allowed": allowed},
            resource=execution.name,
        )
