"""Calls gRPC methods in the name of the principals that wrote the rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from sutler.client import Sutler
from sutler.context import Call, Principal, current, set_current
from sutler.errors import Invalid, Unimplemented
from sutler.neighbours import neighbour
from sutler.settings import ServerSettings

from services.rule.adapters.methods import Methods, message_class, parse_request
from services.rule.adapters.targets import Place, Target
from services.rule.definitions import CallMethod

IDEMPOTENCY_KEY = "x-idempotency-key"


class GrpcCaller:
    """Calls methods. See :class:`services.rule.ports.Caller`.

    Args:
        methods: The methods that rules may call.
        connections: A connection for each place.
    """

    def __init__(self, methods: Methods, connections: Mapping[Place, Sutler]) -> None:
        self._methods = methods
        self._connections = connections
        self._stubs: dict[tuple[Place, str], tuple[ServiceDescriptor, Any]] = {}

    async def call(self, do: CallMethod, *, key: str, behalf: Principal, correlation_id: str, timeout: float) -> Any:
        """Makes a call and returns its answer in proto JSON form."""
        try:
            target, method = await self._methods.find(do)
            request = parse_request(method, do.request, key)
        except Invalid:
            self._methods.forget(do)
            target, method = await self._methods.find(do)
            request = parse_request(method, do.request, key)
        stub = self._stub(target.place, method.containing_service)
        before = current()
        set_current(Call(before.method, behalf, behalf.tenant, correlation_id))
        try:
            answer: Message = await getattr(stub, method.name)(
                request, timeout=timeout, metadata={IDEMPOTENCY_KEY: key}
            )
        except Unimplemented:
            self._methods.forget(do)
            raise
        finally:
            set_current(before)
        return json_format.MessageToDict(answer, descriptor_pool=method.output_type.file.pool)

    def _stub(self, place: Place, service: ServiceDescriptor) -> Any:
        key = (place, service.full_name)
        known, stub = self._stubs.get(key, (None, None))
        if known is not service:
            stub = self._connections[place].stub(service, lambda channel: _raw(channel, service))
            self._stubs[key] = (service, stub)
        return stub


def _raw(channel: grpc.aio.Channel, service: ServiceDescriptor) -> SimpleNamespace:
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
async def connections(settings: ServerSettings, targets: Collection[Target]) -> AsyncIterator[dict[Place, Sutler]]:
    """Connects to the places of targets; nothing need be there yet."""
    async with AsyncExitStack() as stack:
        yield {
            place: await stack.enter_async_context(neighbour(settings, "rule", place[0], trusted=place[1]))
            for place in {target.place for target in targets}
        }
