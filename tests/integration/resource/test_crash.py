"""The service is killed again and again while it works; every operation ends, and the handler has one effect each."""

import asyncio
import os
import random
import signal
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from google.longrunning.operations_pb2 import GetOperationRequest, ListOperationsRequest, Operation
from sutler.client import Sutler, connect
from sutler.errors import DeadlineExceeded, Unavailable
from sutler.resource.v1 import resource_pb2 as pb
from sutler.testing import free_port as find_port
from sutler.wire import to_struct

from tests.integration.resource.chains import follow, history
from tests.integration.resource.conftest import Tenant, database_url, until
from tests.integration.resource.killing import Process, serves
from tests.integration.resource.machines import Machines, serving
from tests.integration.resource.stack_lives import StackCaller

RESOURCES = 20
KILLS = 5
SEED = 20261121


async def patiently(s: Sutler, method: str, request: object) -> object:
    """Makes a call until it is answered, under the same request id, as a caller of a service that dies would."""
    while True:
        try:
            return await getattr(s.resources, method)(request, timeout=5)
        except (Unavailable, DeadlineExceeded):
            await asyncio.sleep(0.1)


async def ended(s: Sutler, operation: object) -> Operation:
    assert isinstance(operation, Operation)
    while not operation.done:
        await asyncio.sleep(0.1)
        found = await patiently(s, "GetOperation", GetOperationRequest(name=operation.name))
        assert isinstance(found, Operation)
        operation = found
    return operation


async def begun(s: Sutler) -> None:
    await until(lambda: serves(s), seconds=40)


async def called(machines: Machines, id: str) -> None:
    """Waits until the handler is at work on a resource, so that the kill hits something."""

    async def at_work() -> bool:
        return any(method == "Apply" and r.desired.name.endswith(f"/{id}") for method, r, _ in machines.calls)

    await until(at_work, seconds=40)


