"""Logging in to Tryton: a session that calls carry, and the context that the user works in."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.erp.adapters.logins import Logins
from services.erp.adapters.meanings import Place
from services.erp.adapters.tryton.refusals import refusal
from services.erp.adapters.tryton.transport import RpcError, Transport
from services.erp.connections import Connection
from services.erp.users import Ask

LANGUAGE = "en"
"""The language of errors where no other is asked for: those are told apart by their texts."""

NOT_OURS = frozenset({"language", "locale", "language_direction"})


@dataclass(frozen=True, slots=True)
class Session:
    """A login.

    Attributes:
        user: The user's id.
        authorization: Goes with each call.
        context: The user's own context: the company, and what modules add.
        companies: Those that the user may work for; None if the server does not tell.
    """

    user: int
    authorization: str
    context: Mapping[str, Any] = field(default_factory=dict)
    companies: tuple[int, ...] | None = None


class Sessions(Logins[Session]):
    """Remembers who is logged in.

    Args:
        connection: Where to.
        transport: Makes the calls.
    """

    def __init__(self, connection: Connection, transport: Transport) -> None:
        super().__init__(connection, self._begin, transport.http.login_ended)
        self._database = connection.spec.database
        self._transport = transport

    async def _begin(self, ask: Ask, probe: bool) -> Session | None:
        params = [ask.username, {"password": ask.secret}, LANGUAGE]
        try:
            told = await self._transport.call("common.db.login", params, secret=ask.secret, probe=probe)
            if not told:
                return None
            text = f"{ask.username}:{told[0]}:{told[1]}"
            token = base64.b64encode(text.encode()).decode()

            async def preferences(*, context_only: bool) -> dict[str, Any]:
                method, params = "model.res.user.get_preferences", [context_only, {}]
                own = await self._transport.call(method, params, token, secret=ask.secret, probe=probe)
                return dict(own or {})

            own = await preferences(context_only=True)
            companies = own.get("companies")
            if companies is None and "company" in own:  # 7.0 has them beside the context
                companies = (await preferences(context_only=False)).get("companies")
        except RpcError as error:
            if error.kind == "http 401":
                return None
            raise refusal(Place(self._name, self._database, ask.username, doing="login"), error) from error
        self._transport.http.warm()
        kept = {key: value for key, value in own.items() if key not in NOT_OURS and "." not in key}
        return Session(int(told[0]), token, kept, None if companies is None else tuple(companies))
