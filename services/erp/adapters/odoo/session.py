"""Logging in to Odoo, which costs the server 300 ms."""

from __future__ import annotations

from services.erp import faults
from services.erp.adapters.logins import Logins
from services.erp.adapters.meanings import Place
from services.erp.adapters.odoo.exchange import Exchange, RpcError
from services.erp.adapters.odoo.refusals import refusal
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.users import Ask


class Sessions:
    """Remembers who is logged in.

    Args:
        connection: Where to.
        exchange: Makes the calls.
    """

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self._name = connection.name
        self._database = connection.spec.database
        self._exchange = exchange
        self._logins = Logins(connection, self._log_in, exchange.login_ended)

    async def uid(self, ask: Ask, *, anew: bool = False) -> int:
        """Returns the user's id. Arguments and errors are those of :meth:`services.erp.adapters.logins.Logins.get`."""
        return await self._logins.get(ask, anew=anew)

    def forget(self, ask: Ask) -> None:
        """Makes the next call log in again."""
        self._logins.forget(ask)

    async def _log_in(self, ask: Ask, probe: bool) -> int | None:
        try:
            uid = await self._exchange.log_in(ask, probe=probe)
        except RpcError as error:
            raise refusal(Place(self._name, self._database, ask.username, doing="login"), error.data) from error
        if uid is None:
            raise AnswerLostError(faults.answer_invalid(self._name, "neither result nor error"))
        return uid if isinstance(uid, int) and not isinstance(uid, bool) else None
