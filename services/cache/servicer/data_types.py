"""The RPC about data types."""

from __future__ import annotations

from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.filtering import parse
from sutler.paging import page_size, parse_order_by

from services.cache.data_types import DATA_TYPE_ORDER, DATA_TYPES
from services.cache.listing import in_order
from services.cache.servicer.work import Rpcs
from services.cache.wire.data_types import to_data_type


class DataTypeRpcs(Rpcs):
    """ListDataTypes."""

    async def ListDataTypes(self, request: pb.ListDataTypesRequest, context: Any) -> pb.ListDataTypesResponse:
        tenant, size = current().tenant, page_size(request)
        matches = parse(request.filter, DATA_TYPES).predicate()
        orders = parse_order_by(request.order_by, DATA_TYPES.orderable, DATA_TYPE_ORDER)
        start = (self._work.pager.position(tenant, "ListDataTypes", request) or [0])[0]
        found = [each for each in await self._work.data_types.find(tenant) if matches(each.item())]
        page = in_order(found, orders)[start : start + size]
        answer = pb.ListDataTypesResponse(data_types=map(to_data_type, page))
        if start + size < len(found):
            answer.next_page_token = self._work.pager.token(tenant, "ListDataTypes", request, [start + size])
        return answer
