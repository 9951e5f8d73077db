"""What the answers to HTTP requests mean."""

from __future__ import annotations

import time
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from sutler.errors import (
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
)
from sutler.open_data import too_deep
from sutler.validation import MAX_OPEN_DEPTH

from services.rule.http_requests import HttpRequest

MAX_BODY_BYTES = 1 << 20
MAX_HEADERS_BYTES = 16 * 1024
MAX_SHOWN = 256
MAX_PAUSE_SECONDS = 366 * 86_400

_KINDS: dict[int, type[SutlerError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: Unimplemented,
    408: DeadlineExceeded,
    410: NotFound,
    413: Invalid,
    422: Invalid,
    425: Unavailable,
    429: Exhausted,
    501: Unimplemented,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}
"""The nearest error of gRPC. Those of 408, 425, 429, 502, 503 and 504, and of no others, use up no attempt."""


async def read_answer(response: aiohttp.ClientResponse, do: HttpRequest) -> Any:
    """Returns an answer of success as ``{code, headers, body}``.

    Raises:
        Invalid: If its body is larger than 1 MiB or too deep (TOO_LARGE).
        SutlerError: If the answer is an error (HTTP_ERROR).
    """
    good = 200 <= response.status < 300
    content = await _read(response, MAX_BODY_BYTES if good else 4 * MAX_SHOWN)
    if not good:
        raise _error(response, do, content[: 4 * MAX_SHOWN])
    if len(content) > MAX_BODY_BYTES:
        raise _too_large(response, do, {"limit_bytes": str(MAX_BODY_BYTES)})
    body = _value(response, content)
    if too_deep(body):
        raise _too_large(response, do, {"limit_levels": str(MAX_OPEN_DEPTH)})
    return {"code": response.status, "headers": _headers(response), "body": body}


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > limit:
            response.close()
            break
    return bytes(content)


def _value(response: aiohttp.ClientResponse, content: bytes) -> Any:
    if not content:
        return None
    kind = response.content_type.lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            pass  # as text, so that the rule can see what came instead
    return _text(response, content)


def _text(response: aiohttp.ClientResponse, content: bytes) -> str:
    try:
        return content.decode(response.charset or "utf-8", errors="replace")
    except LookupError:
        return content.decode(errors="replace")


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Returns the headers in lower case, as many as are kept; cookies are nobody's business but the other side's."""
    found: dict[str, str] = {}
    left = MAX_HEADERS_BYTES
    for name in dict.fromkeys(name.lower() for name in response.headers):
        value = ", ".join(response.headers.getall(name))
        left -= len(name) + len(value)
        if left < 0:
            break
        if name != "set-cookie":
            found[name] = value.encode(errors="replace").decode()
    return found


def _error(response: aiohttp.ClientResponse, do: HttpRequest, content: bytes) -> SutlerError:
    kind = _KINDS.get(response.status, Unknown if response.status >= 500 else FailedPrecondition)
    told = " ".join(_text(response, content).split())[:MAX_SHOWN]
    metadata = {"code": str(response.status), "address": do.address}
    if told:
        metadata["body"] = told
    moved = "; redirects are not followed: name the address that it leads to" if 300 <= response.status < 400 else ""
    return kind(
        f"{do.address} answered {do.method} with {response.status}{moved}{': ' if told else ''}{told}",
        reason="HTTP_ERROR",
        metadata=metadata,
        retry_after=retry_after(response.headers.get("retry-after", "")),
    )


def _too_large(response: aiohttp.ClientResponse, do: HttpRequest, limit: dict[str, str]) -> SutlerError:
    return Invalid(
        f"the answer of {do.address} exceeds a limit of open data: {limit}; ask for less of it",
        reason="TOO_LARGE",
        metadata={"address": do.address, "code": str(response.status), **limit},
    )


def retry_after(text: str) -> timedelta | None:
    """Returns how long to wait by ``Retry-After``, which has seconds or a time."""
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:12]), MAX_PAUSE_SECONDS))
    try:
        left = parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
    return timedelta(seconds=min(max(0.0, left), MAX_PAUSE_SECONDS))
