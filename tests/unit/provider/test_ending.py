"""Machine requests over a store in memory: cancelled, expired, returned."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sutler.errors import NotFound
from sutler.operations.model import State

from services.provider import ending
from services.provider.machines import MachineState, Sight
from services.provider.requests import RequestState, SkipReason
from tests.unit.provider.driven import ask, drive, give_back, machines, now, operation, running, see
from tests.unit.provider.yard import LAB, TENANT, World, world

HELD = MachineState.SHUTTING_DOWN


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


class TestEnding:
    async def test_a_cancel_keeps_what_is_there_and_ends_what_comes(self, here: World) -> None:
        request = await ask(here, 2)
        await drive(here)
        first, second = await machines(here, request)
        await see(here, first, Sight.ALIVE)
        cancelled = await here.do(lambda book: ending.cancel(book, book.requests.get(TENANT, request.name), "enough"))  # type: ignore[arg-type]
        assert (cancelled.state, cancelled.state_reason) == (RequestState.CANCELED, "enough")
        states = {m.name: m.state for m in await machines(here, request)}
        assert states == {first.name: MachineState.RUNNING, second.name: HELD}
        assert await operation(here, request) is State.CANCELLED
        await see(here, second, Sight.ALIVE)
        assert (await machines(here, request))[1].state is HELD, "one that comes later is still ended"
        assert (await now(here, request)).state is RequestState.CANCELED

    async def test_a_cancel_can_return_what_is_there(self, here: World) -> None:
        request = await ask(here, 2)
        await drive(here)
        for machine in (await machines(here, request))[:1]:
            await see(here, machine, Sight.ALIVE)
        await here.do(
            lambda book: ending.cancel(book, book.requests.get(TENANT, request.name), "", return_machines=True)  # type: ignore[arg-type]
        )
        assert {m.state for m in await machines(here, request)} == {HELD}

    async def test_what_has_ended_stays_as_it_is(self, here: World) -> None:
        request = await running(here, 1)
        after = await here.do(lambda book: ending.cancel(book, request, "late", return_machines=True))
        assert after == request
        assert (await machines(here, request))[0].state is MachineState.RUNNING

    @pytest.mark.parametrize(("there", "state"), [(0, RequestState.TIMED_OUT), (1, RequestState.PARTIAL)])
    async def test_the_deadline(self, here: World, there: int, state: RequestState) -> None:
        request = await ask(here, 2, timeout=30.0)
        await drive(here)
        for machine in (await machines(here, request))[:there]:
            await see(here, machine, Sight.ALIVE)
        here.later(31.0)
        await drive(here)
        assert (await now(here, request)).state is state
        assert sum(m.state is HELD for m in await machines(here, request)) == 2 - there


class TestReturning:
    async def test_by_request(self, here: World) -> None:
        request = await running(here, 3)
        order = await give_back(here, source_request=request.name)
        assert (order.count, order.state, order.provider) == (3, RequestState.PENDING, LAB)
        await drive(here)
        assert {m.state for m in await machines(here, request)} == {HELD}
        for machine in await machines(here, request):
            await see(here, machine, Sight.ENDED)
        done = await now(here, order)
        assert (done.state, done.fulfilled) == (RequestState.COMPLETE, 3)
        assert await operation(here, order) is State.SUCCEEDED
        assert {m.return_request for m in await machines(here, request)} == {order.name}

    async def test_what_another_return_holds_is_skipped(self, here: World) -> None:
        request = await running(here, 2)
        first, second = await machines(here, request)
        await see(here, second, Sight.ENDED)
        held = await give_back(here, names=(first.name,))
        again = await give_back(here, names=(first.name, second.name))
        assert again.state is RequestState.COMPLETE
        assert {(s.machine, s.reason, s.return_request) for s in again.skipped} == {
            (first.name, SkipReason.RETURNING, held.name),
            (second.name, SkipReason.ENDED, ""),
        }

    async def test_force_takes_over(self, here: World) -> None:
        request = await running(here, 2)
        first, _ = await machines(here, request)
        held = await give_back(here, source_request=request.name)
        await drive(here)
        forced = await give_back(here, names=(first.name,), force=True)
        await drive(here)
        taken = next(m for m in await machines(here, request) if m.name == first.name)
        assert taken.return_request == forced.name
        assert taken.kill_time is not None
        assert taken.kill_time <= 1_000_000.0
        assert (await now(here, held)).count == 1
        for machine in await machines(here, request):
            await see(here, machine, Sight.ENDED)
        assert {(await now(here, r)).state for r in (held, forced)} == {RequestState.COMPLETE}

    async def test_an_unknown_machine_refuses_all(self, here: World) -> None:
        request = await running(here, 1)
        (machine,) = await machines(here, request)
        with pytest.raises(NotFound):
            await give_back(here, names=(machine.name, "machines/none"))
        assert (await machines(here, request))[0].return_request == ""

    async def test_several_providers_become_several_requests(self, here: World) -> None:
        await here.add_provider("providers/two")
        await here.add_template("templates/two", provider="providers/two")
        one, two = await running(here, 1), await running(here, 2, template="templates/two")
        whole = await give_back(here, all=True)
        assert (whole.count, len(whole.child_requests), whole.provider) == (3, 2, "")
        await drive(here)
        for machine in await machines(here, two):
            await see(here, machine, Sight.ENDED)
        some = await now(here, whole)
        assert (some.state, some.fulfilled) == (RequestState.PARTIAL_PENDING, 2)
        for machine in await machines(here, one):
            await see(here, machine, Sight.ENDED)
        assert (await now(here, whole)).state is RequestState.COMPLETE
        assert await operation(here, whole) is State.SUCCEEDED

    async def test_a_cancel_before_it_began_lets_the_machines_be(self, here: World) -> None:
        request = await running(here, 2)
        order = await give_back(here, all=True)
        await here.do(lambda book: ending.cancel(book, order, ""))
        await drive(here)
        assert {(m.state, m.return_request) for m in await machines(here, request)} == {(MachineState.RUNNING, "")}

    async def test_a_cancel_of_the_whole_cancels_its_parts(self, here: World) -> None:
        await here.add_provider("providers/two")
        await here.add_template("templates/two", provider="providers/two")
        await running(here, 1)
        await running(here, 1, template="templates/two")
        whole = await give_back(here, all=True)
        await here.do(lambda book: ending.cancel(book, whole, ""))
        parts = [await here.do(lambda book, n=n: book.requests.get(TENANT, n)) for n in whole.child_requests]  # type: ignore[misc]
        assert {part.state for part in parts if part} == {RequestState.CANCELED}

    async def test_one_that_never_started_can_be_returned(self, here: World) -> None:
        request = await ask(here, 1)
        (machine,) = await machines(here, request)
        order = await give_back(here, names=(machine.name,))
        await drive(here)
        await see(here, (await machines(here, request))[0], Sight.NOTHING)
        assert (await machines(here, request))[0].state is MachineState.TERMINATED
        assert (await now(here, order)).state is RequestState.COMPLETE
        assert (await now(here, request)).state is RequestState.FAILED
