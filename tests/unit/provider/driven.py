"""Requests over a store in memory, driven by hand."""

from collections.abc import Sequence

from sutler.operations.model import State

from services.provider import acquiring, driving, returning
from services.provider.acquiring import Order
from services.provider.machines import Machine, Sight
from services.provider.requests import MachineRequest
from services.provider.returning import ReturnOrder
from tests.unit.provider.yard import SMALL, TENANT, World, sighting


async def ask(here: World, count: int = 3, **more: object) -> MachineRequest:
    order = Order(**{"tenant": TENANT, "template": SMALL, "count": count, **more})  # type: ignore[arg-type]
    return await here.do(lambda book: acquiring.accept(book, here.kinds, here.limits, order))


async def drive(here: World) -> None:
    await here.do(lambda book: driving.advance_all(book, here.kinds, driving.due(book, 100)))


async def machines(here: World, request: MachineRequest) -> Sequence[Machine]:
    return await here.do(lambda book: book.machines.of_request(TENANT, request.name))


async def see(here: World, machine: Machine, sight: Sight) -> None:
    await here.do(lambda book: driving.note_seen(book, sighting(machine, sight)))


async def now(here: World, request: MachineRequest) -> MachineRequest:
    found = await here.do(lambda book: book.requests.get(TENANT, request.name))
    assert found is not None
    return found


async def operation(here: World, request: MachineRequest) -> State:
    return (await here.do(lambda book: book.operations.get(TENANT, request.operation))).state


async def running(here: World, count: int = 3, **more: object) -> MachineRequest:
    request = await ask(here, count, **more)
    await drive(here)
    for machine in await machines(here, request):
        await see(here, machine, Sight.ALIVE)
    return await now(here, request)


async def give_back(here: World, **more: object) -> MachineRequest:
    order = ReturnOrder(**{"tenant": TENANT, **more})  # type: ignore[arg-type]
    return await here.do(lambda book: returning.accept(book, order))
