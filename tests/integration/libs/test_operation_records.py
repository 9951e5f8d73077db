from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sutler.errors import Conflict, FailedPrecondition, NotFound
from sutler.operations import Operation, State, records
from sutler.operations.model import MOVES
from sutler.store import Database

from tests.integration.libs.operating import inserted, opened, stored

ENDED = {State.SUCCEEDED, State.FAILED, State.CANCELLED}
ALLOWED = {
    (State.PENDING, State.RUNNING),
    (State.PENDING, State.CANCELLING),
    (State.RUNNING, State.RUNNING),
    (State.RUNNING, State.CANCELLING),
    (State.CANCELLING, State.CANCELLING),
    *((before, after) for before in (State.PENDING, State.RUNNING, State.CANCELLING) for after in ENDED),
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def db(engine_url: str, clock: Clock) -> AsyncIterator[Database]:
    async with opened(engine_url, clock=clock) as database:
        yield database


async def claimed(db: Database, holder: str = "one", seconds: float = 15, limit: int = 10) -> list[Operation]:
    return await db.write(lambda tx: records.claim(tx, holder, seconds, limit))


class TestStates:
    def test_the_table_of_moves(self) -> None:
        assert {(before, after) for before, found in MOVES.items() for after in found} == ALLOWED
        assert set(MOVES) == set(State)
        assert {state for state in State if state.ended} == ENDED

    async def test_no_other_move_can_be_stored(self, db: Database) -> None:
        for before in State:
            for after in State:
                made = await inserted(db, state=before)
                if (before, after) in ALLOWED:
                    moved = await db.write(lambda tx, n=made.name, a=after: records.move(tx, n, 0, a))
                    assert (moved.state, (await stored(db, made.name)).state) == (after, after)
                    continue
                with pytest.raises(FailedPrecondition) as caught:
                    await db.write(lambda tx, n=made.name, a=after: records.move(tx, n, 0, a, step="x"))
                assert caught.value.metadata["state"] == before.name
                assert await stored(db, made.name) == made

    async def test_times(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        assert (made.start_time, made.update_time, made.end_time) == (clock.now, clock.now, 0.0)
        clock.now += 5
        moved = await db.write(lambda tx: records.move(tx, made.name, 0, State.FAILED))
        assert (moved.start_time, moved.update_time, moved.end_time) == (made.start_time, clock.now, clock.now)
        assert await stored(db, made.name) == moved


class TestReading:
    async def test_all_fields_are_kept(self, db: Database) -> None:
        made = await inserted(
            db,
            "rules/é",
            state=State.RUNNING,
            progress=7,
            step="ü",
            work={"deep": [1, {"b": None}]},
            principal="p",
            creator="user:anna",
            correlation_id="c",
            attempt=3,
            response=b"\0\xff",
            error=b"\1",
        )
        assert await stored(db, made.name) == made

    async def test_another_tenants_is_not_found(self, db: Database) -> None:
        made = await inserted(db)
        for name, tenant in ((made.name, "acme"), ("ruleOperations/none", "default")):
            with pytest.raises(NotFound):
                await stored(db, name, tenant)

    async def test_the_open_one_of_a_target(self, db: Database) -> None:
        await inserted(db, "rules/a", state=State.FAILED)
        made = await inserted(db, "rules/a")
        assert await db.read(lambda tx: records.open_for(tx, "default", "rules/a")) == made
        assert await db.read(lambda tx: records.open_for(tx, "acme", "rules/a")) is None
        assert await db.read(lambda tx: records.open_for(tx, "default", "rules/b")) is None


class TestClaims:
    async def test_each_is_taken_once(self, db: Database) -> None:
        made = {(await inserted(db)).name for _ in range(5)}
        await inserted(db, state=State.SUCCEEDED)
        first, second = await claimed(db, "one", limit=3), await claimed(db, "two")
        assert len(first) == 3
        assert {found.name for found in (*first, *second)} == made
        assert all((found.state, found.attempt) == (State.RUNNING, 1) for found in (*first, *second))
        assert await claimed(db, "three") == []

    async def test_taken_over_when_the_lease_ends(self, db: Database, clock: Clock) -> None:
        await inserted(db)
        (first,) = await claimed(db, "one", seconds=15)
        clock.now += 14.9
        assert await claimed(db, "two") == []
        clock.now += 0.2
        (second,) = await claimed(db, "two")
        assert (second.attempt, second.fence) == (2, first.fence + 1)

    async def test_a_lease_that_is_renewed_does_not_end(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        await claimed(db, "one")
        for _ in range(3):
            clock.now += 10
            await db.write(lambda tx: records.renew(tx, "one", [made.name], 15))
            assert await claimed(db, "two") == []

    async def test_nobody_else_renews_it(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        await claimed(db, "one")
        clock.now += 16
        await claimed(db, "two")
        clock.now += 10
        await db.write(lambda tx: records.renew(tx, "one", [made.name], 1000))
        clock.now += 6
        assert await claimed(db, "three")

    async def test_a_late_holder_changes_nothing(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        (late,) = await claimed(db, "one")
        clock.now += 16
        (taken,) = await claimed(db, "two")
        for change in (
            lambda tx: records.check(tx, made.name, late.fence),
            lambda tx: records.move(tx, made.name, late.fence, State.RUNNING, progress=99),
            lambda tx: records.move(tx, made.name, late.fence, State.SUCCEEDED),
            lambda tx: records.postpone(tx, made.name, late.fence, clock.now, b""),
        ):
            with pytest.raises(Conflict) as caught:
                await db.write(change)
            assert caught.value.reason == "LEASE_LOST"
        assert await stored(db, made.name) == taken
        await db.write(lambda tx: records.check(tx, made.name, taken.fence))

    async def test_nobody_changes_one_that_has_ended(self, db: Database) -> None:
        made = await inserted(db)
        (held,) = await claimed(db)
        ended = await db.write(lambda tx: records.move(tx, made.name, held.fence, State.SUCCEEDED))
        with pytest.raises(Conflict):
            await db.write(lambda tx: records.check(tx, made.name, held.fence))
        with pytest.raises(FailedPrecondition):
            await db.write(lambda tx: records.move(tx, made.name, held.fence, State.RUNNING))
        assert await stored(db, made.name) == ended


class TestPostponing:
    async def test_until_its_time_and_with_the_error(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        (held,) = await claimed(db)
        await db.write(lambda tx: records.postpone(tx, made.name, held.fence, clock.now + 30, b"why"))
        assert (await stored(db, made.name)).error == b"why"
        assert await db.read(records.next_due) == clock.now + 30
        clock.now += 29
        assert await claimed(db) == []
        clock.now += 1
        (again,) = await claimed(db)
        assert (again.attempt, again.error) == (2, b"why")

    async def test_a_rest_is_no_new_attempt(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        (held,) = await claimed(db, "one")
        await db.write(lambda tx: records.rest(tx, made.name, held.fence, clock.now + 30))
        assert not await db.read(lambda tx: records.is_held(tx, made.name, held.fence, "one"))
        assert await claimed(db) == []
        await db.write(lambda tx: records.wake(tx, made.name))
        (again,) = await claimed(db, "two")
        assert (again.attempt, again.fence) == (1, held.fence + 1)
        with pytest.raises(Conflict):
            await db.write(lambda tx: records.rest(tx, made.name, held.fence, clock.now))
        await db.write(lambda tx: records.postpone(tx, made.name, again.fence, clock.now, b""))
        assert (await claimed(db))[0].attempt == 2

    async def test_only_the_holder_changes_the_work(self, db: Database) -> None:
        made = await inserted(db)
        (held,) = await claimed(db)
        await db.write(lambda tx: records.set_work(tx, made.name, held.fence, {"n": 2}))
        with pytest.raises(Conflict):
            await db.write(lambda tx: records.set_work(tx, made.name, held.fence - 1, {"n": 3}))
        assert (await stored(db, made.name)).work == {"n": 2}

    async def test_is_held_until_then_by_nobody(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        (held,) = await claimed(db, "one")

        assert await db.read(lambda tx: records.is_held(tx, made.name, held.fence, "one"))
        assert not await db.read(lambda tx: records.is_held(tx, made.name, held.fence, "two"))
        await db.write(lambda tx: records.postpone(tx, made.name, held.fence, clock.now + 30, b""))
        assert not await db.read(lambda tx: records.is_held(tx, made.name, held.fence, "one"))

    async def test_next_due_is_the_earliest_that_can_be_taken(self, db: Database, clock: Clock) -> None:
        assert await db.read(records.next_due) is None
        await inserted(db)
        assert await db.read(records.next_due) == clock.now
        await claimed(db, seconds=15)
        assert await db.read(records.next_due) == clock.now + 15


class TestCancelling:
    async def test_one_that_waits_becomes_due(self, db: Database, clock: Clock) -> None:
        made = await inserted(db)
        (held,) = await claimed(db)
        await db.write(lambda tx: records.postpone(tx, made.name, held.fence, clock.now + 3600, b""))
        asked = await db.write(lambda tx: records.request_cancel(tx, "default", made.name))
        assert asked.state is State.CANCELLING
        (taken,) = await claimed(db)
        assert (taken.state, taken.attempt) == (State.CANCELLING, 2)

    async def test_holder_keeps_one_that_runs(self, db: Database) -> None:
        made = await inserted(db)
        (held,) = await claimed(db, "one")
        await db.write(lambda tx: records.request_cancel(tx, "default", made.name))
        assert await claimed(db, "two") == []
        ended = await db.write(lambda tx: records.move(tx, made.name, held.fence, State.CANCELLED))
        assert ended.state is State.CANCELLED

    async def test_again_or_too_late_changes_nothing(self, db: Database) -> None:
        for state in (State.CANCELLING, *ENDED):
            made = await inserted(db, state=state)
            assert await db.write(lambda tx, n=made.name: records.request_cancel(tx, "default", n)) == made

    async def test_another_tenants_is_not_found(self, db: Database) -> None:
        made = await inserted(db)
        with pytest.raises(NotFound):
            await db.write(lambda tx: records.request_cancel(tx, "acme", made.name))
