"""Hears of the commits of other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from services.cache.adapters.redis.connecting import Client

log = structlog.get_logger("sutler.cache")

LISTEN_SECONDS = 10.0
RECONNECT_SECONDS = 0.5
END_SECONDS = 0.05


async def listen(client: Client, channel: str, sender: str, changed: Callable[[], None]) -> None:
    """Calls ``changed`` for each message of another sender, and after each break, which may have hidden some.

    Ends only when it is cancelled.
    """
    own = sender.encode()
    while True:
        try:
            await client.initialize()  # a cluster's pubsub() raises KeyError before
            async with client.pubsub() as feed:
                await feed.subscribe(channel)
                while True:
                    message = await feed.get_message(timeout=LISTEN_SECONDS)
                    if message and message["data"] != own:
                        changed()
        except (RedisError, OSError) as error:
            log.warning("cache.redis_not_heard", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)


async def end(listener: asyncio.Task[None]) -> None:
    """Ends a task that listens.

    asyncio.wait_for, through which redis-py sends, can lose a cancellation (https://bugs.python.org/issue37658), so it
    is repeated.
    """
    while not listener.done():
        listener.cancel()
        await asyncio.wait((listener,), timeout=END_SECONDS)
