from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from pydantic_settings import SettingsConfigDict
from sutler import errors, headers
from sutler.auth import decode_principal
from sutler.cache.v1 import cache_pb2, cache_pb2_grpc
from sutler.client import Sutler, connect
from sutler.client.calls import typed
from sutler.context import Call, Principal, current, set_current
from sutler.errors import TABLE, SutlerError, Violation
from sutler.rule.v1 import rule_pb2
from sutler.server import Runtime, Service
from sutler.settings import ServerSettings
from sutler.testing import free_port, serve

OTHERS = [kind for kind in TABLE if kind is not errors.Unavailable]
GET = cache_pb2.GetCacheRequest(name="caches/a")


class Settings(ServerSettings):
    """A script for tests."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_CACHE_")


class Script:
    """Answers with what it was told: an exception to raise, or nothing."""

    def __init__(self) -> None:
        self.answers: list[Exception | None] = []
        self.requests: list[Any] = []
        self.calls: list[Call] = []

    def _next(self, request: Any) -> None:
        self.requests.append(request)
        self.calls.append(current())
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    async def GetCache(self, request: Any, context: Any) -> cache_pb2.Cache:
        self._next(request)
        return cache_pb2.Cache(name=request.name)

    async def CreateCache(self, request: Any, context: Any) -> cache_pb2.Cache:
        self._next(request)
        return cache_pb2.Cache(name=f"caches/{request.cache_id}")

    async def WriteBlob(self, requests: AsyncIterator[Any], context: Any) -> cache_pb2.Entry:
        async for request in requests:
            self._next(request)
        return cache_pb2.Entry()

    async def ReadBlob(self, request: Any, context: Any) -> AsyncIterator[cache_pb2.ReadBlobResponse]:
        yield cache_pb2.ReadBlobResponse(data=b"x")
        self._next(request)

    @asynccontextmanager
    async def app(self, settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        add = cache_pb2_grpc.add_CacheServiceServicer_to_server
        yield Service("cache", {"sutler.cache.v1.CacheService": (add, self)})


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(script: Script, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sutler]:
    monkeypatch.setattr("sutler.resilience.MIN_DELAY_SECONDS", 0.01)
    async with serve(script.app, Settings, attempts=4) as (connected, _):
        yield connected


@pytest.mark.parametrize("wrong", [{"name": "caches/a"}, None, cache_pb2.DeleteCacheRequest(name="caches/a")], ids=repr)
async def test_what_is_no_request_of_the_method_is_not_sent(client: Sutler, script: Script, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"sutler\.cache\.v1\.GetCacheRequest"):
        await client.cache.GetCache(wrong)
    with pytest.raises(TypeError, match=r"sutler\.cache\.v1\.ReadBlobRequest"):
        await anext(client.cache.ReadBlob(wrong))
    assert not script.calls


class TestDeadlines:
    async def test_every_call_has_one(self, client: Sutler, script: Script) -> None:
        await client.cache.GetCache(GET)
        left = script.calls[0].deadline
        assert left is not None and 25 < left - time.monotonic() < 31

    async def test_of_the_call(self, client: Sutler, script: Script) -> None:
        await client.cache.GetCache(GET, timeout=7)
        left = script.calls[0].deadline
        assert left is not None and 4 < left - time.monotonic() < 8

    async def test_none_left_is_an_error_and_not_the_default(self, client: Sutler) -> None:
        with pytest.raises(errors.DeadlineExceeded):
            await client.cache.GetCache(GET, timeout=0)

    async def test_all_attempts_share_it(self, client: Sutler, script: Script) -> None:
        script.answers = [errors.Unavailable("down")] * 3
        await client.cache.GetCache(GET, timeout=20)
        ends = [call.deadline for call in script.calls if call.deadline]
        assert len(ends) == 4
        assert max(ends) - min(ends) < 2

    async def test_a_server_that_is_not_there(self) -> None:
        async with connect(f"127.0.0.1:{free_port()}", timeout=1, attempts=2) as client:
            started = time.monotonic()
            with pytest.raises(errors.Unavailable) as caught:
                await client.cache.GetCache(GET)
            assert time.monotonic() - started < 10
            assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"

    @pytest.mark.parametrize("address", ["http://127.0.0.1:50052", "https://cache.example:443/v1"])
    async def test_a_url_is_no_address(self, address: str) -> None:
        with pytest.raises(errors.Invalid) as caught:
            async with connect(address):
                pass
        assert caught.value.metadata["field"] == "address"


class TestRequestIds:
    def create(self, request_id: str = "") -> cache_pb2.CreateCacheRequest:
        return cache_pb2.CreateCacheRequest(cache_id="a", cache=cache_pb2.Cache(), request_id=request_id)

    async def test_added_once_and_the_same_in_every_attempt(self, client: Sutler, script: Script) -> None:
        script.answers = [errors.Unavailable("down"), errors.Unavailable("down"), None]
        request = self.create()
        await client.cache.CreateCache(request)
        ids = {each.request_id for each in script.requests}
        assert (len(script.requests), len(ids)) == (3, 1)
        assert uuid.UUID(ids.pop()).version == 4
        assert request.request_id == "", "the caller's request was changed"

    async def test_another_call_has_another_one(self, client: Sutler, script: Script) -> None:
        for _ in range(2):
            await client.cache.CreateCache(self.create())
        assert len({each.request_id for each in script.requests}) == 2

    async def test_the_callers_own_stays(self, client: Sutler, script: Script) -> None:
        mine = str(uuid.uuid4())
        await client.cache.CreateCache(self.create(mine))
        assert script.requests[0].request_id == mine


class TestRetries:
    @pytest.mark.parametrize(
        "kind", [kind for kind in TABLE if kind is not errors.Unavailable], ids=lambda k: k.__name__
    )
    async def test_of_nothing_but_unavailable(self, client: Sutler, script: Script, kind: type[SutlerError]) -> None:
        script.answers = [kind("x")]
        with pytest.raises(kind):
            await client.cache.GetCache(GET)
        assert len(script.requests) == 1

    async def test_until_the_attempts_are_used_up(self, client: Sutler, script: Script) -> None:
        script.answers = [errors.Unavailable(str(number)) for number in range(9)]
        with pytest.raises(errors.Unavailable) as caught:
            await client.cache.GetCache(GET)
        assert (len(script.requests), caught.value.message) == (4, "3")

    async def test_none_of_streams(self, client: Sutler, script: Script) -> None:
        async def blobs() -> AsyncIterator[cache_pb2.WriteBlobRequest]:
            yield cache_pb2.WriteBlobRequest(data=b"x")

        script.answers = [errors.Unavailable("down")] * 9
        with pytest.raises(errors.Unavailable):
            await client.cache.WriteBlob(blobs())
        with pytest.raises(errors.Unavailable):
            async for _ in client.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/a", key="k")):
                pass
        assert len(script.requests) == 2

    async def test_none_if_one_attempt_is_asked_for(self, script: Script) -> None:
        script.answers = [errors.Unavailable("down")]
        async with serve(script.app, Settings, attempts=1) as (client, _):
            with pytest.raises(errors.Unavailable):
                await client.cache.GetCache(GET)
        assert len(script.requests) == 1


class TestErrors:
    @pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
    async def test_have_their_class_and_details(self, script: Script, kind: type[SutlerError]) -> None:
        error = kind("it is so", reason="WHY", metadata={"a": "b"}, resource="caches/a")
        script.answers = [error, error]
        async with serve(script.app, Settings) as (client, _):
            with pytest.raises(kind) as caught:
                await client.cache.GetCache(GET)
            assert (type(caught.value), caught.value.code) == (kind, TABLE[kind][0])
            assert (caught.value.message, caught.value.reason, caught.value.resource) == ("it is so", "WHY", "caches/a")
            assert (caught.value.metadata, caught.value.domain) == (
                {"a": "b", "resource": "caches/a"},
                "cache.sutler.dev",
            )
            stream = client.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/a", key="k"))
            await anext(stream)
            with pytest.raises(kind):
                await anext(stream)

    @pytest.mark.parametrize("transport", ["grpcio", "native"])
    async def test_many_violations_and_long_texts_arrive(self, script: Script, transport: str) -> None:
        """gRPC would replace an error that does not fit into its metadata by one of its own."""
        many = [Violation(f"rule.actions[{n}].delay", "must be longer " * 10, "TOO_SHORT") for n in range(100)]
        sent = [
            errors.invalid_fields(many),
            errors.NotFound("ü" * 20_000),
            errors.NotFound("gone", metadata={"path": "x" * 20_000}),
        ]
        script.answers = list(sent)
        async with serve(script.app, Settings, transport=transport) as (client, _):
            for error in sent:
                with pytest.raises(type(error)) as caught:
                    await client.cache.GetCache(GET)
                assert caught.value.reason == error.reason
                omitted = int(caught.value.metadata.get("violations_omitted", "0"))
                assert len(caught.value.violations) + omitted == len(error.violations)

    @pytest.mark.parametrize("trailer", [b"\xff\xff", b"", "text"])
    def test_of_a_server_that_sends_no_details(self, trailer: Any) -> None:
        metadata = grpc.aio.Metadata((headers.STATUS, trailer))
        error = typed(grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, "gone"))
        assert (type(error), error.message) == (errors.NotFound, "gone")

    async def test_a_server_that_does_not_have_the_method(self, script: Script, transport: str) -> None:
        async with serve(script.app, Settings, transport=transport) as (_, server), connect(server.address) as client:
            for answer in (
                client.rules.ListRules(rule_pb2.ListRulesRequest()),
                anext(client.rules.WatchEvents(rule_pb2.WatchEventsRequest())),
            ):
                with pytest.raises(errors.Unimplemented) as caught:
                    await answer
                assert caught.value.metadata["address"] == server.address
                assert caught.value.metadata["method"].startswith("sutler.rule.v1.RuleService/")
                assert server.address in caught.value.message

    def test_what_a_server_itself_does_not_implement_keeps_its_words(self) -> None:
        none = grpc.aio.Metadata()
        refused = grpc.aio.AioRpcError(grpc.StatusCode.UNIMPLEMENTED, none, none, "no such action on a printer")
        error = typed(refused, "sutler.resource.v1.ResourceHandler/Invoke", "127.0.0.1:1")
        assert (error.message, error.metadata) == ("no such action on a printer", {})

    async def test_an_answer_that_is_no_message(self) -> None:
        async def rubbish(request: Any, context: Any) -> bytes:
            return b"\xff\xff"

        async def rubbish_stream(request: Any, context: Any) -> AsyncIterator[bytes]:
            yield b"\xff\xff"

        handlers = {
            "GetCache": grpc.unary_unary_rpc_method_handler(rubbish),
            "ReadBlob": grpc.unary_stream_rpc_method_handler(rubbish_stream),
        }
        server = grpc.aio.server()
        service = "sutler.cache.v1.CacheService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with connect(f"127.0.0.1:{port}", attempts=1) as client:
            with pytest.raises(errors.Internal):
                await client.cache.GetCache(GET)
            with pytest.raises(errors.Internal):
                await anext(client.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/a", key="k")))
        await server.stop(0)

    @pytest.mark.parametrize(
        ("text", "kind"),
        [("Received RST_STREAM with error code 2", errors.Unavailable), ("the answer cannot be read", errors.Internal)],
    )
    def test_a_reset_stream_is_an_outage(self, text: str, kind: type[SutlerError]) -> None:
        none = grpc.aio.Metadata()
        assert type(typed(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, none, none, text))) is kind

    def test_details_decide(self) -> None:
        status = Status(code=5, message="really").SerializeToString()
        metadata = grpc.aio.Metadata((headers.STATUS, status))
        error = typed(grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN, grpc.aio.Metadata(), metadata, "?"))
        assert (type(error), error.message) == (errors.NotFound, "really")


class TestHeaders:
    async def sent(self, script: Script, work: Callable[[Sutler], Any], **options: Any) -> Call:
        async with serve(script.app, Settings) as (_, server), connect(server.address, **options) as client:
            await work(client)
        return script.calls[-1]

    async def get(self, client: Sutler) -> None:
        await client.cache.GetCache(GET)

    async def test_token_and_tenant(self, script: Script) -> None:
        call = await self.sent(script, self.get, token="t", tenant="acme")
        assert (call.header("authorization"), call.header(headers.TENANT)) == ("Bearer t", "acme")
        assert (await self.sent(script, self.get, token="Bearer t")).header("authorization") == "Bearer t"

    async def test_token_is_asked_for_at_every_call(self, script: Script) -> None:
        tokens = iter(["first", "second"])

        async def twice(client: Sutler) -> None:
            await self.get(client)
            await self.get(client)

        await self.sent(script, twice, token=lambda: next(tokens))
        assert [call.header("authorization") for call in script.calls] == ["Bearer first", "Bearer second"]

    async def test_nothing_is_sent_of_what_is_not_there(self, script: Script) -> None:
        call = await self.sent(script, self.get)
        assert not {"authorization", headers.TENANT, headers.ON_BEHALF_OF, headers.CORRELATION} & set(call.headers)

    async def test_own_headers_of_a_call(self, script: Script) -> None:
        async def work(client: Sutler) -> None:
            await client.cache.GetCache(GET, metadata={"x-mine": "1", "authorization": "Bearer other"})

        call = await self.sent(script, work, token="t")
        assert (call.header("x-mine"), call.header("authorization")) == ("1", "Bearer other")

    @pytest.mark.parametrize("behalf", [True, False])
    async def test_ids_and_principal_of_the_call_that_causes_it(self, script: Script, behalf: bool) -> None:
        anna = Principal("user:anna", "acme", ("cache.*.*",))

        async def work(client: Sutler) -> None:
            async def served() -> None:
                set_current(Call("/a/B", principal=anna, tenant="acme", correlation_id="c-1"))
                await self.get(client)

            await asyncio.create_task(served())

        call = await self.sent(script, work, behalf=behalf)
        assert call.correlation_id == "c-1"
        sent = call.header(headers.ON_BEHALF_OF)
        assert (decode_principal(sent) if sent else None) == (anna if behalf else None)

    async def test_the_first_principal_stays_over_many_hops(self, script: Script) -> None:
        anna = Principal("user:anna", "acme", ("cache.*.*",))

        async def work(client: Sutler) -> None:
            async def served() -> None:
                set_current(Call("/a/B", principal=Principal("service:rule", "acme", (), on_behalf_of=anna)))
                await self.get(client)

            await asyncio.create_task(served())

        call = await self.sent(script, work, behalf=True)
        assert decode_principal(call.header(headers.ON_BEHALF_OF)) == anna
