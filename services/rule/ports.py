"""What the domain needs from outside, in its own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sutler.context import Principal
from sutler.errors import Violation

from services.rule.definitions import OutsideCall
from services.rule.executions import Execution, Job
from services.rule.outcomes import Aftermath, Context, Failed, Finished, Paused
from services.rule.policies import BreakerPolicy
from services.rule.programs import Program
from services.rule.retrying import GiveUp


class Outside(Protocol):
    """Knows what rules may call."""

    async def check(self, do: OutsideCall, field: str, tenant: str) -> Sequence[Violation]:
        """Returns what is wrong with a call of a tenant's rule: an unknown method or key, or a request that does not
        fit.

        Raises:
            PermissionDenied: If the operator does not allow it (METHOD_NOT_ALLOWED, ADDRESS_NOT_ALLOWED).
            Unavailable: If the service that is called cannot be asked for its methods (DEPENDENCY_UNAVAILABLE).
        """
        ...

    def permission(self, do: OutsideCall) -> str:
        """Returns the permission that a call needs; empty if it is to no API that names one."""
        ...


class Caller(Protocol):
    """Calls other systems."""

    async def call(self, do: OutsideCall, *, key: str, behalf: Principal, correlation_id: str, timeout: float) -> Any:
        """Makes a call and returns its answer: a message in proto JSON form, or ``{code, headers, body}`` of HTTP.

        Args:
            do: What to call, with all templates filled in.
            key: The idempotency key.
            behalf: The principal in whose name it is called, with the tenant.
            correlation_id: Ties one chain of calls together.
            timeout: Seconds.

        Raises:
            SutlerError: What was answered, or why it cannot be called.
        """
        ...


class Journal(Protocol):
    """Keeps what an attempt does. Each write fails with Conflict (LEASE_LOST) if the execution is not ours any more."""

    async def context(self, job: Job, *, with_subject: bool) -> Context:
        """Returns what an attempt needs to know.

        Raises:
            NotFound: If the revision is not stored any more.
        """
        ...

    async def take_probe(self, execution: Execution, policy: BreakerPolicy) -> float | None:
        """Makes an execution the probe of its breaker, or returns until when another one is."""
        ...

    async def save(self, execution: Execution) -> None:
        """Stores what became of an execution so far."""
        ...

    async def answered(self, execution: Execution, step: str, answer: Any) -> None:
        """Stores an execution and the answer of one of its outside calls."""
        ...


class Work(Journal, Protocol):
    """The executions of all tenants, for those who work on them."""

    async def program(self, rule_uid: str, revision: int) -> Program:
        """Returns a compiled revision. Raises NotFound if it is not stored any more."""
        ...

    async def next_time(self) -> float | None:
        """Returns when there is something to claim or deliver, in epoch seconds; None if nothing waits."""
        ...

    async def claim(self, holder: int, limit: int) -> Sequence[Job]:
        """Takes executions that are due and that nobody holds."""
        ...

    async def deliver(self, holder: int, room: int) -> tuple[Aftermath, int]:
        """Gives events whose time has come to the rules; also returns how many events it were."""
        ...

    async def finish(self, job: Job, result: Finished, holder: int) -> Aftermath:
        """Ends an execution: its writes and events commit together with it, or not at all.

        Raises:
            Conflict: If it is not ours any more (LEASE_LOST).
            FailedPrecondition: If an expression fails now, or the cascade would be too deep.
            Invalid: If a subject or an event would be too large.
        """
        ...

    async def pause(self, job: Job, result: Paused) -> None:
        """Gives an execution back until later."""
        ...

    async def retry(self, job: Job, result: Failed, pause: float, policy: BreakerPolicy, *, used: bool) -> None:
        """Gives an execution back for another attempt, and counts the failure if it used up this one."""
        ...

    async def give_up(self, job: Job, result: Failed, why: GiveUp, policy: BreakerPolicy, holder: int) -> Aftermath:
        """Ends an execution as failed, makes its dead letter and tells of it."""
        ...

    async def put_back(self, execution: Execution) -> None:
        """Gives an execution back as it is stored, to be claimed again."""
        ...

    async def release(self, holder: int) -> None:
        """Gives back all that a process holds."""
        ...

    async def adopt(self) -> int:
        """Frees what processes hold that are gone, and returns how much."""
        ...
