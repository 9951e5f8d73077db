"""The connection to S3."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from services.cache.adapters.s3.options import S3Options

ATTEMPTS = 3


class Connection:
    """A client that is made with its first use.

    Args:
        options: Where and as whom.
    """

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._client: Any = None

    async def client(self) -> Any:
        """Returns the client of aiobotocore, whose methods are made from Amazon's description of S3."""
        if self._client is None:
            async with self._lock:
                if self._client is None:
                    self._client = await self._stack.enter_async_context(_new(self._options))
        return self._client

    async def close(self) -> None:
        """Ends all connections."""
        await self._stack.aclose()


def _new(options: S3Options) -> Any:
    path = options.addressing == "path" or (options.addressing == "auto" and options.endpoint_url is not None)
    return get_session().create_client(
        "s3",
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        aws_access_key_id=options.access_key,
        aws_secret_access_key=options.secret_key.get_secret_value() if options.secret_key else None,
        aws_session_token=options.session_token.get_secret_value() if options.session_token else None,
        config=AioConfig(
            connect_timeout=options.connect_seconds,
            read_timeout=options.read_seconds,
            max_pool_connections=options.connections,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            s3={"addressing_style": "path" if path else options.addressing},
            # Content-MD5 is sent instead, which every store that speaks like S3 checks.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
