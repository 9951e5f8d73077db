"""A server that plays the recordings of a real Tryton 8.2, and the list of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.erp.servers import Call, Reply, serving

FOLDER = Path(__file__).parents[2] / "conformance" / "recordings" / "tryton82"
RECORDINGS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
BESIDE = {"common.server.version": "version", "common.db.list": "db-list", "common.db.login": "login-ok"}
"""What is answered to calls that the recording being played is not about: a driver must log in first."""


@dataclass
class Replay:
    """Plays one recording after another.

    A call of the method of the recording gets the recorded answer, with the number of the call. Logging in, version and
    list of databases are always answered. Any other call gets what ``results`` has for its whole name, such as
    ``model.party.party.fields_get``, or the result of the only recording of that method.
    """

    playing: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def play(self, name: str) -> dict[str, Any]:
        """Plays this recording from now on, and forgets the calls before; returns its request."""
        self.playing = name
        self.calls.clear()
        request: dict[str, Any] = RECORDINGS[name]["request"]
        return request

    @property
    def played(self) -> list[Call]:
        """The calls that got the recorded answer."""
        wanted = RECORDINGS[self.playing]["request"]["body"]["method"]
        return [call for call in self.calls if _name(call) == wanted]

    async def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        name = _name(call)
        if self.playing and name == RECORDINGS[self.playing]["request"]["body"]["method"]:
            return reply_of(RECORDINGS[self.playing], call)
        if name in self.results:
            return Reply(json.dumps({"id": call.number, "result": self.results[name]}).encode())
        if name in BESIDE:
            return reply_of(RECORDINGS[BESIDE[name]], call)
        return reply_of(RECORDINGS[_only_recording_of(name)], call)


@asynccontextmanager
async def replaying() -> AsyncIterator[tuple[Replay, str]]:
    """Serves recordings on a free port; yields what plays them, and the address."""
    replay = Replay()
    async with serving(replay.answer) as url:
        yield replay, url


def reply_of(recording: dict[str, Any], call: Call) -> Reply:
    """Returns the recorded answer; as the real server, it says gzip for long ones even if the client takes none."""
    response = recording["response"]
    body = response["body"]
    raw = json.dumps(body | {"id": call.number}).encode() if isinstance(body, dict) else str(body).encode()
    headers: tuple[tuple[str, str], ...] = ()
    if response["content_encoding"]:
        headers = (("content-encoding", "gzip"),)
        raw = gzip.compress(raw) if "gzip" in call.headers.get("accept-encoding", "") else raw
    return Reply(raw, response["status"], response["content_type"], headers=headers)


def _name(call: Call) -> str:
    content = json.loads(call.body)
    return str(content["method"])


def _only_recording_of(method: str) -> str:
    found = [name for name, one in RECORDINGS.items() if one["request"]["body"]["method"] == method]
    assert len(found) == 1, f"{method} is in {found or 'no recording'}; put what it answers into `results`"
    return found[0]
