"""One channel to the gateway, or to a service, and a typed stub for each API."""

from __future__ import annotations

import importlib
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import grpc
from google.longrunning.operations_pb2 import Operation
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from sutler.client import operations
from sutler.client.calls import CallOptions, Stub
from sutler.contracts import modules
from sutler.errors import invalid

if TYPE_CHECKING:
    from sutler.cache.v1 import cache_pb2_grpc
    from sutler.erp.v1 import erp_pb2_grpc
    from sutler.provider.v1 import provider_pb2_grpc
    from sutler.resource.v1 import handler_pb2_grpc, resource_pb2_grpc
    from sutler.rule.v1 import rule_pb2_grpc

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


STUBS = {
    "resources": "sutler.resource.v1.ResourceService",
    "cache": "sutler.cache.v1.CacheService",
    "erp": "sutler.erp.v1.ErpGateway",
    "rules": "sutler.rule.v1.RuleService",
    "providers": "sutler.provider.v1.ProviderService",
    "handler": "sutler.resource.v1.ResourceHandler",
}
"""The services with a typed attribute of :class:`Sutler`; any other has :meth:`Sutler.stub`."""


@cache
def services() -> Mapping[str, ServiceDescriptor]:
    """Returns the service of each area by the contracts: the one of ``sutler/<area>/v1/<area>.proto``."""
    found = {}
    for module in modules():
        _, area, _, file = module.__name__.split(".")
        for service in module.DESCRIPTOR.services_by_name.values():
            if file == f"{area}_pb2":
                found[area] = service
    return found


def _generated(service: ServiceDescriptor) -> Callable[[grpc.aio.Channel], Any]:
    """Returns the generated stub of a service of the contracts."""
    module = importlib.import_module(service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc")
    made: Callable[[grpc.aio.Channel], Any] = getattr(module, f"{service.name}Stub")
    return made


class Sutler:
    """The APIs over one channel.

    Attributes:
        resources: ResourceService.
        cache: CacheService.
        erp: ErpGateway.
        rules: RuleService.
        providers: ProviderService.
        handler: ResourceHandler, for services that call one.
        channel: The channel, for other stubs.
    """

    resources: resource_pb2_grpc.ResourceServiceStub
    cache: cache_pb2_grpc.CacheServiceStub
    erp: erp_pb2_grpc.ErpGatewayStub
    rules: rule_pb2_grpc.RuleServiceStub
    providers: provider_pb2_grpc.ProviderServiceStub
    handler: handler_pb2_grpc.ResourceHandlerStub

    def __init__(self, channel: grpc.aio.Channel, options: CallOptions) -> None:
        self.channel = channel
        self._options = options
        self._stubs: dict[str, Any] = {}

    if not TYPE_CHECKING:  # mypy knows the attributes above

        def __getattr__(self, name):
            if name not in STUBS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return self.stub(STUBS[name])

    def stub(self, service: str | ServiceDescriptor, generated: Callable[[grpc.aio.Channel], Any] | None = None) -> Any:
        """Returns a stub of any service, with this connection's deadlines, request ids and typed errors.

        Args:
            service: The full name of the service, such as ``sutler.rule.v1.RuleService``, or its descriptor.
            generated: The generated stub class; not needed for the name of a service of the contracts.

        Raises:
            KeyError: If no contract has such a service.
        """
        if isinstance(service, str):
            if generated is None and service in self._stubs:
                return self._stubs[service]
            modules()
            descriptor = descriptor_pool.Default().FindServiceByName(service)
        else:
            descriptor = service
        make = generated or _generated(descriptor)
        made = Stub(make(self.channel), descriptor.methods_by_name, self._options)
        if generated is None:
            self._stubs[descriptor.full_name] = made
        return made

    async def wait(
        self, operation: Operation, on_progress: Callable[[operations.Progress], None] | None = None
    ) -> Message:
        """Follows an operation until it is done and returns its response.

        Args:
            operation: What a call such as CreateResource answered.
            on_progress: Called for every change.

        Raises:
            SutlerError: The error that the operation ended with.
            Invalid: If no API owns an operation of this name.
        """
        collection = operation.name.partition("/")[0]
        service = services().get(collection.removesuffix("Operations"))
        owner = None
        if collection.endswith("Operations") and service and "WatchOperation" in service.methods_by_name:
            owner = self.stub(service.full_name)
        if owner is None and not operation.done:
            raise invalid("operation.name", f"{operation.name!r} is no operation of a Sutler service")
        return await operations.wait(owner, operation, on_progress)


@asynccontextmanager
async def connect(
    address: str,
    *,
    token: str | Callable[[], str] = "",
    tenant: str = "",
    ca: bytes | None = None,
    timeout: float = 30.0,
    attempts: int = 4,
    behalf: bool = False,
    patience: float = math.inf,
) -> AsyncIterator[Sutler]:
    """Connects to a gateway or a service.

    Args:
        address: ``host:port``.
        token: The bearer token, or what gives it for each call; with or without ``Bearer``.
        tenant: The tenant to act for, if it is not the token's.
        ca: The CA to trust (PEM); with it the connection uses TLS.
        timeout: Seconds for calls that do not name their own.
        attempts: How often a call that ends with UNAVAILABLE is made in all.
        behalf: Sends the current call's principal along; for services that call services.
        patience: The most seconds that a call waits for its next attempt because an error asks for it, such as while
            the breaker of an ERP is open; an error that asks for more is raised at once.

    Raises:
        Invalid: If the address is a URL.
    """
    scheme, _, rest = address.rpartition("://")
    if scheme in ("http", "https"):
        tls = "; TLS is what ca= turns on" if scheme == "https" else ""
        raise invalid("address", f"{address} is a URL: give host:port, such as {rest.partition('/')[0]}{tls}")
    options = CallOptions(
        token if callable(token) else lambda: token, tenant, timeout, attempts, behalf, patience, address
    )
    if ca is not None:
        credentials = grpc.ssl_channel_credentials(ca)
        channel = grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
    else:
        channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    async with channel:
        yield Sutler(channel, options)
