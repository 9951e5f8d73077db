import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sutler.certs import write_certificates
from typer.testing import CliRunner, Result

from deploy.envoy.__main__ import app
from deploy.local.layout import AREAS

ROOT = Path(__file__).resolve().parents[3]
SECRET = "thirty-two bytes or more, known to all"
UNUSABLE = 2


def gateway(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "deploy.envoy", "--help"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "libs:."}, capture_output=True, text=True, check=True
    )
    assert "SUTLER_GATEWAY_PORT" in done.stdout


def test_the_defaults_go_to_standard_output() -> None:
    done = gateway()
    assert done.exit_code == 0, done.stderr
    listener = json.loads(done.stdout)["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8080}


def test_a_file_is_checked_by_envoy_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "envoy.json"
    done = gateway("--output", str(file), "--check", SUTLER_GATEWAY_AUTH_SECRET=SECRET)
    assert done.exit_code == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["envoy.json"]


def test_everything_can_be_told_by_the_environment(tmp_path: Path) -> None:
    made = write_certificates(tmp_path, ["gateway"])
    told = {
        "HOST": "0.0.0.0",
        "PORT": "18080",
        "ADMIN_PORT": "19901",
        "ENDPOINT": "cache=cache:50052 cache=cache:50062 erp=erp:50053",
        "NEIGHBOUR_CA": str(made.ca),
        "TLS_CERT": str(made.certificate),
        "TLS_KEY": str(made.key),
        "AUTH_SECRET": SECRET,
        "AUTH_ISSUER": "https://issuer.example",
        "AUTH_AUDIENCE": "sutler",
        "OTLP_ENDPOINT": "http://collector:4317",
        "TRACE_RATIO": "1",
        "ACCESS_LOG": "/dev/null",
        "OUTPUT": str(tmp_path / "envoy.json"),
    }
    done = gateway("--check", **{f"SUTLER_GATEWAY_{key}": value for key, value in told.items()})
    assert done.exit_code == 0, done.stderr
    config = json.loads((tmp_path / "envoy.json").read_text())
    workers = {
        c["name"]: c["load_assignment"] for c in config["static_resources"]["clusters"] if "load_assignment" in c
    }
    assert len(workers["cache"]["endpoints"][0]["lb_endpoints"]) == 2
    assert "50054" in json.dumps(workers["rule"])


PROBLEMS = {
    "beyond loopback": (["--host", "0.0.0.0"], "sutler certs"),
    "check of nothing": (["--check"], "--output"),
    "area that is none": (["--endpoint", "billing=a:1"], ", ".join(AREAS)),
    "worker without address": (["--endpoint", "cache"], "AREA=HOST:PORT"),
    "address that is none": (["--endpoint", "cache=nowhere"], "not host:port"),
    "half a pair": (["--tls-cert", "/x"], "belong together"),
    "two sources of keys": (["--auth-jwks", "https://a/b", "--auth-secret", SECRET], "exclude each other"),
    "short secret": (["--auth-secret", "short"], "32 bytes"),
    "JWKS that is not there": (["--auth-jwks", "/nope"], "/nope cannot be read"),
    "port that is none": (["--port", "99999"], "--port"),
    "file that cannot be": (["--output", "/proc/nowhere/envoy.json"], "/proc/nowhere/envoy.json"),
    "traces by TLS": (["--otlp-endpoint", "https://a:1"], "without TLS"),
}


@pytest.mark.parametrize(("arguments", "why"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_cannot_be_is_refused_and_explained(arguments: list[str], why: str, tmp_path: Path) -> None:
    done = gateway(*arguments, COLUMNS="200")
    assert done.exit_code == UNUSABLE
    assert why in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_envoys_own_objections_are_passed_on(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    done = gateway("--tls-cert", str(bad), "--tls-key", str(bad), "--output", str(tmp_path / "envoy.json"), "--check")
    assert done.exit_code == UNUSABLE
    assert "Envoy refuses" in done.stderr


def test_no_secret_is_shown() -> None:
    done = gateway("--help", SUTLER_GATEWAY_AUTH_SECRET=SECRET)
    assert SECRET not in done.stdout
