"""What rules may call outside of this service, whatever its protocol is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sutler.context import Principal
from sutler.errors import Violation

from services.rule.adapters.calls import GrpcCaller
from services.rule.adapters.http import HttpCaller
from services.rule.adapters.methods import Methods
from services.rule.definitions import OutsideCall
from services.rule.http_requests import HttpRequest


class EveryProtocol:
    """Both of :class:`services.rule.ports.Outside` and :class:`services.rule.ports.Caller`.

    Args:
        methods: The methods that rules may call.
        grpc: Calls them.
        http: Makes HTTP requests.
    """

    def __init__(self, methods: Methods, grpc: GrpcCaller, http: HttpCaller) -> None:
        self._methods = methods
        self._grpc = grpc
        self._http = http

    async def check(self, do: OutsideCall, field: str, tenant: str) -> Sequence[Violation]:
        """Returns what is wrong with a call."""
        if isinstance(do, HttpRequest):
            return self._http.check(do, field, tenant)
        return await self._methods.check(do, field)

    def permission(self, do: OutsideCall) -> str:
        """Returns the permission that a call needs."""
        return "" if isinstance(do, HttpRequest) else self._methods.permission(do)

    async def call(self, do: OutsideCall, *, key: str, behalf: Principal, correlation_id: str, timeout: float) -> Any:
        """Makes a call and returns its answer."""
        if isinstance(do, HttpRequest):
            return await self._http.call(do, key=key, tenant=behalf.tenant, timeout=timeout)
        return await self._grpc.call(do, key=key, behalf=behalf, correlation_id=correlation_id, timeout=timeout)
