"""Recordings and the list of those that the sandbox is held to."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
RECORDINGS = HERE.parent / "recordings" / "odoo18"
LIST = json.loads((HERE / "recordings.json").read_text("utf-8"))
COVERED: dict[str, dict[str, Any]] = LIST["covered"]
LEFT_OUT: dict[str, str] = LIST["left_out"]

API_KEY = "replayed-api-key"
SECRETS = {"<wrong-password>": "wrong", "<api-key>": API_KEY}
ADMIN = 2


class RecordedClock:
    """Tells times inside the windows that the recordings ask about: each call a millisecond later."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 21, 7, 34, 5, 123456)

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


@dataclass(slots=True)
class Player:
    """Prepares what a recording needs and sends its request, with the ids of the sandbox."""

    client: httpx.AsyncClient
    names: dict[str, Any]

    async def prepare(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            model, method, args, *keywords = self._named(step["call"])
            arguments = ["demo", ADMIN, "admin", model, method, args, *keywords]
            answer = (await self._post(arguments)).json()
            assert "error" not in answer, answer
            if "as" in step:
                self.names[step["as"]] = answer["result"]

    async def play(self, request: dict[str, Any], ids: dict[str, Any]) -> httpx.Response:
        mapped = {int(old): self._named(new) for old, new in ids.items()}
        content: Any = request["body"]
        if isinstance(content, dict):
            content = json.dumps(self._mapped(content, request.get("user"), mapped))
        headers = request.get("headers", {"content-type": "application/json"})
        return await self.client.request(request["method"], request["path"], content=content, headers=headers)

    def with_ids(self, body: Any, ids: dict[str, Any]) -> Any:
        """Put the sandbox's ids into the texts of a recorded answer, where they stand before a comma."""
        text = json.dumps(body)
        for old, new in ids.items():
            text = text.replace(f"({old},", f"({self._named(new)},")
        return json.loads(text)

    async def _post(self, args: list[Any]) -> httpx.Response:
        params = {"service": "object", "method": "execute_kw", "args": args}
        return await self.client.post("/jsonrpc", json={"jsonrpc": "2.0", "id": 1, "method": "call", "params": params})

    def _named(self, value: Any) -> Any:
        """Put in the results of earlier steps: `$name`, or `$name.0` for the first of a list."""
        if isinstance(value, str) and value.startswith("$"):
            name, _, position = value[1:].partition(".")
            return self.names[name][int(position)] if position else self.names[name]
        if isinstance(value, list):
            return [self._named(item) for item in value]
        if isinstance(value, dict):
            return {key: self._named(item) for key, item in value.items()}
        return value

    def _mapped(self, body: dict[str, Any], user: str | None, ids: dict[int, Any]) -> dict[str, Any]:
        params = dict(body.get("params", {}))
        args = list(params.get("args", []))
        known = {**SECRETS, "<password>": user or "admin"}
        params["args"] = [known.get(arg, arg) if isinstance(arg, str) else arg for arg in args[:5]]
        params["args"] += [_replace(arg, ids) for arg in args[5:]]
        return {**body, "params": params}


def _replace(value: Any, ids: dict[int, Any]) -> Any:
    if type(value) is int:
        return ids.get(value, value)
    if isinstance(value, list):
        return [_replace(item, ids) for item in value]
    if isinstance(value, dict):
        return {key: _replace(item, ids) for key, item in value.items()}
    return value
