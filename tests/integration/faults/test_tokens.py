"""Tokens that are missing, bad, or grant too little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sutler.auth import make_token
from sutler.client import connect
from sutler.errors import Code, NotFound
from sutler.rule.v1 import rule_pb2
from sutler.type.v1 import permission_pb2

from tests.integration.faults.conftest import new_id
from tests.integration.faults.faces import RULE, Face
from tests.integration.faults.refusals import check, methods, refusal, refused

SECRET = "a secret of more than thirty-two bytes"
ISSUER, AUDIENCE = "https://login.example", "sutler"
SECURED = {"auth_secret": SECRET, "auth_issuer": ISSUER, "auth_audience": AUDIENCE}
GOOD: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}
BAD = {
    "no token at all": "rubbish",
    "unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyOmFubmEifQ.",
    "expired": make_token(SECRET, "user:anna", lifetime_seconds=-60, **GOOD),
    "another key": make_token(SECRET[::-1], "user:anna", **GOOD),
    "another audience": make_token(SECRET, "user:anna", issuer=ISSUER, audience="others"),
    "another issuer": make_token(SECRET, "user:anna", issuer="https://evil.example", audience=AUDIENCE),
}


async def test_bad_tokens_change_and_tell_nothing(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path, token=make_token(SECRET, "user:anna", **GOOD), **SECURED) as (s, up):
        await face.prepare(s)
        await face.change(s, "known", new_id())
        for token in BAD.values():
            async with connect(up.address, token=token, attempts=1) as stranger:
                with refused(face, Code.UNAUTHENTICATED, "CREDENTIALS_INVALID"):
                    await face.change(stranger, "wished", new_id())
                for id in ("known", "unknown"):
                    with refused(face, Code.UNAUTHENTICATED, "CREDENTIALS_INVALID"):
                        await face.read(stranger, id)
        with pytest.raises(NotFound):
            await face.read(s, "wished")
        await face.read(s, "known")


async def test_every_method_wants_a_token(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path, token="", **SECURED) as (s, _):
        for method in methods(face):
            check(face, await refusal(s.channel, method, b""), Code.UNAUTHENTICATED, "CREDENTIALS_MISSING")


async def test_every_method_wants_its_permission(face: Face, tmp_path: Path) -> None:
    powerless = make_token(SECRET, "user:anna", permissions=["nothing.at.all"], **GOOD)
    async with face.serving(tmp_path, token=powerless, **SECURED) as (s, _):
        for method in methods(face):
            error = await refusal(s.channel, method, b"", {"authorization": f"Bearer {powerless}"})
            wanted = method.GetOptions().Extensions[permission_pb2.permission]
            check(face, error, Code.PERMISSION_DENIED, "PERMISSION_MISSING", permission=wanted)


async def test_a_stream_that_is_refused_while_it_sends_is_told_why(tmp_path: Path) -> None:
    """Some of the requests are under way when the refusal comes; which ones is never the same."""

    async def requests() -> AsyncIterator[rule_pb2.PublishEventStreamRequest]:
        for _ in range(50):
            yield rule_pb2.PublishEventStreamRequest()
            await asyncio.sleep(0)

    async with RULE.serving(tmp_path, token="", **SECURED) as (s, _):
        for _ in range(100):
            with refused(RULE, Code.UNAUTHENTICATED, "CREDENTIALS_MISSING"):
                async for _answer in s.rules.PublishEventStream(requests()):
                    pass
