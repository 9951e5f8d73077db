"""The RPCs of customers and their orders."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.methods import find_method
from sutler.paging import fitting, page_size

from services.erp.servicer.gateway import Rpcs
from services.erp.wanting import Wanted
from services.erp.wire import customers as wire
from services.erp.wire.records import source


class CustomerRpcs(Rpcs):
    """Customers."""

    async def GetCustomer(self, request: erp_pb2.GetCustomerRequest, context: Any) -> erp_pb2.Customer:
        """See the contract."""
        call, link = current(), await self.gateway.link(request.connection)
        found, origin = await self.gateway.customers.get(
            link, call.principal, _wanted(request), request.id, wire.wish(request)
        )
        customer = wire.customer(found)
        customer.source.CopyFrom(source(origin))
        return customer

    async def SearchCustomers(
        self, request: erp_pb2.SearchCustomersRequest, context: Any
    ) -> erp_pb2.SearchCustomersResponse:
        """See the contract."""
        call, link = current(), await self.gateway.link(request.connection)
        size, after = page_size(request), self.position("SearchCustomers", request)
        messages, count = list[erp_pb2.Customer](), 0
        while count < len(messages) or not messages:  # a page that is too large is asked for again, shorter
            size = count or size
            found, origin = await self.gateway.customers.search(
                link, call.principal, _wanted(request), wire.search(request, size, after), wire.wish(request)
            )
            messages = [wire.customer(one) for one in found["customers"]]
            count = fitting(message.ByteSize() for message in messages)
            if not messages:
                break
        return erp_pb2.SearchCustomersResponse(
            customers=messages,
            next_page_token=self.token("SearchCustomers", request, found["next"]),
            source=source(origin),
        )

    async def ListCustomerOrders(
        self, request: erp_pb2.ListCustomerOrdersRequest, context: Any
    ) -> erp_pb2.ListCustomerOrdersResponse:
        """See the contract."""
        call, link = current(), await self.gateway.link(request.parent)
        size, after = page_size(request), self.position("ListCustomerOrders", request)
        found, origin = await self.gateway.customers.customer_orders(
            link, call.principal, _wanted(request), wire.listing(request, size, after), wire.wish(request)
        )
        rows = [wire.orders(one["orders"]) for one in found["customers"]]
        count = fitting(row.ByteSize() for row in rows)
        following = [(after or [0])[0] + count] if count < len(rows) else found["next"]
        return erp_pb2.ListCustomerOrdersResponse(
            customer_orders=rows[:count],
            next_page_token=self.token("ListCustomerOrders", request, following),
            source=source(origin),
        )


def _wanted(request: Any) -> Wanted:
    """Returns what a request wants to know; the driver names the model."""
    return wire.wanted(request, find_method(current().method).permission)
