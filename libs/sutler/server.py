"""Serves one Sutler service: listening, interceptors, health, reflection, signals, drain."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import time
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from grpc_channelz.v1 import channelz_pb2_grpc
from grpc_channelz.v1._async import ChannelzServicer
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from sutler.auth import Authenticator, make_keys
from sutler.contracts import service_names
from sutler.errors import Unavailable
from sutler.health import Check, HealthMonitor
from sutler.interceptors.auth import AuthInterceptor
from sutler.interceptors.chain import Chain, Interceptor
from sutler.interceptors.conditions import ConditionInterceptor
from sutler.interceptors.context import ContextInterceptor
from sutler.interceptors.decoding import DecodingInterceptor
from sutler.interceptors.errors import ErrorInterceptor
from sutler.interceptors.idempotency import Answers, IdempotencyInterceptor, Permit
from sutler.interceptors.progress import ProgressInterceptor
from sutler.interceptors.telemetry import TelemetryInterceptor
from sutler.interceptors.validation import ValidationInterceptor
from sutler.reflection import Reflected
from sutler.settings import ServerSettings
from sutler.telemetry import Telemetry, telemetry
from sutler.tls import server_credentials
from sutler.unimplemented import Complete

log = structlog.get_logger("sutler.server")

FLUSH_SECONDS = 0.05
"""How long native gets to send the last answers."""

NEW_OBJECTS = 10_000
"""After so many new containers the garbage collector looks at the young ones."""

SWITCH_SECONDS = 0.0005
"""For how long a busy thread may keep the interpreter from the others."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
KEEPALIVE_MS = 30_000
MIN_PING_MS = 5_000

AHEAD_BYTES = 2 << 20
"""How much of a request stream is received before it is read. Left to itself, gRPC lets that grow with the time that a
busy server takes to answer its probes: to more than 100 MiB for one stream."""

Servicer = tuple[Callable[[Any, Any], None], Any]
"""The generated ``add_…Servicer_to_server`` and the servicer."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a service gets from the server that runs it.

    Attributes:
        shutdown: Set when the process is asked to stop; endless streams end with UNAVAILABLE then.
        telemetry: Makes instruments and spans.
    """

    shutdown: asyncio.Event
    telemetry: Telemetry


@dataclass(frozen=True, slots=True)
class Service:
    """What a composition root hands to the server.

    Attributes:
        area: The API, such as ``cache``.
        servicers: Full service name to its servicer.
        needed: Checks of the adapters without which no call can succeed.
        neighbours: Checks of other services, told in health.
        answers: Where first answers of repeated requests are remembered; None if nowhere.
        permit: Who may have them; None for whoever may call the method with the request.
    """

    area: str
    servicers: Mapping[str, Servicer]
    needed: Mapping[str, Check] = field(default_factory=dict)
    neighbours: Mapping[str, Check] = field(default_factory=dict)
    answers: Answers | None = None
    permit: Permit | None = None


App = Callable[[Any, Runtime], AbstractAsyncContextManager[Service]]
"""A composition root: settings and runtime to a running service."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts calls.

    Attributes:
        port: Where it listens.
        address: ``host:port`` for clients.
        health: Its health.
    """

    port: int
    address: str
    health: HealthMonitor


@asynccontextmanager
async def running(app: App, settings: ServerSettings, area: str) -> AsyncIterator[Running]:
    """Runs a service until the block ends, then drains it: running calls may end, and new ones are refused (on native
    only when the running ones have ended, so that a load balancer must leave it out before).

    Raises:
        Unavailable: If the port is in use.
        SutlerError: Whatever the composition root raises, such as a damaged store.
    """
    shutdown = asyncio.Event()
    with telemetry(settings, area) as tools:
        async with app(settings, Runtime(shutdown, tools)) as service:
            monitor = HealthMonitor(list(service.servicers), service.needed, service.neighbours)
            calls = ProgressInterceptor() if settings.transport == "native" else None
            server = make_server(service, settings, tools, monitor, calls)
            port = listen(server, settings)
            await monitor.update()
            await server.start()
            checks = asyncio.create_task(monitor.run())
            try:
                yield Running(port, address_of(settings.host, port), monitor)
            finally:
                await monitor.drain()
                shutdown.set()
                await asyncio.sleep(settings.drain_pause_seconds)
                ends = time.monotonic() + settings.drain_seconds
                if calls is not None:
                    await answered(calls, settings.drain_seconds)
                await server.stop(max(0.0, ends - time.monotonic()))
                checks.cancel()


