"""Reconciliation over a store in memory and a cloud that shows what the test says."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any as AnyMessage
from sutler.errors import Conflict, Unavailable
from sutler.operations.model import Operation, State
from sutler.provider.v1 import provider_pb2 as pb
from sutler.store import leases
from sutler.testing import wait_until

from services.provider import driving
from services.provider.machines import Machine, MachineState, Observation, Sight
from services.provider.ports import Turn
from services.provider.providers import Provider
from services.provider.reconcile import accepting, passing
from services.provider.reconcile.accepting import Wish
from services.provider.reconcile.findings import Found, OrphanPolicy
from services.provider.reconcile.keeper import Keeper, Rounds
from services.provider.templates import Template
from tests.unit.provider.driven import machines, now, running
from tests.unit.provider.yard import LAB, TENANT, World, Yard, world

LEASE = "reconcile"
NEVER = Rounds(every=1e9, grace=300.0, policy=OrphanPolicy.MARK)


class Cloud(Yard):
    """Shows what is in :attr:`there`."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[str, Found] = {}
        self.problem: Exception | None = None
        self.lists = 0
        self.ended: list[str] = []

    async def list(self, provider: Provider) -> AsyncIterator[Sequence[Found]]:
        self.lists += 1
        if self.problem is not None:
            raise self.problem
        shown = sorted(self.there.values(), key=lambda one: one.machine, reverse=True)
        for start in range(0, len(shown), 7):
            yield shown[start : start + 7]

    async def look(self, machine: Machine, config: Mapping[str, Any]) -> Observation:
        sight = Sight.ALIVE if machine.name in self.there else Sight.ENDED
        return Observation(tenant=machine.tenant, machine=machine.name, launch=machine.launch, sight=sight)

    async def end(self, machine: Machine, template: Template, config: Mapping[str, Any], *, force: bool) -> Observation:
        self.ended.append(machine.name)
        del self.there[machine.name]
        return Observation(tenant=machine.tenant, machine=machine.name, launch=machine.launch, sight=Sight.ENDED)

    def show(self, *those: Machine, **changes: Any) -> None:
        for machine in those:
            found = Found(
                machine=machine.name,
                machine_request=machine.machine_request,
                template=machine.template,
                launch=machine.launch,
                native_id=f"i-{machine.id}",
                region="here",
                attributes={"pid": 1},
                start_time=1_000_000.0,
            )
            self.there[machine.name] = replace(found, **changes)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest_asyncio.fixture
async def here(cloud: Cloud) -> AsyncIterator[World]:
    async with world(cloud) as found:
        yield found


async def ask(here: World, **wish: Any) -> Operation:
    wanted = Wish(**{"tenant": TENANT, "provider": LAB, **wish})
    return await here.do(lambda book: accepting.accept(book, here.kinds, wanted))


