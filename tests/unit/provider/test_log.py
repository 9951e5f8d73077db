"""The log of changes as watches read it: bounded by what one message may hold."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest_asyncio
from sutler.paging import MAX_PAGE_BYTES

from services.provider.adapters.stored import listings
from services.provider.cost.bills import UNPRICED
from services.provider.machines import Machine
from services.provider.ports import Noticed
from services.provider.requests import MachineRequest
from services.provider.wire import machines as machine_wire
from services.provider.wire import requests as request_wire
from services.provider.wire.shapes import ContractShapes
from tests.unit.provider.driven import ask, machines
from tests.unit.provider.yard import SMALL, TENANT, World, world

MANY = 500


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


async def batches(log: Any) -> list[list[Noticed[Any]]]:
    """All that a log holds, as a watch reads it."""
    position, found = 0, []
    while batch := await log.after(position, MANY):
        assert [seq for seq, _ in batch] == sorted(seq for seq, _ in batch)
        assert batch[0][0] > position
        position = batch[-1][0]
        found.append([noticed for _, noticed in batch])
    return found


async def change(here: World, request: MachineRequest, times: int) -> None:
    for number in range(times):
        await here.do(lambda book, n=number: book.requests.update(replace(request, state_reason=str(n))))  # type: ignore[misc]


async def test_requests_that_name_many_machines_go_into_several_messages(here: World) -> None:
    request = await ask(here, 1)
    await change(here, replace(request, numbered=1000), 200)
    log = listings(here.store.database, ContractShapes()).requests.log(TENANT, "")
    found = await batches(log)
    assert len(found) > 1
    for batch in found:
        shown = [request_wire.change_message(noticed).ByteSize() for noticed in batch]
        assert sum(shown) <= MAX_PAGE_BYTES
    seen = [noticed.item for batch in found for noticed in batch]
    assert [item.state_reason for item in seen if item is not None][-200:] == [str(n) for n in range(200)]


async def test_machines_that_tell_much_go_into_several_messages(here: World) -> None:
    request = await ask(here, 1)
    (machine,) = await machines(here, request)
    told: Machine = replace(machine, attributes={"text": "x" * 1_000_000})
    for _ in range(7):
        await here.do(lambda book: book.machines.update(told))
    log = listings(here.store.database, ContractShapes()).machines.log(TENANT, "")
    found = await batches(log)
    assert sum(len(batch) for batch in found) == 8
    for batch in found:
        assert sum(machine_wire.change_message(noticed, UNPRICED).ByteSize() for noticed in batch) <= MAX_PAGE_BYTES


async def test_one_that_is_larger_than_a_message_comes_alone(here: World) -> None:
    text = {"BIG": "x" * MAX_PAGE_BYTES}
    await ask(here, 1)

    def grow(book: Any) -> None:
        template = book.templates.get(TENANT, SMALL)
        book.templates.update(replace(template, process=None, tags=text))

    await here.do(grow)
    request = await ask(here, 1)
    await change(here, request, 2)
    log = listings(here.store.database, ContractShapes()).requests.log(TENANT, "")
    found = await batches(log)
    assert [len(batch) for batch in found] == [1, 1, 1, 1]
