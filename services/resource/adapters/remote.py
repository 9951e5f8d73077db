"""Handlers at the other end of a connection, at addresses from a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from sutler.client import Sutler
from sutler.errors import PermissionDenied, Unavailable

Connect = Callable[[str], AbstractAsyncContextManager[Sutler]]


class RemoteHandlers:
    """Keeps one connection to each address.

    Args:
        connect: Opens a connection to an address.
        allowed: The addresses that the operator allows.
        stack: Keeps connections open.
    """

    def __init__(self, connect: Connect, allowed: Collection[str], stack: AsyncExitStack) -> None:
        self._connect = connect
        self._allowed = frozenset(allowed)
        self._stack = stack
        self._connections: dict[str, asyncio.Future[Sutler]] = {}

    def check(self, address: str) -> None:
        """Checks that an address may be called.

        Raises:
            PermissionDenied: If it is not on the operator's list (ADDRESS_NOT_ALLOWED).
        """
        if address not in self._allowed:
            raise PermissionDenied(
                f"the operator does not allow handlers at {address}; the setting "
                "SUTLER_RESOURCE_HANDLER_ADDRESSES lists what is allowed",
                reason="ADDRESS_NOT_ALLOWED",
                metadata={"address": address},
            )

    async def stub(self, address: str) -> Any:
        """Returns a stub of the handler at an address; nothing need be there yet.

        Raises:
            Unavailable: If the address is not on the operator's list (ADDRESS_NOT_ALLOWED).
        """
        try:
            self.check(address)
        except PermissionDenied as error:
            # The operator's list has changed since the type was registered. That can be put right, so work waits.
            raise Unavailable(error.message, reason=error.reason, metadata=error.metadata) from error
        opening = self._connections.get(address)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = asyncio.ensure_future(self._stack.enter_async_context(self._connect(address)))
            self._connections[address] = opening
        return (await asyncio.shield(opening)).handler
