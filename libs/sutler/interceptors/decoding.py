"""Fourth: refuses bytes that are no message of the contract, as it refuses any other bad request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from sutler.errors import Invalid
from sutler.interceptors.chain import Context, Malformed, Single, Stream
from sutler.methods import Method


class DecodingInterceptor:
    """Refuses :class:`~sutler.interceptors.chain.Malformed`, also in the middle of a request stream."""

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""

        def call(request: Any, context: Context) -> Awaitable[Any]:
            return handler(_readable(method, request), context)

        return call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses."""

        def call(request: Any, context: Context) -> AsyncIterator[Any]:
            return handler(_readable(method, request), context)

        return call


def _readable(method: Method, request: Any) -> Any:
    if method.request_streaming:
        return _readable_stream(method, request)
    return _checked(method, request)


async def _readable_stream(method: Method, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(method, request)


def _checked(method: Method, request: Any) -> Any:
    if isinstance(request, Malformed):
        raise Invalid(
            f"the request is no message of {method.path} ({request.cause}); send one that is made from its contract",
            metadata={"method": method.path, "cause": request.cause},
        )
    return request
