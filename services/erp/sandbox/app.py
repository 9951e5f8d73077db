"""The composition root: settings, database, services, HTTP."""

import asyncio
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.erp.sandbox import protocol
from services.erp.sandbox.database import Database
from services.erp.sandbox.errors import RpcError
from services.erp.sandbox.journal import Journal
from services.erp.sandbox.rpc import DATABASE, Clock, Outcome, Rpc, utc_now
from services.erp.sandbox.sessions import Sessions
from services.erp.sandbox.settings import Settings
from services.erp.sandbox.store import Store

log = logging.getLogger("sandbox")

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"
CLOSING = {"connection": "close", "server": "sutler-erp-sandbox"}
NOT_JSON = (
    "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n"
    "<p>Request inferred type is compatible with [&#39;http&#39;] but &#39;/jsonrpc&#39; is type=&#39;json&#39;.</p>\n"
)
NO_SUCH_PAGE = (
    "<!DOCTYPE html>\n<html><title>404 Not Found</title><h1>Not Found</h1><p>The sandbox has no such page.</p></html>\n"
)


@contextmanager
def running(settings: Settings, clock: Clock = utc_now) -> Iterator[Starlette]:
    """Open the database and give the application; close everything afterwards."""
    database = Database(settings.data)
    journal = Journal(settings.write_log) if settings.write_log else None
    pool = ThreadPoolExecutor(max_workers=settings.workers, thread_name_prefix="sandbox")
    try:
        store = Store(database, journal, clock())
        rpc = Rpc(store, Sessions(store, DATABASE, settings.api_key))
        front = Front(rpc, pool, settings, clock)
        routes = [
            Route("/jsonrpc", front.jsonrpc, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
            Route("/web/health", front.health),
            Route("/json/{rest:path}", front.login_page, methods=["GET", "POST"]),
        ]
        yield Starlette(routes=routes, exception_handlers={404: front.not_found, 405: front.not_found})
    finally:
        pool.shutdown()
        database.close()


class Front:
    """The HTTP side. At most `workers` calls are served at a time; the rest wait in the order they came."""

    def __init__(self, rpc: Rpc, pool: ThreadPoolExecutor, settings: Settings, clock: Clock) -> None:
        self._rpc = rpc
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._free = asyncio.Semaphore(settings.workers)

    async def jsonrpc(self, http: HttpRequest) -> Response:
        """Answer a JSON-RPC call. Like a threaded Odoo the sandbox closes the connection after every answer."""
        if http.method != "POST" or not protocol.is_json(http.headers.get("content-type")):
            return Response(NOT_JSON, 400, CLOSING, HTML)
        try:
            request = protocol.parse(await http.body())
        except protocol.BadRequest as error:
            return Response(str(error), 400, CLOSING, HTML)
        async with self._free:
            body = await self._serve(request)
        return Response(body, 200, CLOSING, JSON)

    async def health(self, http: HttpRequest) -> Response:
        """Tell that the process answers, without waiting for a worker."""
        return JSONResponse({"status": "pass"}, headers=CLOSING)

    async def login_page(self, http: HttpRequest) -> Response:
        """Send JSON-2 calls to the login page, as servers before 19 do that do not know them."""
        target = quote(f"{http.url.path}?{http.url.query}", safe="")
        return RedirectResponse(f"/web/login?redirect={target}", 303, CLOSING | {"content-type": HTML})

    async def not_found(self, http: HttpRequest, error: Exception) -> Response:
        """Answer a path that the sandbox does not have."""
        return Response(NO_SUCH_PAGE, 404, CLOSING, HTML)

    async def _serve(self, request: protocol.Request) -> bytes:
        """Serve one call. It began now: `write_date` says so even if the service time lets it commit later."""
        began, now = time.perf_counter(), self._clock()
        await asyncio.sleep(self._settings.service_ms / 1000)
        try:
            service, method, args = request.arguments()
            loop = asyncio.get_running_loop()
            outcome: Outcome = await loop.run_in_executor(self._pool, self._rpc.call, service, method, args, now)
            await asyncio.sleep(self._settings.row_ms * outcome.rows / 1000)
            log.debug("%s.%s answered in %.1f ms", service, method, (time.perf_counter() - began) * 1000)
            return protocol.answer(request, outcome.result)
        except RpcError as error:
            return protocol.failure(request, error)
        except Exception as error:
            log.exception("the sandbox failed on a call")
            return protocol.failure(request, error)
