"""The driver ``odoo-jsonrpc``: Odoo through ``/jsonrpc``, versions 8 to 19."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from sutler.errors import SutlerError

from services.erp.adapters.http import Answer, Http
from services.erp.adapters.odoo.client import CONTEXT_KEYS
from services.erp.adapters.odoo.driver import CAPABILITIES, OdooDriver
from services.erp.adapters.odoo.exchange import HEALTH, RpcError
from services.erp.adapters.redaction import without
from services.erp.connections import Connection
from services.erp.gate import Gate
from services.erp.ports import DriverInfo
from services.erp.users import Ask

INFO = DriverInfo(
    driver="odoo-jsonrpc",
    display_name="Odoo (JSON-RPC)",
    erp_versions="8.0 to 19.0",
    capabilities=CAPABILITIES,
    options_schema={"type": "object", "additionalProperties": False},
    context_keys=CONTEXT_KEYS,
)


def odoo_jsonrpc(connection: Connection, gate: Gate) -> OdooDriver:
    """Makes the driver of a connection."""
    return OdooDriver(connection, JsonRpc(connection, gate), INFO)


class JsonRpc:
    """Posts calls to ``/jsonrpc``. See :class:`services.erp.adapters.odoo.exchange.Exchange`.

    Args:
        connection: Where to.
        gate: Gives each call its turn.
    """

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self._http = Http(connection, gate, HEALTH)
        self._database = connection.spec.database
        self._ids = count(1)

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead."""
        return self._http.clock_skew

    async def version(self) -> Any:
        """Returns the server's version."""
        told = await self._call("common", "version", [], probe=True)
        return told.get("server_version", "") if isinstance(told, dict) else None

    async def databases(self) -> Any:
        """Returns the names of the server's databases."""
        return await self._call("db", "list", [], probe=True)

    async def log_in(self, ask: Ask, *, probe: bool) -> Any:
        """Returns the user's id; false if the user or the secret is refused."""
        args = [self._database, ask.username, ask.secret, {}]
        uid = await self._call("common", "authenticate", args, probe=probe)
        if uid:
            self._http.warm()
        return uid

    async def execute(
        self,
        ask: Ask,
        uid: int,
        model: str,
        method: str,
        ids: Sequence[int] | None,
        args: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:
        """Calls a method."""
        given = list(args) if ids is None else [list(ids), *args]
        return await self._call(
            "object", "execute_kw", [self._database, uid, ask.secret, model, method, given, dict(named)]
        )

    def login_ended(self, ask: Ask, error: SutlerError | None) -> None:
        """Takes note of how a login ended."""
        self._http.login_ended(ask, error)

    def repeated(self) -> None:
        """Takes note that a call is made again."""
        self._http.repeated()

    async def close(self) -> None:
        """Closes the network connections."""
        await self._http.close()

    async def _call(self, service: str, method: str, args: Sequence[Any], *, probe: bool = False) -> Any:
        number = next(self._ids)
        params = {"service": service, "method": method, "args": list(args)}
        content = {"jsonrpc": "2.0", "method": "call", "id": number, "params": params}
        model, called = args[3:5] if method == "execute_kw" else ("", method)
        async with self._http.turn(probe=probe, model=model, method=called) as turn:
            answer = self._parse(await self._http.post(turn, "/jsonrpc", content), number)
            turn.refused = "error" in answer
        if "error" in answer:
            data = answer["error"].get("data") if isinstance(answer["error"], dict) else None
            told = data if isinstance(data, dict) else {"name": "unknown", "message": ""}
            raise RpcError(without(told, _secret(args)))
        return answer.get("result")

    def _parse(self, answer: Answer, number: int) -> dict[str, Any]:
        """Returns the JSON-RPC answer; what is none may come from a proxy that has passed the call on."""
        if answer.status != 200:
            raise self._http.no_answer(answer)
        told = self._http.json(answer)
        # An error may be told before the server knew which call it was about; a result never is.
        if not isinstance(told, dict) or not (told.get("id") == number or (told.get("id") is None and "error" in told)):
            raise self._http.lost("not an answer to this call")
        return told


def _secret(args: Sequence[Any]) -> str:
    """Returns the secret among the arguments of a call, which is always the third; empty if there is none."""
    return args[2] if len(args) > 2 and isinstance(args[2], str) else ""
