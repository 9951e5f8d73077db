"""Calls gRPC methods in the name of the principals that wrote the rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from sutler.client import Sutler
from sutler.context import Call, Principal, current, set_current
from sutler.errors import Invalid
from sutler.neighbours import neighbour
from sutler.settings import ServerSettings

from services.rule.adapters.methods import ContractMethods, message_class, parse_request
from services.rule.definitions import CallMethod

IDEMPOTENCY_KEY = "x-idempotency-key"


class GrpcCaller:
    """Calls methods. See :class:`services.rule.ports.Caller`.

    Args:
        methods: The methods that rules may call.
        connections: A connection for each address.
    """

    def __init__(self, methods: ContractMethods, connections: Mapping[str, Sutler]) -> None:
        self._methods = methods
        self._connections = connections
        self._stubs: dict[tuple[str, str], Any] = {}

    async def call(self, do: CallMethod, *, key: str, behalf: Principal, correlation_id: str, timeout: float) -> Any:
        """Makes a call and returns its answer in proto JSON form."""
        method = self._methods.find(do.method)
        if method is None:
            raise Invalid(
                f"{do.method} is not a unary method of the contracts any more; write the rule anew",
                reason="METHOD_UNKNOWN",
                metadata={"method": do.method, "target": do.target},
            )
        request = parse_request(method, do.request, key)
        stub = self._stub(self._methods.address(do), method)
        before = current()
        set_current(Call(before.method, behalf, behalf.tenant, correlation_id))
        try:
            answer: Message = await getattr(stub, method.name)(
                request, timeout=timeout, metadata={IDEMPOTENCY_KEY: key}
            )
        finally:
            set_current(before)
        return json_format.MessageToDict(answer)

    def _stub(self, address: str, method: MethodDescriptor) -> Any:
        service = method.containing_service
        place = (address, service.full_name)
        if place not in self._stubs:
            self._stubs[place] = self._connections[address].stub(
                service.full_name, lambda channel: _raw(channel, service)
            )
        return self._stubs[place]


def _raw(channel: grpc.aio.Channel, service: Any) -> SimpleNamespace:
    """Returns what a generated stub is: a callable for each method; those that stream are never called."""
    return SimpleNamespace(
        **{
            method.name: channel.unary_unary(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=message_class(method.output_type).FromString,
            )
            for method in service.methods
        }
    )


@asynccontextmanager
async def connections(settings: ServerSettings, addresses: frozenset[str]) -> AsyncIterator[dict[str, Sutler]]:
    """Connects to services; none of them need be there yet."""
    async with AsyncExitStack() as stack:
        yield {address: await stack.enter_async_context(neighbour(settings, "rule", address)) for address in addresses}
