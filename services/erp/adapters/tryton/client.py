"""Calls of model methods on Tryton: logged in, in a context, with errors that callers understand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any

from sutler.errors import invalid

from services.erp.adapters.meanings import Doing, Place
from services.erp.adapters.repeats import Repeats
from services.erp.adapters.shapes import shaped, understood
from services.erp.adapters.tryton.refusals import refusal
from services.erp.adapters.tryton.session import Session, Sessions
from services.erp.adapters.tryton.transport import RpcError, Transport
from services.erp.connections import Connection
from services.erp.schemas import ModelSchema
from services.erp.users import Ask

LANGUAGE = "language"
CONTEXT_KEYS = {LANGUAGE: "language", "timezone": "time_zone", "company": "company_ids", "companies": "company_ids"}
"""What the fields of a context are called in Tryton's own."""

SINGLE_WRITER = "single_writer"
"""The driver option for servers on SQLite, which fail where several write at once."""


class Client:
    """Calls methods of models.

    Args:
        connection: Where to.
        transport: Makes the calls.
    """

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self.sessions = Sessions(connection, transport)
        self._transport = transport
        self._name = connection.name
        self._database = connection.spec.database
        self._languages: frozenset[str] = frozenset()
        self._writer = asyncio.Lock() if connection.spec.driver_options.get(SINGLE_WRITER) is True else None
        self._repeats = Repeats(connection.spec.retry_policy, transport.http.repeated)

    async def ask(self, ask: Ask, model: str, method: str, *args: Any, doing: Doing = "read", **context: Any) -> Any:
        """Calls a method that changes nothing; repeats it if no answer comes, as the retry policy says.

        Args:
            ask: As whom.
            model: The model.
            method: The method.
            *args: Its arguments.
            doing: What it is for.
            **context: Adds to the context.

        Raises:
            SutlerError: With a reason of the contract.
        """

        async def once() -> Any:
            return await self.tell(ask, model, method, args, doing=doing, context=context)

        return await self._repeats.call(once)

    async def tell(
        self,
        ask: Ask,
        model: str,
        method: str,
        args: Sequence[Any],
        *,
        doing: Doing,
        context: Mapping[str, Any] | None = None,
        ids: Sequence[int] = (),
        schema: ModelSchema | None = None,
    ) -> Any:
        """Calls a method once. Arguments as for :meth:`ask`; ``ids`` and ``schema`` tell errors what it is about.

        Raises:
            AnswerLostError: If it was asked and gave no answer.
            SutlerError: With a reason of the contract; then nothing was done.
        """
        labels = {known.label: name for name, known in schema.fields.items()} if schema else {}
        place = Place(self._name, self._database, ask.username, model, method, ids, doing, labels=labels)
        async with self._turn(doing):
            session = await self.sessions.get(ask)
            try:
                return await self._call(ask, session, model, method, args, context or {})
            except RpcError as error:
                if error.kind != "http 401":
                    raise refusal(place, error) from error
            # The session ended: nothing was done. Log in once more.
            self.sessions.forget(ask, session)
            session = await self.sessions.get(ask)
            try:
                return await self._call(ask, session, model, method, args, context or {})
            except RpcError as error:
                raise refusal(place, error) from error

    def shape(self, value: Any, kind: type, of: type = object) -> Any:
        """Returns an answer that has the shape it must have; see :func:`services.erp.adapters.shapes.shaped`."""
        return shaped(self._name, value, kind, of)

    def understood(self) -> AbstractContextManager[None]:
        """Takes apart an answer; see :func:`services.erp.adapters.shapes.understood`."""
        return understood(self._name)

    def _turn(self, doing: Doing) -> AbstractAsyncContextManager[Any]:
        return nullcontext() if self._writer is None or doing in ("read", "search") else self._writer

    async def _call(
        self, ask: Ask, session: Session, model: str, method: str, args: Sequence[Any], context: Mapping[str, Any]
    ) -> Any:
        told = tryton_context(ask, session)
        if LANGUAGE in told:
            await self._check_language(told[LANGUAGE], ask, session)
        params = [*args, {**told, **context}]
        called = f"model.{model}.{method}"
        return await self._transport.call(called, params, session.authorization, secret=ask.secret)

    async def _check_language(self, language: str, ask: Ask, session: Session) -> None:
        """Refuses a language that the server does not know: Tryton itself would answer in English."""
        if language not in self._languages:
            params = [[], 0, None, None, ["code"], {"active_test": False}]
            called = "model.ir.lang.search_read"
            rows = await self._transport.call(called, params, session.authorization, secret=ask.secret)
            self._languages = frozenset(str(row["code"]) for row in rows)
        if language not in self._languages:
            raise _unknown_context("language", "is unknown to the ERP", language)


def tryton_context(ask: Ask, session: Session) -> dict[str, Any]:
    """Returns the context that Tryton takes: the user's own, changed as asked. Values are in UTC in any case.

    Raises:
        Invalid: If several companies are named, or one that is not the user's (CONTEXT_INVALID).
    """
    given = ask.context
    context: dict[str, Any] = {**session.context, **given.extra}
    if given.language:
        context[LANGUAGE] = given.language.replace("-", "_")
    if given.time_zone:
        context["timezone"] = given.time_zone
    if given.company_ids:
        context["company"] = _company(given.company_ids, session)
    return context


def _company(ids: Sequence[int], session: Session) -> int:
    if len(ids) == 1 and (session.companies is None or ids[0] in session.companies):
        return ids[0]
    why = "Tryton works for one company at a time, of those that its user may work for"
    raise _unknown_context("company_ids", why, ", ".join(str(one) for one in ids))


def _unknown_context(name: str, description: str, value: str) -> Exception:
    field = f"context.{name}"
    return invalid(field, description, reason="CONTEXT_INVALID", metadata={"field": field, "value": value})
