"""The whole local stack of a checkout: sandbox, five services and gateway, on free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sutler import headers
from sutler.cli.stack import find_checkout
from sutler.cli.status import AREAS
from sutler.testing.ports import free_ports
from sutler.testing.processes import END_SECONDS
from sutler.testing.waiting import wait_blocking

READY_SECONDS = 120.0
NAME = b"SUPERVISOR_PROCESS_NAME="


class Stack:
    """A local stack in a folder of its own, which :meth:`start` begins and the end of the block removes.

    ::

        with Stack(tmp_path) as stack:
            async with sutler.client.connect(stack.address) as client: ...

    Args:
        state: A folder for its databases, logs and machines.
        checkout: The checkout of Sutler; the one around the working directory if None.

    Attributes:
        address: ``host:port`` of the gateway.
        ports: Every port by who has it: ``gateway``, ``sandbox``, ``admin`` and the services' areas.
        logs: The folder of log files.
    """

    def __init__(self, state: Path, *, checkout: Path | None = None) -> None:
        first = free_ports(3 + len(AREAS))
        self.ports = dict(
            zip(("gateway", "sandbox", "admin", *AREAS), range(first, first + 3 + len(AREAS)), strict=True)
        )
        self.address = f"127.0.0.1:{self.ports['gateway']}"
        self.state = state
        self.logs = state / "logs"
        self._checkout = checkout or find_checkout(Path.cwd())
        self._output = state / "stack.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def start(self) -> None:
        """Starts it, also after :meth:`stop`; :meth:`wait_ready` waits until it answers."""
        numbers = {"gateway": "gateway", "services": AREAS[0], "sandbox": "sandbox", "admin": "admin"}
        options = [word for name, owner in numbers.items() for word in (f"--{name}", str(self.ports[owner]))]
        self.state.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as out:
            self._process = subprocess.Popen(
                self._command("run", *options), cwd=self._checkout, env=self._environment(), stdout=out, stderr=out
            )

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Returns when the gateway finds every service serving.

        Raises:
            AssertionError: If the stack ends before that, or does not get there in time; shows its output.
        """
        with grpc.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]

            def serves(area: str) -> bool:
                try:
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2, metadata=[(headers.AREA, area)])
                except grpc.RpcError:
                    return False
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            def ready() -> bool:
                assert self._process is not None, "not started yet"
                assert self._process.poll() is None, f"the stack has ended: {self._output.read_text()}"
                return all(serves(area) for area in AREAS)

            wait_blocking(ready, seconds)

    def pid(self, program: str) -> int | None:
        """Returns the process id of ``gateway``, ``sandbox`` or a service's area; None while it is down."""
        return self._pids().get(program)

    def signal(self, program: str, number: int = signal.SIGKILL) -> None:
        """Sends a signal to one of its processes: SIGKILL, or SIGSTOP and SIGCONT to pause it.

        Raises:
            AssertionError: If it is down.
        """
        pid = self.pid(program)
        assert pid is not None, f"{program} does not run"
        os.kill(pid, number)

    def stop(self) -> None:
        """Ends it in order; machines keep running, and :meth:`start` starts it again with what it knew."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(2 * END_SECONDS)

    def remove(self) -> None:
        """Ends it and its machines, and removes its state."""
        self.stop()
        command = self._command("clean")
        subprocess.run(command, cwd=self._checkout, env=self._environment(), check=True, capture_output=True)

    def _command(self, verb: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "deploy.local", verb, "--state", str(self.state), *options]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": os.pathsep.join((str(self._checkout / "libs"), str(self._checkout)))}

    def _pids(self) -> dict[str, int]:
        """Returns the children of its process manager, by the name that it gives them."""
        try:
            manager = int((self.state / "supervisord.pid").read_text())
            children = Path(f"/proc/{manager}/task/{manager}/children").read_text().split()
        except (OSError, ValueError):
            return {}
        found: dict[str, int] = {}
        for child in children:
            try:
                variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            found |= {entry.removeprefix(NAME).decode(): int(child) for entry in variables if entry.startswith(NAME)}
        return found
