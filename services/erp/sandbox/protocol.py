"""The JSON-RPC envelope as Odoo 18 has it: what is a request, and how results and errors are answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.erp.sandbox.errors import BadArguments, RpcError

JSON_TYPES = ("application/json", "application/json-rpc")
PARAMETERS = ("service", "method", "args")
SERVER_ERROR = 200


class BadRequest(Exception):
    """Not a JSON-RPC request at all: answered with HTTP 400 and this text."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it came in."""

    id: Any
    params: Mapping[str, Any]

    def arguments(self) -> tuple[Any, Any, list[Any]]:
        """Return service, method and arguments; BadArguments if one is missing."""
        missing = [repr(name) for name in PARAMETERS if name not in self.params]
        if missing:
            plural = "s" if len(missing) > 1 else ""
            listed = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])}, and {missing[-1]}"
            if len(missing) == 2:
                listed = " and ".join(missing)
            raise BadArguments(f"RPC.jsonrpc() missing {len(missing)} required positional argument{plural}: {listed}")
        return self.params["service"], self.params["method"], list(self.params["args"])


def parse(body: bytes) -> Request:
    """Return the request in a body; BadRequest for bad JSON and for batches, which Odoo does not know."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("Invalid JSON data") from None
    if not isinstance(content, dict):
        raise BadRequest("Invalid JSON-RPC data")
    params = content.get("params", {})
    return Request(content.get("id"), params if isinstance(params, dict) else {})


def is_json(content_type: str | None) -> bool:
    """Tell whether a Content-Type header announces JSON."""
    return (content_type or "").partition(";")[0].strip().lower() in JSON_TYPES


def answer(request: Request, result: Any) -> bytes:
    """Return the response for a result; a method that returns None has neither result nor error."""
    response = {"jsonrpc": "2.0", "id": request.id}
    return orjson.dumps(response if result is None else {**response, "result": result})


def failure(request: Request, error: Exception) -> bytes:
    """Return the response for an error: HTTP 200, code 200, and the type in `data.name`."""
    response = {"code": SERVER_ERROR, "message": "Odoo Server Error", "data": described(error)}
    return orjson.dumps({"jsonrpc": "2.0", "id": request.id, "error": response}, default=str)


def described(error: Exception) -> dict[str, Any]:
    """Return what callers are told of an error, in either protocol."""
    if isinstance(error, RpcError):
        name, message = error.name, error.message
    else:
        name, message = f"{type(error).__module__}.{type(error).__qualname__}", str(error)
    return {
        "name": name,
        "debug": f"Traceback (most recent call last):\n  <sandbox>\n{name.removeprefix('builtins.')}: {message}",
        "message": message,
        "arguments": list(error.args),
        "context": {},
    }
