"""Customers and their orders on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sutler.erp.v1 import erp_pb2
from sutler.wire import seconds

from services.erp.customers.order_reading import Wish
from services.erp.customers.reading import CustomerList, CustomerSearch
from services.erp.wanting import Wanted
from services.erp.wire.plain import fill
from services.erp.wire.records import call_context, staleness

ORDER_LIMIT = 20


def wanted(request: Any, permission: str) -> Wanted:
    """Returns what a request wants to know of customers."""
    return Wanted(
        model="",
        fields=tuple(getattr(request, "fields", ())),
        context=call_context(request),
        max_staleness=staleness(request),
        allow_stale=request.read_options.allow_stale,
        permission=permission,
    )


def wish(request: Any) -> Wish:
    """Returns which orders a request wants."""
    implicit = request.DESCRIPTOR.fields_by_name["order_limit"].has_presence and not request.HasField("order_limit")
    return Wish(
        limit=ORDER_LIMIT if implicit else request.order_limit,
        since=_time(request, "min_order_time"),
        until=_time(request, "max_order_time"),
    )


def search(request: erp_pb2.SearchCustomersRequest, limit: int, after: list[int] | None) -> CustomerSearch:
    """Returns what a request looks for."""
    return CustomerSearch(query=request.query, archived=request.show_archived, limit=limit, after=after)


def listing(request: erp_pb2.ListCustomerOrdersRequest, limit: int, after: list[int] | None) -> CustomerList:
    """Returns which customers a request lists."""
    return CustomerList(
        ids=tuple(request.customer_ids), filter=request.filter, order_by=request.order_by, limit=limit, after=after
    )


def customer(one: Mapping[str, Any]) -> erp_pb2.Customer:
    """Returns a customer."""
    return fill(erp_pb2.Customer(), one)


def orders(one: Mapping[str, Any]) -> erp_pb2.CustomerOrders:
    """Returns the orders of a customer."""
    return fill(erp_pb2.CustomerOrders(), one)


def _time(request: Any, name: str) -> float | None:
    known = name in request.DESCRIPTOR.fields_by_name and request.HasField(name)
    return seconds(getattr(request, name)) if known else None
