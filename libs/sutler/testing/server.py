"""A service in the process of the test, on a free port, with a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.server import App, Running, running
from sutler.settings import ServerSettings

QUICK: dict[str, Any] = {"port": 0, "drain_pause_seconds": 0.0, "drain_seconds": 5.0, "log_level": "error"}
"""What differs from a service's own defaults: it stops at once, and logs errors only."""


@asynccontextmanager
async def serve(
    app: App,
    settings: type[ServerSettings],
    *,
    token: str | None = None,
    tenant: str = "",
    attempts: int = 1,
    **overrides: Any,
) -> AsyncIterator[tuple[Sutler, Running]]:
    """Runs a service until the block ends; yields a client that is connected to it, and the server.

    Args:
        app: The service's composition root.
        settings: The class of its settings.
        token: The client's bearer token. If None, and the settings hold ``auth_secret``, one that may do everything.
        tenant: The tenant that the client acts for.
        attempts: How often the client makes a call that ends with UNAVAILABLE.
        **overrides: Settings by name.

    Raises:
        ValidationError: If the settings are not usable.
        SutlerError: If the service cannot run.
    """
    made = settings(**{**QUICK, **overrides})
    secret = made.auth_secret.get_secret_value()
    if token is None:
        token = make_token(secret, "user:test", audience=made.auth_audience, issuer=made.auth_issuer) if secret else ""
    ca = made.neighbour_ca.read_bytes() if made.encrypted and made.neighbour_ca else None
    async with (
        running(app, made, area_of(settings)) as server,
        connect(server.address, token=token, tenant=tenant, ca=ca, attempts=attempts) as client,
    ):
        yield client, server


def area_of(settings: type[ServerSettings]) -> str:
    """Returns the API that settings belong to: ``cache`` for the prefix ``SUTLER_CACHE_``."""
    return str(settings.model_config["env_prefix"]).removeprefix("SUTLER_").rstrip("_").lower()
