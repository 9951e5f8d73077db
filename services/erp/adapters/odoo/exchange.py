"""What the protocols of Odoo have in common: one way to call a method, and one form of its refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sutler.errors import SutlerError

from services.erp.users import Ask

HEALTH = "/web/health"
"""Where Odoo tells that it runs, without a database or a login."""


class RpcError(Exception):
    """The server answered with an error.

    Args:
        data: Its ``name`` (the Python class), ``message`` and ``arguments``.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(str(data.get("name")))
        self.data = data


class Exchange(Protocol):
    """Makes calls, each in its turn, in one protocol of Odoo.

    Each method raises :class:`RpcError` if the server answers with an error, Unavailable if it was not asked,
    :class:`services.erp.faults.AnswerLostError` if it was asked and gave no answer, and what the gate raises.
    """

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead, to about a second; None until it told."""
        ...

    async def version(self) -> Any:
        """Returns the server's version as it names itself; needs no login, and goes past an open breaker."""
        ...

    async def databases(self) -> Any:
        """Returns the names of the server's databases; needs no login, and goes past an open breaker."""
        ...

    async def log_in(self, ask: Ask, *, probe: bool) -> Any:
        """Returns the user's id, false if the user or the secret is refused, None if the answer says neither.

        Args:
            ask: As whom.
            probe: Goes past an open breaker.
        """
        ...

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
        """Calls a method and returns its result; None if there is none.

        Args:
            ask: As whom.
            uid: The user's id.
            model: The model.
            method: The method.
            ids: The records to call it on; None for a method of the model itself.
            args: Arguments by position, after the ids.
            named: Arguments by name, ``context`` among them.
        """
        ...

    def login_ended(self, ask: Ask, error: SutlerError | None) -> None:
        """Takes note of how a login ended: with the ERP's refusal or without."""
        ...

    def repeated(self) -> None:
        """Takes note that a call is made again."""
        ...

    async def close(self) -> None:
        """Closes the network connections."""
        ...
