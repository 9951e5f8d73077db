"""Calls a plug-in with deadlines and repeats; what it answers is checked against the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from google.protobuf.message import Message
from sutler.errors import Conflict, DeadlineExceeded, Invalid, SutlerError
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.resilience import retry
from sutler.validation import validate_message, validate_open_data

from services.provider.adapters.plugin.faults import TRANSIENT, UNKNOWN_OUTCOME, broken

M = TypeVar("M", bound=Message)
Reach = Callable[[], Awaitable[Any]]
"""Gives a stub of the plug-in; nothing need be there yet."""

ATTEMPTS = 3
PATIENCE_SECONDS = 5.0
MAX_KEYS = 10_000


class PluginCalls:
    """Calls one plug-in.

    Args:
        type: Its type.
        reach: Gives a stub of it.
        seconds: How long one call may take.
    """

    def __init__(self, type: str, reach: Reach, seconds: float) -> None:
        self.type = type
        self.seconds = seconds
        self._reach = reach
        self._attempts: dict[str, int] = {}

    async def ask(self, method: str, request: Any, *, attempts: int = ATTEMPTS) -> Any:
        """Returns the answer to a call with one; transient errors are repeated under the same key.

        Raises:
            SutlerError: What the plug-in says, or Internal if it breaks its contract (PLUGIN_INVALID).
        """

        async def once() -> Any:
            self._count(request.call)
            try:
                async with asyncio.timeout(self.seconds):
                    stub = await self._reach()
                    return self._sound(method, await getattr(stub, method)(request, timeout=self.seconds))
            except TimeoutError as error:
                raise self._late(method) from error
            except Conflict as error:
                if error.reason == UNKNOWN_OUTCOME:
                    raise _NotRepeated(error) from error
                raise

        try:
            answer = await retry(
                once, attempts=attempts, seconds=2 * self.seconds, patience=PATIENCE_SECONDS, on=TRANSIENT
            )
        except _NotRepeated as final:
            raise final.error from final
        self._attempts.pop(request.call.idempotency_key, None)
        return answer

    async def provision(self, request: pb.ProvisionRequest) -> AsyncIterator[pb.ProvisionResponse]:
        """Yields what a plug-in says while it starts machines; raises as :meth:`ask`, and is repeated by its caller."""
        self._count(request.call)
        try:
            async with asyncio.timeout(self.seconds):
                stub = await self._reach()
                async with aclosing(stub.Provision(request, timeout=self.seconds)) as said:
                    async for response in said:
                        yield self._sound("Provision", response)
        except TimeoutError as error:
            raise self._late("Provision") from error
        self._attempts.pop(request.call.idempotency_key, None)

    def _count(self, call: pb.PluginCall) -> None:
        """Says how often a call with this key was begun."""
        if len(self._attempts) >= MAX_KEYS:
            self._attempts.pop(next(iter(self._attempts)))
        call.attempt = self._attempts[call.idempotency_key] = self._attempts.get(call.idempotency_key, 0) + 1

    def _sound(self, method: str, answer: M) -> M:
        try:
            validate_message(answer)
            validate_open_data(answer)
        except Invalid as error:
            raise broken(self.type, method, error.message[:500]) from error
        return answer

    def _late(self, method: str) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the plug-in of type {self.type} did not end {method} within {self.seconds:g} s",
            metadata={"type": self.type, "method": method},
        )


class _NotRepeated(Exception):
    """Keeps an error from being tried again.

    Args:
        error: The error.
    """

    def __init__(self, error: SutlerError) -> None:
        super().__init__(error.message)
        self.error = error
