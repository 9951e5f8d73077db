"""The service is killed with SIGKILL at any moment: what it has accepted is done, and done once."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sutler.client import Sutler, connect
from sutler.errors import Unavailable
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import ServiceProcess, is_gone, wait_until

from tests.integration.provider.conftest import SMALL, ask, machines, new_id, pid_of, set_up, users

COUNT = 10
KILLS = 5


@pytest.fixture
def process(place: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The service as a process of its own."""
    with ServiceProcess(
        "services.provider",
        "SUTLER_PROVIDER_",
        folder=tmp_path,
        data=f"sqlite:///{tmp_path}/provider.db",
        machines=place,
        drain_pause_seconds=0,
    ) as running:
        yield running


@asynccontextmanager
async def connected(process: ServiceProcess) -> AsyncIterator[Sutler]:
    await process.serving()
    async with connect(process.address, attempts=1) as client:
        yield client


async def real(client: Sutler, place: Path) -> set[int]:
    """Checks that record and reality agree, and returns the pids."""
    recorded = {pid_of(m) for m in await machines(client, "state = STATE_RUNNING")}
    assert recorded == set(users(place)), "what runs is what is recorded"
    return recorded


async def ended(client: Sutler, name: str) -> pb.MachineRequest:
    async def found() -> pb.MachineRequest | None:
        request = await client.providers.GetMachineRequest(pb.GetMachineRequestRequest(name=name))
        return request if request.HasField("end_time") else None

    request = await wait_until(found, 30)
    assert request is not None
    return request


@pytest.mark.timeout(180)
async def test_killed_while_machines_start(process: ServiceProcess, place: Path) -> None:
    request_id, dice = new_id(), random.Random(1)
    async with connected(process) as client:
        await set_up(client)
        for _ in range(KILLS):
            asking = asyncio.create_task(begin(client, request_id))
            await asyncio.sleep(dice.uniform(0.0, 0.08))
            process.kill()
            process.start()
            await asking
            await process.serving()
        request = await ended(client, "machineRequests/killed")
        assert (request.state, request.fulfilled) == (pb.MachineRequest.STATE_COMPLETE, COUNT)
        assert len(await real(client, place)) == COUNT
        assert [m.state for m in await machines(client)] == [pb.Machine.STATE_RUNNING] * COUNT


async def begin(client: Sutler, request_id: str) -> None:
    request = pb.RequestMachinesRequest(template=SMALL, count=COUNT, request_id=request_id, machine_request_id="killed")
    await until_answered(client.providers.RequestMachines, request)


@pytest.mark.timeout(180)
async def test_killed_while_machines_die_and_while_they_are_returned(process: ServiceProcess, place: Path) -> None:
    async with connected(process) as client:
        await set_up(client)
        await ask(client, COUNT)
        before = await machines(client)
        process.kill()  # with SIGKILL, and its whole process group
        assert not any(is_gone(pid_of(m)) for m in before)
        dead, alive = before[0], before[1:]
        os.kill(pid_of(dead), signal.SIGKILL)
        await wait_until(lambda: is_gone(pid_of(dead)))
        process.start()
        await process.serving()
        await failed(client, 1)
        assert await real(client, place) == {pid_of(m) for m in alive}
        (found,) = await machines(client, "state = STATE_FAILED")
        assert (found.name, found.HasField("exit_code")) == (dead.name, False)
        os.kill(pid_of(alive[0]), signal.SIGKILL)
        await failed(client, 2)

        order = await client.providers.ReturnMachines(pb.ReturnMachinesRequest(all=True))
        await asyncio.sleep(random.Random(2).uniform(0.0, 0.02))
        process.kill()
        process.start()
        await process.serving()
        response = await client.wait(order)
        assert isinstance(response, pb.MachineRequest)
        assert (response.state, response.fulfilled) == (pb.MachineRequest.STATE_COMPLETE, COUNT - 2)
        assert await real(client, place) == set()


async def failed(client: Sutler, count: int) -> None:
    async def seen() -> bool:
        return len(await machines(client, "state = STATE_FAILED")) == count

    await wait_until(seen)


@pytest.mark.crash
@pytest.mark.timeout(900)
async def test_killed_again_and_again(process: ServiceProcess, place: Path) -> None:
    seed = os.environ.get("SEED") or str(random.randrange(10**6))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    wanted = 0
    async with connected(process) as client:
        await set_up(client)
        for round in range(40):
            count, returns = dice.randint(1, 12), dice.random() < 0.3
            work = asyncio.create_task(give_all(client) if returns else ask_for(client, f"r{round}", count))
            await asyncio.sleep(dice.uniform(0.0, 0.4))
            process.kill()
            process.start()
            await process.serving()
            await work
            wanted = 0 if returns else wanted + count

        async def at_rest() -> bool:
            answer = await client.providers.ListMachineRequests(pb.ListMachineRequestsRequest(filter="NOT end_time:*"))
            return not answer.machine_requests

        await wait_until(at_rest, 60)
        assert len(await real(client, place)) == wanted
        answer = await client.providers.ListMachineRequests(pb.ListMachineRequestsRequest(page_size=1000))
        for request in answer.machine_requests:
            assert request.state == pb.MachineRequest.STATE_COMPLETE
            assert len(request.machines) == request.count


async def ask_for(client: Sutler, id: str, count: int) -> None:
    request = pb.RequestMachinesRequest(template=SMALL, count=count, request_id=new_id(), machine_request_id=id)
    operation = await until_answered(client.providers.RequestMachines, request)
    await until_answered(client.wait, operation)


async def give_all(client: Sutler) -> None:
    request = pb.ReturnMachinesRequest(all=True, request_id=new_id())
    operation = await until_answered(client.providers.ReturnMachines, request)
    await until_answered(client.wait, operation)


async def until_answered(call: Any, request: Any) -> Any:
    """Repeats a call until there is an answer, as the outermost caller does."""
    found: list[Any] = []

    async def answered() -> bool:
        try:
            found.append(await call(request))
        except Unavailable:
            return False
        return True

    await wait_until(answered, 60)
    return found[0]
