"""A Redis of a test's own, with settings that others could not live with."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from sutler.testing import free_port, missing, wait_blocking


class RedisServer:
    """A process of ``redis-server``, killed when the block ends.

    Args:
        folder: Where it keeps its files.
        **settings: What stands in its configuration, with ``_`` for ``-``.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._password = settings.get("requirepass")
        given = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(folder), "save": "", **settings}
        self._command = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            missing("redis-server is needed for a Redis with settings of its own")
        self._process = subprocess.Popen([program, *self._command], stdout=subprocess.DEVNULL)
        wait_blocking(self._answers)

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        assert self._process is not None, "not started yet"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def admin(self) -> redis.Redis:
        """Returns a client; close it."""
        return redis.Redis.from_url(self.url, password=self._password)

    def _answers(self) -> bool:
        try:
            with self.admin() as admin:
                return bool(admin.ping())
        except redis.ConnectionError:
            return False
