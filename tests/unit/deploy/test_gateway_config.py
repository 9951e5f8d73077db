import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from sutler.certs import write_certificates

from deploy.envoy.config import Gateway, GatewayError, GatewayNotClosed, make_config
from deploy.envoy.descriptors import gateway_services
from deploy.envoy.tokens import Tokens, load_jwks, secret_jwks
from deploy.local.layout import AREAS

ENVOY = Path(sys.executable).parent / "envoy"
ENDPOINTS = {area: [f"127.0.0.1:{50051 + i}"] for i, area in enumerate(AREAS)}
SECRET = "thirty-two bytes or more, known to all"
CLOSED = "tls", "tokens"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = write_certificates(tmp_path_factory.mktemp("certs"), ["localhost"])
    return {"tls": (made.certificate, made.key), "neighbour_ca": made.ca}


def rsa_jwks() -> str:
    public = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
    return json.dumps({"keys": [{**public, "kid": "k", "alg": "RS256"}]})


VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "several workers": {"endpoints": {**ENDPOINTS, "cache": [f"127.0.0.1:{p}" for p in (50052, 50062, 50072)]}},
    "workers by name": {"endpoints": {area: [f"{area}:50051"] for area in AREAS}},
    "workers by IPv6": {"endpoints": {area: ["[::1]:50051"] for area in AREAS}},
    "on IPv6": {"host": "::1"},
    "on localhost": {"host": "localhost"},
    "logs to a file": {"access_log": "/dev/null"},
    "shared secret": {"tokens": Tokens(secret_jwks(SECRET))},
    "JWKS": {"tokens": Tokens(rsa_jwks(), "https://issuer.example", ["sutler"])},
    "JWKS at a URL": {"tokens": Tokens("http://localhost:8000/jwks.json")},
    "traces": {"otlp": "localhost:4317", "trace_ratio": 0.5},
}


def validate(config: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "envoy.json"
    file.write_text(json.dumps(config))
    command = [str(ENVOY), "--mode", "validate", "-c", str(file), "--log-level", "warning"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_envoy_takes_every_variant_without_a_warning(variant: dict[str, Any], tmp_path: Path) -> None:
    checked = validate(make_config(Gateway(**{"endpoints": ENDPOINTS, **variant})), tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert not checked.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "127.0.0.1"])
def test_envoy_takes_tls_and_tokens(host: str, tls: dict[str, Any], tmp_path: Path) -> None:
    told = {**tls, "tokens": Tokens("https://issuer.example/jwks.json"), "otlp": "127.0.0.1:4317", "host": host}
    checked = validate(make_config(Gateway(ENDPOINTS, **told)), tmp_path)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("missing", [("tls",), ("tokens",), CLOSED])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example", "127.example.com"])
def test_beyond_loopback_needs_tls_and_tokens(host: str, missing: tuple[str, ...], tls: dict[str, Any]) -> None:
    told = {"tls": tls["tls"], "tokens": Tokens(secret_jwks(SECRET))}
    with pytest.raises(GatewayNotClosed):
        make_config(Gateway(ENDPOINTS, host=host, **{key: told[key] for key in CLOSED if key not in missing}))


def test_the_admin_page_stays_on_loopback(tls: dict[str, Any]) -> None:
    told = Gateway(ENDPOINTS, host="0.0.0.0", tls=tls["tls"], tokens=Tokens(secret_jwks(SECRET)))
    assert make_config(told)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "area without a worker": ({"endpoints": {**ENDPOINTS, "erp": []}}, "no endpoint of: erp"),
    "address without port": ({"endpoints": {**ENDPOINTS, "erp": ["erp"]}}, "'erp' is not host:port"),
    "port that is none": ({"endpoints": {**ENDPOINTS, "erp": ["erp:99999"]}}, "'erp:99999' is not host:port"),
    "no descriptor set": ({"descriptors": Path("/nowhere")}, "run `make gen`"),
    "no certificate": ({"tls": (Path("/no/cert"), Path("/no/key"))}, "/no/cert does not exist"),
    "no CA": ({"neighbour_ca": Path("/no/ca")}, "/no/ca does not exist"),
    "no collector": ({"otlp": "collector"}, "'collector' is not host:port"),
    "one port for two": ({"port": 9901}, "port 9901 .* the gateway and its admin page"),
    "port of a worker": ({"port": 50052}, "port 50052 .* the gateway and the service cache"),
    "admin page on the port of a worker": ({"admin_port": 50052}, "port 50052 .* its admin page and the service cache"),
}


@pytest.mark.parametrize(("told", "why"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_is_named(told: dict[str, Any], why: str) -> None:
    with pytest.raises(GatewayError, match=why):
        make_config(Gateway(**{"endpoints": ENDPOINTS, **told}))


def test_services_that_others_implement_have_no_route() -> None:
    services = gateway_services()
    assert set(services.values()) == set(AREAS)
    assert len(services) == len(AREAS)
    assert "ResourceHandler" not in json.dumps(make_config(Gateway(ENDPOINTS)))


def test_keys() -> None:
    with pytest.raises(ValueError, match="fewer than 32 bytes"):
        secret_jwks("short")
    assert load_jwks("https://issuer.example/jwks.json") == "https://issuer.example/jwks.json"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": []}', "keys"])
def test_a_file_without_keys_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=str(file)):
        load_jwks(str(file))
