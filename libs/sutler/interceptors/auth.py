"""Fifth: knows the caller and refuses what the token does not grant, before anything is looked up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from sutler import headers
from sutler.auth import MAX_CACHED_TOKENS, Authenticator, authorize, decode_principal, is_granted, may_act_for
from sutler.context import Call, Principal, current
from sutler.errors import Unauthenticated
from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method

SPECIAL = frozenset((headers.TENANT, headers.ON_BEHALF_OF))
"""Headers that change whose call it is."""


class AuthInterceptor:
    """Checks the bearer token and the method's permission.

    Args:
        authenticator: Verifies tokens; None where authentication is off, which the server allows on loopback only.
    """

    def __init__(self, authenticator: Authenticator | None) -> None:
        self._authenticator = authenticator

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""

        known: dict[str | bytes | None, tuple[float, Principal]] = {}

        async def call(request: Any, context: Context) -> Any:
            this = current()
            sent = this.headers
            found = known.get(sent.get("authorization"))
            if found and found[0] > time.time() and not SPECIAL & sent.keys():
                this.principal = found[1]
                this.tenant = found[1].tenant
                return await handler(request, context)
            allowed = await self._allowed(method, request)
            self._remember(known, method, this)
            return await handler(allowed, context)

        return handler if method.open else call

    def _remember(self, known: dict[str | bytes | None, tuple[float, Principal]], method: Method, call: Call) -> None:
        """Keeps a token whose bearer may call the method whatever the request says, so that a look-up is enough."""
        if self._authenticator is None or SPECIAL & call.headers.keys():
            return
        if is_granted(call.principal.grants, method.permission, ()) or not method.permission:
            if len(known) >= MAX_CACHED_TOKENS:
                known.clear()
            header = call.header("authorization")
            known[header] = (self._authenticator.expire_time(header.partition(" ")[2]), call.principal)

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses."""

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            allowed = await self._allowed(method, request)
            this = current()
            async for response in handler(allowed, context):
                await self._check_again(this)
                yield response

        return handler if method.open else call

    async def _check_again(self, call: Call) -> None:
        """Ends a stream that outlives its token: one that has expired, or whose key is withdrawn."""
        if self._authenticator is None:
            return
        token = call.header("authorization").partition(" ")[2]
        if self._authenticator.expire_time(token) <= time.time():
            await self._authenticator.principal(token)

    async def _allowed(self, method: Method, request: Any) -> Any:
        """Sets the caller, and returns the request, or the stream with a check before each message."""
        call = current()
        await self._identify(call, method)
        if self._authenticator is None:
            return request
        if method.request_streaming:
            authorize(call.principal, method.permission, None)
            return _allowed_stream(call, method, request)
        authorize(call.principal, method.permission, None if method.deferred else method.targets(request))
        return request

    async def _identify(self, call: Call, method: Method) -> None:
        if self._authenticator is not None:
            scheme, _, token = call.header("authorization").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated(
                    "no token came with the call; send the header 'authorization: Bearer …'",
                    reason="CREDENTIALS_MISSING",
                )
            call.principal = await self._authenticator.principal(token, call.header(headers.ON_BEHALF_OF))
        elif call.header(headers.ON_BEHALF_OF):
            behind = decode_principal(call.header(headers.ON_BEHALF_OF))
            call.principal = replace(call.principal, tenant=behind.tenant, on_behalf_of=behind)
        call.tenant = call.principal.tenant
        wanted = call.header(headers.TENANT)
        if wanted and wanted != call.tenant:
            may_act_for(call.principal, method.area, wanted)
            call.tenant = wanted


async def _allowed_stream(call: Call, method: Method, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Yields messages that are allowed: the first must name what the stream is about, others may go on with that."""
    first = True
    async for request in requests:
        targets = method.targets(request)
        if first or any(targets):
            authorize(call.principal, method.permission, targets)
        first = False
        yield request
