"""A request that was valid is not validated again; one that was not, always is."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Invalid
from sutler.interceptors import validation
from sutler.interceptors.validation import REPEATED, REPEATED_BYTES, ValidationInterceptor
from sutler.methods import find_method

GET = "/sutler.cache.v1.CacheService/GetEntry"
PUT = "/sutler.cache.v1.CacheService/PutEntry"


class Handler:
    """Takes requests that passed.

    Attributes:
        validated: What was validated.
    """

    def __init__(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.validated: list[Message] = []
        validate = validation.validate_message

        def noted(message: Message) -> None:
            self.validated.append(message)
            validate(message)

        monkeypatch.setattr(validation, "validate_message", noted)
        self._call = ValidationInterceptor().single(find_method(path), self._handle)

    async def _handle(self, request: Any, context: Any) -> Any:
        return request

    async def send(self, request: Message) -> None:
        context: Any = None
        assert await self._call(request, context) is request


def get(key: str) -> pb.GetEntryRequest:
    return pb.GetEntryRequest(cache="caches/c", key=key)


async def test_a_repeated_read_is_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler(GET, monkeypatch)
    for _ in range(3):
        for key in ("a", "b"):
            await handler.send(get(key))
    assert handler.validated == [get("a"), get("b")]


async def test_what_is_wrong_is_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler(GET, monkeypatch)
    await handler.send(get("a"))
    for _ in range(3):
        with pytest.raises(Invalid):
            await handler.send(get(""))


async def test_changes_and_large_reads_are_validated_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    puts = Handler(PUT, monkeypatch)
    for _ in range(2):
        await puts.send(pb.PutEntryRequest(cache="caches/c", key="k", entry=pb.Entry(inline_value=b"x")))
    gets = Handler(GET, monkeypatch)
    for _ in range(2):
        await gets.send(get("k" * REPEATED_BYTES))
    assert (len(puts.validated), len(gets.validated)) == (4, 2)


async def test_so_many_are_known_at_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler(GET, monkeypatch)
    for number in range(REPEATED + 1):
        await handler.send(get(str(number)))
    await handler.send(get(str(REPEATED)))
    assert len(handler.validated) == REPEATED + 1
    await handler.send(get("0"))
    assert len(handler.validated) == REPEATED + 2
