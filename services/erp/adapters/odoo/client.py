"""Calls of model methods on Odoo: logged in, in a context, with errors that callers understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sutler.errors import invalid

from services.erp.adapters.meanings import Doing, Place
from services.erp.adapters.odoo.exchange import Exchange, RpcError
from services.erp.adapters.odoo.refusals import refusal
from services.erp.adapters.odoo.session import Sessions
from services.erp.adapters.repeats import Repeats
from services.erp.adapters.shapes import shaped, understood
from services.erp.connections import Connection
from services.erp.users import Ask

CONTEXT_KEYS = {"lang": "language", "tz": "time_zone", "allowed_company_ids": "company_ids"}
"""What the fields of a context are called in Odoo's own."""


class Client:
    """Calls methods of models.

    Args:
        connection: Where to.
        exchange: Makes the calls.
    """

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self.sessions = Sessions(connection, exchange)
        self._exchange = exchange
        self._name = connection.name
        self._database = connection.spec.database
        self._repeats = Repeats(connection.spec.retry_policy, exchange.repeated)

    async def ask(
        self,
        ask: Ask,
        model: str,
        method: str,
        *args: Any,
        ids: Sequence[int] | None = None,
        doing: Doing = "read",
        takes_context: bool = True,
        **named: Any,
    ) -> Any:
        """Calls a method that changes nothing; repeats it if no answer comes, as the retry policy says.

        Args:
            ask: As whom.
            model: The model.
            method: The method.
            *args: Arguments by position, after the ids.
            ids: The records to call it on; None for a method of the model itself.
            doing: What it is for.
            takes_context: Whether the method takes a context.
            **named: Arguments by name; ``context`` in it adds to the context.

        Raises:
            SutlerError: With a reason of the contract.
        """

        async def once() -> Any:
            return await self.tell(ask, model, method, args, named, ids=ids, doing=doing, takes_context=takes_context)

        return await self._repeats.call(once)

    async def tell(
        self,
        ask: Ask,
        model: str,
        method: str,
        args: Sequence[Any],
        named: Mapping[str, Any],
        *,
        doing: Doing,
        takes_context: bool = True,
        ids: Sequence[int] | None = None,
    ) -> Any:
        """Calls a method once. Arguments as for :meth:`ask`.

        Raises:
            AnswerLostError: If it was asked and gave no answer.
            SutlerError: With a reason of the contract; then nothing was done.
        """
        place = Place(self._name, self._database, ask.username, model, method, ids or (), doing)
        named = dict(named)
        if takes_context:
            given = named.get("context") or {}
            if not isinstance(given, Mapping):
                about = {"model": model, "method": method}
                raise invalid("named.context", "is an object", reason="ARGUMENTS_INVALID", metadata=about)
            named["context"] = {**odoo_context(ask), **given}
        try:
            return await self._execute(ask, model, method, ids, args, named)
        except RpcError as error:
            refused = refusal(place, error.data)
            if refused.reason != "LOGIN_REFUSED":
                raise refused from error
        # The user's password or id changed since the login that is remembered: nothing was done. Log in once more.
        self.sessions.forget(ask)
        try:
            return await self._execute(ask, model, method, ids, args, named)
        except RpcError as error:
            raise refusal(place, error.data) from error

    def shape(self, value: Any, kind: type, of: type = object) -> Any:
        """Returns an answer that has the shape it must have; see :func:`services.erp.adapters.shapes.shaped`."""
        return shaped(self._name, value, kind, of)

    def understood(self) -> AbstractContextManager[None]:
        """Takes apart an answer; see :func:`services.erp.adapters.shapes.understood`."""
        return understood(self._name)

    async def _execute(
        self,
        ask: Ask,
        model: str,
        method: str,
        ids: Sequence[int] | None,
        args: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:
        uid = await self.sessions.uid(ask)
        return await self._exchange.execute(ask, uid, model, method, ids, args, named)


def odoo_context(ask: Ask) -> dict[str, Any]:
    """Returns the context that Odoo takes. Values are in UTC in any case."""
    given = ask.context
    context: dict[str, Any] = dict(given.extra)
    if given.language:
        context["lang"] = given.language.replace("-", "_")
    if given.time_zone:
        context["tz"] = given.time_zone
    if given.company_ids:
        context["allowed_company_ids"] = list(given.company_ids)
    return context
