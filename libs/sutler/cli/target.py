"""Where and as whom commands work, and what is wrong if nothing answers there."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sutler import headers
from sutler.cli.screen import Failed, Misused
from sutler.client import Sutler, connect
from sutler.client.connection import services
from sutler.errors import Unavailable, Unimplemented

PROBE_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""How long a command may wait, without a word, for an attempt that an error asks for."""

REMEDY = "start it with `make run`, or name another one with --address or SUTLER_ADDRESS"

_CAUSES = {
    "Connection refused": "connection refused",
    "errors resolving": "there is no such host",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not from the CA of --ca",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: leave out --ca and SUTLER_CA",
}
"""What gRPC says of a failed connection, and what it means."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where and as whom commands work."""

    address: str
    token: str
    tenant: str
    ca: Path | None


def run(target: Target, work: Callable[[Sutler], Awaitable[None]], *, attempts: int = 4) -> None:
    """Connects and does some work.

    Raises:
        Misused: If the address or the CA cannot be used.
        Failed: If nothing answers there, or another service does.
        SutlerError: What the work raises.
    """
    _check_address(target.address)
    ca = _read_ca(target.ca) if target.ca else None

    async def session() -> None:
        async with connect(
            target.address,
            token=target.token,
            tenant=target.tenant,
            ca=ca,
            attempts=attempts,
            patience=PATIENCE_SECONDS,
        ) as client:
            try:
                await work(client)
            except Unavailable as error:
                if is_lost(client):
                    raise Failed(nothing_answers(target, error.message)) from error
                raise
            except Unimplemented as error:
                if "address" in error.metadata and (there := await served(client)):
                    raise Failed(f"{error.message}; this one serves {', '.join(there)}") from error
                raise

    asyncio.run(session())


def run_until_stopped(target: Target, work: Callable[[Sutler], Awaitable[None]]) -> None:
    """Does work that ends with Ctrl-C, which is no failure. Raises as :func:`run`."""
    with suppress(KeyboardInterrupt):
        run(target, work)


def is_lost(client: Sutler) -> bool:
    """Returns whether a client whose call failed has no connection at all."""
    broken = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.CONNECTING)
    return client.channel.get_state() in broken


async def served(client: Sutler) -> list[str]:
    """Returns the services of the contracts that are behind a client's address and serve."""
    stub = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]
    found = []
    for area, service in services().items():
        request = health_pb2.HealthCheckRequest(service=service.full_name)
        with suppress(grpc.aio.AioRpcError):
            answer = await stub.Check(request, timeout=PROBE_SECONDS, metadata=[(headers.AREA, area)])
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                found.append(service.full_name)
    return found


def nothing_answers(target: Target, cause: str) -> str:
    """Returns what to tell of a connection that cannot be made.

    Args:
        target: Where to.
        cause: What gRPC said.
    """
    known = next((meaning for text, meaning in _CAUSES.items() if text in cause), "")
    if not known and target.ca is None and _speaks_tls(target.address):
        known = "it speaks TLS: name its CA with --ca or SUTLER_CA"
    return f"nothing answers at {target.address} ({known or cause}): {REMEDY}"


def _speaks_tls(address: str) -> bool:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS) as plain:
            context.wrap_socket(plain).close()
    except OSError:
        return False
    return True


def _check_address(address: str) -> None:
    scheme, _, rest = address.rpartition("://")
    if scheme in ("http", "https"):
        tls = ", and the CA with --ca" if scheme == "https" else ""
        raise Misused(f"{address}: give host:port without {scheme}://, such as {rest.partition('/')[0]}{tls}")
    if not re.search(r":\d+$", address) and not address.startswith("unix:"):
        raise Misused(f"{address!r}: give host:port, such as 127.0.0.1:8080")


def _read_ca(path: Path) -> bytes:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise Misused(f"--ca {path} holds no certificate in PEM form") from error
    except OSError as error:
        raise Misused(f"--ca {path} cannot be read: {error.strerror}") from error
    return path.read_bytes()
