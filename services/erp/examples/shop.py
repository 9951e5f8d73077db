"""A shop's own microservice: customers and orders of an ERP over HTTP, cached, with health.

SUTLER_ADDRESS is the gateway, SHOP_CONNECTION the connection, SHOP_PORT where to listen; the gateway keeps the answers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from sutler.client import connect
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Code, SutlerError
from sutler.wire import from_struct, to_struct

MAIN = os.environ.get("SHOP_CONNECTION", "connections/shop")
CUSTOMERS: dict[str, Any] = {"connection": MAIN, "model": "res.partner"}
ORDERS: dict[str, Any] = {"connection": MAIN, "model": "sale.order"}
OLDER_TOO = pb.ReadOptions(allow_stale=True)
HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.UNAVAILABLE: 503,
}
WELL = {pb.Connection.STATE_HEALTHY: "healthy", pb.Connection.STATE_DEGRADED: "degraded"}


async def customer(request: Request) -> Response:
    """GET /customers/{id}: a customer with its newest orders; ``stale`` while the ERP is down."""
    one = int(request.path_params["id"])
    fields = ["name", "email", "country_id.code"]
    wanted = pb.GetRecordRequest(**CUSTOMERS, id=one, fields=fields, read_options=OLDER_TOO)
    theirs = pb.SearchRecordsRequest(**ORDERS, filter=f"partner_id = {one}", order_by="date_order desc", page_size=20)
    theirs.fields.extend(["name", "state", "amount_total"])
    theirs.read_options.CopyFrom(OLDER_TOO)
    erp = request.app.state.sutler.erp
    found, orders = await asyncio.gather(erp.GetRecord(wanted), erp.SearchRecords(theirs))
    told = [{"id": each.id, **from_struct(each.values)} for each in orders.records]
    stale = found.source.stale or orders.source.stale
    return JSONResponse({"id": found.id, **from_struct(found.values), "orders": told, "stale": stale})


async def order(request: Request) -> Response:
    """POST /orders: creates and confirms one; a repeat with the same Idempotency-Key, a UUID, creates no second."""
    try:
        body, key = await request.json(), request.headers["idempotency-key"]
        lines = [{"product_id": line["product"], "product_uom_qty": line["quantity"]} for line in body["lines"]]
        values = to_struct({"partner_id": body["customer"], "order_line": {"create": lines}})
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse({"reason": "FIELD_INVALID", "message": f"no order, or no key of it: {error!r}"}, 400)
    erp = request.app.state.sutler.erp
    made = await erp.CreateRecord(pb.CreateRecordRequest(**ORDERS, values=values, fields=["name"], request_id=key))
    confirm = pb.CallMethodRequest(**ORDERS, method="action_confirm", record_ids=[made.id], request_id=key)
    await erp.CallMethod(confirm)
    return JSONResponse({"id": made.id, **from_struct(made.values)}, 201)


async def health(request: Request) -> Response:
    """GET /health: healthy, degraded (calls fail now and then) or unhealthy, and why."""
    found = await request.app.state.sutler.erp.GetConnection(pb.GetConnectionRequest(name=MAIN))
    status = WELL.get(found.state, "unhealthy")
    return JSONResponse({"status": status, "reason": found.state_reason}, 200 if found.state in WELL else 503)


async def refused(request: Request, error: Exception) -> Response:
    """Tells what the gateway refused, and why."""
    assert isinstance(error, SutlerError)
    return JSONResponse({"reason": error.reason, "message": error.message}, HTTP_STATUS.get(error.code, 500))


@asynccontextmanager
async def connected(app: Starlette) -> AsyncIterator[None]:
    """Keeps one connection to the gateway while the service runs."""
    address, token = os.environ.get("SUTLER_ADDRESS", "127.0.0.1:8080"), os.environ.get("SUTLER_TOKEN", "")
    async with connect(address, token=token) as app.state.sutler:
        yield


routes = [Route("/customers/{id:int}", customer), Route("/orders", order, methods=["POST"]), Route("/health", health)]
app = Starlette(routes=routes, exception_handlers={SutlerError: refused}, lifespan=connected)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("SHOP_PORT", "8090")), log_level="warning")
