"""Follows the invalidations of one cache for a near cache."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.near import NearCache
from sutler.errors import SutlerError, Unavailable

SILENCE_SECONDS = 12.0
"""How long a feed may be silent before it counts as lost; it gives a sign of life every 5 s."""
MAX_PAUSE_SECONDS = 5.0

log = logging.getLogger(__name__)


async def follow(stub: Any, cache: str, near: NearCache) -> None:
    """Tells a near cache what changes, until it is cancelled; a feed that breaks empties it, and begins anew.

    Args:
        stub: The stub of CacheService.
        cache: The cache, ``caches/{cache}``.
        near: The near cache.
    """
    failures = 0
    while True:
        try:
            async for message in _heard(stub.WatchInvalidations(pb.WatchInvalidationsRequest(cache=cache))):
                apply(message, near)
                failures = 0
        except (SutlerError, TimeoutError) as error:
            level = logging.DEBUG if isinstance(error, Unavailable) else logging.WARNING
            log.log(level, "the invalidations of %s cannot be followed: %s", cache, str(error) or "it is silent")
        finally:
            near.stop()
        failures += 1
        await asyncio.sleep(random.uniform(0.05, min(MAX_PAUSE_SECONDS, 0.1 * 2**failures)))


def apply(message: pb.WatchInvalidationsResponse, near: NearCache) -> None:
    """Tells a near cache one message of the feed."""
    if message.HasField("status"):
        return
    if message.reset:
        near.forget_all()
    for told in message.invalidations:
        scope = told.WhichOneof("scope")
        if scope == "key":
            near.forget_key(told.key, told.etag if told.cause == pb.Invalidation.CAUSE_PUT else "")
        elif scope == "tag":
            near.forget_tags([told.tag])
        elif scope == "prefix":
            near.forget_prefix(told.prefix)
        else:
            near.forget_all()
    near.live(SILENCE_SECONDS)


async def _heard(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Passes messages on. Raises TimeoutError if none comes for too long."""
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await anext(messages, None)
            if message is None:
                return
            yield message
    finally:
        await messages.aclose()  # type: ignore[attr-defined]
