"""A Tryton server as a process of its own: started on a copy of the template, called over HTTP, stopped or killed."""

import base64
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.tryton.installing import DATABASE, PASSWORD, Installation, installed
from tests.conformance.tryton.template import fill

STARTING_SECONDS = 60.0
INSTALLING_SECONDS = 900
"""How long the first test of a version may take: it installs it."""


class Refused(Exception):
    """The server answered with an error, which is the first argument."""


class TrytonProcess:
    """A running server and a client for it, logged in as admin."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, version: str) -> None:
        self.process = process
        self.url = url
        self.version = version
        self.path = f"/{DATABASE}/" if version < "8" else f"/{DATABASE}/rpc/"
        self._session = ""

    def call(self, model: str, method: str, *args: Any, **context: Any) -> Any:
        """Call a method of a model as admin."""
        if not self._session:
            user, token = self.ask(self.path, "common.db.login", "admin", {"password": PASSWORD}, "en")[:2]
            self._session = base64.b64encode(f"admin:{user}:{token}".encode()).decode()
        return self.ask(self.path, f"model.{model}.{method}", *args, context)

    def forget(self) -> None:
        """Log in anew with the next call."""
        self._session = ""

    def ask(self, path: str, method: str, *params: Any) -> Any:
        """Send one request."""
        headers = {"authorization": f"Session {self._session}"} if self._session else {}
        body = {"id": 1, "method": method, "params": params}
        response = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=60)
        if response.status_code != 200:
            raise Refused(response.status_code)
        answer = response.json()
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to all of it and return the exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(20)


@contextmanager
def started(version: str, folder: Path) -> Iterator[TrytonProcess]:
    """Start a server on a copy of the template in a folder; kill it at the end if it still runs."""
    installation = installed(version, _fill)
    shutil.copy(installation.template, folder)
    with _running(installation, folder) as server:
        yield server


def _fill(installation: Installation) -> None:
    with _running(installation, installation.template.parent) as server:
        fill(server.call)
        server.stop()
    with closing(sqlite3.connect(installation.template)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what is in no other file is copied with this one


@contextmanager
def _running(installation: Installation, folder: Path) -> Iterator[TrytonProcess]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = installation.configure(folder, port)
    with (folder / "trytond.log").open("ab") as log:
        process = subprocess.Popen(
            [installation.command("trytond"), "-c", str(settings), "-d", DATABASE],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        server = TrytonProcess(process, f"http://127.0.0.1:{port}", installation.version)
        _wait(server, folder / "trytond.log")
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(server: TrytonProcess, log: Path) -> None:
    late = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < late and server.process.poll() is None:
        try:
            server.call("res.user", "get_preferences", True)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Tryton did not start:\n{log.read_text('utf-8')}")
