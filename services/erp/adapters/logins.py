"""Logging in to an ERP: rarely, because it costs the server much, and never more often than allowed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sutler.errors import Exhausted, SutlerError, Unavailable

from services.erp import faults
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.gate import LoginReport
from services.erp.users import Ask

WINDOW_SECONDS = 60.0
REFUSED_SECONDS = 30.0
"""For how long a refusal is remembered: another try so soon would only use up the server's patience."""

MAX_USERS = 10_000

T = TypeVar("T")


class Logins(Generic[T]):
    """Remembers who is logged in.

    Args:
        connection: Where to.
        log_in: Logs in and returns what calls need from it, None if the user or the secret is refused; its second
            argument says whether to go past an open breaker. Raises AnswerLostError where no answer came.
        ended: Told how each login ended.
    """

    def __init__(
        self, connection: Connection, log_in: Callable[[Ask, bool], Awaitable[T | None]], ended: LoginReport
    ) -> None:
        self._ended = ended
        self._name = connection.name
        self._limit = connection.spec.max_login_rate or 5
        self._log_in = log_in
        self._known: dict[str, T] = {}
        self._refused: dict[str, float] = {}
        self._tries: dict[str, deque[float]] = {}
        self._lost: dict[str, Unavailable | Exhausted] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, ask: Ask, *, anew: bool = False) -> T:
        """Returns what a login gave; calls that come at the same time share one.

        Args:
            ask: As whom.
            anew: Logs in even if that is remembered, and past an open breaker.

        Raises:
            FailedPrecondition: If the user or the secret is refused (LOGIN_REFUSED), or the database does not exist.
            Exhausted: If the user logged in too often in the last minute (LOGIN_LIMITED).
            Unavailable: If the server does not answer.
        """
        key = _key(ask)
        known = self._known.get(key)
        if known is not None and not anew:
            return known
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known.get(key)
            if known is not None and not anew:
                return known
            if not anew and time.monotonic() < self._refused.get(key, 0.0):
                raise faults.login_refused(self._name, ask.username)
            return await self._get(ask, key, probe=anew)

    def forget(self, ask: Ask, seen: T | None = None) -> None:
        """Makes the next call log in again; with ``seen``, only if that is what is remembered."""
        key = _key(ask)
        if seen is None or self._known.get(key) == seen:
            self._known.pop(key, None)

    async def _get(self, ask: Ask, key: str, *, probe: bool) -> T:
        self._count(ask.username)
        try:
            found = await self._log_in(ask, probe)
        except AnswerLostError as lost:
            self._lost[ask.username] = lost.error
            raise lost.error from lost
        except (Unavailable, Exhausted):
            self._tries[ask.username].pop()  # the server was not asked
            raise
        except SutlerError as error:
            self._ended(ask, error)
            raise
        self._lost.pop(ask.username, None)
        if found is None:
            self._known.pop(key, None)
            self._refused[key] = time.monotonic() + REFUSED_SECONDS
            refused = faults.login_refused(self._name, ask.username)
            self._ended(ask, refused)
            raise refused
        if len(self._known) >= MAX_USERS:
            self._known.clear()
            self._locks.clear()
        self._refused.pop(key, None)
        self._known[key] = found
        self._ended(ask, None)
        return found

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
