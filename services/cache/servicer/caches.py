"""The RPCs about caches and backends."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.filtering import parse, position
from sutler.interceptors.idempotency import once
from sutler.paging import page_size, parse_order_by

from services.cache.backends import BACKEND_ORDER, BACKENDS
from services.cache.listing import CACHE_ORDER, CACHES, Query, cache_item, in_order
from services.cache.results import Deletion
from services.cache.servicer.work import Rpcs
from services.cache.wire.caches import cache_id, rules, to_backend, to_cache, updated_rules


class CacheRpcs(Rpcs):
    """The standard methods of caches, and ListBackends."""

    async def GetCache(self, request: pb.GetCacheRequest, context: Any) -> pb.Cache:
        return to_cache(await self._work.caches.get(current().tenant, cache_id(request.name)))

    async def ListCaches(self, request: pb.ListCachesRequest, context: Any) -> pb.ListCachesResponse:
        tenant, size = current().tenant, page_size(request)
        query = Query(
            filter=parse(request.filter, CACHES),
            orders=parse_order_by(request.order_by, CACHES.orderable, CACHE_ORDER),
            after=self._work.pager.position(tenant, "ListCaches", request),
            limit=size,
        )
        found = await self._work.caches.page(tenant, query)
        answer = pb.ListCachesResponse(caches=map(to_cache, found[:size]))
        if len(found) > size:
            last = position(cache_item(found[size - 1]), query.orders, CACHES)
            answer.next_page_token = self._work.pager.token(tenant, "ListCaches", request, last)
        return answer

    async def CreateCache(self, request: pb.CreateCacheRequest, context: Any) -> pb.Cache:
        return to_cache(
            await self._work.caches.create(
                current().tenant,
                request.cache_id,
                rules(request.cache),
                once(to_cache),
                validate_only=request.validate_only,
            )
        )

    async def UpdateCache(self, request: pb.UpdateCacheRequest, context: Any) -> pb.Cache:
        return to_cache(
            await self._work.caches.update(
                current().tenant,
                current().principal,
                cache_id(request.cache.name),
                request.cache.etag,
                lambda found: updated_rules(found, request),
                once(to_cache),
                allow_missing=request.allow_missing,
                validate_only=request.validate_only,
            )
        )

    async def DeleteCache(self, request: pb.DeleteCacheRequest, context: Any) -> Empty:
        deletion = Deletion(
            tenant=current().tenant,
            cache_id=cache_id(request.name),
            etag=request.etag,
            force=request.force,
            allow_missing=request.allow_missing,
        )
        await self._work.caches.delete(deletion, once(lambda _: Empty()), validate_only=request.validate_only)
        return Empty()

    async def ListBackends(self, request: pb.ListBackendsRequest, context: Any) -> pb.ListBackendsResponse:
        tenant, size = current().tenant, page_size(request)
        matches = parse(request.filter, BACKENDS).predicate()
        orders = parse_order_by(request.order_by, BACKENDS.orderable, BACKEND_ORDER)
        start = (self._work.pager.position(tenant, "ListBackends", request) or [0])[0]
        backends = [backend for backend in await self._work.backends.describe() if matches(backend.item())]
        page = in_order(backends, orders)[start : start + size]
        answer = pb.ListBackendsResponse(backends=map(to_backend, page))
        if start + size < len(backends):
            answer.next_page_token = self._work.pager.token(tenant, "ListBackends", request, [start + size])
        return answer
