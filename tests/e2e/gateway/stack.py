"""A real Envoy in front of stand-ins, on free ports, as processes that the tests may kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler import testing

from deploy.envoy.config import Gateway, make_config
from deploy.local.layout import AREAS

ROOT = Path(__file__).resolve().parents[3]
ENVOY = Path(sys.executable).parent / "envoy"
START_SECONDS = 30.0
END_SECONDS = 15.0


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens on now."""
    first = testing.free_ports(count)
    return list(range(first, first + count))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Returns as soon as a condition holds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not in {seconds:.0f} s: {what}"
        time.sleep(0.02)


@dataclass
class StandInProcess:
    """Stand-ins in a process of their own; started again they have the same ports."""

    ports: Mapping[str, int]
    journal: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {"drain_pause_seconds": "0.05", **self.settings}
        environment = {f"SUTLER_STANDIN_{key.upper()}": value for key, value in settings.items()}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.gateway", *(f"{area}={port}" for area, port in self.ports.items())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "libs:.", "SUTLER_STANDIN_JOURNAL": str(self.journal), **environment},
        )

    @property
    def pid(self) -> int:
        assert self.popen is not None
        return self.popen.pid

    def kill(self) -> None:
        assert self.popen is not None
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def end(self) -> None:
        if self.popen is not None:
            _end(self.popen)


@dataclass
class Stack:
    """A gateway that runs, and what is behind it."""

    port: int
    admin_port: int
    folder: Path
    endpoints: Mapping[str, Sequence[int]]
    ca: bytes | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}"

    def journal(self) -> list[dict[str, Any]]:
        """Returns what the stand-ins noted, in order."""
        return [json.loads(line) for line in (self.folder / "journal").read_text().splitlines()]

    def noted(self, what: str) -> list[int]:
        """Returns the pids of the stand-ins that noted something."""
        return [line["pid"] for line in self.journal() if line["what"] == what]

    def logged(self, correlation: str) -> dict[str, Any]:
        """Returns what the gateway logged of a call; Envoy writes a moment later."""

        def lines() -> list[dict[str, Any]]:
            found = (json.loads(line) for line in (self.folder / "access.jsonl").read_text().splitlines())
            return [line for line in found if line["correlation_id"] == correlation]

        wait_for(lambda: bool(lines()), f"a log line of {correlation}")
        return lines()[0]

    def healthy(self, area: str) -> int:
        """Returns how many workers of an area get calls."""
        text = httpx.get(f"http://127.0.0.1:{self.admin_port}/clusters").text
        return sum(
            line.endswith("::health_flags::healthy") for line in text.splitlines() if line.startswith(area + ":")
        )


@contextmanager
def gateway(
    folder: Path, endpoints: Mapping[str, Sequence[int]], *, workers_at: str = "127.0.0.1", **told: Any
) -> Iterator[Stack]:
    """Runs Envoy until the block ends."""
    port, admin_port = free_ports(2)
    addresses = {area: [f"{workers_at}:{port}" for port in ports] for area, ports in endpoints.items()}
    wanted = Gateway(addresses, port=port, admin_port=admin_port, access_log=str(folder / "access.jsonl"), **told)
    file = folder / "envoy.json"
    file.write_text(json.dumps(make_config(wanted)))
    command = [str(ENVOY), "-c", str(file), "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2"]
    command += ["--file-flush-interval-msec", "50"]
    with (folder / "envoy.log").open("wb") as log:
        envoy = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        wait_for(lambda: _ready(admin_port, envoy), f"Envoy, see {folder}/envoy.log")
        yield Stack(port, admin_port, folder, endpoints, (folder / "ca.pem").read_bytes() if wanted.tls else None)
    finally:
        _end(envoy)


@contextmanager
def stack(folder: Path, *, settings: Mapping[str, str] | None = None, **told: Any) -> Iterator[Stack]:
    """Runs all stand-ins in one process, and Envoy in front of them."""
    ports = dict(zip(AREAS, free_ports(len(AREAS)), strict=True))
    behind = StandInProcess(ports, folder / "journal", settings or {})
    behind.start()
    try:
        ca = Path(told["neighbour_ca"]).read_bytes() if "neighbour_ca" in told else None
        wait_for(lambda: all(serves(port, ca) for port in ports.values()), "the stand-ins")
        with gateway(folder, {area: [port] for area, port in ports.items()}, **told) as up:
            yield up
    finally:
        behind.end()


@contextmanager
def service_behind(folder: Path, area: str, **settings: object) -> Iterator[Stack]:
    """Runs one real service, and Envoy in front of it; the other areas are not there."""
    with testing.ServiceProcess(
        f"services.{area}", f"SUTLER_{area.upper()}_", folder=folder, checkout=ROOT, **settings
    ) as process:
        asyncio.run(process.serving())
        ports = {each: [process.port if each == area else testing.free_port()] for each in AREAS}
        with gateway(folder, ports) as up:
            yield up


def serves(port: int, ca: bytes | None = None) -> bool:
    """Returns whether a service answers its health check."""
    with open_channel(f"127.0.0.1:{port}", ca) as channel:
        try:
            answer = health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def health_stub(channel: grpc.Channel) -> Any:
    """Returns a stub of the health service, whose generated code has no types."""
    return health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]


def open_channel(address: str, ca: bytes | None) -> grpc.Channel:
    """Returns a channel that shares no connection, and no back-off after a failed one, with others."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    if ca is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), options)


def _ready(admin_port: int, envoy: subprocess.Popen[bytes]) -> bool:
    assert envoy.poll() is None, "Envoy ended"
    try:
        return httpx.get(f"http://127.0.0.1:{admin_port}/ready").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
