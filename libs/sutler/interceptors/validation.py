"""Seventh: refuses a message that breaks a rule of its contract, with every violation at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from google.protobuf.message import Message

from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method
from sutler.validation import validate_message, validate_open_data

QUICK_BYTES = 65_536
"""Up to which size a request with one response is validated on the event loop; a larger one may take long, and is
validated in a thread."""


REPEATED_BYTES = 256
REPEATED = 4096
"""Small requests that change nothing are asked again and again; so many of each method are known to be valid, because
no rule of a contract depends on anything but the message."""


class ValidationInterceptor:
    """Validates requests, each message of a request stream as it is read."""

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""
        if not method.area:
            return handler

        valid: set[bytes] = set()

        async def patient(request: Any, context: Context) -> Any:
            await asyncio.to_thread(_validate, request)
            return await handler(request, context)

        def call(request: Any, context: Context) -> Awaitable[Any]:
            size = request.ByteSize()
            if size > QUICK_BYTES:
                return patient(request, context)
            if method.mutating or size > REPEATED_BYTES:
                _validate(request)
                return handler(request, context)
            data = request.SerializeToString()
            if data not in valid:
                _validate(request)
                if len(valid) == REPEATED:
                    valid.clear()
                valid.add(data)
            return handler(request, context)

        def streaming(requests: Any, context: Context) -> Awaitable[Any]:
            return handler(_checked_stream(requests), context)

        return streaming if method.request_streaming else call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses."""
        if not method.area:
            return handler

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async for response in handler(_checked(method, request), context):
                yield response

        return call


def _checked(method: Method, request: Any) -> Any:
    if method.request_streaming:
        return _checked_stream(request)
    _validate(request)
    return request


async def _checked_stream(requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    async for request in requests:
        _validate(request)
        yield request


def _validate(message: Message) -> None:
    validate_message(message)
    validate_open_data(message)
