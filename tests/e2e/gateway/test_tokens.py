"""A gateway and services with TLS and authentication on."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sutler.auth import make_token
from sutler.certs import write_certificates

from deploy.envoy.tokens import Tokens, secret_jwks
from tests.e2e.gateway.calls import CACHE, GETS, WAYS, Get, Way, by_grpc, by_rest, channel, client
from tests.e2e.gateway.stack import AREAS, Stack, gateway, health_stub, open_channel, stack

SECRET = "thirty-two bytes or more, known to all"
ISSUER, AUDIENCE = "https://issuer.example", "sutler"
GATEWAY = "gateway.sutler.dev"

all_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def token(
    secret: str = SECRET, *permissions: str, seconds: int = 60, issuer: str = ISSUER, audience: str = AUDIENCE
) -> str:
    granted = permissions or ["*.*.*"]
    return make_token(
        secret, "user:anna", permissions=granted, lifetime_seconds=seconds, issuer=issuer, audience=audience
    )


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("closed")
    made = write_certificates(folder, ["127.0.0.1"])
    settings = {
        "tls_cert": str(made.certificate),
        "tls_key": str(made.key),
        "auth_secret": SECRET,
        "auth_issuer": ISSUER,
        "auth_audience": AUDIENCE,
    }
    tokens = Tokens(secret_jwks(SECRET), ISSUER, [AUDIENCE])
    with stack(folder, settings=settings, neighbour_ca=made.ca, tls=(made.certificate, made.key), tokens=tokens) as up:
        yield up


@all_ways
@pytest.mark.parametrize("get", GETS, ids=str)
def test_a_good_token_passes(closed: Stack, get: Get, way: Way) -> None:
    assert way(closed, get, "a", bearer(token())).message.name == get.name.format("a")


@all_ways
def test_no_token(closed: Stack, way: Way) -> None:
    answer = way(closed, CACHE, "without", {})
    assert answer.reason() == (code_pb2.UNAUTHENTICATED, "CREDENTIALS_MISSING", GATEWAY)
    assert answer.http in (0, 401)
    assert not closed.noted("caches/without")


BAD = {
    "expired": lambda: token(seconds=-60),
    "of another key": lambda: token("another secret of thirty-two bytes"),
    "of another issuer": lambda: token(issuer="https://elsewhere.example"),
    "unsigned": lambda: jwt.encode({"sub": "a", "exp": time.time() + 60, "iss": ISSUER, "aud": AUDIENCE}, "", "none"),
    "that never expires": lambda: jwt.encode({"sub": "a", "iss": ISSUER, "aud": AUDIENCE}, SECRET, "HS256"),
    "garbage": lambda: "garbage",
}


@all_ways
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_token(closed: Stack, way: Way, bad: object) -> None:
    answer = way(closed, CACHE, "bad", bearer(bad()))  # type: ignore[operator]
    assert answer.reason() == (code_pb2.UNAUTHENTICATED, "CREDENTIALS_INVALID", GATEWAY)
    assert not closed.noted("caches/bad")


@all_ways
def test_a_token_for_another_audience(closed: Stack, way: Way) -> None:
    answer = way(closed, CACHE, "bad", bearer(token(audience="elsewhere")))
    assert answer.reason() == (code_pb2.PERMISSION_DENIED, "NOT_ALLOWED", GATEWAY)


@all_ways
@pytest.mark.parametrize("get", GETS, ids=str)
def test_what_a_token_permits_is_for_the_service_to_say(closed: Stack, get: Get, way: Way) -> None:
    answer = way(closed, get, "a", bearer(token(SECRET, "other.things.get")))
    assert answer.reason() == (code_pb2.PERMISSION_DENIED, "PERMISSION_MISSING", get.domain)


def test_rest_callers_are_told_what_is_wrong_with_the_token(closed: Stack) -> None:
    assert "expired" in by_rest(closed, CACHE, "a", bearer(token(seconds=-60))).status.message


def test_a_token_in_the_address_does_not_count(closed: Stack) -> None:
    with client(closed) as made:
        assert made.get(f"{closed.url}/v1/caches/a", params={"access_token": token()}).status_code == 401


def test_health_and_reflection_need_no_token(closed: Stack) -> None:
    with channel(closed) as made:
        health = health_stub(made)
        for get in GETS:
            answer = health.Check(health_pb2.HealthCheckRequest(), metadata=(("x-sutler-area", get.area),), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(made)  # type: ignore[no-untyped-call]
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        listed = next(reflection.ServerReflectionInfo(asked, timeout=5))
        assert len(listed.list_services_response.service) > 5
    with client(closed) as http:
        assert http.get(f"{closed.url}/healthz").status_code == 200


def test_no_other_path_slips_past_the_check(closed: Stack) -> None:
    with client(closed) as made:
        for path in ("/healthz/../v1/caches/a", "/healthz%2f..%2fv1/caches/a", "/grpc.health.v1.Health/../v1/caches/a"):
            request = made.build_request("GET", closed.url)
            request.url = request.url.copy_with(raw_path=path.encode())
            assert made.send(request).status_code in (401, 404)


def test_preflights_carry_no_token(closed: Stack) -> None:
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "GET"}
    with client(closed) as made:
        assert made.options(f"{closed.url}/v1/caches/a", headers=asked).status_code == 200


def test_any_host_name_is_served(closed: Stack) -> None:
    assert by_rest(closed, CACHE, "a", {"host": "api.example.com", **bearer(token())}).http == 200


def test_without_tls_nothing_is_answered(closed: Stack) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{closed.address}/healthz")


def test_clients_that_do_not_know_the_ca_refuse(closed: Stack) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"https://{closed.address}/healthz")
    stranger = write_certificates(closed.folder / "other", ["127.0.0.1"]).ca.read_bytes()
    with open_channel(closed.address, stranger) as made, pytest.raises(grpc.RpcError):
        made.unary_unary(CACHE.method, None, None)(b"", timeout=3)


def test_a_service_whose_certificate_names_another_host_gets_no_calls(closed: Stack, tmp_path: Path) -> None:
    ca = closed.folder / "ca.pem"
    with gateway(tmp_path, closed.endpoints, workers_at="localhost", neighbour_ca=ca) as up:
        answer = by_grpc(up, CACHE, "a", bearer(token()))
    assert answer.reason() == (code_pb2.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", GATEWAY)


@pytest.fixture
def keys() -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    private = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    document = json.dumps({"keys": [{**public, "kid": "k1", "alg": "RS256"}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}/jwks.json", private
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_are_fetched_from_a_url(plain: Stack, keys: tuple[str, rsa.RSAPrivateKey], tmp_path: Path) -> None:
    url, private = keys
    claims = {"sub": "user:anna", "exp": int(time.time()) + 60}
    with gateway(tmp_path, {area: plain.endpoints[area] for area in AREAS}, tokens=Tokens(url)) as up:
        good = jwt.encode(claims, private, "RS256", headers={"kid": "k1"})
        assert by_grpc(up, CACHE, "a", bearer(good)).message.name == "caches/a"
        stranger = rsa.generate_private_key(65537, 2048)
        bad = jwt.encode(claims, stranger, "RS256", headers={"kid": "k1"})
        assert by_grpc(up, CACHE, "a", bearer(bad)).status.code == code_pb2.UNAUTHENTICATED
