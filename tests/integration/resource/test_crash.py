"""The service is killed again and again while it works; every operation ends, and the handler has one effect each."""

import asyncio
import os
import random
import signal
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from google.longrunning.operations_pb2 import GetOperationRequest, Operation
from sutler.client import Sutler, connect
from sutler.errors import DeadlineExceeded, SutlerError, Unavailable
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import to_struct

from tests.integration.resource.conftest import Tenant, until
from tests.integration.resource.machines import Machines, serving

RESOURCES = 20
KILLS = 5
SEED = 20261121


class Process:
    """The service as a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path, port: int, handler: str) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"libs{os.pathsep}.",
            "SUTLER_RESOURCE_PORT": str(port),
            "SUTLER_RESOURCE_DATA": f"sqlite:///{folder}/resource.db",
            "SUTLER_RESOURCE_HANDLER_ADDRESSES": f'["{handler}"]',
            "SUTLER_RESOURCE_LEASE_SECONDS": "1",
            "SUTLER_RESOURCE_LOG_FILE": f"{folder}/log.jsonl",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.resource", env=self._environment
        )

    async def kill(self, number: int = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        await self._process.wait()


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
    async def serves() -> bool:
        with suppress(SutlerError):
            await s.resources.ListResourceTypes(pb.ListResourceTypesRequest(), timeout=1)
            return True
        return False

    await until(serves, seconds=40)


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
