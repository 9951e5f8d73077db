"""The load of ``make bench-resource`` that needs more than one fixed request."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable

from google.longrunning.operations_pb2 import Operation
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import to_struct

from tests.bench.resource_service import NAME, SECRET

CONCURRENT = 32
GROUPS = 10
TEAMS = 10
TYPE = "Bench.Org/servers"
TOKEN = make_token(SECRET, "user:bench", permissions=["*.*.*"])
SCHEMA = {
    "type": "object",
    "required": ["size"],
    "properties": {"size": {"type": "integer", "minimum": 1}, "tier": {"type": "string", "default": "basic"}},
}
RULE = pb.TypeRule(id="small", expression="self.properties.size <= 100", message="at most 100")


class Load:
    """Makes resources of one record type and measures.

    Args:
        s: A connection to the service.
    """

    def __init__(self, s: Sutler) -> None:
        self._s = s
        self._numbers = itertools.count()
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        create = s.channel.unary_unary(f"/{NAME}/CreateResource", response_deserializer=Operation.FromString)
        self._create: Callable[[bytes], Awaitable[Operation]] = lambda body: create(body, metadata=metadata)

    async def prepare(self) -> None:
        """Registers the type, and makes the scopes."""
        version = pb.TypeVersion(version="v1", schema=to_struct(SCHEMA), rules=[RULE])
        type = pb.ResourceType(name="resourceTypes/Bench.Org.servers", versions=[version], uniqueness_scopes=[4, 5])
        await self._s.resources.CreateResourceType(
            pb.CreateResourceTypeRequest(resource_type_id="Bench.Org.servers", resource_type=type)
        )
        await self._scope("", "bench", "subscriptions")
        for group in range(GROUPS):
            await self._scope("subscriptions/bench", f"g{group}", "resourceGroups")

    async def _scope(self, parent: str, id: str, collection: str) -> None:
        resource = pb.Resource(type=f"Sutler.Resource/{collection}")
        await self._s.resources.CreateResource(
            pb.CreateResourceRequest(parent=parent, resource_id=id, resource=resource)
        )

    async def create(self, count: int) -> float:
        """Creates this many resources, 32 at once, and returns how many a second."""
        bodies = iter([self._body(next(self._numbers)) for _ in range(count)])

        async def one_after_the_other() -> None:
            for body in bodies:
                operation = await self._create(body)
                assert operation.HasField("response")

        start = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENT)))
        return count / (time.perf_counter() - start)

    def _body(self, number: int) -> bytes:
        resource = pb.Resource(type=TYPE, tags={"team": f"t{number // GROUPS % TEAMS}"})
        resource.properties.update({"size": number % 100 + 1})
        return pb.CreateResourceRequest(
            parent=group(number), resource_id=f"s{number}", resource=resource, request_id=str(uuid.uuid4())
        ).SerializeToString()

    async def batches(self, rounds: int = 40) -> float:
        """Gets 500 resources by name at once, four calls at a time, and returns how many resources a second."""
        names = [f"{group(number)}/providers/{TYPE}/s{number}" for number in range(500)]
        request = pb.BatchGetResourcesRequest(names=names)

        async def some() -> None:
            for _ in range(rounds // 4):
                assert len((await self._s.resources.BatchGetResources(request)).resources) == 500

        await some()
        start = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(4)))
        return rounds * 500 / (time.perf_counter() - start)

    async def lists(self, expected: int, rounds: int = 100) -> float:
        """Lists the resources of one scope with one tag, and returns the 99th percentile of the milliseconds."""
        request = pb.ListResourcesRequest(parent=group(3), filter='tags.team = "t7"', page_size=1000, type=TYPE)
        took = []
        for _ in range(rounds):
            start = time.perf_counter()
            found = await self._s.resources.ListResources(request)
            took.append((time.perf_counter() - start) * 1000)
            assert len(found.resources) == expected
        return percentile(took)

    async def watches(self, watchers: int = 100, rate: int = 200, seconds: int = 5) -> float:
        """Has many watch while resources change, and returns the 99th percentile of the ms from sending to seeing."""
        sent: dict[str, float] = {}
        late: list[float] = []
        ready = asyncio.Semaphore(0)

        async def watch() -> None:
            began = False
            async for response in self._s.resources.WatchResources(pb.WatchResourcesRequest(parent=group(0))):
                now = time.perf_counter()
                if not began:
                    began = True
                    ready.release()
                late.extend((now - sent[c.resource.display_name]) * 1000 for c in response.changes)

        tasks = [asyncio.create_task(watch()) for _ in range(watchers)]
        for _ in tasks:
            await ready.acquire()
        changes = await self._changes(rate, seconds, sent)
        async with asyncio.timeout(30):
            while len(late) < changes * watchers:  # noqa: ASYNC110 - filled by other tasks
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return percentile(late)

    async def _changes(self, rate: int, seconds: int, sent: dict[str, float]) -> int:
        start, running = time.perf_counter(), []
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            name = f"{group(0)}/providers/{TYPE}/s{number % 100 * GROUPS}"
            update = pb.Resource(name=name, display_name=f"change {number}")
            sent[update.display_name] = time.perf_counter()
            running.append(
                asyncio.ensure_future(
                    self._s.resources.UpdateResource(pb.UpdateResourceRequest(resource=update), timeout=30)
                )
            )
        await asyncio.gather(*running)
        return rate * seconds

    async def stack(self) -> float:
        """Applies a stack of 100 records, and returns the seconds."""
        members = [pb.StackMember(id=f"m{n}", type=TYPE, properties=to_struct({"size": 1})) for n in range(100)]
        stack = pb.Stack(name="stacks/bench", scope=group(1), members=members)
        start = time.perf_counter()
        await self._s.wait(await self._s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack)))
        return time.perf_counter() - start


def group(number: int) -> str:
    """The resource group of a number."""
    return f"subscriptions/bench/resourceGroups/g{number % GROUPS}"


def percentile(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]
