"""JSON-RPC to one Tryton server: its addresses, which differ between versions, and its forms of refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any
from urllib.parse import quote

from services.erp.adapters.http import Answer, Http
from services.erp.adapters.redaction import without
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate

ROOTS = ("/rpc/", "/")
"""Where servers answer without a database: from 8.0 on, and before."""

REFUSALS = frozenset({400, 401, 403, 404, 413, 422, 429})
"""What Tryton answers before it runs a method, or after it undid all that the method did."""

KINDS = frozenset({"UserError", "UserWarning", "ConcurrencyException", "LoginException"})


class RpcError(Exception):
    """The server refused.

    Args:
        kind: Tryton's name of the error, ``http`` with a status, or empty for an error of Python.
        message: Its text.
    """

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message


class Transport:
    """Makes calls, each in its turn. All methods raise as :meth:`call`.

    Args:
        connection: Where to.
        gate: Gives each call its turn.

    Attributes:
        http: Makes the exchanges.
        version: The server's version as it names itself; empty until it told.
    """

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self.http = Http(connection, gate, "/")
        self.version = ""
        self._database = quote(connection.spec.database, safe="")
        self._root = ""
        self._finding = asyncio.Lock()
        self._ids = count(1)

    async def call(
        self, method: str, params: Sequence[Any], session: str = "", *, secret: str = "", probe: bool = False
    ) -> Any:
        """Calls a method of the database and returns its result.

        Args:
            method: Such as ``model.party.party.read``.
            params: Its arguments.
            session: What a login gave; none to log in.
            secret: The user's, to be hidden where a refusal repeats it.
            probe: Goes past an open breaker.

        Raises:
            RpcError: If the server refuses; then nothing was done.
            Unavailable: If the server was not asked.
            AnswerLostError: If it was asked and gave no answer.
            SutlerError: If the gate does not let the call through.
        """
        root = await self._find_root(probe=probe)
        try:
            return await self._post(f"/{self._database}{root}", method, params, session, probe=probe)
        except RpcError as error:
            raise RpcError(error.kind, without(without(error.message, secret), session)) from None

    async def tell_version(self) -> str:
        """Returns the server's version, asked anew."""
        root = await self._find_root(probe=True)
        self.version = str(await self._post(root, "common.server.version", [], probe=True))[:128]
        return self.version

    async def databases(self) -> Any:
        """Returns the server's databases."""
        root = await self._find_root(probe=True)
        return await self._post(root, "common.db.list", [], probe=True)

    async def close(self) -> None:
        """Closes the network connections."""
        await self.http.close()

    async def _find_root(self, *, probe: bool) -> str:
        """Returns where the server answers, asked once; what refuses the first address may know the second."""
        async with self._finding:
            if self._root:
                return self._root
            for root in ROOTS:
                try:
                    told = await self._post(root, "common.server.version", [], probe=probe)
                except RpcError:
                    continue
                except AnswerLostError as lost:
                    raise lost.error from lost
                self.version, self._root = str(told)[:128], root
                return root
            raise self.http.lost("no Tryton server").error

    async def _post(
        self, path: str, method: str, params: Sequence[Any], session: str = "", *, probe: bool = False
    ) -> Any:
        number = next(self._ids)
        content = {"id": number, "method": method, "params": list(params)}
        headers = {"authorization": f"Session {session}"} if session else {}
        of_model = method.startswith("model.")
        model, _, called = method.removeprefix("model.").rpartition(".") if of_model else ("", "", method)
        async with self.http.turn(probe=probe, model=model, method=called) as turn:
            answer = self._parse(await self.http.post(turn, path, content, headers), number)
            turn.refused = "error" in answer
        if "error" in answer:
            raise _refusal(answer["error"])
        return answer["result"]

    def _parse(self, answer: Answer, number: int) -> dict[str, Any]:
        if answer.status in REFUSALS or answer.status == 405:
            raise RpcError(f"http {answer.status}")
        if answer.status != 200:
            raise self.http.no_answer(answer)
        parsed = self.http.json(answer)
        if not isinstance(parsed, dict) or parsed.get("id") != number:
            raise self.http.lost("not an answer to this call")
        if "result" not in parsed and "error" not in parsed:
            raise self.http.lost("neither result nor error")
        return parsed


def _refusal(error: Any) -> RpcError:
    """Returns an error in one form: ``[kind, details]``, or the text of a Python error with its traceback."""
    first, *rest = error if isinstance(error, list) and error else [str(error)]
    if first not in KINDS:
        return RpcError("", str(first))
    details = rest[0] if rest else ""
    if not isinstance(details, list):
        return RpcError(first, str(details))
    texts = details[1:2] if first in ("UserWarning", "LoginException") else details[:2]
    return RpcError(first, "\n".join(str(text) for text in texts if text))
