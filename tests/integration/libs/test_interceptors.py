import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from sutler import errors
from sutler.auth import LEEWAY_SECONDS
from sutler.cache.v1 import cache_pb2, cache_pb2_grpc
from sutler.client import Sutler, connect
from sutler.rule.v1 import rule_pb2
from sutler.server import Running
from sutler.testing import wait_until

from tests.integration.libs.conftest import token
from tests.integration.libs.dummy import Dummy, Settings


def get(name: str) -> cache_pb2.GetCacheRequest:
    return cache_pb2.GetCacheRequest(name=f"caches/{name}")


def create(cache_id: str, request_id: str = "", **fields: object) -> cache_pb2.CreateCacheRequest:
    return cache_pb2.CreateCacheRequest(cache_id=cache_id, cache=cache_pb2.Cache(), request_id=request_id, **fields)


async def blobs(*parts: cache_pb2.WriteBlobRequest) -> AsyncIterator[cache_pb2.WriteBlobRequest]:
    for part in parts:
        yield part


async def batches(*numbers: int) -> AsyncIterator[rule_pb2.PublishEventStreamRequest]:
    for number in numbers:
        yield rule_pb2.PublishEventStreamRequest(events=[rule_pb2.Event()], sequence=number)


async def test_all_four_kinds_answer(client: Sutler) -> None:
    assert (await client.cache.GetCache(get("a"))).name == "caches/a"
    written = await client.cache.WriteBlob(blobs(cache_pb2.WriteBlobRequest(data=b"abc")))
    assert written.size_bytes == 3
    read = [r.data async for r in client.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/a", key="k"))]
    assert read == [b"one", b"two"]
    echoed = [r.sequence async for r in client.rules.PublishEventStream(batches(1, 2))]
    assert echoed == [1, 2]


async def test_error_carries_reason_domain_resource_and_correlation_id(client: Sutler, server: Running) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await client.cache.GetCache(get("absent"), metadata={"x-correlation-id": "c-1"})
    assert caught.value.reason == "NOT_FOUND"
    assert caught.value.domain == "dummy.sutler.dev"
    assert caught.value.resource == "caches/absent"
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = cache_pb2_grpc.CacheServiceStub(channel).GetCache(
            get("absent"), metadata=[("authorization", f"Bearer {token('*.*.*')}"), ("x-correlation-id", "c-2")]
        )
        assert dict(await call.trailing_metadata())["x-correlation-id"] == "c-2"


async def test_unknown_exception_is_internal_and_leaks_nothing(client: Sutler, settings: Settings) -> None:
    with pytest.raises(errors.Internal) as caught:
        await client.cache.GetCache(get("broken"))
    assert "passwd" not in caught.value.message
    assert "ValueError" not in caught.value.message
    incident = caught.value.metadata["incident"]
    (line,) = await lines(settings.log_file, lambda line: line.get("incident") == incident, 1)
    assert "secret: /etc/passwd" in line["exception"]


async def test_error_in_the_middle_of_a_stream_is_mapped(client: Sutler) -> None:
    stream = client.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/absent", key="k"))
    assert (await anext(stream)).data == b"one"
    with pytest.raises(errors.NotFound):
        await anext(stream)
    replies = client.rules.PublishEventStream(batches(1, 13))
    assert (await anext(replies)).sequence == 1
    with pytest.raises(errors.OutOfRange):
        await anext(replies)


async def test_rpc_that_is_not_built_is_unimplemented(client: Sutler) -> None:
    with pytest.raises(errors.Unimplemented) as caught:
        await client.cache.ListCaches(cache_pb2.ListCachesRequest())
    assert (caught.value.reason, caught.value.metadata["method"]) == ("NOT_IMPLEMENTED", "ListCaches")
    with pytest.raises(errors.Unimplemented):
        await anext(client.cache.WatchInvalidations(cache_pb2.WatchInvalidationsRequest(cache="caches/a")))


async def test_every_violation_is_listed_with_its_path(client: Sutler) -> None:
    bad = cache_pb2.CreateCacheRequest(cache_id="0 bad", cache=cache_pb2.Cache(max_entries=-1), request_id="not a uuid")
    with pytest.raises(errors.Invalid) as caught:
        await client.cache.CreateCache(bad)
    assert {v.field for v in caught.value.violations} == {"cache_id", "cache.max_entries", "request_id"}


async def test_messages_of_a_request_stream_are_validated(client: Sutler) -> None:
    with pytest.raises(errors.Invalid):
        await client.cache.WriteBlob(blobs(cache_pb2.WriteBlobRequest()))


class TestAuth:
    async def call(self, server: Running, bearer: str, name: str = "a", **headers: str) -> cache_pb2.Cache:
        async with connect(server.address, token=bearer, attempts=1) as connection:
            return await connection.cache.GetCache(get(name), metadata=headers)

    async def test_no_token(self, server: Running) -> None:
        with pytest.raises(errors.Unauthenticated) as caught:
            await self.call(server, "")
        assert caught.value.reason == "CREDENTIALS_MISSING"

    @pytest.mark.parametrize(
        "bearer",
        ["rubbish", token("*.*.*", lifetime_seconds=-60), token("*.*.*")[:-4] + "AAAA"],
        ids=["rubbish", "expired", "signature"],
    )
    async def test_bad_token(self, server: Running, bearer: str) -> None:
        with pytest.raises(errors.Unauthenticated) as caught:
            await self.call(server, bearer)
        assert caught.value.reason == "CREDENTIALS_INVALID"

    async def test_permission_comes_before_existence(self, server: Running) -> None:
        with pytest.raises(errors.PermissionDenied) as caught:
            await self.call(server, token("cache.caches.create"), "absent")
        assert caught.value.metadata["permission"] == "cache.caches.get"

    @pytest.mark.parametrize("grant", ["cache.caches.get", "cache.*.get", "*.*.*", "cache.caches.get:caches/a*"])
    async def test_grants_that_cover(self, server: Running, grant: str) -> None:
        assert (await self.call(server, token(grant))).name == "caches/a"

    @pytest.mark.parametrize("grant", ["cache.caches.list", "rule.*.*", "cache.caches.get:caches/b*", "cache.caches"])
    async def test_grants_that_do_not(self, server: Running, grant: str) -> None:
        with pytest.raises(errors.PermissionDenied):
            await self.call(server, token(grant))

    async def test_tenant_of_the_token(self, server: Running) -> None:
        assert (await self.call(server, token("*.*.*", tenant="acme"))).uid == "acme"

    async def test_other_tenant_needs_act_as(self, server: Running) -> None:
        wanted = {"x-sutler-tenant": "acme"}
        with pytest.raises(errors.PermissionDenied) as caught:
            await self.call(server, token("cache.caches.*"), **wanted)
        assert caught.value.metadata["permission"] == "cache.tenants.actAs"
        allowed = token("cache.caches.get", "cache.tenants.actAs:acme")
        assert (await self.call(server, allowed, **wanted)).uid == "acme"

    async def test_service_acts_on_behalf_and_both_are_checked(self, server: Running) -> None:
        from sutler.auth import encode_principal
        from sutler.context import Principal

        anna = Principal("user:anna", "acme", ("cache.caches.get",))
        behalf = {"x-sutler-on-behalf-of": encode_principal(anna)}
        service = token("cache.*.*", service=True)
        answer = await self.call(server, service, **behalf)
        assert (answer.uid, answer.etag) == ("acme", "user:anna")
        with pytest.raises(errors.PermissionDenied):
            await self.call(server, token("cache.*.*"), **behalf)
        nobody = {"x-sutler-on-behalf-of": encode_principal(Principal("user:bob", "acme", ()))}
        with pytest.raises(errors.PermissionDenied) as caught:
            await self.call(server, service, **nobody)
        assert caught.value.metadata["principal"] == "user:bob"

    async def test_streams_are_checked(self, server: Running) -> None:
        async with connect(server.address, token=token("cache.caches.get"), attempts=1) as connection:
            with pytest.raises(errors.PermissionDenied):
                await anext(connection.rules.PublishEventStream(batches(1)))
            with pytest.raises(errors.PermissionDenied):
                await anext(connection.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/a", key="k")))

    async def test_streams_end_when_the_token_expires(self, server: Running, dummy: Dummy) -> None:
        bearer = token("*.*.*", lifetime_seconds=2 - LEEWAY_SECONDS)
        async with connect(server.address, token=bearer, attempts=1) as connection:
            reading = connection.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/slow", key="k"))
            assert (await anext(reading)).data == b"one"
            ends = time.time() + 2
            await wait_until(lambda: time.time() > ends)
            dummy.caches.release.set()
            with pytest.raises(errors.Unauthenticated) as caught:
                await anext(reading)
            assert caught.value.reason == "CREDENTIALS_INVALID"

    async def test_patterns_hold_for_streams(self, server: Running) -> None:
        async def write(cache: str) -> cache_pb2.Entry:
            parts = [cache_pb2.WriteBlobRequest(header=cache_pb2.WriteBlobHeader(cache=cache, key="k"))]
            parts += [cache_pb2.WriteBlobRequest(data=b"abc")] * 2
            return await connection.cache.WriteBlob(blobs(*parts))

        granted = token("cache.blobs.write:caches/a*", "rule.events.publishStream:events/*")
        async with connect(server.address, token=granted, attempts=1) as connection:
            assert (await write("caches/a1")).size_bytes == 6
            with pytest.raises(errors.PermissionDenied):
                await write("caches/b1")
            with pytest.raises(errors.PermissionDenied):
                await connection.cache.WriteBlob(blobs(cache_pb2.WriteBlobRequest(data=b"abc")))
            with pytest.raises(errors.PermissionDenied):
                await anext(connection.rules.PublishEventStream(batches(1)))


class TestIdempotency:
    async def test_repeat_gets_the_first_answer(self, client: Sutler, dummy: Dummy) -> None:
        request = create("a", str(uuid.uuid4()))
        first, second = await client.cache.CreateCache(request), await client.cache.CreateCache(request)
        assert first == second
        assert dummy.caches.created == ["a"]

    async def test_other_body_is_refused(self, client: Sutler) -> None:
        request_id = str(uuid.uuid4())
        await client.cache.CreateCache(create("a", request_id))
        with pytest.raises(errors.Invalid) as caught:
            await client.cache.CreateCache(create("b", request_id))
        assert caught.value.reason == "REQUEST_ID_REUSED"

    async def test_repeat_that_arrives_meanwhile_waits(self, client: Sutler, dummy: Dummy) -> None:
        request = create("slow", str(uuid.uuid4()))
        calls = [asyncio.create_task(client.cache.CreateCache(request)) for _ in range(5)]
        await dummy.caches.entered.wait()
        dummy.caches.release.set()
        answers = await asyncio.gather(*calls)
        assert dummy.caches.created == ["slow"]
        assert all(answer == answers[0] for answer in answers)

    async def test_one_who_waits_has_a_deadline_of_its_own(self, client: Sutler, dummy: Dummy) -> None:
        request = create("late", str(uuid.uuid4()))
        first = asyncio.create_task(client.cache.CreateCache(request))
        await dummy.caches.entered.wait()
        others = [asyncio.create_task(client.cache.CreateCache(request)) for _ in range(3)]
        await client.cache.GetCache(get("a"))
        dummy.caches.release.set()
        with pytest.raises(errors.DeadlineExceeded):
            await first
        answers = await asyncio.gather(*others)
        assert all(answer == answers[0] for answer in answers)
        assert dummy.caches.created == ["late", "late"]

    async def test_letters_of_an_id_may_be_large_or_small(self, client: Sutler, dummy: Dummy) -> None:
        id = "ABCDEF00-0000-4000-8000-000000000000"
        first = await client.cache.CreateCache(create("a", id))
        assert await client.cache.CreateCache(create("a", id.lower())) == first
        assert dummy.caches.created == ["a"]

    async def test_failure_is_not_remembered(self, client: Sutler, dummy: Dummy) -> None:
        request = create("full", str(uuid.uuid4()))
        for _ in range(2):
            with pytest.raises(errors.Exhausted):
                await client.cache.CreateCache(request)
        assert dummy.caches.created == ["full", "full"]

    async def test_tenants_do_not_share_ids(self, server: Running, dummy: Dummy) -> None:
        request = create("a", str(uuid.uuid4()))
        for tenant in ("one", "two"):
            async with connect(server.address, token=token("*.*.*", tenant=tenant)) as connection:
                await connection.cache.CreateCache(request)
        assert dummy.caches.created == ["a", "a"]

    async def test_change_survives_its_callers_cancellation(self, client: Sutler, dummy: Dummy) -> None:
        request = create("slow", str(uuid.uuid4()))
        call = asyncio.create_task(client.cache.CreateCache(request))
        await dummy.caches.entered.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        dummy.caches.release.set()
        answer = await client.cache.CreateCache(request)
        assert answer.name == "caches/slow"
        assert (dummy.caches.created, dummy.caches.cancelled) == (["slow"], 0)


async def test_deadline_ends_the_call(client: Sutler, dummy: Dummy) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        await client.cache.GetCache(get("slow"), timeout=0.2)


async def test_one_log_line_for_each_call(client: Sutler, settings: Settings) -> None:
    await client.cache.GetCache(get("a"), metadata={"x-correlation-id": "line"})
    with pytest.raises(errors.NotFound):
        await client.cache.GetCache(get("absent"), metadata={"x-correlation-id": "line"})
    found = await lines(settings.log_file, lambda line: line.get("correlation_id") == "line", 2)
    assert [(line["code"], line.get("reason")) for line in found] == [("OK", None), ("NOT_FOUND", "NOT_FOUND")]
    assert {line["principal"] for line in found} == {"user:anna"}


async def lines(file: Path | None, wanted: Callable[[dict[str, str]], bool], count: int) -> list[dict[str, str]]:
    assert file is not None
    async with asyncio.timeout(5):
        while True:
            found = [line for line in map(json.loads, file.read_text().splitlines()) if wanted(line)]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)
