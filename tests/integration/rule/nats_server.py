"""A NATS server of the test's own, to be killed and started again, and what is in its streams."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from sutler.certs import Certificates
from sutler.testing import free_port, missing, wait_until

START_SECONDS = 30.0
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))
"""Where the program may be: packages put it where only root looks."""


class NatsServer:
    """A process that keeps its streams in a folder."""

    def __init__(self, folder: Path, certificates: Certificates | None = None) -> None:
        self._program = shutil.which("nats-server", path=PLACES) or missing("there is no program nats-server")
        self._folder = folder
        self._port = free_port()
        self._certificates = certificates
        self.url = f"{'tls' if certificates else 'nats'}://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [self._program, "-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", str(self._folder / "nats")]
        if self._certificates:
            command += ["--tlscert", str(self._certificates.certificate), "--tlskey", str(self._certificates.key)]
        await asyncio.to_thread(self._start, command)
        await wait_until(self._answers, START_SECONDS)

    def _start(self, command: list[str]) -> None:
        with (self._folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def send(self, number: int) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._process.returncode
        os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """Ends it at once; one that does not run stays so."""
        if self._process is None or self._process.poll() is not None:
            return
        self.send(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait, START_SECONDS)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def jetstream(url: str) -> AsyncIterator[JetStreamContext]:
    """JetStream, for a test to look and to publish."""
    client = Client()
    await client.connect(url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def messages(js: JetStreamContext, stream: str) -> list[RawStreamMsg]:
    """All messages of a stream, in order; none if there is no stream."""
    names = [info.config.name for info in await js.streams_info()]
    if stream not in names:
        return []
    state = (await js.stream_info(stream)).state
    return [await js.get_msg(stream, seq=seq) for seq in range(max(1, state.first_seq), state.last_seq + 1)]


async def carried(js: JetStreamContext, stream: str) -> list[dict[str, Any]]:
    """The events that a stream carries."""
    return [json.loads(message.data or b"") for message in await messages(js, stream)]


async def settled(js: JetStreamContext, stream: str, durable: str) -> bool:
    """Whether a consumer has done with all messages."""
    info = await js.consumer_info(stream, durable)
    return not (info.num_pending or info.num_ack_pending)
