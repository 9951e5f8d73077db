"""The service as processes that are killed, and callers who go on as if nothing had happened.

A caller repeats a call that was not answered under the same request id, as the outermost caller does, and keeps a
ledger of what was answered. Another kind of work is a method of :class:`Caller` and an entry of its ``kinds``.
"""

import asyncio
import multiprocessing
import os
import random
import runpy
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.longrunning.operations_pb2 import GetOperationRequest, Operation
from sutler.client import Sutler
from sutler.errors import DeadlineExceeded, NotFound, SutlerError, Unavailable
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct, to_struct

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["services.resource.app"])


def _serve(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.argv = ["services.resource"]
    runpy.run_module("services.resource", run_name="__main__")


class Process:
    """The service as a process of its own, which can be killed and started again.

    It is forked from a process that has loaded all code and nothing else, so that a start takes no second.
    """

    def __init__(self, folder: Path, port: int, handler: str, url: str = "") -> None:
        self._environment = {
            "SUTLER_RESOURCE_PORT": str(port),
            "SUTLER_RESOURCE_DATA": url or f"sqlite:///{folder}/resource.db",
            "SUTLER_RESOURCE_HANDLER_ADDRESSES": f'["{handler}"]',
            "SUTLER_RESOURCE_LEASE_SECONDS": "1",
            "SUTLER_RESOURCE_LOG_FILE": f"{folder}/log-{port}.jsonl",
        }

    async def start(self) -> None:
        self._process = _forks.Process(target=_serve, args=(self._environment,), daemon=True)
        await asyncio.to_thread(self._process.start)

    async def kill(self, number: int = signal.SIGKILL) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
        await asyncio.to_thread(self._process.join, 30)
        assert self._process.exitcode is not None


@dataclass(frozen=True)
class Expected:
    """What must be there of a resource in the end."""

    properties: dict[str, Any]
    state: int = pb.Resource.STATE_SUCCEEDED
    stack: str = ""


class Caller:
    """Lives one life after the other, each of a resource of its own.

    Attributes:
        answers: What was asked and answered.
        expected: What must be there of each resource by name; None for one that is gone.
        effects: How many effects the handler must have had for each resource.
        unsure: How many more there may be, because of what was cancelled.
        kinds: What a life can be.

    Args:
        number: Which caller it is.
        dice: Decides what it does.
        connections: To the processes; an unanswered call goes to the next one.
        group: The resource group to work in.
    """

    def __init__(self, number: int, dice: random.Random, connections: Sequence[Sutler], group: str) -> None:
        self.number = number
        self.answers: list[tuple[str, Any, Any]] = []
        self.expected: dict[str, Expected | None] = {}
        self.effects: Counter[str] = Counter()
        self.unsure: Counter[str] = Counter()
        self.kinds = [self.record, self.machine]
        self.dice = dice
        self.group = group
        self._connections = connections
        self._lives = 0

    async def work(self, stop: asyncio.Event) -> None:
        """Works until it is told to stop, and then ends what it has begun."""
        while not stop.is_set():
            self._lives += 1
            await self.dice.choice(self.kinds)(f"c{self.number}-{self._lives}")

    async def record(self, id: str) -> None:
        """A record: created, changed three times, deleted or not."""
        name = await self._create("servers", id, {"size": 1})
        for size in (2, 3, 4):
            await self._update(name, {"size": size})
        await self._perhaps_delete(name)

    async def machine(self, id: str) -> None:
        """A thing of the handler: created, changed, acted on, deleted or not."""
        pace = {"seconds": self.dice.choice([0, 0.02, 0.1])}
        name = await self._create("machines", id, {**pace, "count": 1})
        await self._update(name, {**pace, "count": 2})
        request = pb.InvokeActionRequest(name=name, action="restart")
        await self._change("InvokeAction", request)
        self.effects[name] += 3
        await self._perhaps_delete(name)

    async def _create(self, collection: str, id: str, properties: dict[str, Any]) -> str:
        resource = pb.Resource(type=f"Custom.Org/{collection}", properties=to_struct(properties))
        await self._change(
            "CreateResource", pb.CreateResourceRequest(parent=self.group, resource_id=id, resource=resource)
        )
        name = self.name(collection, id)
        self.expected[name] = Expected(properties)
        return name

    def name(self, collection: str, id: str) -> str:
        """The name of a resource of this caller's group."""
        return f"{self.group}/providers/Custom.Org/{collection}/{id}"

    async def _update(self, name: str, properties: dict[str, Any]) -> None:
        resource = pb.Resource(name=name, properties=to_struct(properties))
        await self._change("UpdateResource", pb.UpdateResourceRequest(resource=resource))
        self.expected[name] = Expected(properties)

    async def _perhaps_delete(self, name: str) -> None:
        if self.dice.random() < 0.5:
            await self._change("DeleteResource", pb.DeleteResourceRequest(name=name))
            self.expected[name] = None

    async def _change(self, method: str, request: Any) -> None:
        operation = await self.ended(await self.begun(method, request))
        assert operation.HasField("response"), operation

    async def begun(self, method: str, request: Any) -> Operation:
        """Makes a change under a new request id, and gives the operation that was answered."""
        request.request_id = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        answer = await self.patiently(method, request)
        assert isinstance(answer, Operation)
        self.answers.append((method, request, answer))
        return answer

    async def ended(self, operation: Operation) -> Operation:
        """Waits until an operation is done."""
        while not operation.done:
            await asyncio.sleep(0.05)
            operation = await self.patiently("GetOperation", GetOperationRequest(name=operation.name))
        return operation

    async def patiently(self, method: str, request: Any) -> Any:
        """Makes a call until it is answered, at whichever process answers."""
        while True:
            connection = self.dice.choice(self._connections)
            try:
                return await getattr(connection.resources, method)(request, timeout=5)
            except (Unavailable, DeadlineExceeded):
                await asyncio.sleep(0.05)

    async def check(self) -> None:
        """Everything that was answered is there, and is answered the same way again."""
        for name, expected in self.expected.items():
            try:
                found = await self.patiently("GetResource", pb.GetResourceRequest(name=name))
            except NotFound:
                assert expected is None, name
                continue
            there = Expected(from_struct(found.properties), found.provisioning_state, found.stack)
            assert (there, found.operation) == (expected, ""), (name, there, expected)
        for method, request, answer in self.answers:
            assert await self.patiently(method, request) == answer


async def serves(s: Sutler) -> bool:
    """Whether a process answers."""
    try:
        await s.resources.ListResourceTypes(pb.ListResourceTypesRequest(), timeout=1)
    except SutlerError:
        return False
    return True
