"""Bytes that are no message of the contract, in all four kinds of RPC and on both transports."""

import json
from collections.abc import AsyncIterator

import grpc
import pytest
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.client.calls import typed
from sutler.errors import Code
from sutler.rule.v1 import rule_pb2
from sutler.testing import wait_until

from tests.integration.libs.conftest import token
from tests.integration.libs.dummy import Settings

BAD = b"\xff\xff\xff"
FIRST = {
    "WriteBlob": cache_pb2.WriteBlobRequest(data=b"x").SerializeToString(),
    "PublishEventStream": rule_pb2.PublishEventStreamRequest(events=[rule_pb2.Event()]).SerializeToString(),
}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("unary_unary", "/sutler.cache.v1.CacheService/GetCache"),
        ("unary_stream", "/sutler.cache.v1.CacheService/ReadBlob"),
        ("stream_unary", "/sutler.cache.v1.CacheService/WriteBlob"),
        ("stream_stream", "/sutler.rule.v1.RuleService/PublishEventStream"),
    ],
)
async def test_they_are_a_bad_request_like_any_other(client: Sutler, settings: Settings, kind: str, path: str) -> None:
    first = FIRST.get(path.rpartition("/")[2])
    headers = [("authorization", f"Bearer {token('*.*.*')}"), ("x-correlation-id", "c-1")]
    answer = getattr(client.channel, kind)(path)(BAD if first is None else [first, BAD], metadata=headers)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (all_of(answer) if kind.endswith("stream") else answer)
    error = typed(caught.value)
    assert (error.code, error.reason, error.domain) == (Code.INVALID_ARGUMENT, "FIELD_INVALID", "dummy.sutler.dev")
    assert error.metadata["method"] == path

    def told() -> list[dict[str, object]]:
        assert settings.log_file is not None
        found = [json.loads(line) for line in settings.log_file.read_text().splitlines()]
        return [line for line in found if line.get("correlation_id") == "c-1"]

    [line] = await wait_until(told)
    assert (line["event"], line["code"], "exception" in line) == ("rpc", "INVALID_ARGUMENT", False)


async def all_of(answers: AsyncIterator[bytes]) -> list[bytes]:
    return [answer async for answer in answers]
