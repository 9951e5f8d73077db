"""The RPCs of models."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.filtering import parse
from sutler.paging import page_size, parse_order_by

from services.erp import filters
from services.erp.listing import page_of
from services.erp.modelling import describe
from services.erp.reach import reachable
from services.erp.servicer.gateway import Rpcs
from services.erp.wire import records as wire


class ModelRpcs(Rpcs):
    """Models."""

    async def ListModels(self, request: erp_pb2.ListModelsRequest, context: Any) -> erp_pb2.ListModelsResponse:
        """See the contract."""
        link = await self.gateway.link(request.parent)
        ask = link.ask(current().principal, wire.call_context(request))
        schema = filters.MODELS
        orders = parse_order_by(request.order_by, schema.orderable, filters.BY_MODEL)
        wanted, after = parse(request.filter, schema), self.position("ListModels", request)
        kept = await link.catalogue.models(
            ask, max_staleness=wire.staleness(request), allow_stale=request.read_options.allow_stale
        )
        page = page_of(kept.value, filters.model_fields, schema, wanted, orders, after, page_size(request))
        return erp_pb2.ListModelsResponse(
            models=[wire.model(one) for one in page.items],
            next_page_token=self.token("ListModels", request, page.next),
            source=wire.kept_source(kept),
        )

    async def DescribeModel(self, request: erp_pb2.DescribeModelRequest, context: Any) -> erp_pb2.DescribeModelResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        ask = link.ask(current().principal, wire.call_context(request))
        found = await describe(
            link,
            ask,
            request.model,
            tuple(request.fields),
            reachable(link, ask, current().principal),
            max_staleness=wire.staleness(request),
            allow_stale=request.read_options.allow_stale,
        )
        return wire.description(found.schema, found.fields, found.rights, found.title)
