"""JSON-2 as Odoo 19 has it: arguments by name in one object, a bare result, errors as HTTP statuses."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from services.erp.sandbox import protocol
from services.erp.sandbox.errors import RpcError, UnknownMethod, UserError
from services.erp.sandbox.orm import methods
from services.erp.sandbox.rpc import Outcome, Rpc
from services.erp.sandbox.sessions import Sessions
from services.erp.sandbox.store import Store

BEARER = "bearer "
RENAMED = {"name_search": {"domain": "args"}}
"""Arguments that have another name since Odoo 19."""


class Refused(RpcError):
    """The request itself is wrong, whatever the records are."""


class BadBody(Refused):
    """The body is not one JSON object."""

    name = "werkzeug.exceptions.BadRequest"
    status = 400


class Unauthorized(Refused):
    """No API key, or one that nobody has."""

    name = "werkzeug.exceptions.Unauthorized"
    status = 401


class NotFound(Refused):
    """No such model or method."""

    name = "werkzeug.exceptions.NotFound"
    status = 404


class Unprocessable(Refused):
    """The method does not take these arguments."""

    name = "werkzeug.exceptions.UnprocessableEntity"
    status = 422


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it came in. `database` is what the header names, if it does."""

    model: str
    method: str
    body: bytes
    authorization: str
    database: str


class Json2:
    """Answers calls. Safe for use by many threads."""

    def __init__(self, rpc: Rpc, store: Store, sessions: Sessions) -> None:
        self._rpc = rpc
        self._store = store
        self._sessions = sessions

    def call(self, request: Request, now: datetime) -> Outcome:
        """Answer one call that began at `now`; RpcError for everything that is to be answered as an error."""
        if not request.authorization.lower().startswith(BEARER):
            raise Unauthorized("User not authenticated, use an API Key with a Bearer Authorization header")
        user = self._sessions.of_key(request.database, request.authorization[len(BEARER) :].strip())
        if user is None:
            raise Unauthorized("Invalid apikey")
        given = _parsed(request.body)
        args, named = self._bound(request, given)
        outcome = self._rpc.execute(user, request.model, request.method, args, named, now)
        if request.method == "create" and isinstance(outcome.result, int):
            return Outcome([outcome.result], outcome.rows)
        return outcome

    def _bound(self, request: Request, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by position and by name; NotFound, Unprocessable, AccessError."""
        method = self._method(request.model, request.method)
        ids, context = given.pop("ids", []), given.pop("context", {})
        if ids and not method.on_records:
            raise Unprocessable(f"cannot call {request.model}.{request.method} with ids")
        names = RENAMED.get(request.method, {})
        if any(old in given for old in names.values()):
            raise Unprocessable(f"got an unexpected keyword argument {next(iter(names.values()))!r}")
        named = {names.get(name, name): value for name, value in given.items()}
        args = [ids] if method.on_records else []
        reserved = [None] * method.reserved
        try:
            inspect.signature(method.function).bind(*reserved, *args, **named)
        except TypeError as error:
            raise Unprocessable(str(error)) from None
        return args, {**named, "context": context}

    def _method(self, model: str, method: str) -> methods.Method:
        try:
            found = self._store.registry[model]
        except UserError:
            raise NotFound(f"the model {model!r} does not exist") from None
        try:
            return methods.find(self._store.behaviours[found.name], found, method)
        except UnknownMethod as error:
            raise NotFound(error.message) from None


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise BadBody("could not parse the body as json") from None
    if not isinstance(content, dict):
        raise BadBody("the body must be a json object")
    return content


def failure(error: Exception) -> tuple[int, bytes]:
    """Return HTTP status and body for an error."""
    data: Mapping[str, Any] = protocol.described(error)
    status = error.status if isinstance(error, RpcError) else 500
    if isinstance(error, Refused):
        data = {**data, "arguments": [error.message, status]}
    return status, orjson.dumps(data, default=str)
