"""The sandbox as a process of its own: started on a free port, called over HTTP, stopped or killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[3]
ADDRESS = re.compile(r"on (http://\S+),")
COMMAND = [sys.executable, "-m", "services.erp.sandbox"]


class Refused(Exception):
    """The sandbox answered with an error; the first argument is its name."""


class SandboxProcess:
    """A running sandbox and a client for it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def body(self, model: str, method: str, *args: Any, **keywords: Any) -> dict[str, Any]:
        """Return the request that calls a method as admin."""
        arguments = ["demo", 2, "admin", model, method, args, keywords]
        params = {"service": "object", "method": "execute_kw", "args": arguments}
        return {"jsonrpc": "2.0", "id": 1, "method": "call", "params": params}

    def call(self, model: str, method: str, *args: Any, **keywords: Any) -> Any:
        """Call a method as admin; each call has its own connection, as with a real server."""
        answer = httpx.post(f"{self.url}/jsonrpc", json=self.body(model, method, *args, **keywords), timeout=30).json()
        if "error" in answer:
            raise Refused(answer["error"]["data"]["name"], answer["error"]["data"]["message"])
        return answer.get("result")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def started(*flags: str, **environment: str) -> Iterator[SandboxProcess]:
    """Start a sandbox on a free port; kill it at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *flags],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            found = ADDRESS.search(line)
            if found:
                yield SandboxProcess(process, found[1])
                break
        else:
            raise AssertionError("the sandbox did not start")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def run_to_end(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a sandbox that is expected to refuse to start."""
    command = [*COMMAND, *flags]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=30, check=False
    )


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Return the write log."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
