"""A driver goes on whatever happens to one machine or one request."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sutler.testing import wait_until

from services.provider import returning
from services.provider.driver import Driver, Pace
from services.provider.machines import Machine, MachineState, Observation, Sight
from services.provider.patience import FIRST_SECONDS
from services.provider.ports import Book
from services.provider.requests import MachineRequest, RequestState
from services.provider.returning import ReturnOrder
from services.provider.templates import Template
from tests.unit.provider.driven import ask, drive, give_back, machines, now, running, see
from tests.unit.provider.yard import TENANT, World, Yard, sighting, world

PACE = Pace(sweep=0.02, clean=0.02)


class Haunted(Yard):
    """A provider of which some machines raise what nobody expects."""

    def __init__(self) -> None:
        super().__init__()
        self.haunted: set[str] = set()
        self.calls: list[str] = []
        self.times: list[float] = []

    def _enter(self, machine: Machine) -> None:
        self.calls.append(machine.name)
        self.times.append(time.monotonic())
        if machine.name in self.haunted:
            raise RuntimeError("a ghost")

    async def launch(self, machine: Machine, template: Template, config: Mapping[str, Any]) -> Observation:
        self._enter(machine)
        return sighting(machine, Sight.ALIVE, attributes={"pid": 1})

    async def end(self, machine: Machine, template: Template, config: Mapping[str, Any], *, force: bool) -> Observation:
        self._enter(machine)
        return sighting(machine, Sight.ENDED)

    async def look(self, machine: Machine, config: Mapping[str, Any]) -> Observation:
        self._enter(machine)
        return sighting(machine, Sight.ALIVE, attributes={"pid": 1})

    async def tend(self, machine: Machine, template: Template) -> None:
        return

    async def forget(self, machine: Machine) -> None:
        self._enter(machine)

    async def endings(self) -> AsyncIterator[Observation]:
        await asyncio.Event().wait()
        yield sighting(Machine(tenant="", name="", uid="", provider="", machine_request="", template=""), Sight.ENDED)


@asynccontextmanager
async def driven(here: World, kind: Haunted, pace: Pace = PACE) -> AsyncIterator[None]:
    """Runs a driver, which must still run at the end."""
    driver = asyncio.create_task(Driver(here.store, here.kinds, kind, pace).run())
    try:
        yield
        assert not driver.done()
    finally:
        driver.cancel()
        await asyncio.gather(driver, return_exceptions=True)


async def states(here: World, request: MachineRequest) -> dict[str, MachineState]:
    found = await here.do(lambda book: book.machines.of_request(TENANT, request.name))
    return {machine.name: machine.state for machine in found}


async def haunt(here: World, kind: Haunted) -> tuple[MachineRequest, str]:
    """Asks for three machines of which the second is haunted."""
    request = await ask(here, 3)
    _, name, _ = await states(here, request)
    kind.haunted.add(name)
    return request, name


async def test_a_machine_that_cannot_be_launched_keeps_no_other() -> None:
    kind = Haunted()
    async with world(kind=kind) as here:
        request, haunted = await haunt(here, kind)
        async with driven(here, kind):

            async def others_run() -> bool:
                found = await states(here, request)
                return [s for n, s in found.items() if n != haunted] == [MachineState.RUNNING] * 2

            await wait_until(others_run)
            await wait_until(lambda: kind.calls.count(haunted) >= 2)
            kind.haunted.clear()

            async def complete() -> bool:
                return (await now(here, request)).state is RequestState.COMPLETE

            await wait_until(complete)


async def test_a_machine_that_cannot_be_seen_or_ended_keeps_no_other() -> None:
    kind = Haunted()
    async with world(kind=kind) as here:
        request = await ask(here, 3)
        async with driven(here, kind):

            async def complete() -> bool:
                return (await now(here, request)).state is RequestState.COMPLETE

            await wait_until(complete)
            first, haunted, last = await states(here, request)
            kind.haunted.add(haunted)
            kind.calls.clear()
            await wait_until(lambda: kind.calls.count(last) >= 3 and haunted in kind.calls)
            await here.do(lambda book: returning.accept(book, ReturnOrder(tenant=TENANT, all=True)))

            async def others_ended() -> bool:
                found = await states(here, request)
                return found[first] is found[last] is MachineState.TERMINATED

            await wait_until(others_ended)
            kind.haunted.clear()

            async def all_ended() -> bool:
                return set((await states(here, request)).values()) == {MachineState.TERMINATED}

            await wait_until(all_ended)


async def test_what_fails_is_tried_less_and_less_often() -> None:
    kind = Haunted()
    async with world(kind=kind) as here:
        _, haunted = await haunt(here, kind)
        async with driven(here, kind):
            await wait_until(lambda: kind.calls.count(haunted) >= 3)
    first, second, third = [at for name, at in zip(kind.calls, kind.times, strict=True) if name == haunted][:3]
    assert second - first >= FIRST_SECONDS
    assert third - second >= 2 * FIRST_SECONDS


async def test_a_request_that_cannot_go_on_keeps_no_other() -> None:
    kind = Haunted()
    async with world(kind=kind) as here:
        broken = await ask(here, 1)
        fine = await ask(here, 1)

        def lose_operation(book: Book) -> None:
            book.operations._tx.execute("DELETE FROM operations WHERE name = ?", (broken.operation,))  # type: ignore[attr-defined]

        await here.do(lose_operation)
        async with driven(here, kind):

            async def complete() -> bool:
                return (await now(here, fine)).state is RequestState.COMPLETE

            await wait_until(complete)
            later = await ask(here, 1)

            async def complete_too() -> bool:
                return (await now(here, later)).state is RequestState.COMPLETE

            await wait_until(complete_too)
        assert (await now(here, broken)).state is RequestState.PENDING


async def test_a_machine_whose_files_cannot_be_removed_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.provider.driver.PAGE", 1)
    kind = Haunted()
    async with world(kind=kind) as here:
        request = await running(here, 3)
        first, *_ = await states(here, request)
        await give_back(here, all=True)
        await drive(here)
        kind.haunted.add(first)
        for machine in await machines(here, request):
            await see(here, machine, Sight.ENDED)
        here.later(1)
        async with driven(here, kind, Pace(sweep=60, clean=0.02, keep=timedelta())):

            async def others_gone() -> bool:
                return list(await states(here, request)) == [first]

            await wait_until(others_gone)
            kind.haunted.clear()

            async def all_gone() -> bool:
                return not await states(here, request)

            await wait_until(all_gone)
