"""Health and reflection through the gateway."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2

from tests.e2e.gateway.calls import GETS, Get, channel
from tests.e2e.gateway.stack import ROOT, Stack, health_stub

GRPCURL = Path(sys.executable).parent / "grpcurl"
BUF = Path(sys.executable).parent / "buf"


def grpcurl(stack: Stack, *arguments: str) -> str:
    command = [str(GRPCURL), "-plaintext", stack.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def check(stack: Stack, service: str = "", area: str = "") -> int:
    metadata = (("x-sutler-area", area),) if area else ()
    with channel(stack) as made:
        stub = health_stub(made)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), metadata=metadata, timeout=5).status)


def test_the_five_services_are_listed(plain: Stack) -> None:
    assert {get.method.split("/")[1] for get in GETS} <= set(grpcurl(plain, "list").split())


def test_services_and_messages_are_described(plain: Stack) -> None:
    assert "rpc GetCache" in grpcurl(plain, "describe", "sutler.cache.v1.CacheService")
    assert "partner" not in grpcurl(plain, "describe", "sutler.erp.v1.Record")


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
def test_buf_finds_out_what_it_needs(plain: Stack, protocol: str) -> None:
    """It asks for a newer reflection first, with a client stream that it leaves open."""
    options = ["--protocol", protocol, "--http2-prior-knowledge", "-d", '{"name": "caches/a"}']
    command = [str(BUF), "curl", *options, f"{plain.url}/sutler.cache.v1.CacheService/GetCache"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, json.loads(done.stdout or "{}").get("name")) == (0, "caches/a"), done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [((), "Failure:"), (("--http2-prior-knowledge",), "Failure:"), (("--schema", "protos"), "415")],
)
def test_buf_does_not_wait_where_it_speaks_connect(plain: Stack, options: tuple[str, ...], told: str) -> None:
    """It does so unless told another protocol. What it says of a failed reflection is always the same."""
    command = [str(BUF), "curl", *options, "-d", "{}", f"{plain.url}/sutler.cache.v1.CacheService/GetCache"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr


@pytest.mark.parametrize("get", GETS, ids=str)
def test_the_health_of_each_area(plain: Stack, get: Get) -> None:
    service = get.method.split("/")[1]
    assert check(plain, service, get.area) == health_pb2.HealthCheckResponse.SERVING
    assert check(plain, area=get.area) == health_pb2.HealthCheckResponse.SERVING


def test_another_areas_service_is_unknown(plain: Stack) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(plain, "sutler.cache.v1.CacheService", "erp")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_no_service_answers_for_an_area_that_does_not_exist(plain: Stack) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(plain, area="billing")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_gateways_own_health(plain: Stack) -> None:
    assert check(plain) == health_pb2.HealthCheckResponse.SERVING
    assert httpx.get(f"{plain.url}/healthz").text == "ok\n"


@pytest.mark.parametrize("path", ["/grpc.channelz.v1.Channelz/GetServers", "/sutler.resource.v1.ResourceHandler/Read"])
def test_what_the_gateway_does_not_serve_has_no_route(plain: Stack, path: str) -> None:
    with channel(plain) as made, pytest.raises(grpc.RpcError) as caught:
        made.unary_unary(path, None, None)(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
