"""First: gives every call its ids, its deadline and the :class:`~sutler.context.Call` that all others read."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from typing import Any

from sutler.context import Call, set_current
from sutler.headers import CORRELATION
from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method

MAX_CORRELATION_BYTES = 128
FOREVER_SECONDS = 10 * 365 * 86_400
"""What the native transport reports for calls without a deadline is longer than this."""


class ContextInterceptor:
    """Makes the current :class:`~sutler.context.Call` of each call."""

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""

        async def call(request: Any, context: Context) -> Any:
            set_current(_call(method.path, context))
            return await handler(request, context)

        return call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses."""

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            set_current(_call(method.path, context))
            async for response in handler(request, context):
                yield response

        return call


def _call(path: str, context: Context) -> Call:
    headers = dict(context.invocation_metadata() or ())
    left = context.time_remaining()
    return Call(
        method=path,
        correlation_id=str(headers.get(CORRELATION, ""))[:MAX_CORRELATION_BYTES] or f"{random.getrandbits(128):032x}",
        deadline=None if left is None or left > FOREVER_SECONDS else time.monotonic() + left,
        headers=headers,
    )
