"""Third: turns every exception into a ``google.rpc.Status`` with details, and lets nothing unknown out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc

from sutler import headers
from sutler.context import current
from sutler.errors import Code
from sutler.incidents import known
from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method
from sutler.status import to_status
from sutler.trailers import sendable

GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ErrorInterceptor:
    """Ends a failing call with the status that its exception stands for.

    Args:
        area: The API that this server serves; its error domain is ``<area>.sutler.dev``.
    """

    def __init__(self, area: str) -> None:
        self._domain = f"{area}.sutler.dev"

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""

        async def call(request: Any, context: Context) -> Any:
            try:
                return await handler(request, context)
            except BaseException as error:
                await self._end(error, context)

        return call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses; an error after the first response is treated alike."""

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async for response in handler(request, context):
                    yield response
            except GeneratorExit:
                raise
            except BaseException as error:
                await self._end(error, context)

        return call

    async def _end(self, error: BaseException, context: Context) -> NoReturn:
        call = current()
        if isinstance(error, grpc.aio.AbortError):
            call.code = call.code or int(Code.UNKNOWN)
            raise error
        told = known(error, call)
        call.code, call.reason = int(told.code), told.reason
        if isinstance(error, asyncio.CancelledError):
            raise error
        status = sendable(to_status(told, self._domain, call.correlation_id))
        trailers = ((headers.STATUS, status.SerializeToString()), (headers.CORRELATION, call.correlation_id))
        await context.abort(GRPC_CODES[int(told.code)], status.message, trailing_metadata=trailers)
        raise AssertionError("abort returned")
