import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pb2
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError
from sutler import errors
from sutler.cache.v1 import cache_pb2
from sutler.certs import write_certificates
from sutler.client import Sutler, connect
from sutler.server import Running, running
from sutler.testing import free_port, wait_until

from tests.integration.libs.conftest import SECRET, token
from tests.integration.libs.dummy import Dummy, Settings


def get(name: str) -> cache_pb2.GetCacheRequest:
    return cache_pb2.GetCacheRequest(name=f"caches/{name}")


class TestClosedByDefault:
    def problem(self, **settings: object) -> str:
        with pytest.raises(ValidationError) as caught:
            Settings(**settings)  # type: ignore[arg-type]
        return str(caught.value)

    def test_beyond_loopback_needs_tls_and_authentication(self) -> None:
        problem = self.problem(host="0.0.0.0")
        assert "tls_cert" in problem
        assert "auth_secret" in problem

    def test_all_interfaces_and_names_are_not_loopback(self) -> None:
        for host in ("::", "192.168.0.7", "example.com", "127.example.com"):
            assert "not loopback" in self.problem(host=host)
        for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
            assert Settings(host=host).host == host

    def test_both_together_are_enough(self, tmp_path: Path) -> None:
        files = {"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"}
        assert "auth_secret" in self.problem(host="0.0.0.0", **files)
        assert Settings(host="0.0.0.0", auth_secret=SECRET, **files).encrypted  # type: ignore[arg-type]

    def test_native_refuses_tls(self, tmp_path: Path) -> None:
        assert "native" in self.problem(transport="native", tls_cert=tmp_path / "c", tls_key=tmp_path / "k")

    def test_secret_is_not_in_repr(self) -> None:
        assert SECRET not in repr(Settings(auth_secret=SECRET))  # type: ignore[arg-type]


async def test_port_in_use_is_an_error(server: Running, dummy: Dummy, settings: Settings) -> None:
    taken = settings.model_copy(update={"port": server.port})
    with pytest.raises(errors.Unavailable) as caught:
        async with running(dummy.app, taken, "dummy"):
            pass
    assert caught.value.metadata["address"] == f"127.0.0.1:{server.port}"


async def test_endless_watch_does_not_hold_the_drain_and_unary_calls_end(dummy: Dummy, settings: Settings) -> None:
    server = running(dummy.app, settings, "dummy")
    up = await server.__aenter__()
    async with connect(up.address, token=token("*.*.*"), attempts=1) as s:
        watch = s.cache.ReadBlob(cache_pb2.ReadBlobRequest(cache="caches/endless", key="k"))
        assert (await anext(watch)).data == b"one"
        slow = asyncio.create_task(s.cache.GetCache(get("slow")))
        await wait_until(lambda: dummy.caches.inside == 2)
        asyncio.get_running_loop().call_later(0.3, dummy.caches.release.set)
        started = time.monotonic()
        await server.__aexit__(None, None, None)
        assert time.monotonic() - started < settings.drain_seconds / 2
        assert (await slow).name == "caches/slow"
        with pytest.raises(errors.Unavailable) as caught:
            await anext(watch)
    assert caught.value.reason == "SHUTTING_DOWN"


async def test_listens_on_ipv6(dummy: Dummy, settings: Settings) -> None:
    async with running(dummy.app, settings.model_copy(update={"host": "::1"}), "dummy") as up:
        assert up.address == f"[::1]:{up.port}"
        async with connect(up.address, token=token("*.*.*"), attempts=1) as s:
            assert (await s.cache.GetCache(get("a"))).name == "caches/a"


async def test_reflection_lists_all_contracts_without_a_token(server: Running) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="sutler.erp.v1.ErpGateway"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="sutler.cache.v1.CacheService.PutEntry"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="sutler.cache.v1.CacheService.None"),
        ]
        listed, service, method, none = [answer async for answer in stub.ServerReflectionInfo(_each(requests))]
    names = {each.name for each in listed.list_services_response.service}
    assert {f"sutler.{x}" for x in ("resource.v1.ResourceService", "provider.v1.ProviderPlugin")} <= names
    for answer, package in ((service, "sutler.erp.v1"), (method, "sutler.cache.v1")):
        file = answer.file_descriptor_response.file_descriptor_proto[0]
        assert descriptor_pb2.FileDescriptorProto.FromString(file).package == package
    assert none.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_health_needs_no_token_and_knows_every_service(server: Running) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "sutler.cache.v1.CacheService", "sutler.rule.v1.RuleService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_messages_up_to_4_mib_pass_and_larger_ones_do_not(client: Sutler) -> None:
    fits = cache_pb2.GetCacheRequest(name="caches/a")
    fits.MergeFromString(b"\xa2\x06" + _varint(4_000_000) + b"x" * 4_000_000)
    assert (await client.cache.GetCache(fits)).name == "caches/a"
    larger = cache_pb2.GetCacheRequest(name="caches/a")
    larger.MergeFromString(b"\xa2\x06" + _varint(4_300_000) + b"x" * 4_300_000)
    with pytest.raises(errors.Exhausted) as caught:
        await client.cache.GetCache(larger)
    assert caught.value.reason == "TOO_LARGE"


class TestGrpcioOnly:
    @pytest.fixture
    def transport(self) -> str:
        return "grpcio"

    async def test_channelz_needs_a_token(self, server: Running) -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = channelz_pb2_grpc.ChannelzStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetServers(channelz_pb2.GetServersRequest())
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            bearer = [("authorization", f"Bearer {token('*.*.*')}")]
            assert (await stub.GetServers(channelz_pb2.GetServersRequest(), metadata=bearer)).server

    async def test_tls(self, dummy: Dummy, settings: Settings, tmp_path: Path) -> None:
        made = write_certificates(tmp_path / "certs", ["localhost", "127.0.0.1"])
        secure = settings.model_copy(update={"tls_cert": made.certificate, "tls_key": made.key, "host": "127.0.0.1"})
        async with running(dummy.app, secure, "dummy") as up:
            async with connect(up.address, token=token("*.*.*"), ca=made.ca.read_bytes(), attempts=1) as s:
                assert (await s.cache.GetCache(get("a"))).name == "caches/a"
            async with connect(up.address, token=token("*.*.*"), attempts=1, timeout=2) as s:
                with pytest.raises(errors.Unavailable):
                    await s.cache.GetCache(get("a"))


async def test_prometheus_endpoint_counts_calls(dummy: Dummy, settings: Settings) -> None:
    port = free_port()
    measured = settings.model_copy(update={"metrics_port": port})
    async with running(dummy.app, measured, "dummy") as up, connect(up.address, token=token("*.*.*")) as s:
        await s.cache.GetCache(get("a"))
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    line = next(x for x in text.splitlines() if x.startswith("rpc_server_duration_seconds_count") and "GetCache" in x)
    assert 'rpc_grpc_code="OK"' in line
    assert line.endswith(" 1.0")


async def _each(items: list[reflection_pb2.ServerReflectionRequest]) -> AsyncIterator[object]:
    for item in items:
        yield item


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
