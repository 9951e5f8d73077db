"""The RPCs of subscriptions and watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.filtering import parse, position
from sutler.interceptors.idempotency import once
from sutler.masks import clear_output_only, merge
from sutler.paging import fitting, page_size, parse_order_by
from sutler.watch import with_final_status

from services.erp import filters
from services.erp.ports import Query
from services.erp.servicer.gateway import AREA, Rpcs, connection_id, last_id
from services.erp.subscribing import Wish
from services.erp.wire import subscriptions as wire


class SubscriptionRpcs(Rpcs):
    """Subscriptions and watches."""

    async def GetSubscription(self, request: erp_pb2.GetSubscriptionRequest, context: Any) -> erp_pb2.Subscription:
        """See the contract."""
        found, standing = await self.gateway.subscribing.get(
            current().tenant, connection_id(request.name), last_id(request.name)
        )
        return wire.subscription(found, standing)

    async def ListSubscriptions(
        self, request: erp_pb2.ListSubscriptionsRequest, context: Any
    ) -> erp_pb2.ListSubscriptionsResponse:
        """See the contract."""
        schema, size = filters.SUBSCRIPTIONS, page_size(request)
        orders = parse_order_by(request.order_by, schema.orderable, filters.BY_NAME)
        query = Query(parse(request.filter, schema), orders, self.position("ListSubscriptions", request), size + 1)
        found = await self.gateway.subscribing.page(current().tenant, connection_id(request.parent), query)
        messages = [wire.subscription(one, standing) for one, standing in found[:size]]
        count = fitting(message.ByteSize() for message in messages)
        after = (
            position(filters.subscription_fields(found[count - 1][0]), orders, schema) if count < len(found) else None
        )
        return erp_pb2.ListSubscriptionsResponse(
            subscriptions=messages[:count], next_page_token=self.token("ListSubscriptions", request, after)
        )

    async def CreateSubscription(
        self, request: erp_pb2.CreateSubscriptionRequest, context: Any
    ) -> erp_pb2.Subscription:
        """See the contract."""
        call = current()
        clear_output_only(request.subscription)
        wish = Wish(
            tenant=call.tenant,
            connection_id=connection_id(request.parent),
            subscription_id=request.subscription_id,
            principal=call.principal,
            edit=lambda stored: wire.settings(request.subscription),
            create=True,
            validate_only=request.validate_only,
        )
        return wire.subscription(await self.gateway.subscribing.save(wish, once(wire.subscription)))

    async def UpdateSubscription(
        self, request: erp_pb2.UpdateSubscriptionRequest, context: Any
    ) -> erp_pb2.Subscription:
        """See the contract."""
        call, wanted = current(), request.subscription
        mask = request.update_mask if request.HasField("update_mask") else None
        wish = Wish(
            tenant=call.tenant,
            connection_id=connection_id(wanted.name),
            subscription_id=last_id(wanted.name),
            principal=call.principal,
            edit=lambda stored: wire.settings(
                merge(wire.stored(stored), wanted, mask, below="subscription") if stored else wanted
            ),
            etag=wanted.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        saved = await self.gateway.subscribing.save(wish, once(wire.subscription))
        return wire.subscription(saved, await self.gateway.subscribing.standing(saved))

    async def DeleteSubscription(self, request: erp_pb2.DeleteSubscriptionRequest, context: Any) -> Empty:
        """See the contract."""
        await self.gateway.subscribing.delete(
            current().tenant,
            connection_id(request.name),
            last_id(request.name),
            once(lambda _: Empty()),
            etag=request.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        return Empty()

    async def WatchRecords(
        self, request: erp_pb2.WatchRecordsRequest, context: Any
    ) -> AsyncIterator[erp_pb2.WatchRecordsResponse]:
        """See the contract."""
        responses = with_final_status(
            AREA, self._watched(request), lambda status: erp_pb2.WatchRecordsResponse(status=status)
        )
        async for response in responses:
            yield response

    async def _watched(self, request: erp_pb2.WatchRecordsRequest) -> AsyncIterator[erp_pb2.WatchRecordsResponse]:
        link = await self.gateway.link(request.connection)
        async for batch, feed in self.gateway.watching.watch(link, current().principal, wire.watch(request)):
            yield wire.watched(batch, feed)
