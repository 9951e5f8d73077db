"""One cache, as asyncio programs use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any, TypeVar

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.access import Access
from sutler.client.cache.arguments import checked_texts, seconds_of
from sutler.client.cache.computing import Counts, computed
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.entry_calls import EntryCalls, Time
from sutler.client.cache.flights import Flights
from sutler.client.cache.handlers import DEFAULT, Handlers
from sutler.client.cache.leases import Leases, Policy
from sutler.client.cache.near import MISSING, NearCache
from sutler.client.cache.retention import Retention
from sutler.client.cache.values import is_miss
from sutler.client.connection import Sutler
from sutler.status import from_status
from sutler.wire import duration, timestamp, to_struct

T = TypeVar("T")
BATCH = 1000
PARALLEL = 16


class Cache(EntryCalls):
    """The values of one cache. Made by :func:`sutler.client.cache.open`, in the event loop that it belongs to.

    A method fails with an error of :mod:`sutler.errors` as the RPC behind it does; a miss is no error.

    Args:
        sutler: The connection.
        name: The cache, ``prices`` or ``caches/prices``.
        handlers: What turns values into bytes and back; the default ones if None.
        near: A near cache, which somebody else feeds; none if None.

    Attributes:
        name: The cache, ``caches/{cache}``.
        handlers: What turns values into bytes and back.
        near: The near cache; None if there is none.
        flights: Who computes what.
    """

    def __init__(
        self, sutler: Sutler, name: str, *, handlers: Handlers | None = None, near: NearCache | None = None
    ) -> None:
        super().__init__(sutler, name if name.startswith("caches/") else f"caches/{name}", near)
        self.handlers = handlers or DEFAULT
        self._access = Access(self._stub, self.name, self.handlers, near)
        self.flights = Flights(self._access, Leases(self._stub, self.name), Retention(self._stub, self.name))

    def held(self, key: str, *, copy: bool = True) -> Any:
        """Returns a value that the near cache has, or :data:`~sutler.client.cache.near.MISSING`; asks nobody."""
        return MISSING if self.near is None else self.near.get(key, copy=copy)

    async def get(self, key: str, default: Any = None, *, copy: bool = True) -> Any:
        """Returns a value.

        Args:
            key: Its key.
            default: What to return if there is none.
            copy: Gives one that the caller may change; else it may be one that others share.

        Raises:
            ValueUnreadable: If there is one that no handler here can read.
        """
        held = self.held(key, copy=copy)
        if held is not MISSING:
            return held
        found = await self._access.read(key)
        return default if found is None else found.value(copy=copy)

    async def get_with_entry(self, key: str) -> tuple[Any, CacheEntry] | None:
        """Returns a value and all that is known of its entry; None if there is none."""
        found = await self._access.read(key, pb.ENTRY_VIEW_FULL)
        return None if found is None else (found.value(), found.entry)

    async def get_many(self, keys: Sequence[str], *, copy: bool = True) -> dict[str, Any]:
        """Returns the values that there are, by key."""
        values = {key: self.held(key, copy=copy) for key in checked_texts("keys", keys)}
        wanted = [key for key, value in values.items() if value is MISSING]
        for start in range(0, len(wanted), BATCH):
            with ExitStack() as stack:
                batch = wanted[start : start + BATCH]
                fillings = {key: stack.enter_context(self._access.filling(key)) for key in batch}
                async for key, entry in self._batch(batch):
                    values[key] = (await self._access.found(entry, fillings[key])).value(copy=copy)
        return {key: value for key, value in values.items() if value is not MISSING}

    async def _batch(self, keys: list[str]) -> AsyncIterator[tuple[str, pb.Entry]]:
        request = pb.BatchGetEntriesRequest(cache=self.name, keys=keys, view=pb.ENTRY_VIEW_VALUE)
        left = iter(keys)
        while True:
            answer = await self._stub.BatchGetEntries(request)
            for key, result in zip(left, answer.results, strict=False):
                if result.HasField("entry"):
                    yield key, result.entry
                elif not is_miss(error := from_status(result.status)):
                    raise error
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def put(
        self,
        key: str,
        value: Any,
        *,
        ttl: Time | None = None,
        expire_time: datetime | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        if_absent: bool = False,
        etag: str = "",
    ) -> CacheEntry:
        """Puts a value, and returns its entry.

        Args:
            key: Its key.
            value: Whatever a handler takes.
            ttl: How long it lives, in seconds or as a timedelta: as the cache says if None, without end if 0.
            expire_time: When it ends, instead of ``ttl``.
            tags: Its groups.
            metadata: What to tell of it, as JSON data; stands before what its handler tells.
            if_absent: Puts only if there is none.
            etag: Puts only if the entry that is there has this etag.

        Raises:
            TypeError: If no handler takes the value, or the time to live is no number and no timedelta.
            AlreadyExists: If there is one, and ``if_absent`` is set.
            Conflict: If the entry has another etag.
        """
        handler, encoded = await self._access.values.encode(value)
        entry = pb.Entry(tags=checked_texts("tags", tags), metadata=to_struct(metadata or {}))
        if ttl is not None:
            entry.ttl.CopyFrom(duration(seconds_of("ttl", ttl)))
        if expire_time is not None:
            entry.expire_time.CopyFrom(timestamp(expire_time.timestamp()))
        condition = pb.PutCondition(absent=True) if if_absent else pb.PutCondition(etag=etag) if etag else None
        self._forget(key)
        with self._access.filling(key) as filling:
            return await self._access.put(filling, handler, encoded, entry, condition)

    async def put_many(
        self, values: Mapping[str, Any], *, ttl: Time | None = None, tags: Sequence[str] = ()
    ) -> list[CacheEntry]:
        """Puts several values, at most 16 at once, and returns their entries. Those before one that fails are put."""
        places = asyncio.Semaphore(PARALLEL)

        async def one(key: str, value: Any) -> CacheEntry:
            async with places:
                return await self.put(key, value, ttl=ttl, tags=tags)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(key, value)) for key, value in values.items()]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def get_or_compute(
        self,
        key: str,
        compute: Callable[[], Coroutine[Any, Any, T]],
        *,
        ttl: Time | None = None,
        tags: Iterable[str] = (),
        stale: Time = 0,
        stale_if_error: Time = 0,
        required: bool = False,
        copy: bool = True,
    ) -> T:
        """Returns a value, and computes it first if there is none; of many who miss it at once one computes.

        Args:
            key: Its key.
            compute: Gives the value. What it raises is raised here, and not kept.
            ttl: How long it lives: as the cache says if None, without end if 0.
            tags: Its groups.
            stale: How long after its end it is still given while it is computed anew.
            stale_if_error: How long after its end it is still given if computing fails.
            required: Raises if the cache does not serve, rather than computing without it.
            copy: Gives a value that the caller may change.
        """
        held = self.held(key, copy=copy)
        if held is not MISSING:
            return held  # type: ignore[no-any-return]
        policy = Policy.of(ttl=ttl, tags=tags, stale=stale, stale_if_error=stale_if_error, required=required)
        return await computed(self, key, compute, policy, Counts(), copy=copy)  # type: ignore[no-any-return]
