"""A service as a process of its own: started, paused, killed, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sutler.testing.ports import free_port
from sutler.testing.waiting import wait_until

END_SECONDS = 30.0


class ServiceProcess:
    """A service that runs as ``python -m MODULE`` with settings from its environment; killed when the block ends.

    ::

        with ServiceProcess("services.cache", "SUTLER_CACHE_", folder=tmp_path, data=url) as cache:
            await cache.serving()
            cache.kill()
            cache.start()

    Args:
        module: What is run.
        prefix: The prefix of its environment variables.
        folder: Where its output goes, as ``<pid>.log``.
        checkout: Where it is run; the working directory if None.
        packages: Folders of more packages, such as plug-ins that were installed with ``pip install --target``.
        **settings: Settings by name. Without ``port`` a free one is taken, and kept over restarts.
    """

    def __init__(
        self,
        module: str,
        prefix: str,
        *,
        folder: Path,
        checkout: Path | None = None,
        packages: Sequence[Path] = (),
        **settings: object,
    ) -> None:
        self.port = int(str(settings.setdefault("port", free_port())))
        self.address = f"127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", module]
        self._checkout = checkout or Path.cwd()
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (self._checkout / "libs", self._checkout, *packages))),
            **{prefix + key.upper(): str(value) for key, value in settings.items()},
        }
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process id; of the last process if it has ended."""
        assert self._process is not None, "not started yet"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs, or is paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """What the present process, or the last one, has written."""
        return (self._folder / f"{self.pid}.log").read_text()

    def start(self) -> None:
        """Starts it; :meth:`serving` waits until it answers."""
        assert not self.running, "runs already"
        out = self._folder / "starting.log"
        with out.open("wb") as file:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._checkout,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        out.rename(self._folder / f"{self.pid}.log")

    async def serving(self, seconds: float = 30.0) -> None:
        """Returns when it serves.

        Raises:
            AssertionError: If it ends before that, or does not serve in time; shows its output.
        """
        async with grpc.aio.insecure_channel(self.address, options=[("grpc.max_reconnect_backoff_ms", 100)]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]

            async def answers() -> bool:
                assert self.running, f"it ended with {self.code}: {self.output}"
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
                except grpc.aio.AioRpcError:
                    return False
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await wait_until(answers, seconds)

    @property
    def code(self) -> int | None:
        """The exit code; the negative number of the signal that killed it; None while it runs."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Ends it, and the processes that it began in its session, with SIGKILL. One that has ended stays so."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(END_SECONDS)

    def pause(self) -> None:
        """Stops it where it is (SIGSTOP): it holds what it holds, and answers nobody."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after :meth:`pause`."""
        self._send(signal.SIGCONT)

    def terminate(self) -> None:
        """Asks it to end (SIGTERM)."""
        self._send(signal.SIGTERM)

    async def ended(self, seconds: float = END_SECONDS) -> int:
        """Waits until it has ended and returns its exit code.

        Raises:
            TimeoutExpired: If it runs on.
        """
        assert self._process is not None, "not started yet"
        return await asyncio.to_thread(self._process.wait, seconds)

    def _send(self, number: int) -> None:
        assert self._process is not None, "not started yet"
        self._process.send_signal(number)


def is_gone(pid: int) -> bool:
    """Returns whether no process of this id runs; a zombie has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text.rpartition(")")[2].split()[0] in ("Z", "X")
