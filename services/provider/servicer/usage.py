"""The RPCs about usage, cost, and what would cost less."""

from __future__ import annotations

from typing import Any

from sutler.auth import may_act_for
from sutler.context import current
from sutler.errors import PermissionDenied
from sutler.paging import fitting, page_size
from sutler.provider.v1 import provider_pb2 as pb

from services.provider.cost import usage_list
from services.provider.cost.advising import AdviceList
from services.provider.cost.counting import Question, count
from services.provider.cost.money import summed
from services.provider.cost.usage import Usage, Window
from services.provider.servicer.parts import Parts
from services.provider.sorting import ordered
from services.provider.wire import recommendations
from services.provider.wire import usage as wire
from services.provider.wire.amounts import amount


class UsageRpcs:
    """Tells usage and cost, and what would cost less."""

    _parts: Parts

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        """Sums up machines and cost over a time."""
        call, parts = current(), self._parts
        window, after = self._where(request)
        question = Question(
            tenant=call.tenant,
            may_see=_may_see,
            window=window,
            dimensions=wire.dimensions(request),
            filter=request.filter,
        )
        rows = await parts.store.scan(lambda book: count(book, question))
        found = ordered(
            rows,
            usage_list.item,
            usage_list.SCHEMA,
            order_by=request.order_by,
            default=usage_list.BY_TIME,
            after=after,
        )
        messages = [wire.to_message(one.item) for one in found[: page_size(request)]]
        shown = fitting(message.ByteSize() for message in messages)
        token = ""
        if len(found) > shown:
            position = [window.start, window.end, window.now, *found[shown - 1].position]
            token = parts.pager.token(call.tenant, call.method, request, position)
        return pb.GetUsageResponse(rows=messages[:shown], next_page_token=token, total_costs=_totals(rows))

    async def ListRecommendations(
        self, request: pb.ListRecommendationsRequest, context: Any
    ) -> pb.ListRecommendationsResponse:
        """Lists what would cost less."""
        advice = AdviceList(self._parts.store, self._parts.stopped_seconds)
        found, token = await self._parts.lister.page(advice, request, recommendations.to_message)
        return pb.ListRecommendationsResponse(recommendations=found, next_page_token=token)

    def _where(self, request: pb.GetUsageRequest) -> tuple[Window, list[Any] | None]:
        """Returns the time to sum up, the same for all pages of a request, and after which row a page begins."""
        call, parts = current(), self._parts
        window = wire.asked(request, now=parts.database.now(), keep=parts.keep_usage_seconds)
        found = parts.pager.position(call.tenant, call.method, request)
        if found is None:
            return window, None
        start, end, now, *after = found
        return Window(start, end, now, window.interval), after


def _may_see(tenant: str) -> bool:
    """Returns whether the caller may see the usage of another tenant, and has not chosen to act for one."""
    call = current()
    if call.tenant != call.principal.tenant:
        return False
    try:
        may_act_for(call.principal, "provider", tenant)
    except PermissionDenied:
        return False
    return True


def _totals(rows: list[Usage]) -> list[Any]:
    return [amount(total) for total in summed([row.cost for row in rows if row.cost is not None])]
