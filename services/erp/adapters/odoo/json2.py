"""The driver ``odoo-json2``: Odoo through ``/json/2``, from version 19 on; the secret is an API key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sutler.errors import SutlerError

from services.erp import faults
from services.erp.adapters.http import Answer, Http
from services.erp.adapters.odoo.arguments import IDS, by_name
from services.erp.adapters.odoo.client import CONTEXT_KEYS
from services.erp.adapters.odoo.driver import CAPABILITIES, OdooDriver
from services.erp.adapters.odoo.exchange import HEALTH, RpcError
from services.erp.adapters.redaction import without
from services.erp.connections import Connection
from services.erp.gate import Gate
from services.erp.ports import DriverInfo
from services.erp.users import Ask

INFO = DriverInfo(
    driver="odoo-json2",
    display_name="Odoo (JSON-2)",
    erp_versions="19.0 and later",
    capabilities=CAPABILITIES,
    options_schema={"type": "object", "additionalProperties": False},
    context_keys=CONTEXT_KEYS,
)

UNAUTHORIZED = 401
BUSY = (429, 502, 503, 504)
"""What servers and proxies say that could not answer, whatever stands in the body."""

TOLD = ("builtins.", "odoo.exceptions.", "odoo.http.", "psycopg2.", "werkzeug.exceptions.")
"""Where the errors come from whose names say what they mean; of others, such as those of modules, the status does."""

BY_STATUS = {
    403: "odoo.exceptions.AccessError",
    404: "werkzeug.exceptions.NotFound",
    409: "odoo.exceptions.LockError",
    422: "odoo.exceptions.UserError",
}


def odoo_json2(connection: Connection, gate: Gate) -> OdooDriver:
    """Makes the driver of a connection."""
    return OdooDriver(connection, Json2(connection, gate), INFO)


class Json2:
    """Posts calls to ``/json/2``. See :class:`services.erp.adapters.odoo.exchange.Exchange`.

    Args:
        connection: Where to.
        gate: Gives each call its turn.
    """

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self._http = Http(connection, gate, HEALTH)
        self._name = connection.name
        self._database = connection.spec.database

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead."""
        return self._http.clock_skew

    async def version(self) -> Any:
        """Returns the server's version."""
        async with self._http.turn(probe=True) as turn:
            answer = await self._http.get(turn, "/web/version")
            if answer.status != 200:
                raise self._http.no_answer(answer)
            told = self._http.json(answer)
        return told.get("version") if isinstance(told, dict) else None

    async def databases(self) -> Any:
        """Returns no databases: this protocol does not tell them."""
        return []

    async def log_in(self, ask: Ask, *, probe: bool) -> Any:
        """Returns the id of the user whose key this is; false if the server does not know the key."""
        status, told = await self._post(ask, "res.users", "context_get", {}, probe=probe)
        if status == UNAUTHORIZED:
            return False
        result = self._result(status, told)
        self._http.warm()
        return result.get("uid") if isinstance(result, dict) else None

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
        body = by_name(model, method, args, named) | ({IDS: list(ids)} if ids else {})
        return self._result(*await self._post(ask, model, method, body))

    def login_ended(self, ask: Ask, error: SutlerError | None) -> None:
        """Takes note of how a login ended."""
        self._http.login_ended(ask, error)

    def repeated(self) -> None:
        """Takes note that a call is made again."""
        self._http.repeated()

    async def close(self) -> None:
        """Closes the network connections."""
        await self._http.close()

    async def _post(
        self, ask: Ask, model: str, method: str, body: Mapping[str, Any], *, probe: bool = False
    ) -> tuple[int, Any]:
        headers = {"authorization": f"bearer {ask.secret}"}
        headers |= {"x-odoo-database": self._database} if self._database else {}
        async with self._http.turn(probe=probe, model=model, method=method) as turn:
            answer = await self._http.post(turn, f"/json/2/{model}/{method}", body, headers)
            told = self._parse(answer)
            turn.refused = answer.status != 200
        return answer.status, told if answer.status == 200 else without(told, ask.secret)

    def _parse(self, answer: Answer) -> Any:
        """Returns a result or what describes an error; anything else may come from a proxy that has passed it on."""
        if answer.status == 200:
            return self._http.json(answer)
        if answer.status == 404 and b"No database is selected" in answer.body:
            raise faults.database_not_found(self._name, self._database)
        told = self._http.json(answer) if "json" in answer.content_type and answer.status not in BUSY else None
        if not isinstance(told, dict) or not isinstance(told.get("name"), str):
            raise self._http.no_answer(answer)
        return told

    def _result(self, status: int, told: Any) -> Any:
        if status == 200:
            return told
        name = told["name"] if told["name"].startswith(TOLD) else BY_STATUS.get(status, told["name"])
        raise RpcError({**told, "name": name})