async def test_five_kills(tmp_path: Path, free_port: int) -> None:
    chance = random.Random(SEED)
    machines = Machines()
    async with serving(machines) as handler, connect(f"127.0.0.1:{free_port}", attempts=1) as s:
        process = Process(tmp_path, free_port, handler)
        await process.start()
        await begun(s)
        tenant = Tenant("default", s, None)  # type: ignore[arg-type]
        group = await tenant.group()
        await tenant.type("Custom.Org.machines", address=handler)

        async def life(index: int) -> Operation:
            resource = pb.Resource(type="Custom.Org/machines", properties=to_struct({"seconds": 0.3, "count": 2}))
            request = pb.CreateResourceRequest(
                parent=group, resource_id=f"m{index}", resource=resource, request_id=str(uuid.uuid4())
            )
            return await ended(s, await patiently(s, "CreateResource", request))

        lives: list[asyncio.Task[Operation]] = []
        for kill in range(KILLS):
            await begun(s)
            share = range(kill * RESOURCES // KILLS, (kill + 1) * RESOURCES // KILLS)
            lives += [asyncio.create_task(life(index)) for index in share]
            await called(machines, f"m{share[0]}")
            await asyncio.sleep(chance.uniform(0, 0.4))
            await process.kill()
            await process.start()
        operations = await asyncio.wait_for(asyncio.gather(*lives), 50)
        await begun(s)
        names = [f"{group}/providers/Custom.Org/machines/m{index}" for index in range(RESOURCES)]
        found = await s.resources.BatchGetResources(pb.BatchGetResourcesRequest(names=names))
        await process.kill(signal.SIGTERM)
    assert [operation.HasField("response") for operation in operations] == [True] * RESOURCES
    assert {r.provisioning_state for r in found.resources} == {pb.Resource.STATE_SUCCEEDED}
    assert [machines.made("default", name) for name in names] == [1] * RESOURCES
    assert len({r.revision for r in found.resources}) == RESOURCES


CALLERS = 6
SETTLED_SECONDS = 60


async def prepare(s: Sutler, handler: str) -> str:
    """Registers the types, and makes the group to work in."""
    tenant = Tenant("default", s, None)  # type: ignore[arg-type]
    restart = pb.TypeAction(id="restart")
    await tenant.type("Custom.Org.machines", address=handler, actions=[restart])
    await tenant.type("Custom.Org.servers", uniqueness_scopes=[4])
    return await tenant.group()


async def kill_again_and_again(
    processes: list[Process], connections: list[Sutler], callers: list[StackCaller], dice: random.Random, kills: int
) -> None:
    """Kills one process after the other while the callers work, until they have ended their last work."""
    stop = asyncio.Event()
    work = [asyncio.create_task(caller.work(stop)) for caller in callers]
    for kill in range(kills):
        victim = kill % len(processes)
        await begun(connections[victim])
        await asyncio.sleep(dice.uniform(0, 0.5))
        assert not any(task.done() for task in work), [task for task in work if task.done()]
        await processes[victim].kill()
        await processes[victim].start()
    stop.set()
    await asyncio.wait_for(asyncio.gather(*work), SETTLED_SECONDS)


async def check_all(s: Sutler, callers: list[StackCaller], machines: Machines) -> None:
    """No answer is lost, no effect is there twice, nothing is stuck, and the log has no gap."""
    await begun(s)
    for caller in callers:
        await caller.check()
    open_operations = await s.resources.ListOperations(ListOperationsRequest(filter="done = false"))
    assert not open_operations.operations
    stuck = await s.resources.ListResources(pb.ListResourcesRequest(recursive=True, filter="reconciling = true"))
    assert not stuck.resources
    stacks = await s.resources.ListStacks(pb.ListStacksRequest(page_size=1000))
    stood = {name for caller in callers for name, stands in caller.stacks.items() if stands is not None}
    assert {found.name for found in stacks.stacks} == stood
    now = follow(await history(s.resources))
    expected = {name.lower() for c in callers for name, left in c.expected.items() if left is not None}
    scopes = {callers[0].group.lower(), callers[0].group.lower().rpartition("/resourcegroups")[0]}
    assert set(now) == expected | scopes
    check_effects(callers, machines)


def check_effects(callers: list[StackCaller], machines: Machines) -> None:
    """The handler did everything once, under one key for each operation, and nothing that nobody asked for."""
    keys: dict[tuple[str, str], set[str]] = {}
    made: dict[str, set[str]] = {}
    for method, request, _ in machines.calls:
        if method in ("Apply", "InvokeAction"):
            keys.setdefault((method, request.context.operation), set()).add(request.idempotency_key)
            name = (request.desired if method == "Apply" else request.resource).name
            made.setdefault(name, set()).update({request.idempotency_key} & set(machines.effects))
    assert all(len(found) == 1 for found in keys.values())
    assert set(machines.effects.values()) == {1}
    least = sum((caller.effects for caller in callers), Counter[str]())
    more = sum((caller.unsure for caller in callers), Counter[str]())
    for name in {*made, *least}:
        assert least[name] <= len(made.get(name, ())) <= least[name] + more[name], name


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("engine", "count", "kills"), [("sqlite", 1, 100), ("sqlite", 2, 50), ("postgresql", 1, 25), ("postgresql", 2, 25)]
)
async def test_killed_two_hundred_times(tmp_path: Path, engine: str, count: int, kills: int) -> None:
    seed = os.environ.get("SEED") or str(random.randrange(10**6))
    print(f"SEED={seed}")
    dice = random.Random(f"{seed}/{engine}/{count}")
    machines, ports = Machines(), [find_port() for _ in range(count)]
    async with AsyncExitStack() as stack:
        handler = await stack.enter_async_context(serving(machines))
        url = await stack.enter_async_context(database_url(engine, tmp_path))
        connections = [await stack.enter_async_context(connect(f"127.0.0.1:{port}", attempts=1)) for port in ports]
        processes = [Process(tmp_path, port, handler, url) for port in ports]
        try:
            for process, connection in zip(processes, connections, strict=True):
                await process.start()
                await begun(connection)
            group = await prepare(connections[0], handler)
            callers = [StackCaller(n, random.Random(dice.random()), connections, group) for n in range(CALLERS)]
            await kill_again_and_again(processes, connections, callers, dice, kills)
            await check_all(connections[0], callers, machines)
            changes, stacks = sum(len(c.answers) for c in callers), sum(len(c.stacks) for c in callers)
            print(f"{changes} changes, {stacks} stacks, {len(machines.effects)} effects")
        finally:
            for process in processes:
                await process.kill(signal.SIGTERM)
