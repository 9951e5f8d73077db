"""Watches of machines and machine requests, and lists of both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.longrunning.operations_pb2 import GetOperationRequest, ListOperationsRequest, WaitOperationRequest
from sutler.client import Sutler
from sutler.errors import Invalid, NotFound, OutOfRange
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import wait_until

from tests.integration.provider.conftest import Serve, ask, begin, give_back, machines, set_up

RUNNING, ENDED = pb.Machine.STATE_RUNNING, pb.Machine.STATE_TERMINATED


async def collect(watch: AsyncIterator[Any], enough: Any) -> tuple[list[Any], str]:
    """The changes until there are enough, and the last token."""
    changes: list[Any] = []
    async with asyncio.timeout(15):
        async for message in watch:
            changes += message.changes
            if enough(changes):
                return changes, message.resume_token
    raise AssertionError("the watch ended")


async def first(watch: AsyncIterator[Any]) -> str:
    async with asyncio.timeout(15):
        message = await anext(watch)
        if message.HasField("status"):  # the error follows
            await anext(watch)
    return str(message.resume_token)


async def test_machines_are_followed_on_each_engine(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        watch = client.providers.WatchMachines(pb.WatchMachinesRequest())
        token = await first(watch)
        await ask(client, 2)

        def both_run(changes: list[pb.MachineChange]) -> bool:
            return sum(change.machine.state == RUNNING for change in changes) == 2

        changes, later = await collect(watch, both_run)
        states = [change.machine.state for change in changes]
        assert states[:2] == [pb.Machine.STATE_PENDING] * 2
        assert [c.kind for c in changes[:2]] == [pb.CHANGE_KIND_CREATED] * 2
        again, _ = await collect(client.providers.WatchMachines(pb.WatchMachinesRequest(resume_token=token)), both_run)
        assert again == changes, "resuming gives everything once more"
        await give_back(client, all=True)
        rest, _ = await collect(
            client.providers.WatchMachines(pb.WatchMachinesRequest(resume_token=later)),
            lambda found: sum(change.machine.state == ENDED for change in found) == 2,
        )
        assert not {RUNNING} & {change.machine.state for change in rest[-2:]}


async def test_a_filter_sees_things_come_and_go(service: Sutler) -> None:
    watch = service.providers.WatchMachines(pb.WatchMachinesRequest(filter="state = STATE_RUNNING"))
    await first(watch)
    await ask(service)
    await give_back(service, all=True)
    changes, _ = await collect(watch, lambda found: len(found) >= 2 and found[-1].kind == pb.CHANGE_KIND_DELETED)
    kinds = [change.kind for change in changes]
    assert kinds[0] == pb.CHANGE_KIND_CREATED
    assert set(kinds[1:-1]) <= {pb.CHANGE_KIND_UPDATED}


async def test_requests_are_followed(service: Sutler) -> None:
    watch = service.providers.WatchMachineRequests(pb.WatchMachineRequestsRequest(filter="kind = KIND_ACQUIRE"))
    await first(watch)
    request = await ask(service, 2)
    complete = pb.MachineRequest.STATE_COMPLETE
    changes, token = await collect(watch, lambda found: found and found[-1].machine_request.state == complete)
    assert {change.machine_request.name for change in changes} == {request.name}
    states = [change.machine_request.state for change in changes]
    assert states == sorted(states)
    with pytest.raises(Invalid) as other:
        await first(
            service.providers.WatchMachineRequests(pb.WatchMachineRequestsRequest(resume_token=token, filter="count=1"))
        )
    assert other.value.reason == "RESUME_TOKEN_INVALID"


async def test_a_watch_that_was_away_too_long_is_told_where_to_go_on(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        token = await first(client.providers.WatchMachines(pb.WatchMachinesRequest()))
        await ask(client)
    async with serving(data=url, keep_changes_hours=1e-9) as client:
        resumed = pb.WatchMachinesRequest(resume_token=token)

        async def refused() -> OutOfRange | None:
            try:
                await first(client.providers.WatchMachines(resumed))
            except OutOfRange as error:
                return error
            return None

        error = await wait_until(refused)
        assert error is not None
        assert error.reason == "RESUME_TOKEN_EXPIRED"
        assert error.metadata["oldest"]


async def test_lists(service: Sutler) -> None:
    first_request = await ask(service, 2, tags={"order": "1"})
    second = await ask(service, 1, tags={"order": "2"})
    answer = await service.providers.ListMachineRequests(pb.ListMachineRequestsRequest())
    assert [r.name for r in answer.machine_requests] == [second.name, first_request.name], "the newest first"
    answer = await service.providers.ListMachineRequests(
        pb.ListMachineRequestsRequest(filter='tags.order = "1" AND state = STATE_COMPLETE AND fulfilled >= 2')
    )
    assert [r.name for r in answer.machine_requests] == [first_request.name]
    assert list(answer.machine_requests[0].machines) == list(first_request.machines)
    names, token = [], ""
    while True:
        page = await service.providers.ListMachines(pb.ListMachinesRequest(page_size=2, page_token=token))
        names += [m.name for m in page.machines]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted([*first_request.machines, *second.machines])
    pid = int((await machines(service))[0].attributes["pid"])
    assert [int(m.attributes["pid"]) for m in await machines(service, f"attributes.pid = {pid}")] == [pid]


async def test_operations(service: Sutler) -> None:
    operation = await begin(service, 1)
    waited = await service.providers.WaitOperation(WaitOperationRequest(name=operation.name, timeout={"seconds": 10}))
    assert waited.done
    response = pb.MachineRequest()
    assert waited.response.Unpack(response)
    assert response.operation == operation.name
    assert (await service.providers.GetOperation(GetOperationRequest(name=operation.name))).done
    listed = await service.providers.ListOperations(
        ListOperationsRequest(name="providerOperations", filter="done=true")
    )
    assert [o.name for o in listed.operations] == [operation.name]
    with pytest.raises(NotFound):
        await service.providers.GetOperation(GetOperationRequest(name="providerOperations/none"))
