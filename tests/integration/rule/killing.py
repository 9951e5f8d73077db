"""The service as processes that are killed and stopped, and a target that counts what they do outside."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import runpy
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.longrunning.operations_pb2 import Operation
from sutler.context import current
from sutler.errors import Unavailable as Away
from sutler.resource.v1 import resource_pb2
from sutler.resource.v1.resource_pb2_grpc import add_ResourceServiceServicer_to_server
from sutler.server import Runtime, Service, running
from sutler.settings import ServerSettings
from sutler.testing import free_port

from tests.integration.rule.conftest import RESOURCES, SECRET

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["services.rule.app"])


def _serve(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.argv = ["services.rule"]
    runpy.run_module("services.rule", run_name="__main__")


class Process:
    """RuleService as a process of its own; forked from one that has loaded all code, so a start takes no second."""

    def __init__(self, folder: Path, url: str, target: str, **more: object) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._environment = {
            "SUTLER_RULE_DATA": url,
            "SUTLER_RULE_PORT": str(port),
            "SUTLER_RULE_AUTH_SECRET": SECRET,
            "SUTLER_RULE_TARGETS": f'{{"{RESOURCES}": "{target}"}}',
            "SUTLER_RULE_LEASE_SECONDS": "1",
            "SUTLER_RULE_LOG_FILE": f"{folder}/log-{port}.jsonl",
            "SUTLER_RULE_DRAIN_PAUSE_SECONDS": "0",
            **{f"SUTLER_RULE_{key.upper()}": str(value) for key, value in more.items()},
        }

    async def start(self) -> None:
        self._process = _forks.Process(target=_serve, args=(self._environment,), daemon=True)
        await asyncio.to_thread(self._process.start)

    def send(self, number: int) -> None:
        """Sends a signal to it; one that has ended by itself is a fault."""
        assert self._process.pid is not None
        assert self._process.exitcode is None, self._process.exitcode
        os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """Ends it at once, also while it is stopped."""
        self.send(signal.SIGKILL)
        await asyncio.to_thread(self._process.join, 30)
        assert self._process.exitcode == -signal.SIGKILL


class Counting:
    """A target that does what it is asked once for each idempotency key; some of its answers are late or get lost.

    Attributes:
        effects: What was done: what was asked for, by key, in the order in which it was done.
        reused: Keys under which something else was asked for.
        calls: How many calls came.
    """

    def __init__(self, dice: random.Random) -> None:
        self.effects: dict[str, resource_pb2.CreateResourceRequest] = {}
        self.reused: list[str] = []
        self.calls = 0
        self._dice = dice

    async def CreateResource(self, request: resource_pb2.CreateResourceRequest, context: Any) -> Operation:
        key = current().header("x-idempotency-key")
        self.calls += 1
        if self.effects.setdefault(key, request) != request:
            self.reused.append(key)
        await asyncio.sleep(self._dice.choice([0, 0, 0.01, 0.1]))
        if self._dice.random() < 0.05:
            raise Away("the answer is lost")
        done = Operation(name=f"resourceOperations/{request.resource_id}", done=True)
        done.response.Pack(resource_pb2.Resource(name=f"{request.parent}/{request.resource_id}"))
        return done


@asynccontextmanager
async def serving(target: Counting) -> AsyncIterator[str]:
    """Serves the target and yields its address."""

    @asynccontextmanager
    async def app(settings: ServerSettings, runtime: Runtime) -> AsyncIterator[Service]:
        servicers = {"sutler.resource.v1.ResourceService": (add_ResourceServiceServicer_to_server, target)}
        yield Service(area="resource", servicers=servicers)

    settings = ServerSettings(port=0, auth_secret=SECRET, drain_pause_seconds=0, drain_seconds=0, log_level="error")
    async with running(app, settings, "resource") as up:
        yield up.address
