"""Machine requests over a store in memory: accepted, begun, tried again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sutler.errors import AlreadyExists, Exhausted, FailedPrecondition, Invalid
from sutler.operations.model import State

from services.provider import driving
from services.provider.diagnostics import Category, Kind
from services.provider.limits import Limits
from services.provider.machines import MachineState, Sight
from services.provider.requests import RequestState, machine_names
from tests.unit.provider.driven import ask, drive, machines, now, operation, running, see
from tests.unit.provider.yard import LAB, SMALL, TENANT, World, trouble, world


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


class TestAcquiring:
    async def test_everything_is_recorded_before_anything_starts(self, here: World) -> None:
        request = await ask(here)
        found = await machines(here, request)
        assert request.state is RequestState.PENDING
        assert [machine.state for machine in found] == [MachineState.PENDING] * 3
        assert [machine.name for machine in found] == machine_names(request)
        assert await operation(here, request) is State.PENDING

    async def test_the_request_follows_its_machines(self, here: World) -> None:
        request = await ask(here)
        await drive(here)
        first, second, third = await machines(here, request)
        assert {m.state for m in (first, second, third)} == {MachineState.LAUNCHING}
        assert (await now(here, request)).state is RequestState.IN_PROGRESS
        await see(here, first, Sight.ALIVE)
        some = await now(here, request)
        assert (some.state, some.fulfilled, some.pending_count) == (RequestState.PARTIAL_PENDING, 1, 2)
        await see(here, second, Sight.ALIVE)
        await see(here, third, Sight.ALIVE)
        done = await now(here, request)
        assert (done.state, done.fulfilled, done.running_count) == (RequestState.COMPLETE, 3, 3)
        assert (done.attempts[0].requested, done.attempts[0].fulfilled) == (3, 3)
        assert await operation(here, request) is State.SUCCEEDED

    async def test_counts_go_on_after_the_end_but_the_state_stays(self, here: World) -> None:
        request = await running(here)
        await see(here, (await machines(here, request))[0], Sight.ENDED)
        after = await now(here, request)
        assert (after.state, after.fulfilled) == (RequestState.COMPLETE, 3)
        assert (after.running_count, after.failed_count) == (2, 1)

    async def test_only_what_is_missing_is_asked_for_again(self, here: World) -> None:
        request = await ask(here)
        await drive(here)
        first, second, third = await machines(here, request)
        await see(here, first, Sight.ALIVE)
        for machine in (second, third):
            problem = trouble(Kind.CAPACITY, Category.CAPACITY)
            await here.do(lambda book, m=machine, p=problem: driving.note_failed(book, m, p))  # type: ignore[misc]
        waiting = await now(here, request)
        assert waiting.state is RequestState.PARTIAL_PENDING
        assert waiting.diagnostics[0].count == 2
        await drive(here)
        assert len(await machines(here, request)) == 3, "not before its time"
        here.later(1.5)
        await drive(here)
        again = await now(here, request)
        assert [a.requested for a in again.attempts] == [3, 2]
        fresh = [m for m in await machines(here, request) if m.attempt == 2]
        assert [m.state for m in fresh] == [MachineState.LAUNCHING] * 2
        for machine in fresh:
            await see(here, machine, Sight.ALIVE)
        done = await now(here, request)
        assert (done.state, done.fulfilled, done.failed_count) == (RequestState.COMPLETE, 3, 2)
        assert [a.fulfilled for a in done.attempts] == [1, 2]

    async def test_it_gives_up_after_its_attempts(self, here: World) -> None:
        request = await ask(here, 1)
        for _ in range(5):
            await drive(here)
            for machine in await machines(here, request):
                problem = trouble(Kind.TRANSIENT, Category.INTERNAL)
                await here.do(lambda book, m=machine, p=problem: driving.note_failed(book, m, p))  # type: ignore[misc]
            here.later(60.0)
        done = await now(here, request)
        assert (done.state, len(done.attempts)) == (RequestState.FAILED, 3)
        assert await operation(here, request) is State.FAILED

    @pytest.mark.parametrize("kind", [Kind.PERMANENT, Kind.UNKNOWN])
    async def test_what_cannot_help_is_not_tried_again(self, here: World, kind: Kind) -> None:
        request = await ask(here, 2)
        await drive(here)
        first, second = await machines(here, request)
        await see(here, first, Sight.ALIVE)
        await here.do(lambda book: driving.note_failed(book, second, trouble(kind, Category.VALIDATION)))
        done = await now(here, request)
        assert (done.state, len(done.attempts)) == (RequestState.PARTIAL, 1)
        assert await operation(here, request) is State.SUCCEEDED

    async def test_a_late_observation_changes_nothing(self, here: World) -> None:
        request = await running(here, 1)
        (machine,) = await machines(here, request)
        await here.do(lambda book: driving.note_failed(book, machine, trouble(Kind.PERMANENT, Category.INTERNAL)))
        assert (await machines(here, request))[0].state is MachineState.RUNNING

    async def test_the_template_is_kept_as_it_was(self, here: World) -> None:
        request = await ask(here, 1, tags={"order": "7"})
        await here.do(lambda book: book.templates.delete(book.templates.get(TENANT, SMALL)))  # type: ignore[arg-type]
        await drive(here)
        (task,) = await here.do(lambda book: driving.due_tasks(book, "yard-place", 10))
        assert task.template.process is not None
        assert task.template.process.command == ("wait",)
        assert task.machine.tags == {"order": "7"}
        assert (await now(here, request)).deadline_time is not None

    async def test_a_name_is_taken_in_any_case(self, here: World) -> None:
        await ask(here, 1, name="machineRequests/Mine")
        with pytest.raises(AlreadyExists):
            await ask(here, 1, name="machineRequests/mine")

    async def test_nothing_is_stored_if_it_is_refused(self, here: World) -> None:
        here.limits = Limits(max_count=2)
        with pytest.raises(Exhausted):
            await ask(here, 3)
        assert await here.do(lambda book: (book.machines.live(TENANT), book.requests.due(1e12, 9))) == ([], [])


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "template", "provider", "scope"),
        [
            (Limits(max_count=2), {}, {}, "one request for templates/small"),
            (Limits(), {"max_count": 2}, {}, "one request for templates/small"),
            (Limits(max_machines=4), {}, {}, "this service"),
            (Limits(max_tenant_machines=4), {}, {}, f"tenant {TENANT}"),
            (Limits(), {"max_machines": 4}, {}, SMALL),
            (Limits(), {}, {"max_machines": 4}, LAB),
        ],
    )
    async def test_each_limit_holds(self, limits: Limits, template: dict, provider: dict, scope: str) -> None:
        async with world() as here:
            here.limits = limits
            await here.do(lambda book: book.templates.delete(book.templates.get(TENANT, SMALL)))  # type: ignore[arg-type]
            await here.do(lambda book: book.providers.delete(book.providers.get(TENANT, LAB)))  # type: ignore[arg-type]
            await here.add_provider(**provider)
            await here.add_template(**template)
            await ask(here, 2)
            with pytest.raises(Exhausted) as refused:
                await ask(here, 3)
            assert refused.value.reason == "MACHINE_LIMIT_EXCEEDED"
            assert refused.value.metadata["scope"] == scope
            assert refused.value.violations

    async def test_what_has_ended_does_not_count(self, here: World) -> None:
        here.limits = Limits(max_machines=3)
        request = await running(here, 3)
        for machine in await machines(here, request):
            await see(here, machine, Sight.ENDED)
        assert (await ask(here, 3)).count == 3


class TestSelection:
    async def test_the_preferred_provider_is_taken(self, here: World) -> None:
        await here.add_provider("providers/later", priority=5)
        await here.add_provider("providers/off", enabled=False, priority=0)
        await here.add_template("templates/any", provider="")
        request = await ask(here, 1, template="templates/any")
        assert request.provider == LAB
        assert request.selection_reason
        chosen = {c.provider: c.chosen for c in request.candidates}
        assert chosen == {LAB: True, "providers/later": False, "providers/off": False}

    async def test_one_that_is_switched_off_is_refused(self, here: World) -> None:
        await here.add_provider("providers/off", enabled=False)
        await here.add_template("templates/off", provider="providers/off")
        with pytest.raises(FailedPrecondition) as refused:
            await ask(here, 1, template="templates/off")
        assert refused.value.reason == "PROVIDER_DISABLED"

    async def test_nothing_fits(self, here: World) -> None:
        await here.do(lambda book: book.providers.delete(book.providers.get(TENANT, LAB)))  # type: ignore[arg-type]
        await here.add_template("templates/any", provider="")
        with pytest.raises(FailedPrecondition) as refused:
            await ask(here, 1, template="templates/any")
        assert refused.value.reason == "NOTHING_SELECTED"

    async def test_a_template_that_became_invalid_is_refused(self, here: World) -> None:
        await here.add_template("templates/bad", api="unknown")
        with pytest.raises(Invalid) as refused:
            await ask(here, 1, template="templates/bad")
        assert refused.value.reason == "API_UNKNOWN"
