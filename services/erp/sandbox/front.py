"""The HTTP side: paths, headers, and which answer is sent for what."""

import logging
from datetime import UTC
from email.utils import format_datetime
from urllib.parse import quote

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response

from services.erp.sandbox import json2, protocol
from services.erp.sandbox.calls import Calls
from services.erp.sandbox.errors import RpcError, UnknownDatabase
from services.erp.sandbox.json2 import Json2
from services.erp.sandbox.rpc import DATABASE, Rpc
from services.erp.sandbox.turns import Turns

log = logging.getLogger("sandbox")

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"
SERVER = {"server": "sutler-erp-sandbox"}
NOT_JSON = (
    "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n"
    "<p>Request inferred type is compatible with [&#39;http&#39;] but &#39;/jsonrpc&#39; is type=&#39;json&#39;.</p>\n"
)
NO_SUCH_PAGE = (
    "<!DOCTYPE html>\n<html><title>404 Not Found</title><h1>Not Found</h1><p>The sandbox has no such page.</p></html>\n"
)
NO_SUCH_DATABASE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
    "<p>No database is selected and the requested URL was not found in the server-wide controllers.</p>\n"
)


class Front:
    """Answers requests. Like a threaded Odoo it closes the connection after every answer, unless `keep_alive`."""

    def __init__(self, rpc: Rpc, named: Json2, turns: Turns, calls: Calls, *, keep_alive: bool) -> None:
        self._rpc = rpc
        self._json2 = named
        self._turns = turns
        self._calls = calls
        self._always = SERVER if keep_alive else SERVER | {"connection": "close"}

    async def jsonrpc(self, http: HttpRequest) -> Response:
        """Answer a JSON-RPC call."""
        if http.method != "POST" or not protocol.is_json(http.headers.get("content-type")):
            return self._response(NOT_JSON, 400, HTML)
        try:
            request = protocol.parse(await http.body())
        except protocol.BadRequest as error:
            return self._response(str(error), 400, HTML)
        try:
            service, method, args = request.arguments()
            self._calls.count(args[4] if service == "object" and len(args) > 4 else method)
            outcome = await self._turns.take(self._rpc.call, service, method, args)
            return self._response(protocol.answer(request, outcome.result))
        except Exception as error:
            return self._response(protocol.failure(request, _logged(error)))

    async def json2(self, http: HttpRequest) -> Response:
        """Answer a JSON-2 call."""
        request = json2.Request(
            http.path_params["model"],
            http.path_params["method"],
            await http.body(),
            http.headers.get("authorization", ""),
            http.headers.get("x-odoo-database", DATABASE),
        )
        self._calls.count(request.method)
        try:
            outcome = await self._turns.take(self._json2.call, request)
            return self._response(orjson.dumps(outcome.result))
        except UnknownDatabase:
            return self._response(NO_SUCH_DATABASE, 404, HTML)
        except Exception as error:
            status, body = json2.failure(_logged(error))
            return self._response(body, status)

    async def version(self, http: HttpRequest) -> Response:
        """Tell the version, to anybody."""
        told = {"version": self._rpc.server_version, "version_info": self._rpc.version_info}
        return self._response(orjson.dumps(told))

    async def calls(self, http: HttpRequest) -> Response:
        """Tell how often each method was called since the last DELETE."""
        if http.method == "DELETE":
            self._calls.reset()
        return self._response(orjson.dumps(self._calls.counted()))

    async def health(self, http: HttpRequest) -> Response:
        """Tell that the process answers, without waiting for a worker."""
        return self._response(orjson.dumps({"status": "pass"}), content_type="application/json")

    async def login_page(self, http: HttpRequest) -> Response:
        """Send JSON-2 calls to the login page, as servers before 19 do that do not know them."""
        target = quote(f"{http.url.path}?{http.url.query}", safe="")
        headers = self._headers() | {"content-type": HTML}
        return RedirectResponse(f"/web/login?redirect={target}", 303, headers)

    async def not_found(self, http: HttpRequest, error: Exception) -> Response:
        """Answer a path that the sandbox does not have."""
        return self._response(NO_SUCH_PAGE, 404, HTML)

    def _response(self, body: bytes | str, status: int = 200, content_type: str = JSON) -> Response:
        return Response(body, status, self._headers(), content_type)

    def _headers(self) -> dict[str, str]:
        now = self._turns.clock().replace(tzinfo=UTC)
        return self._always | {"date": format_datetime(now, usegmt=True)}


def _logged(error: Exception) -> Exception:
    if not isinstance(error, RpcError):
        log.exception("the sandbox failed on a call")
    return error
