"""HTTP to one server of an ERP: one exchange, and what its failure means."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
from sutler.errors import Invalid, SutlerError, Unavailable

from services.erp import faults
from services.erp.adapters.warming import KEEP_SECONDS, Warming
from services.erp.connections import Connection, ConnectionSpec
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate, Turn
from services.erp.trust import trust
from services.erp.users import Ask

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""The largest answer: its text, its values and the message made of them are in memory at once."""

LARGE_BYTES = 1024 * 1024
"""Only a few answers above this are read at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    content_type: str
    body: bytes


class _TooLargeError(Exception):
    """An answer is above the limit; the ERP is none the worse for that."""


class _Sending:
    """Learns from aiohttp whether a request has a connection; before that, nobody was asked anything."""

    def __init__(self) -> None:
        self.begun = False


async def _begins(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
    context.trace_request_ctx.begun = True


class Http:
    """Makes HTTP exchanges.

    Args:
        connection: Where to.
        gate: Gives each exchange its turn.
        touch: A path that costs the server next to nothing, for connections that are kept open.

    Attributes:
        clock_skew: How many seconds the server's clock is ahead, to about a second; None until it told.

    Raises:
        Invalid: If the connection's own certificates cannot be read.
    """

    def __init__(self, connection: Connection, gate: Gate, touch: str) -> None:
        spec = connection.spec
        self.clock_skew: float | None = None
        self._name = connection.name
        self._gate = gate
        self._timeout = spec.timeout_seconds
        self._url = spec.url.rstrip("/")
        self._touched = touch
        self._warming = Warming(spec.idle_connections, self._touch)
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_create_end.append(_begins)
        tracing.on_connection_reuseconn.append(_begins)
        # Reading the system's certificates takes a while, so only where they are needed.
        verified = _verification(spec) if spec.url.startswith("https:") else True
        self._connector = aiohttp.TCPConnector(limit=spec.concurrency + 1, keepalive_timeout=KEEP_SECONDS, ssl=verified)
        self._http = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept": "application/json", "user-agent": "sutler-erp"},
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[tracing],
        )
        gate.figures.now["open_connections"] = lambda: self.open_connections

    @property
    def open_connections(self) -> int:
        """How many network connections are open now."""
        idle = getattr(self._connector, "_conns", {})  # aiohttp has no public way to tell
        return len(getattr(self._connector, "_acquired", ())) + sum(map(len, idle.values()))

    @asynccontextmanager
    async def turn(self, *, probe: bool = False, model: str = "", method: str = "") -> AsyncIterator[Turn]:
        """Holds a place for one exchange, up to where its answer was understood. See :meth:`Gate.turn`.

        Raises:
            AnswerLostError: If the answer is above the limit (TOO_LARGE).
        """
        try:
            async with self._gate.turn(probe=probe, model=model, method=method) as turn:
                yield turn
        except _TooLargeError as error:
            raise AnswerLostError(faults.answer_too_large(self._name, MAX_ANSWER_BYTES)) from error

    def login_ended(self, ask: Ask, error: SutlerError | None) -> None:
        """Takes note of how a login ended: with the ERP's refusal or without."""
        self._gate.login_ended(ask, error)

    def repeated(self) -> None:
        """Counts a call that is made again."""
        self._gate.figures.add("retried_calls")

    async def post(self, turn: Turn, path: str, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """Posts JSON data to a path of the server, in a turn.

        Raises:
            Invalid: If they have no form in JSON, such as a number beyond 64 bits (VALUE_INVALID); nobody was asked.
            Unavailable: If the server was not asked.
            AnswerLostError: If it was asked and gave no answer.
        """
        try:
            body = orjson.dumps(content)
        except TypeError as error:
            raise Invalid(f"a value cannot be sent to the ERP: {error}", reason="VALUE_INVALID") from error
        return await self._exchange(turn, "POST", path, body, {"content-type": "application/json", **(headers or {})})

    async def get(self, turn: Turn, path: str) -> Answer:
        """Gets a path of the server, in a turn. Raises as :meth:`post`."""
        return await self._exchange(turn, "GET", path, b"", {})

    def json(self, answer: Answer) -> Any:
        """Returns the JSON data of an answer.

        Raises:
            AnswerLostError: If it is something else, such as the page of a proxy.
        """
        if "json" not in answer.content_type:
            raise self.lost("html")
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise self.lost("cut off") from error

    def no_answer(self, answer: Answer) -> Unavailable | AnswerLostError:
        """Returns what a status means that no method of the ERP gives: below 500 it was refused before any ran."""
        cause = f"http {answer.status}"
        return self.lost(cause) if answer.status >= 500 else faults.answer_invalid(self._name, cause)

    def lost(self, cause: str) -> AnswerLostError:
        """Returns the error for what came instead of an answer."""
        return AnswerLostError(faults.answer_invalid(self._name, cause))

    def warm(self) -> None:
        """Keeps as many connections open from now on as the settings say, where the server lets it."""
        self._warming.begin()

    async def close(self) -> None:
        """Closes the network connections."""
        await self._warming.end()
        await self._http.close()

    async def _touch(self) -> None:
        if not (self._gate.open or self._gate.retired):
            async with self.turn() as turn:
                await self.get(turn, self._touched)

    async def _exchange(self, turn: Turn, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        began = time.time()
        sending = _Sending()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.request(
                    method,
                    f"{self._url}{path}",
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=sending,
                ) as response,
            ):
                self._note_time(response, began)
                self._warming.answered(keeps=_keeps(response))
                content = await self._read(turn, response)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise self._failed(error, sending) from error
        return Answer(response.status, response.headers.get("content-type", ""), content)

    async def _read(self, turn: Turn, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for part in response.content.iter_any():
            content += part
            if len(content) > MAX_ANSWER_BYTES:
                raise _TooLargeError
            if len(content) > LARGE_BYTES:
                await turn.make_room()
        return bytes(content)

    def _failed(self, error: Exception, sending: _Sending) -> Unavailable | AnswerLostError:
        if not sending.begun:
            return faults.unreachable(self._name, type(error).__name__)
        if isinstance(error, TimeoutError):
            return AnswerLostError(faults.erp_timeout(self._name, self._timeout))
        return self.lost("cut off")

    def _note_time(self, response: aiohttp.ClientResponse, began: float) -> None:
        """Learns the server's clock from the Date header, which is cut to seconds."""
        try:
            told = parsedate_to_datetime(response.headers["date"]).timestamp() + 0.5
        except (KeyError, ValueError):
            return
        self.clock_skew = told - (began + time.time()) / 2


def _keeps(response: aiohttp.ClientResponse) -> bool:
    return response.version != aiohttp.HttpVersion10 and "close" not in response.headers.get("connection", "").lower()


def _verification(spec: ConnectionSpec) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if spec.ca_certificates:
        trust(context, spec.ca_certificates)
    if spec.skip_certificate_check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
