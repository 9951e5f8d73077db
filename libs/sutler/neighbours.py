"""Connections from service to service: with its own token, on behalf of whoever caused the call, without retries."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.errors import FailedPrecondition, Unavailable
from sutler.health import Check
from sutler.settings import ServerSettings
from sutler.tls import read

TOKEN_SECONDS = 3600


@asynccontextmanager
async def neighbour(
    settings: ServerSettings, area: str, address: str, *, trusted: bool = True
) -> AsyncIterator[Sutler]:
    """Connects the service of ``area`` to another one at ``address``; nothing need be there yet.

    One that is not trusted gets neither this service's token nor the name of whoever caused a call.

    Raises:
        FailedPrecondition: If the file of ``neighbour_ca`` cannot be read, or calls would carry no token though this
            service takes none without.
    """
    ca = read("neighbour_ca", settings.neighbour_ca) if settings.neighbour_ca else None
    token = service_token(settings, area) if trusted else ""
    async with connect(address, token=token, ca=ca, attempts=1, behalf=trusted) as connection:
        yield connection


def service_token(settings: ServerSettings, area: str) -> Callable[[], str]:
    """Returns what gives a service's own token: the configured one, or a fresh one from the shared secret.

    Raises:
        FailedPrecondition: If calls would carry no token though this service takes none without.
    """
    fixed, secret = settings.service_token.get_secret_value(), settings.auth_secret.get_secret_value()
    if settings.auth_jwks and not fixed:
        raise FailedPrecondition(
            "calls to other services need a token: set service_token to one that the keys of auth_jwks verify",
            metadata={"setting": "service_token"},
        )
    if fixed or not secret:
        return lambda: fixed
    token, renew_at = "", 0.0

    def fresh() -> str:
        nonlocal token, renew_at
        if time.time() >= renew_at:
            token = make_token(
                secret,
                f"service:{area}",
                lifetime_seconds=2 * TOKEN_SECONDS,
                issuer=settings.auth_issuer,
                audience=settings.auth_audience,
                service=True,
            )
            renew_at = time.time() + TOKEN_SECONDS
        return token

    return fresh


def is_serving(connection: Sutler, name: str) -> Check:
    """Returns a health check that passes while the service at the other end of a connection serves."""
    stub = health_pb2_grpc.HealthStub(connection.channel)  # type: ignore[no-untyped-call]

    async def check() -> None:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{name} does not answer", metadata={"dependency": name}) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"{name} is not serving", metadata={"dependency": name})

    return check
