"""Outermost on ``native``: knows when no call is in progress, so that its answers can leave before it closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method


class ProgressInterceptor:
    """Counts the calls in progress.

    Attributes:
        idle: Set while there are none.
    """

    def __init__(self) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._count = 0

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""

        async def call(request: Any, context: Context) -> Any:
            self._begin()
            try:
                return await handler(request, context)
            finally:
                self._end()

        return call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses."""

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            self._begin()
            try:
                async for response in handler(request, context):
                    yield response
            finally:
                self._end()

        return call

    def _begin(self) -> None:
        self._count += 1
        self.idle.clear()

    def _end(self) -> None:
        self._count -= 1
        if not self._count:
            self.idle.set()
