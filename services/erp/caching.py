"""Keeps answers of the ERP in CacheService, and drops them when something they are made of changes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import Any

from sutler.errors import Unavailable

from services.erp.cache_keys import MAX_TAGS, connection_tag, key_in, model_tag, record_tag, records_tag, tags_of
from services.erp.coalescing import Ready
from services.erp.expanding import Touched
from services.erp.faults import AnswerLostError
from services.erp.flights import Flights
from services.erp.links import Link
from services.erp.ports import Hit, RecordCache
from services.erp.records import DataSource, Origin, Record, key_of
from services.erp.wanting import View, Wanted

_HITS = {Origin.NEAR_CACHE: "near_cache_hits", Origin.CACHE_SERVICE: "cache_service_hits"}

AGAIN = (1, 4)
"""When answers are dropped once more after a write whose answer was lost, in the connection's timeouts since then: the
ERP may still be at it, and what is read meanwhile is what was before."""

Read = Callable[[Sequence[int], Ready], Awaitable[dict[int, tuple[Record, Touched]]]]


class Answers:
    """Reads through a cache.

    Args:
        cache: Where answers are kept; None if no cache is configured.
    """

    def __init__(self, cache: RecordCache | None) -> None:
        self._cache = cache
        self._flights = Flights()
        self._dropping: dict[tuple[str, str, tuple[int, ...]], asyncio.Task[None]] = {}

    async def records(self, view: View, ids: Sequence[int], wanted: Wanted, read: Read) -> dict[int, Record]:
        """Returns records from the cache, and from the ERP those that it does not have."""
        cache, spec = self._cache, view.link.connection.spec
        ttl = spec.ttl(wanted.model, search=False)
        if cache is None or ttl <= 0:
            return {record_id: record for record_id, (record, _) in (await read(ids, _at_once)).items()}
        began = asyncio.get_running_loop().time() if wanted.max_staleness != 0 else math.inf
        keys = {record_id: key_in(view, str(record_id)) for record_id in ids}
        figures = view.link.figures
        figures.looking += 1
        try:
            hits = await cache.get_many(view.link.connection.tenant, list(keys.values()))
        finally:
            figures.looking -= 1
        kept = {
            record_id: one
            for record_id, hit in zip(keys, hits, strict=True)
            if hit is not None and (one := _record(view, hit)) is not None
        }
        greatest = ttl if wanted.max_staleness is None else min(ttl, wanted.max_staleness)
        found = {record_id: one for record_id, one in kept.items() if _age(one) < greatest}
        missing = [record_id for record_id in ids if record_id not in found]
        for one in found.values():
            figures.add(_HITS[one.source.origin] if one.source else "cache_service_hits")
        figures.add("cache_misses", len(missing))
        if missing:
            try:
                found |= await self._missed(cache, view, {one: keys[one] for one in missing}, wanted, ttl, read, began)
            except Unavailable as error:
                if not wanted.allow_stale or not all(record_id in kept for record_id in missing):
                    raise
                figures.add("stale_answers")
                return {record_id: _stale(one, error) for record_id, one in kept.items()}
        return {record_id: found[record_id] for record_id in ids if record_id in found}

    async def _missed(
        self,
        cache: RecordCache,
        view: View,
        keys: Mapping[int, str],
        wanted: Wanted,
        ttl: float,
        read: Read,
        began: float,
    ) -> dict[int, Record]:
        """Waits for records that another call reads already, and reads the others."""
        uid = view.link.connection.uid
        flying = self._flights.find(uid, list(keys.values()), began)
        own = {record_id: key for record_id, key in keys.items() if key not in flying}
        found: dict[int, Record] = {}
        if own:
            with self._flights.begin(uid, list(own.values())) as answers:
                found = await self._fresh(cache, view, own, wanted, ttl, read)
                answers |= {key: found.get(record_id) for record_id, key in own.items()}
        if flying:
            await asyncio.wait(flying.values())
        left = {}
        for record_id, key in keys.items():
            if key not in flying:
                continue
            if flying[key].cancelled():
                left[record_id] = key
            elif (one := flying[key].result()) is not None:
                found[record_id] = one
        return found | (await self._fresh(cache, view, left, wanted, ttl, read) if left else {})

    async def _fresh(
        self, cache: RecordCache, view: View, keys: Mapping[int, str], wanted: Wanted, ttl: float, read: Read
    ) -> dict[int, Record]:
        """Reads records from the ERP, and keeps them."""
        uid = view.link.connection.uid
        common = [connection_tag(uid), *(model_tag(uid, model) for model in sorted(view.models))]
        tags = {key: [*common, record_tag(uid, wanted.model, record_id)] for record_id, key in keys.items()}
        async with cache.claiming(view.link.connection.tenant, tags) as claims:
            fresh = await read(list(keys), claims.ready)
            lines = [model_tag(uid, model) for model in sorted(view.made_of)]
            entries = {
                keys[record_id]: (_plain(record), [*lines, *tags_of(view.link, touched)])
                for record_id, (record, touched) in fresh.items()
                if len(lines) + len(touched) <= MAX_TAGS
            }
            await claims.put(entries, ttl + view.link.connection.spec.stale_ttl(wanted.model))
        return {record_id: record for record_id, (record, _) in fresh.items()}

    async def search(
        self,
        view: View,
        what: Any,
        wanted: Wanted,
        models: Iterable[str],
        read: Callable[[], Awaitable[Any]],
    ) -> tuple[Any, DataSource]:
        """Returns the answer to a search or count, as JSON data, and where it comes from.

        Args:
            view: How the caller reads.
            what: What tells this search from others.
            wanted: How old the answer may be.
            models: The models that the answer is made of.
            read: Asks the ERP.
        """
        cache, connection = self._cache, view.link.connection
        ttl = connection.spec.ttl(wanted.model, search=True)
        if cache is None or ttl <= 0:
            return await read(), DataSource(read_time=time.time())
        key = key_in(view, f"search/{key_of(what)}")
        [hit] = await cache.get_many(connection.tenant, [key])
        greatest = ttl if wanted.max_staleness is None else min(ttl, wanted.max_staleness)
        if hit is not None and time.time() - hit.value["read_time"] < greatest:
            view.link.figures.add(_HITS[hit.origin])
            return hit.value["answer"], DataSource(origin=hit.origin, read_time=hit.value["read_time"])
        view.link.figures.add("cache_misses")
        tags = [connection_tag(connection.uid), *(model_tag(connection.uid, model) for model in sorted(set(models)))]
        async with cache.claiming(connection.tenant, {key: tags}) as claims:
            await claims.ready()
            now = time.time()
            try:
                answer = await read()
            except Unavailable as error:
                if hit is None or not wanted.allow_stale:
                    raise
                view.link.figures.add("stale_answers")
                source = DataSource(origin=hit.origin, read_time=hit.value["read_time"], stale=True, error=error)
                return hit.value["answer"], source
            await claims.put(
                {key: ({"answer": answer, "read_time": now}, tags)}, ttl + connection.spec.stale_ttl(wanted.model)
            )
        return answer, DataSource(read_time=now)

    async def changed(self, link: Link, model: str, ids: Iterable[int]) -> None:
        """Drops what is made of records that have changed, and all searches in their model."""
        uid = link.connection.uid
        self._flights.drop(uid)
        if self._cache is not None:
            link.figures.add("invalidations")
            tags = [model_tag(uid, model), *(record_tag(uid, model, one) for one in ids)]
            for start in range(0, len(tags), MAX_TAGS):
                await self._cache.invalidate(link.connection.tenant, tags[start : start + MAX_TAGS])

    async def changed_somewhere(self, link: Link, models: Collection[str]) -> None:
        """Drops what is made of records of some models, for it is not known which of them have changed.

        Args:
            link: The connection.
            models: The models; a pattern stands for all that there are.
        """
        uid, tags = link.connection.uid, list[str]()
        if any("*" in model for model in models):
            await self.forget(link.connection.tenant, uid)
            return
        self._flights.drop(uid)
        for model in models:
            tags += [model_tag(uid, model), records_tag(uid, model)]
        if self._cache is not None and tags:
            link.figures.add("invalidations")
            await self._cache.invalidate(link.connection.tenant, tags)

    @asynccontextmanager
    async def asking(
        self, link: Link, model: str, ids: Iterable[int], related: Collection[str] = ()
    ) -> AsyncIterator[None]:
        """Drops what a write has changed, or may have, as its answer is lost.

        Args:
            link: The connection.
            model: The model that is written.
            ids: Its records.
            related: Models behind relations of which records are written too; known after the block at the latest.
        """
        try:
            yield
        except AnswerLostError:
            await self.lost(link, model, ids, related)
            raise

    async def lost(self, link: Link, model: str, ids: Iterable[int], related: Collection[str] = ()) -> None:
        """Drops what a write may have changed whose answer is lost: now, and later, as it may happen late.

        Args as for :meth:`asking`.
        """
        written = tuple(ids)
        await self.changed(link, model, written)
        await self.changed_somewhere(link, related)
        if self._cache is None:
            return
        key = (link.connection.uid, model, written)
        if key in self._dropping:
            self._dropping.pop(key).cancel()
        again = self._drop_again(link, model, written, tuple(related))
        task = asyncio.create_task(again, name="drop answers again", context=Context())
        self._dropping[key] = task
        task.add_done_callback(partial(self._dropped, key))

    async def _drop_again(self, link: Link, model: str, ids: Sequence[int], related: Sequence[str]) -> None:
        began = time.monotonic()
        for count in AGAIN:
            await asyncio.sleep(began + count * link.connection.spec.timeout_seconds - time.monotonic())
            await self.changed(link, model, ids)
            await self.changed_somewhere(link, related)

    def _dropped(self, key: tuple[str, str, tuple[int, ...]], task: asyncio.Task[None]) -> None:
        if self._dropping.get(key) is task:
            del self._dropping[key]

    async def close(self) -> None:
        """Ends what waits to be dropped again."""
        tasks = list(self._dropping.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self, tenant: str, uid: str) -> None:
        """Drops everything that was read through a connection."""
        self._flights.drop(uid)
        if self._cache is not None:
            await self._cache.invalidate(tenant, [connection_tag(uid)])


async def _at_once() -> None:
    """Lets the ERP be asked at once."""


def _plain(record: Record) -> dict[str, Any]:
    return record.plain() | {"read_time": record.source.read_time if record.source else 0.0}


def _record(view: View, hit: Hit) -> Record | None:
    kept = hit.value
    if not isinstance(kept, dict) or kept.get("model") != view.schema.name:
        return None
    source = DataSource(origin=hit.origin, read_time=kept["read_time"])
    fields = {name: value for name, value in kept.items() if name != "read_time"}
    return Record(**{**fields, "source": source})


def _stale(record: Record, error: Unavailable) -> Record:
    source = record.source or DataSource()
    return replace(record, source=replace(source, stale=True, error=error))


def _age(record: Record) -> float:
    return time.time() - (record.source.read_time if record.source else 0.0)