@asynccontextmanager
async def keeping(here: World, cloud: Cloud, rounds: Rounds = NEVER, holder: str = "me") -> AsyncIterator[None]:
    """Has the turn and reconciles until the block ends."""
    fence = await here.store.database.write(lambda tx: leases.acquire(tx, LEASE, holder, timedelta(days=1)))
    assert fence is not None
    task = asyncio.create_task(Keeper(here.store, cloud, rounds).run(Turn(LEASE, fence)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await here.store.database.write(lambda tx: leases.release(tx, LEASE, holder))


async def result(here: World, operation: Operation) -> pb.ReconcileProviderResponse:
    done = await ended(here, operation)
    assert done.state is State.SUCCEEDED, done
    answer = pb.ReconcileProviderResponse()
    answer.ParseFromString(_value(done.response))
    return answer


def _value(packed: bytes) -> bytes:
    return AnyMessage.FromString(packed).value


async def ended(here: World, operation: Operation) -> Operation:
    async def there() -> Operation | None:
        found = await here.do(lambda book: book.operations.get(TENANT, operation.name))
        return found if found.state.ended else None

    found = await wait_until(there, 30)
    assert found is not None
    return found


async def told(here: World) -> Mapping[str, int]:
    rows = await here.store.database.read(
        lambda tx: tx.all(
            "SELECT type, COUNT(*) FROM outbox WHERE type IN ('machine.lost', 'machine.adopted') GROUP BY 1"
        )
    )
    return dict(rows)


def kinds(answer: pb.ReconcileProviderResponse) -> list[tuple[str, str]]:
    finding = pb.ReconcileFinding
    return [
        (finding.Kind.Name(f.kind).removeprefix("KIND_"), finding.Action.Name(f.action).removeprefix("ACTION_"))
        for f in answer.findings
    ]


async def forget(here: World, *those: Machine) -> None:
    """Deletes records behind the service's back."""
    names = [(machine.name,) for machine in those]
    await here.store.database.write(lambda tx: tx.many("DELETE FROM machines WHERE name = ?", names))


async def seen(here: World, cloud: Cloud, count: int) -> Sequence[Machine]:
    """Machines that run, all of them shown by the cloud."""
    request = await running(here, count)
    made = await machines(here, request)
    cloud.show(*made)
    here.later(1000)
    return made


async def test_nothing_differs(here: World, cloud: Cloud) -> None:
    await seen(here, cloud, 20)
    async with keeping(here, cloud):
        answer = await result(here, await ask(here, apply=True))
    assert (answer.applied, answer.observed_count, answer.matched_count, answer.finding_count) == (True, 20, 20, 0)
    provider = await here.do(lambda book: book.providers.get(TENANT, LAB))
    assert provider is not None and provider.reconcile_time is not None


async def test_a_dry_run_tells_everything_and_changes_nothing(here: World, cloud: Cloud) -> None:
    lost, orphan, *_ = await seen(here, cloud, 4)
    del cloud.there[lost.name]
    await forget(here, orphan)
    operations = [await ask(here, policy=OrphanPolicy.ADOPT), await ask(here)]
    async with keeping(here, cloud):
        answer, marked = [await result(here, operation) for operation in operations]
    assert sorted(kinds(answer)) == [("LOST", "MARK"), ("ORPHAN", "ADOPT")]
    assert (answer.applied, answer.observed_count, answer.matched_count) == (False, 3, 2)
    assert (answer.lost_count, answer.orphan_count, answer.changed_count, answer.finding_count) == (1, 1, 0, 2)
    assert ("ORPHAN", "KEEP") in kinds(marked)
    assert await here.do(lambda b: b.machines.get(TENANT, orphan.name)) is None
    assert "machine.adopted" not in await told(here)


@pytest.mark.parametrize("page", [2, 500])
async def test_applied(here: World, cloud: Cloud, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "PAGE", page)
    made = await seen(here, cloud, 9)
    lost, orphan, young, uncertain, survivor, unknown, *rest = made
    del cloud.there[lost.name]
    await forget(here, orphan, young, uncertain)
    cloud.show(young, start_time=1_000_990.0)
    cloud.show(uncertain, certain=False)
    await here.do(lambda b: b.machines.update(replace(_got(b, survivor), state=MachineState.TERMINATED, end_time=1.0)))
    await here.do(lambda b: b.machines.update(replace(_got(b, unknown), state=MachineState.STOPPED)))
    here.later(10)
    operation = await ask(here, apply=True, policy=OrphanPolicy.ADOPT)
    async with keeping(here, cloud):
        answer = await result(here, operation)
        again = await result(here, await ask(here, apply=True, policy=OrphanPolicy.ADOPT))
    assert sorted(kinds(answer)) == [
        ("LOST", "MARK"),
        ("ORPHAN", "ADOPT"),
        ("ORPHAN", "KEEP"),
        ("ORPHAN", "KEEP"),
        ("STATE", "CORRECT"),
        ("SURVIVOR", "REMOVE"),
    ]
    assert (answer.observed_count, answer.matched_count, answer.changed_count) == (8, len(rest), 2)
    assert kinds(again) == [("ORPHAN", "KEEP")] * 2, "once"
    assert cloud.ended == [survivor.name]
    found = await here.do(lambda b: b.machines.named(TENANT, [m.name for m in made]))
    assert found[lost.name].state is MachineState.FAILED
    assert found[lost.name].lost_time == found[lost.name].end_time == 1_001_010.0
    assert found[lost.name].state_reason
    adopted = found[orphan.name]
    assert (adopted.state, adopted.adopt_time, adopted.uid != orphan.uid) == (MachineState.RUNNING, 1_001_010.0, True)
    assert (adopted.machine_request, adopted.template) == (orphan.machine_request, orphan.template)
    assert found[unknown.name].state is MachineState.RUNNING
    assert await told(here) == {"machine.lost": 1, "machine.adopted": 1}
    request = await here.do(lambda b: b.requests.get(TENANT, orphan.machine_request))
    assert request is not None
    assert (request.running_count, request.failed_count) == (len(rest) + 2, 1)


def _got(book: Any, machine: Machine) -> Machine:
    found: Machine = book.machines.get(TENANT, machine.name)
    return found


async def test_orphans_are_removed_and_waited_for(here: World, cloud: Cloud) -> None:
    (orphan, _) = await seen(here, cloud, 2)
    await forget(here, orphan)
    async with keeping(here, cloud):
        operation = await ask(here, apply=True, policy=OrphanPolicy.REMOVE)

        async def leaving() -> Machine | None:
            found = await here.do(lambda b: b.machines.get(TENANT, orphan.name))
            return found if found is not None and found.state is MachineState.SHUTTING_DOWN else None

        there = await wait_until(leaving, 30)
        assert there is not None
        assert not (await here.do(lambda b: b.operations.get(TENANT, operation.name))).state.ended
        gone = Observation(tenant=TENANT, machine=orphan.name, launch=there.launch, sight=Sight.ENDED)
        await here.do(lambda b: driving.note_seen(b, gone))
        assert kinds(await result(here, operation)) == [("ORPHAN", "REMOVE")]


async def test_an_outage_marks_nothing_as_lost(here: World, cloud: Cloud) -> None:
    made = await seen(here, cloud, 2)
    cloud.there.clear()
    cloud.problem = Unavailable("the cloud does not answer")
    async with keeping(here, cloud, replace(NEVER, every=0.1)):
        done = await ended(here, await ask(here, apply=True))
        assert done.state is State.FAILED
        await wait_until(lambda: cloud.lists > 3, 30)
    request = await here.do(lambda b: b.requests.get(TENANT, made[0].machine_request))
    assert request is not None and request.running_count == 2


async def test_what_changes_meanwhile_is_left(here: World, cloud: Cloud) -> None:
    request = await running(here, 1)
    async with keeping(here, cloud):
        answer = await result(here, await ask(here, apply=True))
    assert answer.finding_count == 0, "it may have been launched after the list was made"
    assert (await now(here, request)).running_count == 1


async def test_killed_in_between_it_goes_on_where_it_was(
    here: World, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "PAGE", 3)
    made = await seen(here, cloud, 10)
    await forget(here, *made)
    act, calls, alive = passing.act, 0, False

    def acting(*args: Any) -> None:
        nonlocal calls
        calls += 1
        act(*args)
        if calls >= 3 and not alive:
            raise SystemError("the process dies before its third step is stored")

    monkeypatch.setattr(passing, "act", acting)
    operation = await ask(here, apply=True, policy=OrphanPolicy.ADOPT)
    async with keeping(here, cloud, holder="one"):
        await wait_until(lambda: calls >= 3, 30)
    left = await here.do(lambda b: b.operations.get(TENANT, operation.name))
    assert (left.state, left.attempt) == (State.RUNNING, 1)
    alive = True
    async with keeping(here, cloud, holder="two"):
        answer = await result(here, operation)
    assert (answer.observed_count, answer.orphan_count, answer.finding_count) == (10, 10, 10)
    assert kinds(answer) == [("ORPHAN", "ADOPT")] * 10
    assert await told(here) == {"machine.adopted": 10}
    assert (await here.do(lambda b: b.operations.get(TENANT, operation.name))).attempt == 2


async def test_one_whose_turn_has_passed_on_changes_nothing(here: World, cloud: Cloud) -> None:
    (orphan,) = await seen(here, cloud, 1)
    await forget(here, orphan)
    operation = await ask(here, apply=True, policy=OrphanPolicy.ADOPT)
    with pytest.raises(Conflict) as lost:
        await Keeper(here.store, cloud, NEVER).run(Turn(LEASE, 7))
    assert lost.value.reason == "LEASE_LOST"
    assert await here.do(lambda b: b.machines.get(TENANT, orphan.name)) is None
    assert not (await here.do(lambda b: b.operations.get(TENANT, operation.name))).state.ended


async def test_cancelled(here: World, cloud: Cloud) -> None:
    (orphan,) = await seen(here, cloud, 1)
    await forget(here, orphan)
    operation = await ask(here, apply=True, policy=OrphanPolicy.ADOPT)
    with pytest.raises(Conflict) as busy:
        await ask(here)
    assert (busy.value.reason, busy.value.metadata["operation"]) == ("OPERATION_IN_PROGRESS", operation.name)
    await here.do(lambda b: accepting.call_off(b, operation))
    async with keeping(here, cloud):
        await result(here, await ask(here))
    assert (await here.do(lambda b: b.operations.get(TENANT, operation.name))).state is State.CANCELLED
    assert await here.do(lambda b: b.machines.get(TENANT, orphan.name)) is None
