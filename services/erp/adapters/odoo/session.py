"""Logging in to Odoo: rarely, because it costs the server 300 ms, and never more often than allowed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque

from sutler.errors import Exhausted, Unavailable

from services.erp import faults
from services.erp.adapters.odoo.exchange import Exchange, RpcError
from services.erp.adapters.odoo.meanings import Place
from services.erp.adapters.odoo.refusals import refusal
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.users import Ask

WINDOW_SECONDS = 60.0
REFUSED_SECONDS = 30.0
"""For how long a refusal is remembered: another try so soon would only use up the server's patience."""

MAX_USERS = 10_000


class Sessions:
    """Remembers who is logged in.

    Args:
        connection: Where to.
        exchange: Makes the calls.
    """

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self._name = connection.name
        self._database = connection.spec.database
        self._limit = connection.spec.max_login_rate or 5
        self._exchange = exchange
        self._uids: dict[str, int] = {}
        self._refused: dict[str, float] = {}
        self._tries: dict[str, deque[float]] = {}
        self._lost: dict[str, Unavailable] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def uid(self, ask: Ask, *, anew: bool = False) -> int:
        """Returns the user's id; calls that come at the same time share one login.

        Args:
            ask: As whom.
            anew: Logs in even if that is remembered, and past an open breaker.

        Raises:
            FailedPrecondition: If the user or the secret is refused (LOGIN_REFUSED), or the database does not exist.
            Exhausted: If the user logged in too often in the last minute (LOGIN_LIMITED).
            Unavailable: If the server does not answer.
        """
        key = _key(ask)
        known = self._uids.get(key)
        if known is not None and not anew:
            return known
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._uids.get(key)
            if known is not None and not anew:
                return known
            if not anew and time.monotonic() < self._refused.get(key, 0.0):
                raise faults.login_refused(self._name, ask.username)
            return await self._log_in(ask, key, probe=anew)

    def forget(self, ask: Ask) -> None:
        """Makes the next call log in again."""
        self._uids.pop(_key(ask), None)

    async def _log_in(self, ask: Ask, key: str, *, probe: bool) -> int:
        self._count(ask.username)
        try:
            uid = await self._exchange.log_in(ask, probe=probe)
        except RpcError as error:
            raise refusal(Place(self._name, self._database, ask.username, doing="login"), error.data) from error
        except AnswerLostError as lost:
            self._lost[ask.username] = lost.error
            raise lost.error from lost
        except (Unavailable, Exhausted):
            self._tries[ask.username].pop()  # the server was not asked
            raise
        self._lost.pop(ask.username, None)
        if uid is None:
            raise faults.answer_invalid(self._name, "neither result nor error")
        if not isinstance(uid, int) or isinstance(uid, bool):
            self._uids.pop(key, None)
            self._refused[key] = time.monotonic() + REFUSED_SECONDS
            raise faults.login_refused(self._name, ask.username)
        if len(self._uids) >= MAX_USERS:
            self._uids.clear()
            self._locks.clear()
        self._refused.pop(key, None)
        self._uids[key] = uid
        return uid

    def _count(self, username: str) -> None:
        now = time.monotonic()
        tries = self._tries.setdefault(username, deque())
        while tries and tries[0] <= now - WINDOW_SECONDS:
            tries.popleft()
        if len(tries) >= self._limit:
            if username in self._lost:  # the limit is not why: the server does not answer
                raise self._lost[username]
            raise faults.login_limited(self._name, username, tries[0] + WINDOW_SECONDS - now)
        tries.append(now)


def _key(ask: Ask) -> str:
    return f"{ask.username}\0{hashlib.sha256(ask.secret.encode()).hexdigest()}"
