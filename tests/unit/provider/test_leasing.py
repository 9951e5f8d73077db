"""Leases over a store in memory: given, extended, ended."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound

from services.provider import driving, leasing, switching
from services.provider.declaring import etag
from services.provider.leasing import Extension
from services.provider.machines import Machine, MachineState, Sight
from services.provider.requests import MachineRequest, RequestKind, RequestState
from services.provider.switches import STOP, Switch
from tests.unit.provider.driven import ask, drive, give_back, machines, now, running, see
from tests.unit.provider.yard import LAB, TENANT, World, world


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


async def extend(here: World, machine: Machine, **how: object) -> Machine:
    extension = Extension(**{"tenant": TENANT, "machine": machine.name, **how})  # type: ignore[arg-type]
    return await here.do(lambda book: leasing.extend(book, extension))


async def told(here: World, kind: str) -> list[str]:
    rows = await here.store.database.read(lambda tx: tx.all("SELECT subject FROM outbox WHERE type = ?", (kind,)))
    return [str(subject) for (subject,) in rows]


async def returns(here: World, request: MachineRequest) -> list[MachineRequest]:
    names = sorted({m.return_request for m in await machines(here, request)} - {""})
    found = [await here.do(lambda book, n=name: book.requests.get(TENANT, n)) for name in names]  # type: ignore[misc]
    return [one for one in found if one is not None]


class TestGiven:
    async def test_from_when_a_machine_first_runs(self, here: World) -> None:
        request = await ask(here, 1, lease_duration=60.0)
        await drive(here)
        here.later(30.0)
        (machine,) = await machines(here, request)
        assert machine.lease_expire_time is None
        await see(here, machine, Sight.ALIVE)
        (machine,) = await machines(here, request)
        assert machine.ready_time is not None
        assert machine.lease_expire_time == machine.ready_time + 60.0
        stop = Switch(tenant=TENANT, method=STOP, names=(machine.name,))
        await here.do(lambda book: switching.accept(book, here.kinds, stop))
        (stopping,) = await machines(here, request)
        assert stopping.lease_expire_time == machine.lease_expire_time, "a stop gives no more time"

    async def test_the_templates_unless_the_order_says_otherwise(self, here: World) -> None:
        await here.add_template("templates/leased", lease_duration=100.0, max_lease_duration=200.0)
        assert (await ask(here, 1, template="templates/leased")).lease_duration == 100.0
        assert (await ask(here, 1, template="templates/leased", lease_duration=200.0)).lease_duration == 200.0
        assert (await ask(here, 1)).lease_duration is None
        with pytest.raises(Invalid) as refused:
            await ask(here, 1, template="templates/leased", lease_duration=200.5)
        assert refused.value.reason == "LEASE_TOO_LONG"
        assert refused.value.metadata["max_lease_duration"] == "200s"
        assert [v.field for v in refused.value.violations] == ["lease_duration"]

    async def test_machines_without_a_lease_live_on(self, here: World) -> None:
        request = await running(here, 1)
        here.later(1e9)
        await drive(here)
        assert [m.state for m in await machines(here, request)] == [MachineState.RUNNING]


class TestExtended:
    async def test_never_to_an_earlier_time(self, here: World) -> None:
        request = await running(here, 1, lease_duration=60.0)
        (machine,) = await machines(here, request)
        assert await extend(here, machine, duration=10.0) == machine
        here.later(30.0)
        later = await extend(here, machine)
        assert machine.lease_expire_time is not None
        assert later.lease_expire_time == machine.lease_expire_time + 30.0
        here.later(59.0)
        await drive(here)
        assert await returns(here, request) == []
        here.later(1.0)
        await drive(here)
        assert len(await returns(here, request)) == 1

    async def test_what_the_template_allowed_when_the_request_was_accepted(self, here: World) -> None:
        await here.add_template("templates/leased", lease_duration=100.0, max_lease_duration=200.0)
        request = await running(here, 1, template="templates/leased")
        template = await here.do(lambda book: book.templates.get(TENANT, "templates/leased"))
        assert template is not None
        await here.do(lambda book: book.templates.update(replace(template, max_lease_duration=1000.0)))
        (machine,) = await machines(here, request)
        with pytest.raises(Invalid) as refused:
            await extend(here, machine, duration=201.0)
        assert refused.value.reason == "LEASE_TOO_LONG"
        extended = await extend(here, machine, duration=200.0)
        assert extended.ready_time is not None
        assert extended.lease_expire_time == extended.ready_time + 200.0

    async def test_refusals(self, here: World) -> None:
        plain, leased = await running(here, 1), await running(here, 1, lease_duration=60.0)
        (without,), (machine,) = await machines(here, plain), await machines(here, leased)
        with pytest.raises(FailedPrecondition) as missing:
            await extend(here, without)
        assert (missing.value.reason, missing.value.metadata["machine"]) == ("LEASE_MISSING", without.name)
        with pytest.raises(Conflict):
            await extend(here, machine, etag=etag(replace(machine, revision=1)))
        with pytest.raises(NotFound):
            await extend(here, machine, tenant="other")
        await give_back(here, names=(machine.name,))
        with pytest.raises(FailedPrecondition) as returning:
            await extend(here, machine)
        assert (returning.value.reason, returning.value.metadata["state"]) == ("STATE_INVALID", "SHUTTING_DOWN")


class TestEnded:
    async def test_machines_of_one_request_are_returned_together_and_told(self, here: World) -> None:
        request = await running(here, 3, lease_duration=60.0, owner="set")
        other = await running(here, 1, lease_duration=60.0)
        here.later(60.0)
        await drive(here)
        (back,) = await returns(here, request)
        assert (back.kind, back.count, back.provider, back.owner) == (RequestKind.RETURN, 3, LAB, "set")
        assert back.state_reason == "the lease has ended"
        assert len(await returns(here, other)) == 1
        assert len(await told(here, "machine.lease_expired")) == 4
        await drive(here)
        for machine in await machines(here, request):
            assert (machine.state, machine.state_reason) == (MachineState.SHUTTING_DOWN, "the lease has ended")
            await see(here, machine, Sight.ENDED)
        assert (await now(here, back)).state is RequestState.COMPLETE
        assert len(await told(here, "machine.lease_expired")) == 4, "once for each"

    async def test_what_ends_by_itself_or_is_returned_has_no_lease_to_end(self, here: World) -> None:
        request = await running(here, 2, lease_duration=60.0)
        first, second = await machines(here, request)
        await see(here, first, Sight.ENDED)
        back = await give_back(here, names=(second.name,))
        here.later(60.0)
        await drive(here)
        assert [one.name for one in await returns(here, request)] == [back.name]
        assert await told(here, "machine.lease_expired") == []

    async def test_a_cancel_of_its_return_gives_no_time(self, here: World) -> None:
        request = await running(here, 1, lease_duration=60.0)
        here.later(60.0)
        await here.do(lambda book: driving.advance_all(book, here.kinds, driving.due(book, 100)))
        (back,) = await returns(here, request)
        await here.do(lambda book: driving.cancel(book, back, "no"))
        await drive(here)
        (again,) = await returns(here, request)
        assert again.name != back.name
