"""What follows machines goes on where it was: over a restart, with another service, and told why where it cannot."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sutler.client import Sutler, connect
from sutler.errors import Invalid, NotFound, Unavailable
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import serve
from sutler.type.v1.operation_pb2 import OperationMetadata, WatchOperationRequest

from services.provider.app import app
from services.provider.settings import Settings
from tests.integration.provider.conftest import Serve, add_template, ask, begin, give_back, set_up
from tests.integration.provider.test_watches import collect, first

TERMINATED, COMPLETE = pb.Machine.STATE_TERMINATED, pb.MachineRequest.STATE_COMPLETE


def machines_since(client: Sutler, token: str) -> AsyncIterator[Any]:
    return client.providers.WatchMachines(pb.WatchMachinesRequest(resume_token=token))


def all_ended(count: int) -> Any:
    return lambda changes: sum(change.machine.state == TERMINATED for change in changes) == count


async def test_watches_go_on_after_a_restart_and_with_another_service(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        token = await first(client.providers.WatchMachines(pb.WatchMachinesRequest()))
        orders = await first(client.providers.WatchMachineRequests(pb.WatchMachineRequestsRequest()))
        request = await ask(client, 2)
    async with serving(data=url) as client, serving(data=url) as other:
        back = await give_back(client, all=True)
        changes, _ = await collect(machines_since(client, token), all_ended(2))
        assert {change.machine.name for change in changes} == set(request.machines)
        assert {change.kind for change in changes[:2]} == {pb.CHANGE_KIND_CREATED}
        assert (await collect(machines_since(other, token), all_ended(2)))[0] == changes
        told, _ = await collect(
            other.providers.WatchMachineRequests(pb.WatchMachineRequestsRequest(resume_token=orders)),
            lambda found: sum(change.machine_request.state == COMPLETE for change in found) >= 2,
        )
        assert {change.machine_request.name for change in told} == {request.name, back.name}


async def test_a_watch_ends_at_once_when_its_service_stops_and_says_so(place: Path, tmp_path: Path) -> None:
    settings = {"data": f"sqlite:///{tmp_path}/p.db", "machines": place, "drain_seconds": 10.0}
    messages: list[pb.WatchMachinesResponse] = []
    begun = asyncio.Event()
    async with AsyncExitStack() as stack:
        async with serve(app, Settings, **settings) as (_, server):
            client = await stack.enter_async_context(connect(server.address, attempts=1))

            async def read() -> None:
                async for message in client.providers.WatchMachines(pb.WatchMachinesRequest()):
                    messages.append(message)
                    begun.set()

            reading = asyncio.create_task(read())
            await begun.wait()
            stopped = time.monotonic()
        with pytest.raises(Unavailable) as ended:
            await reading
    assert time.monotonic() - stopped < 9, "not only when the time to drain is over"
    assert ended.value.reason == "SHUTTING_DOWN"
    assert messages[-1].status.code == 14


async def test_tokens_of_another_watch_and_filters_that_are_none(service: Sutler) -> None:
    token = await first(service.providers.WatchMachines(pb.WatchMachinesRequest()))
    wrong = [
        (service.providers.WatchMachineRequests(pb.WatchMachineRequestsRequest(resume_token=token)), "resume_token"),
        (service.providers.WatchMachines(pb.WatchMachinesRequest(resume_token="rubbish")), "resume_token"),
        (service.providers.WatchMachines(pb.WatchMachinesRequest(filter="pid = 1")), "filter"),
        (service.providers.WatchMachineRequests(pb.WatchMachineRequestsRequest(filter="state = 'x")), "filter"),
    ]
    for watch, field in wrong:
        with pytest.raises(Invalid) as refused:
            await first(watch)
        assert refused.value.reason == ("RESUME_TOKEN_INVALID" if field == "resume_token" else "FILTER_INVALID")
        assert [violation.field for violation in refused.value.violations] == [field]


async def test_output_goes_on_at_its_offset_after_a_restart(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        name = await add_template(
            client, "counter", command=["sh", "-c", "i=0; while echo $((i+=1)); do sleep 0.05; done"]
        )
        machine = (await ask(client, 1, name)).machines[0]
        before = await output(client, machine, 0, 20)
    async with serving(data=url) as client:
        after = await output(client, machine, len(before), 20)
        assert await output(client, machine, 0, 40) == before + after
        lines = (before + after).split()
        assert lines[:-1] == [str(number).encode() for number in range(1, len(lines))]


async def output(client: Sutler, name: str, offset: int, limit: int) -> bytes:
    """So much output from there on, which is followed until it is written."""
    request = pb.ReadMachineOutputRequest(name=name, offset=offset, limit=limit, follow=True)
    async with asyncio.timeout(30):
        return b"".join([chunk.data async for chunk in client.providers.ReadMachineOutput(request)])


async def test_an_operation_is_followed_to_its_end(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        operation = await begin(client, 3)
        async with asyncio.timeout(30):
            seen = [
                message.operation
                async for message in client.providers.WatchOperation(WatchOperationRequest(name=operation.name))
            ]
        progress = []
        for one in seen:
            metadata = OperationMetadata()
            assert one.metadata.Unpack(metadata)
            progress.append(metadata.progress_percent)
        assert progress == sorted(progress)
        assert progress[-1] == 100
        assert seen[-1].done
        response = pb.MachineRequest()
        assert seen[-1].response.Unpack(response)
        assert response.state == COMPLETE
        with pytest.raises(NotFound):
            await anext(client.providers.WatchOperation(WatchOperationRequest(name="providerOperations/none")))
