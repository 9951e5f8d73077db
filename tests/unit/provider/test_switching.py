"""Starting and stopping machines: one operation for several, one result for each."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sutler.operations.model import State
from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import from_status

from services.provider import acquiring, driving, switching
from services.provider.acquiring import Order
from services.provider.machines import Machine, MachineState, Sight
from services.provider.switches import START, STOP, Switch
from tests.unit.provider.yard import SMALL, TENANT, World, sighting, world


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


async def machine(here: World) -> Machine:
    order = Order(tenant=TENANT, template=SMALL, count=1)
    request = await here.do(lambda book: acquiring.accept(book, here.kinds, here.limits, order))
    await here.do(lambda book: driving.advance_all(book, here.kinds, driving.due(book, 100)))
    (made,) = await here.do(lambda book: book.machines.of_request(TENANT, request.name))
    seen = await here.do(lambda book: driving.note_seen(book, sighting(made, Sight.ALIVE)))
    assert seen is not None
    return seen


async def switch(here: World, method: str, *names: str) -> str:
    wanted = Switch(tenant=TENANT, method=method, names=names)
    return (await here.do(lambda book: switching.accept(book, here.kinds, wanted))).name


async def results(here: World, name: str) -> list[pb.MachineResult]:
    await here.do(lambda book: driving.advance_all(book, here.kinds, driving.due(book, 100)))
    found = await here.do(lambda book: book.operations.get(TENANT, name))
    assert found.state is State.SUCCEEDED
    kind = pb.StartMachinesResponse if found.method == START else pb.StopMachinesResponse
    response = kind()
    from google.protobuf.any_pb2 import Any

    assert Any.FromString(found.response).Unpack(response)
    return list(response.results)


async def test_a_machine_is_stopped_and_started_again(here: World) -> None:
    one = await machine(here)
    name = await switch(here, STOP, one.name)
    stopping = await here.do(lambda book: book.machines.get(TENANT, one.name))
    assert stopping is not None
    assert stopping.state is MachineState.STOPPING
    await here.do(lambda book: driving.note_seen(book, sighting(stopping, Sight.ENDED)))
    assert [r.machine.state for r in await results(here, name)] == [MachineState.STOPPED]
    name = await switch(here, START, one.name)
    again = await here.do(lambda book: book.machines.get(TENANT, one.name))
    assert again is not None
    assert again.launch == 2
    await here.do(lambda book: driving.note_seen(book, sighting(again, Sight.ALIVE)))
    assert [r.machine.state for r in await results(here, name)] == [MachineState.RUNNING]


async def test_each_machine_has_its_own_result_in_the_order_asked(here: World) -> None:
    one, two = await machine(here), await machine(here)
    await here.do(lambda book: driving.note_seen(book, sighting(two, Sight.ENDED)))
    name = await switch(here, STOP, "machines/none", one.name, two.name)
    stopping = await here.do(lambda book: book.machines.get(TENANT, one.name))
    assert stopping is not None
    await here.do(lambda book: driving.note_seen(book, sighting(stopping, Sight.ENDED)))
    found = await results(here, name)
    assert [r.name for r in found] == ["machines/none", one.name, two.name]
    reasons = [from_status(r.status).reason if r.HasField("status") else "" for r in found]
    assert reasons == ["NOT_FOUND", "", "STATE_INVALID"]


async def test_nothing_to_do_is_done_at_once(here: World) -> None:
    one = await machine(here)
    name = await switch(here, START, one.name)
    assert [r.HasField("status") for r in await results(here, name)] == [False]


async def test_what_is_in_motion_is_not_turned(here: World) -> None:
    one = await machine(here)
    first = await switch(here, STOP, one.name)
    second = await switch(here, START, one.name)
    assert [from_status(r.status).reason for r in await results(here, second)] == ["OPERATION_IN_PROGRESS"]
    assert (await here.do(lambda book: book.operations.get(TENANT, first))).state is State.RUNNING


async def test_a_stopped_machine_still_counts_for_its_request(here: World) -> None:
    one = await machine(here)
    await switch(here, STOP, one.name)
    request = await here.do(lambda book: book.requests.get(TENANT, one.machine_request))
    assert request is not None
    assert (request.running_count, request.failed_count) == (1, 0)
