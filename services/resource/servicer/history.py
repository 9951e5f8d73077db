"""The RPCs that follow changes of resources and look back on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sutler.context import current
from sutler.filtering import parse
from sutler.paging import Order, Pager, page_size, parse_order_by
from sutler.resource.v1 import resource_pb2 as pb
from sutler.watch import with_final_status

from services.resource.adapters.fields import RESOURCES, REVISIONS
from services.resource.adapters.following import Follower
from services.resource.adapters.reading import Query, Reader, Within
from services.resource.names import key
from services.resource.watching import Scope
from services.resource.wire import revisions as wire

ORDER = (Order("revision", descending=True),)


class HistoryServicer:
    """WatchResources and ListResourceRevisions.

    Args:
        follower: Follows resources.
        reader: Reads revisions.
        pager: Makes page tokens.
    """

    def __init__(self, follower: Follower, reader: Reader, pager: Pager) -> None:
        self._follower = follower
        self._reader = reader
        self._pager = pager

    def WatchResources(self, request: pb.WatchResourcesRequest, context: Any) -> AsyncIterator[bytes]:
        return with_final_status(
            "resource",
            self._watch_resources(request),
            lambda status: pb.WatchResourcesResponse(status=status).SerializeToString(),
        )

    async def _watch_resources(self, request: pb.WatchResourcesRequest) -> AsyncIterator[bytes]:
        wanted = parse(request.filter, RESOURCES)
        passes = wanted.predicate() if request.filter.strip() else None
        scope = Scope(key(request.parent), key(request.type), request.filter, passes)
        batches = self._follower.follow(
            current().tenant, scope, resume_token=request.resume_token, replay=request.replay_existing
        )
        async for batch in batches:
            yield wire.changes(batch.changes, batch.resume_token, replaying=batch.replaying)

    async def ListResourceRevisions(
        self, request: pb.ListResourceRevisionsRequest, context: Any
    ) -> pb.ListResourceRevisionsResponse:
        tenant = current().tenant
        query = Query(
            filter=parse(request.filter, REVISIONS),
            orders=parse_order_by(request.order_by, ("revision",), ORDER),
            after=self._pager.position(tenant, "ListResourceRevisions", request),
            size=page_size(request),
        )
        found = await self._reader.list_revisions(tenant, Within(request.parent, request.recursive), query)
        answer = pb.ListResourceRevisionsResponse(resource_revisions=[wire.revision(row) for row in found.rows])
        if found.next is not None:
            answer.next_page_token = self._pager.token(tenant, "ListResourceRevisions", request, found.next)
        return answer
