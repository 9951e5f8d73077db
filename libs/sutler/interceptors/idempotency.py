"""Eighth: answers a repeated change with the first answer, and lets a repeat that arrives meanwhile wait for it.

The interceptor only looks up and waits. What makes the promise hold is that the store writes the record in the same
transaction as the change: a servicer hands :func:`once` down to the domain, and the adapter gives it to
:func:`sutler.store.requests.remember`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from typing import Any, Protocol

from google.protobuf.message import Message

from sutler.context import current
from sutler.errors import DeadlineExceeded, Invalid, SutlerError
from sutler.idempotency import Once, RequestRepeated
from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method

Key = tuple[str, str, str]

Permit = Callable[[Any], Awaitable[None]]
"""Refuses the first answer to a caller who repeats a request and may not see what the answer tells."""


class Answers(Protocol):
    """Where first answers are remembered.

    Attributes:
        late: The methods whose calls have no effect but the change that remembers the answer. A repeat runs into that,
            so their first answers are looked up only then, which spares all others the look.
        cancellable: The methods whose calls mostly wait, recognise a repeat themselves and undo what nobody waits for
            any more: their calls end with their callers.
    """

    late: Collection[str]
    cancellable: Collection[str]

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of the request and the serialised answer, or None."""
        ...


_pending: ContextVar[tuple[Key, bytes] | None] = ContextVar("sutler_request", default=None)


def once(encode: Callable[[Any], Message]) -> Once | None:
    """Returns what the store needs to remember this call's answer; None if the call has no ``request_id``.

    Args:
        encode: Makes the response from what the change returns.
    """
    pending = _pending.get()
    if pending is None:
        return None
    (tenant, method, request_id), digest = pending
    return Once(tenant, method, request_id, digest, lambda result: encode(result).SerializeToString())


class IdempotencyInterceptor:
    """Looks repeated requests up, and shields a change from its caller's cancellation once it has begun.

    Args:
        answers: Where the service's store remembers them; None for a service that keeps none.
        permit: Checks before a first answer is given what only handlers check else; None where they check nothing.
    """

    def __init__(self, answers: Answers | None, permit: Permit | None = None) -> None:
        self._answers = answers
        self._permit = permit
        self._running: dict[Key, tuple[bytes, asyncio.Task[Any]]] = {}

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response; those that change nothing, or may be cancelled, stay as they are."""
        if not method.mutating or method.request_streaming:
            return handler
        if self._answers is not None and method.path in self._answers.cancellable:
            return handler

        async def call(request: Any, context: Context) -> Any:
            again = True
            while True:
                work, joined = self._answer(method, request, lambda: handler(request, context))
                if joined and self._permit is not None:
                    await self._permit(request)
                try:
                    return await asyncio.shield(work)
                except DeadlineExceeded:
                    if not (joined and again):  # else it was the other caller's deadline
                        raise
                    again = False

        return call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Returns the handler: streams that change things say in their contract how repeats behave."""
        return handler

    def _answer(
        self, method: Method, request: Any, handle: Callable[[], Awaitable[Any]]
    ) -> tuple[asyncio.Task[Any], bool]:
        """Returns the task that answers a request, and whether it was begun for another caller."""
        request_id: str = request.request_id
        if self._answers is None or not request_id or getattr(request, "validate_only", False):
            return asyncio.ensure_future(_run(handle)), False
        key = (current().tenant, method.path, request_id.lower())
        digest = _digest(request)
        first_digest, running = self._running.get(key, (digest, None))
        if running is not None and not running.done():
            if first_digest != digest:
                raise _reused(request_id)
            return running, True
        task = asyncio.ensure_future(self._first(self._answers, method, key, digest, request, handle))
        self._running[key] = (digest, task)
        task.add_done_callback(lambda done: self._forget(key, done))
        return task, False

    def _forget(self, key: Key, task: asyncio.Task[Any]) -> None:
        if self._running.get(key, (b"", None))[1] is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()

    async def _first(
        self,
        answers: Answers,
        method: Method,
        key: Key,
        digest: bytes,
        request: Any,
        handle: Callable[[], Awaitable[Any]],
    ) -> Any:
        known = None if method.path in answers.late else await answers.find(*key)
        if known is None:
            _pending.set((key, digest))
            try:
                return await handle()
            except RequestRepeated as repeated:
                known = (repeated.first.hash, repeated.first.answer)
            except SutlerError:
                # It may have been answered, and its own change be what this one runs into.
                known = await answers.find(*key)
                if known is None:
                    raise
        if known[0] != digest:
            raise _reused(key[2])
        if self._permit is not None:
            await self._permit(request)
        return method.answer(known[1])


async def _run(handle: Callable[[], Awaitable[Any]]) -> Any:
    return await handle()


def _digest(request: Any) -> bytes:
    """Returns a hash of a request, the same for every way to write its ``request_id``."""
    if not request.request_id.islower():
        request, given = type(request)(), request
        request.CopyFrom(given)
        request.request_id = given.request_id.lower()
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def _reused(request_id: str) -> Invalid:
    return Invalid(
        f"request_id {request_id} was used before with another request; use a new one",
        reason="REQUEST_ID_REUSED",
        metadata={"request_id": request_id},
    )
