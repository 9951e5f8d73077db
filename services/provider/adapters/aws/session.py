"""Clients of AWS: one for each service, account and region, made with its first use.

So is ``aiobotocore`` imported, which takes long: most services never call AWS.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from services.provider.adapters.aws.config import AwsConfig

ATTEMPTS = 2
CONNECTIONS = 64
ROLE_SESSION = "sutler"


class Sessions:
    """Keeps the clients until it is closed.

    Args:
        endpoint_url: A server that speaks like AWS; AWS itself if empty.
    """

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url or None
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._clients: dict[tuple[str, AwsConfig], Any] = {}

    async def client(self, service: str, config: AwsConfig) -> Any:
        """Returns the client of a service, such as ``ec2``.

        Raises:
            botocore.exceptions.BotoCoreError: If there are no credentials, or the role is not given.
        """
        async with self._lock:
            key = (service, config)
            if key not in self._clients:
                session = await self._session(config)
                self._clients[key] = await self._stack.enter_async_context(self._new(session, service, config))
            return self._clients[key]

    async def close(self) -> None:
        """Ends all connections."""
        await self._stack.aclose()

    async def _session(self, config: AwsConfig) -> Any:
        from aiobotocore.credentials import AioRefreshableCredentials
        from aiobotocore.session import AioSession

        own = AioSession(profile=config.profile or None)
        if not config.role_arn:
            return own

        async def take() -> dict[str, str]:
            wish = {"RoleArn": config.role_arn, "RoleSessionName": ROLE_SESSION}
            if config.external_id:
                wish["ExternalId"] = config.external_id
            async with self._new(own, "sts", config) as sts:
                given = (await sts.assume_role(**wish))["Credentials"]
            return {
                "access_key": given["AccessKeyId"],
                "secret_key": given["SecretAccessKey"],
                "token": given["SessionToken"],
                "expiry_time": given["Expiration"].isoformat(),
            }

        taken = AioSession()
        # The only way that botocore has to give a session credentials that renew themselves.
        taken._credentials = AioRefreshableCredentials.create_from_metadata(await take(), take, "sts-assume-role")
        return taken

    def _new(self, session: Any, service: str, config: AwsConfig) -> Any:
        from aiobotocore.config import AioConfig

        return session.create_client(
            service,
            region_name=config.region,
            endpoint_url=self._endpoint_url,
            config=AioConfig(
                connect_timeout=config.connect_seconds,
                read_timeout=config.read_seconds,
                max_pool_connections=CONNECTIONS,
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
            ),
        )
