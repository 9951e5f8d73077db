"""JSON-RPC to one Odoo server: one HTTP exchange, and what its failure means."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any

import httpx
import orjson

from services.erp import faults
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate

MAX_ANSWER_BYTES = 256 * 1024 * 1024


class RpcError(Exception):
    """The server answered with an error.

    Args:
        data: ``error.data`` of the answer.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(str(data.get("name")))
        self.data = data


class Transport:
    """Posts calls to ``/jsonrpc``, each in its turn.

    Args:
        connection: Where to.
        gate: Gives each call its turn.

    Attributes:
        clock_skew: How many seconds the server's clock is ahead, to about a second; None until it told.
    """

    def __init__(self, connection: Connection, gate: Gate) -> None:
        spec = connection.spec
        self.clock_skew: float | None = None
        self._name = connection.name
        self._gate = gate
        self._timeout = spec.timeout_seconds
        self._url = f"{spec.url.rstrip('/')}/jsonrpc"
        self._ids = count(1)
        idle = 1 if spec.min_idle_connections is None else spec.min_idle_connections
        self._http = httpx.AsyncClient(
            timeout=spec.timeout_seconds,
            limits=httpx.Limits(max_connections=spec.concurrency + 1, max_keepalive_connections=max(idle, 1)),
            # Reading the system's certificates takes a while, so only where they are needed.
            verify=spec.url.startswith("https:")
            and _verification(spec.ca_certificates, skip=spec.skip_certificate_check),
            trust_env=False,
            headers={"accept": "application/json", "user-agent": "sutler-erp"},
        )

    async def call(self, service: str, method: str, args: Sequence[Any], *, probe: bool = False) -> Any:
        """Makes one call and returns its result; None if the answer has neither result nor error.

        Args:
            service: ``common``, ``db`` or ``object``.
            method: A method of the service.
            args: Its arguments.
            probe: Goes past an open breaker.

        Raises:
            RpcError: If the server answers with an error.
            Unavailable: If the server was not asked.
            AnswerLostError: If it was asked and gave no answer.
            SutlerError: If the gate does not let the call through.
        """
        number = next(self._ids)
        body = orjson.dumps(
            {
                "jsonrpc": "2.0",
                "method": "call",
                "id": number,
                "params": {"service": service, "method": method, "args": list(args)},
            }
        )
        async with self._gate.turn(probe=probe):
            answer = self._parse(await self._post(body), number)
        if "error" in answer:
            data = answer["error"].get("data") if isinstance(answer["error"], dict) else None
            raise RpcError(data if isinstance(data, dict) else {"name": "unknown", "message": ""})
        return answer.get("result")

    async def close(self) -> None:
        """Closes the network connections."""
        await self._http.aclose()

    async def _post(self, body: bytes) -> httpx.Response:
        began = time.time()
        try:
            response = await self._http.post(self._url, content=body, headers={"content-type": "application/json"})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise faults.unreachable(self._name, type(error).__name__) from error
        except httpx.TimeoutException as error:
            raise AnswerLostError(faults.erp_timeout(self._name, self._timeout)) from error
        except httpx.HTTPError as error:
            raise self._lost("cut off") from error
        self._note_time(response, began)
        return response

    def _parse(self, response: httpx.Response, number: int) -> dict[str, Any]:
        """Returns the JSON-RPC answer; what is none may come from a proxy that has passed the call on."""
        if response.status_code != 200:
            if response.status_code < 500:  # refused before any method ran
                raise faults.answer_invalid(self._name, f"http {response.status_code}")
            raise self._lost(f"http {response.status_code}")
        if "json" not in response.headers.get("content-type", ""):
            raise self._lost("html")
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise self._lost("cut off") from error
        if not isinstance(answer, dict) or answer.get("id") not in (number, None):
            raise self._lost("not an answer to this call")
        return answer

    def _lost(self, cause: str) -> AnswerLostError:
        return AnswerLostError(faults.answer_invalid(self._name, cause))

    def _note_time(self, response: httpx.Response, began: float) -> None:
        """Learns the server's clock from the Date header, which is cut to seconds."""
        try:
            told = parsedate_to_datetime(response.headers["date"]).timestamp() + 0.5
        except (KeyError, ValueError):
            return
        self.clock_skew = told - (began + time.time()) / 2


def _verification(extra: str, *, skip: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if extra:
        context.load_verify_locations(cadata=extra)
    if skip:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
