"""How well an ERP answers: what each call tells, and what is stored of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sutler.errors import SutlerError

from services.erp.connections import Condition, Connection, State

MAX_REASON = 1024
SKEW_STEP_SECONDS = 2.0
"""A clock that moved less is not worth a write: it is told in whole seconds."""


@dataclass(slots=True)
class Observer:
    """Follows the calls of one connection in this process.

    Attributes:
        connection: The connection as it was when it was opened.
        changed: Told of each new condition.
        condition: The last one.
    """

    connection: Connection
    changed: Callable[[Connection, Condition], None]
    condition: Condition

    def call_ended(self, error: SutlerError | None, breaker_open: bool) -> None:
        """Learns from a network call: with an error of transport, or none."""
        if error is None:
            if self.condition.state is State.DEGRADED:
                self._move(State.HEALTHY, "")
            return
        self._move(State.UNHEALTHY if breaker_open else State.DEGRADED, error.message)

    def logged_in(self, server_version: str, clock_skew: float | None) -> None:
        """Learns from a login that went well."""
        version = server_version or self.condition.server_version
        known = self.condition.clock_skew
        moved = clock_skew is not None and (known is None or abs(clock_skew - known) >= SKEW_STEP_SECONDS)
        if version != self.condition.server_version or moved:
            skew = clock_skew if moved else known
            self.condition = replace(self.condition, server_version=version, clock_skew=skew)
            self.changed(self.connection, self.condition)
        self._move(State.HEALTHY, "")

    def login_ended(self, error: SutlerError | None) -> None:
        """Learns how a login of the connection's own user ended, whatever it was for."""
        if error is not None:
            self.refused(error)
        elif self.condition.state is State.UNHEALTHY and self.condition.server_version:
            self._move(State.HEALTHY, "")

    def follow(self, stored: Condition) -> None:
        """Takes over the condition that is stored, if it has another state, which another process has told."""
        if stored.state is not self.condition.state:
            self.condition = stored

    def told(self, stored: Condition) -> None:
        """Learns the ERP's clock from what another process has stored, if nobody has told it here."""
        if self.condition.clock_skew is None and stored.clock_skew is not None:
            self.condition = replace(self.condition, clock_skew=stored.clock_skew)

    def refused(self, error: SutlerError) -> None:
        """Learns that nobody can work through this connection, such as by a login that is refused.

        That is told each time: another process may have found meanwhile that it works.
        """
        self._move(State.UNHEALTHY, error.message, again=True)

    def _move(self, state: State, reason: str, *, again: bool = False) -> None:
        reason = reason[:MAX_REASON]
        if not again and (state, reason) == (self.condition.state, self.condition.reason):
            return
        since = self.condition.since if state is self.condition.state else time.time()
        self.condition = replace(self.condition, state=state, reason=reason, since=since)
        self.changed(self.connection, self.condition)
