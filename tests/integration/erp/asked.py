"""What a driver asks an ERP, in any of the protocols: JSON-RPC and JSON-2 of Odoo, JSON-RPC of Tryton."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Call:
    """A call as it came in. ``service`` is empty for JSON-2 and Tryton; ``number`` is the id of a JSON-RPC call."""

    body: bytes
    service: str = ""
    method: str = ""
    model: str = ""
    args: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    verb: str = "POST"
    path: str = "/jsonrpc"
    headers: dict[str, str] = field(default_factory=dict)
    number: Any = None


async def receive(reader: asyncio.StreamReader) -> Call:
    """Reads one request; raises IncompleteReadError if the client goes before its end."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    verb, path, _ = lines[0].split(" ")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    call = Call(body, verb=verb, path=path, headers=headers)
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        _understand(call)
    return call


def _understand(call: Call) -> None:
    if call.path.startswith("/json/2/"):
        call.model, call.method = call.path.removeprefix("/json/2/").split("/")
        call.named = json.loads(call.body)
        return
    content = json.loads(call.body)
    call.number, params = content.get("id"), content["params"]
    if isinstance(params, list):
        kind, *middle, call.method = content["method"].split(".")
        call.model = ".".join(middle) if kind == "model" else ""
        call.args = params
        return
    call.service, call.method = params["service"], params["method"]
    if call.method == "execute_kw":
        _, _, _, call.model, call.method, call.args, *more = params["args"]
        call.named = more[0] if more else {}
    else:
        call.args = params["args"]