async def answered(calls: ProgressInterceptor, seconds: float) -> None:
    """Waits until the running calls are answered: native closes its connections when the last handler has returned,
    and what it returned may still be on its way.

    Args:
        calls: Knows when none is in progress.
        seconds: How long to wait for that at the most.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await calls.idle.wait()
    await asyncio.sleep(FLUSH_SECONDS)


def make_server(
    service: Service,
    settings: ServerSettings,
    tools: Telemetry,
    monitor: HealthMonitor,
    calls: ProgressInterceptor | None = None,
) -> grpc.aio.Server:
    """Returns a server with all interceptors, health, reflection of all contracts and, on grpcio, channelz."""
    keys = make_keys(jwks=settings.auth_jwks, secret=settings.auth_secret.get_secret_value())
    authenticator = (
        Authenticator(keys, issuer=settings.auth_issuer, audience=settings.auth_audience) if keys is not None else None
    )
    interceptors: list[Interceptor] = [
        *([calls] if calls is not None else []),
        ContextInterceptor(),
        TelemetryInterceptor(tools),
        ErrorInterceptor(service.area),
        DecodingInterceptor(),
        AuthInterceptor(authenticator),
        ConditionInterceptor(),
        ValidationInterceptor(),
        IdempotencyInterceptor(service.answers, service.permit),
    ]
    options = [
        ("grpc.so_reuseport", int(settings.workers > 1 and settings.worker_ports == "shared")),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", AHEAD_BYTES),
    ]
    server = _engine(settings.transport)(options=options)
    chain = Chain(server, interceptors, area=service.area, registered=settings.transport == "native")
    for name, (add, servicer) in service.servicers.items():
        add(Complete(servicer, name), chain)
    health_pb2_grpc.add_HealthServicer_to_server(monitor.servicer, chain)  # type: ignore[no-untyped-call]
    names = [*service_names(), health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer(names, Reflected()), chain)  # type: ignore[no-untyped-call]
    if settings.transport == "grpcio":
        channelz_pb2_grpc.add_ChannelzServicer_to_server(ChannelzServicer(), chain)  # type: ignore[no-untyped-call]
    return server


def _engine(transport: str) -> Callable[..., grpc.aio.Server]:
    if transport == "grpcio":
        return grpc.aio.server
    try:
        import pygrpc_native.aio
    except ImportError as error:
        raise Unavailable(
            "transport native needs the extra: pip install 'sutler[native]'", metadata={"extra": "native"}
        ) from error
    return pygrpc_native.aio.server


def listen(server: grpc.aio.Server, settings: ServerSettings) -> int:
    """Binds the port, with TLS where it is configured, and returns its number.

    Raises:
        Unavailable: If the port is in use, or the address is none of this machine.
        FailedPrecondition: If a certificate or key is not usable.
    """
    address = address_of(settings.host, settings.port)
    credentials = server_credentials(settings) if settings.encrypted else None
    try:
        _probe(settings)
        if credentials is not None:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except (OSError, RuntimeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "gRPC refuses it"
        raise Unavailable(
            f"cannot listen on {address} ({cause}): end the process that has the port, or choose another one",
            metadata={"address": address},
        ) from error


def address_of(host: str, port: int) -> str:
    """Returns ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith(("[", "unix:")) else f"{host}:{port}"


def _probe(settings: ServerSettings) -> None:
    """Binds the port with a plain socket first: its error says why, and gRPC writes its own to standard error."""
    host = settings.host.strip("[]")
    family, kind, protocol, _, where = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.workers > 1 and settings.worker_ports == "shared":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(where)


def _tune() -> None:
    """Fits the interpreter to a server.

    A call makes some hundred containers and few cycles. With CPython's default, a collection for each 700 new
    containers, a fifth of the time went into looking through a heap where nothing was to be found; so it looks less
    often, and not at what lives as long as the process. And a thread that comes back from the database, which it does
    after each statement, waits less than the default 5 ms for the interpreter while the event loop is busy.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 20)
    sys.setswitchinterval(SWITCH_SECONDS)


async def serve(app: App, settings: ServerSettings, area: str) -> None:
    """Serves until SIGTERM or SIGINT, then drains.

    Raises:
        Unavailable: If work behind the calls has ended, so that the process must begin anew.
        SutlerError: What :func:`running` raises.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(app, settings, area) as server:
        _tune()
        log.info("serving", area=area, address=server.address, transport=settings.transport, tls=settings.encrypted)
        ended = server.health.ended
        await asyncio.wait([asyncio.create_task(each.wait()) for each in (stop, ended)], return_when=FIRST_COMPLETED)
        log.info("stopping", area=area)
    if ended.is_set() and not stop.is_set():
        raise Unavailable("work behind the calls has ended unexpectedly, see the log: the process must begin anew")
