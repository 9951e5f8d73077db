"""Calls of model methods on Odoo: logged in, in a context, with errors that callers understand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import tenacity
from sutler.context import current
from sutler.errors import Unavailable

from services.erp import faults
from services.erp.adapters.http import TOO_LARGE
from services.erp.adapters.meanings import Doing, Place
from services.erp.adapters.odoo.exchange import Exchange, RpcError
from services.erp.adapters.odoo.refusals import refusal
from services.erp.adapters.odoo.session import Sessions
from services.erp.connections import Connection, RetryPolicy
from services.erp.faults import AnswerLostError
from services.erp.users import Ask


class Client:
    """Calls methods of models.

    Args:
        connection: Where to.
        exchange: Makes the calls.
    """

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        policy = connection.spec.retry_policy or RetryPolicy()
        self.sessions = Sessions(connection, exchange)
        self._exchange = exchange
        self._name = connection.name
        self._database = connection.spec.database
        self._attempts = policy.max_attempts or 3
        self._pauses = tenacity.wait_random_exponential(
            multiplier=0.2 if policy.initial_backoff is None else policy.initial_backoff,
            max=10.0 if policy.max_backoff is None else policy.max_backoff,
        )

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
            try:
                return await self.tell(
                    ask, model, method, args, named, ids=ids, doing=doing, takes_context=takes_context
                )
            except AnswerLostError as lost:
                raise lost.error from lost

        return await self._repeating()(once)

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
            named["context"] = {**odoo_context(ask), **named.get("context", {})}
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
        """Returns an answer that has the shape it must have.

        Args:
            value: The answer.
            kind: What it must be.
            of: What the elements of a list, or the values of an object, must be.

        Raises:
            Unavailable: If it has another (ERP_ANSWER_INVALID).
        """
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, kind) or not all(isinstance(part, of) for part in parts):
            raise faults.answer_invalid(self._name, "neither result nor error" if value is None else "another shape")
        return value

    def _repeating(self) -> tenacity.AsyncRetrying:
        ends = current().deadline

        def stop(state: tenacity.RetryCallState) -> bool:
            late = ends is not None and time.monotonic() + state.upcoming_sleep >= ends
            return state.attempt_number >= self._attempts or late

        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=stop,
            wait=self._pauses,
            reraise=True,
            before_sleep=lambda _: self._exchange.repeated(),
        )

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


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, Unavailable):
        return False
    return error.reason != "BREAKER_OPEN" and error.metadata.get("cause") != TOO_LARGE
