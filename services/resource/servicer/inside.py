"""Calls to this service from handlers within its process: the same checks and answers, without a connection."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any

from sutler.auth import authorize
from sutler.context import Call, current, set_current
from sutler.errors import DeadlineExceeded, SutlerError
from sutler.interceptors.chain import Single
from sutler.interceptors.idempotency import Answers, IdempotencyInterceptor
from sutler.interceptors.telemetry import TelemetryInterceptor
from sutler.interceptors.validation import ValidationInterceptor
from sutler.methods import Method, find_method
from sutler.telemetry import Telemetry

from services.resource.servicer.callers import set_origin

SERVICE = "sutler.resource.v1.ResourceService"
METHODS = ("GetResource", "CreateResource", "UpdateResource", "DeleteResource", "InvokeAction", "WaitOperation")
OWN = ("WaitOperation",)
"""Methods that need no permission here: :class:`sutler.handlers.resources.Resources`, all that a handler gets to see of
the service, waits for nothing but what the handler was allowed to begin."""


class Inside:
    """Makes stubs of this service for handlers within its process.

    Args:
        servicer: Answers.
        answers: Where first answers of repeated requests are remembered.
        telemetry: Measures and logs these calls as those that come from outside.
    """

    def __init__(self, servicer: Any, answers: Answers, telemetry: Telemetry) -> None:
        inner, outer = IdempotencyInterceptor(answers), ValidationInterceptor()
        measured = TelemetryInterceptor(telemetry)
        self._methods: dict[str, tuple[Method, Single]] = {}
        for name in METHODS:
            method = find_method(f"/{SERVICE}/{name}")
            answer = outer.single(method, inner.single(method, getattr(servicer, name)))
            self._methods[name] = (method, measured.single(method, _authorized(method, answer)))

    def stub(self, origin: str) -> Any:
        """Returns what looks like a stub, for the handler of a resource; it acts for whom the current task acts."""
        acting = current()
        return SimpleNamespace(
            **{name: partial(_call, *known, origin, acting) for name, known in self._methods.items()}
        )


def _authorized(method: Method, answer: Single) -> Single:
    """Wraps an answer for those who are permitted, and notes the error of a call for its log line."""

    async def authorized(request: Any, context: Any) -> Any:
        call = current()
        try:
            if method.path.rpartition("/")[2] not in OWN:
                authorize(call.principal, method.permission, method.targets(request))
            return await answer(request, context)
        except SutlerError as error:
            call.code, call.reason = int(error.code), error.reason
            raise

    return authorized


async def _call(
    method: Method, answer: Single, origin: str, behind: Call, request: Any, *, timeout: float = 30.0
) -> Any:
    async def served() -> Any:
        set_current(Call(method.path, behind.principal, behind.tenant, behind.correlation_id))
        set_origin(origin)
        found = await answer(request, None)  # type: ignore[arg-type]
        return method.answer(found) if isinstance(found, bytes) else found

    try:
        async with asyncio.timeout(timeout):
            return await asyncio.create_task(served())
    except TimeoutError as error:
        raise DeadlineExceeded(f"{method.path} took more than {timeout:g} s") from error
