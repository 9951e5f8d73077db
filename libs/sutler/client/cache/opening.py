"""Opening caches: for asyncio, and for programs without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.cache import Cache
from sutler.client.cache.following import follow
from sutler.client.cache.handlers import Handlers
from sutler.client.cache.loop import background_loop
from sutler.client.cache.near import NearCache
from sutler.client.cache.sync import SyncCache
from sutler.client.connection import Sutler, connect


@asynccontextmanager
async def open(
    name: str,
    at: str | Sutler,
    *,
    near: NearCache | None = None,
    handlers: Handlers | None = None,
    rules: pb.Cache | None = None,
    token: str | Callable[[], str] = "",
    tenant: str = "",
    ca: bytes | None = None,
) -> AsyncIterator[Cache]:
    """Opens a cache until the block ends.

    Args:
        name: The cache, ``prices`` or ``caches/prices``.
        at: ``host:port`` of a gateway or of CacheService, or a connection to one.
        near: Keeps values in this process too, and follows the cache's invalidations for that: what others change is
            seen there at most about 0.2 s later. It serves one open cache at a time.
        handlers: What turns values into bytes and back; those of ``register_handler`` if None.
        rules: What the cache is to be; creates it if there is none. The name in it is not read.
        token: The bearer token, or what gives it for each call; only with an address.
        tenant: The tenant to act for, if it is not the token's; only with an address.
        ca: The CA to trust (PEM); with it the connection uses TLS; only with an address.

    Raises:
        ValueError: If the near cache serves another open cache.
        SutlerError: As UpdateCache, if ``rules`` are given.
    """
    async with AsyncExitStack() as stack:
        sutler = at
        if not isinstance(sutler, Sutler):
            sutler = await stack.enter_async_context(connect(sutler, token=token, tenant=tenant, ca=ca))
        cache = Cache(sutler, name, handlers=handlers, near=near)
        if near is not None:
            stack.enter_context(near.serving(cache.name))
        if rules is not None:
            wanted = pb.Cache()
            wanted.CopyFrom(rules)
            wanted.name = cache.name
            await sutler.cache.UpdateCache(pb.UpdateCacheRequest(cache=wanted, allow_missing=True))
        stack.callback(cache.close)
        stack.push_async_callback(cache.flights.close)
        if near is not None:
            await stack.enter_async_context(_followed(sutler, cache.name, near))
        yield cache


@asynccontextmanager
async def _followed(sutler: Sutler, name: str, near: NearCache) -> AsyncIterator[None]:
    following = asyncio.create_task(follow(sutler.cache, name, near))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


@contextmanager
def open_sync(
    name: str,
    at: str,
    *,
    near: NearCache | None = None,
    handlers: Handlers | None = None,
    rules: pb.Cache | None = None,
    token: str | Callable[[], str] = "",
    tenant: str = "",
    ca: bytes | None = None,
) -> Iterator[SyncCache]:
    """Opens a cache for a program without asyncio until the block ends; as :func:`open`.

    All of them are served by one thread of this process.
    """
    loop = background_loop()
    opened = open(name, at, near=near, handlers=handlers, rules=rules, token=token, tenant=tenant, ca=ca)
    cache = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result()
    try:
        yield SyncCache(cache)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
