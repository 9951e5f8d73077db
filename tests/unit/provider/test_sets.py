"""Machine sets: never one machine too many, whoever calls how often."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from sutler.errors import Conflict, Invalid, NotFound, PermissionDenied

from services.provider import driving, sets
from services.provider.machines import Machine, MachineState, Sight
from services.provider.requests import RequestState
from services.provider.wishes import Caller, Change, MayEnd, Presence, Proposal, Standing, Wish, read_wish
from tests.unit.provider.yard import SMALL, TENANT, World, sighting, world

SET = "subscriptions/shop/resourceGroups/orders/providers/Sutler.Compute/machineSets/S1"


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


def caller(key: str = "k1", fence: int = 1, attempt: int = 1) -> Caller:
    return Caller(tenant=TENANT, resource=SET, fence=fence, attempt=attempt, key=key)


def anyone(names: Sequence[str]) -> None:
    """May end all machines."""


def nobody(names: Sequence[str]) -> None:
    """May end none."""
    assert names
    raise PermissionDenied("no")


async def step(
    here: World, count: int, who: Caller | None = None, template: str = SMALL, may_end: MayEnd = anyone
) -> Standing:
    wish = Wish(template=template, count=count)
    return await here.do(lambda book: sets.converge(book, here.kinds, here.limits, who or caller(), wish, may_end))


async def of_set(here: World) -> Sequence[Machine]:
    return await here.do(lambda book: book.machines.of_owner(TENANT, SET))


async def settle(here: World) -> None:
    """Lets everything that is under way happen."""
    await here.do(lambda book: driving.advance_all(book, here.kinds, driving.due(book, 100)))
    for machine in await of_set(here):
        if machine.state is MachineState.LAUNCHING:
            await here.do(lambda book, m=machine: driving.note_seen(book, sighting(m, Sight.ALIVE)))  # type: ignore[misc]
        if machine.state is MachineState.SHUTTING_DOWN:
            await here.do(lambda book, m=machine: driving.note_seen(book, sighting(m, Sight.ENDED)))  # type: ignore[misc]


async def made(here: World, count: int, who: Caller | None = None) -> None:
    await step(here, count, who)
    await settle(here)
    assert (await step(here, count, who)).whole


async def test_a_set_is_made_once_however_often_it_is_asked_for(here: World) -> None:
    for attempt in range(1, 4):
        standing = await step(here, 3, caller(attempt=attempt, fence=attempt))
        assert len(standing.machines) == 3
        assert not standing.whole
    await settle(here)
    assert (await step(here, 3, caller(attempt=4, fence=4))).whole
    assert len(await of_set(here)) == 3


async def test_a_late_caller_is_refused_and_changes_nothing(here: World) -> None:
    await made(here, 2, caller(fence=5))
    with pytest.raises(Conflict) as refused:
        await step(here, 4, caller("k0", fence=4))
    assert refused.value.reason == "LEASE_LOST"
    with pytest.raises(Conflict):
        await here.do(lambda book: sets.remove(book, caller("k0", fence=4), anyone))
    assert len(await of_set(here)) == 2


async def test_it_grows_and_shrinks(here: World) -> None:
    await made(here, 2)
    first = {m.name for m in await of_set(here)}
    here.later(1.0)
    await made(here, 4, caller("k2", fence=2))
    assert first < {m.name for m in await of_set(here)}
    standing = await step(here, 1, caller("k3", fence=3))
    assert len(standing.machines) == 1
    assert not standing.whole
    await settle(here)
    (left,) = await of_set(here)
    assert left.name in first, "the youngest go first"
    assert (await step(here, 1, caller("k3", fence=3))).whole


async def test_the_dead_are_replaced(here: World) -> None:
    await made(here, 3)
    dead = (await of_set(here))[0]
    await here.do(lambda book: driving.note_seen(book, sighting(dead, Sight.ENDED)))
    await made(here, 3, caller("k2", fence=2))
    assert dead.name not in {m.name for m in await of_set(here)}


async def test_another_template_brings_new_machines_before_the_old_go(here: World) -> None:
    await here.add_template("templates/large")
    await made(here, 2)
    who = caller("k2", fence=2)
    await step(here, 2, who, "templates/large")
    assert len(await of_set(here)) == 4
    await settle(here)
    await step(here, 2, who, "templates/large")
    await settle(here)
    assert {m.template for m in await of_set(here)} == {"templates/large"}
    assert (await step(here, 2, who, "templates/large")).whole


async def test_a_wish_that_changed_cancels_what_was_asked_for(here: World) -> None:
    await here.add_template("templates/large")
    begun = await step(here, 2)
    await step(here, 2, caller("k2", fence=2), "templates/large")
    request = await here.do(lambda book: book.requests.get(TENANT, begun.waits[0]))
    assert request is not None
    assert request.state is RequestState.CANCELED


async def test_the_names_of_requests_follow_from_the_key(here: World) -> None:
    first = await step(here, 1)
    async with world() as elsewhere:
        assert (await step(elsewhere, 1)).waits == first.waits
        await elsewhere.add_provider("providers/other")
    async with world() as elsewhere:
        assert (await step(elsewhere, 1, caller("other"))).waits != first.waits


async def test_it_is_deleted_whatever_it_is_doing(here: World) -> None:
    await made(here, 1)
    await step(here, 3, caller("k2", fence=2))
    who = caller("k3", fence=3)
    left = await here.do(lambda book: sets.remove(book, who, anyone))
    assert left.busy
    assert not left.whole
    await settle(here)
    gone = await here.do(lambda book: sets.remove(book, who, anyone))
    assert gone.whole
    assert await of_set(here) == []


async def test_what_never_was_is_deleted(here: World) -> None:
    assert (await here.do(lambda book: sets.remove(book, caller(), anyone))).whole


async def test_a_stop_ends_what_was_asked_for_but_not_what_a_later_call_does(here: World) -> None:
    begun = await step(here, 2)
    await step(here, 2, caller(fence=2, attempt=2))
    await here.do(lambda book: sets.stop(book, caller()))
    request = await here.do(lambda book: book.requests.get(TENANT, begun.waits[0]))
    assert request is not None
    assert not request.state.ended
    await here.do(lambda book: sets.stop(book, caller(fence=2, attempt=2)))
    request = await here.do(lambda book: book.requests.get(TENANT, begun.waits[0]))
    assert request is not None
    assert request.state is RequestState.CANCELED


async def test_another_tenants_machines_are_not_touched(here: World) -> None:
    await made(here, 2)
    who = Caller(tenant="other", resource=SET, fence=1, attempt=1, key="k1")
    assert (await here.do(lambda book: sets.remove(book, who, anyone))).whole
    assert len(await of_set(here)) == 2


async def test_an_unknown_template(here: World) -> None:
    with pytest.raises(NotFound):
        await step(here, 1, template="templates/none")


class TestSight:
    async def sight(self, here: World, count: int, before: int | None = None) -> Presence:
        wish, previous = Wish(template=SMALL, count=count), before
        known = None if previous is None else Wish(template=SMALL, count=previous)
        return (await here.do(lambda book: sets.sight(book, TENANT, SET, wish, known))).presence

    async def test_nothing_some_all(self, here: World) -> None:
        assert await self.sight(here, 2) is Presence.ABSENT
        await made(here, 1)
        assert await self.sight(here, 2) is Presence.PARTIAL
        await made(here, 2, caller("k2", fence=2))
        assert await self.sight(here, 2) is Presence.WHOLE

    async def test_what_is_still_as_before_is_nothing_of_the_new(self, here: World) -> None:
        await made(here, 2)
        assert await self.sight(here, 5, before=2) is Presence.ABSENT
        assert await self.sight(here, 5, before=3) is Presence.PARTIAL


class TestWishes:
    @pytest.mark.parametrize(
        ("properties", "field"),
        [
            ({}, "properties.template"),
            ({"template": "small"}, "properties.template"),
            ({"template": SMALL, "count": -1}, "properties.count"),
            ({"template": SMALL, "count": "many"}, "properties.count"),
            ({"template": SMALL, "size": 1}, "properties.size"),
        ],
    )
    def test_what_is_wrong_is_named(self, properties: dict[str, object], field: str) -> None:
        with pytest.raises(Invalid) as refused:
            read_wish(properties)
        assert [v.field for v in refused.value.violations] == [field]

    def test_one_machine_if_nothing_is_said(self) -> None:
        assert read_wish({"template": SMALL}).count == 1

    async def test_the_plan(self, here: World) -> None:
        await made(here, 2)

        async def judge(change: Change, **properties: object) -> tuple[int, int, int]:
            proposal = Proposal(tenant=TENANT, resource=SET, change=change, properties=properties)
            verdict = await here.do(lambda book: sets.judge(book, proposal))
            return verdict.starts, verdict.ends, len(verdict.violations)

        assert await judge(Change.UPDATE, template=SMALL, count=5) == (3, 0, 0)
        assert await judge(Change.UPDATE, template=SMALL, count=0) == (0, 2, 0)
        assert await judge(Change.UPDATE, template="templates/none") == (0, 0, 1)
        assert await judge(Change.DELETE) == (0, 2, 0)


async def test_the_outputs_name_machines_with_their_pids(here: World) -> None:
    await step(here, 1)
    await here.do(lambda book: driving.advance_all(book, here.kinds, driving.due(book, 100)))
    (machine,) = await of_set(here)
    seen = sighting(machine, Sight.ALIVE, attributes={"pid": 4711})
    await here.do(lambda book: driving.note_seen(book, seen))
    told = sets.outputs(await of_set(here))
    assert told["machines"] == [
        {"name": machine.name, "pid": 4711, "state": "RUNNING", "request": machine.machine_request}
    ]
    assert told["request"] == machine.machine_request


async def test_no_machine_ends_that_the_caller_may_not_end(here: World) -> None:
    assert (await here.do(lambda book: sets.remove(book, caller("k0"), nobody))).whole, "there is none to end"
    await step(here, 2, caller("k1"), may_end=nobody)
    await settle(here)
    await step(here, 2, caller("k2"), may_end=nobody)
    with pytest.raises(PermissionDenied):
        await step(here, 1, caller("k3"), may_end=nobody)
    with pytest.raises(PermissionDenied):
        await here.do(lambda book: sets.remove(book, caller("k4"), nobody))
    assert [m.state for m in await of_set(here)] == [MachineState.RUNNING] * 2
    assert not any(m.return_request for m in await of_set(here))
