from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from google.rpc.status_pb2 import Status
from sutler.errors import Exhausted, Invalid, NotFound, OutOfRange, SutlerError, Unavailable
from sutler.paging import fitting
from sutler.status import from_status
from sutler.store import Database, Migration, Transaction, open_database
from sutler.store.sequences import draw
from sutler.tails import MAX_BATCH
from sutler.testing import wait_until
from sutler.tokens import TokenSealer
from sutler.watch import Batch, Watcher, with_final_status

TABLES = (
    "CREATE TABLE entries (position BIGINT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE kept (oldest BIGINT NOT NULL)",
    "INSERT INTO kept (oldest) VALUES (0)",
)
KEY = b"k" * 32


@dataclass(frozen=True)
class StoredLog:
    """A log in a database, as services have them."""

    database: Database
    identity: str = "things"

    def size(self, change: str) -> int:
        return len(change)

    async def bounds(self) -> tuple[int, int]:
        def read(tx: Transaction) -> tuple[int, int]:
            newest, oldest = tx.one("SELECT MAX(position) FROM entries"), tx.one("SELECT oldest FROM kept")
            assert newest is not None and oldest is not None
            return int(oldest[0]), int(newest[0] or oldest[0])

        return await self.database.read(read)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, str]]:
        query = "SELECT position, body FROM entries WHERE position > ? ORDER BY position LIMIT ?"
        found = await self.database.read(lambda tx: tx.all(query, (position, limit)))
        return [(row[0], row[1]) for row in found[: fitting(len(row[1]) for row in found)]]


def opened(url: str) -> object:
    return open_database(url, name="watch", migrations={"watch": (Migration(1, "log", TABLES),)})


async def append(database: Database, *bodies: str) -> None:
    def change(tx: Transaction) -> None:
        for body in bodies:
            tx.execute("INSERT INTO entries (position, body) VALUES (?, ?)", (draw(tx, "log"), body))

    await database.write(change)


async def compact(database: Database, oldest: int) -> None:
    """Deletes the entries up to a position."""

    def change(tx: Transaction) -> None:
        tx.execute("DELETE FROM entries WHERE position <= ?", (oldest,))
        tx.execute("UPDATE kept SET oldest = ?", (oldest,))

    await database.write(change)


@pytest.fixture
async def db(engine_url: str) -> AsyncIterator[Database]:
    async with opened(engine_url) as database:  # type: ignore[attr-defined]
        yield database


@pytest.fixture
async def other(engine_url: str, db: Database) -> AsyncIterator[Database]:
    """The same database, as another process opens it."""
    async with opened(engine_url) as database:  # type: ignore[attr-defined]
        yield database


@pytest.fixture
def watcher() -> Watcher:
    return Watcher(TokenSealer(KEY), asyncio.Event())


def watch(
    watcher: Watcher,
    db: Database,
    token: str = "",
    *,
    name: str = "things/default",
    matches: Callable[[str], bool] = lambda _: True,
) -> AsyncIterator[Batch[str]]:
    return watcher.watch(
        StoredLog(db), db.changes, name=name, resume_token=token, see=lambda body: body if matches(body) else None
    )


async def read(batches: AsyncIterator[Batch[str]], count: int, seconds: float = 20) -> tuple[list[str], str]:
    """Reads batches until there are so many changes; returns them and the last token."""
    found: list[str] = []
    async with asyncio.timeout(seconds):
        async for batch in batches:
            found.extend(batch.changes)
            if len(found) >= count:
                return found, batch.resume_token
    raise AssertionError("the watch ended")


async def begun(batches: AsyncIterator[Batch[str]]) -> str:
    """Returns the token of the first batch, which comes at once and is empty."""
    first = await asyncio.wait_for(anext(batches), 10)
    assert not first.changes
    return first.resume_token


class TestChanges:
    async def test_begins_now_and_tells_what_follows(self, db: Database, watcher: Watcher) -> None:
        await append(db, "before")
        batches = watch(watcher, db)
        await begun(batches)
        await append(db, "a")
        await append(db, "b", "c")
        assert (await read(batches, 3))[0] == ["a", "b", "c"]

    async def test_of_another_process(self, db: Database, other: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        await append(other, "theirs")
        assert (await read(batches, 1))[0] == ["theirs"]

    async def test_that_come_together_share_a_batch(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        waiting = asyncio.create_task(anext(batches))  # type: ignore[arg-type]
        await wait_until(lambda: db.changes.wanted.is_set())
        for number in range(5):
            await append(db, str(number))
        first = await waiting
        assert len(first.changes) >= 2, "each change has a message of its own"

    async def test_a_large_backlog_comes_in_bounded_batches(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        await append(db, *(str(number) for number in range(2 * MAX_BATCH + 10)))
        sizes = [len((await anext(batches)).changes) for _ in range(3)]
        assert sizes == [MAX_BATCH, MAX_BATCH, 10]

    async def test_only_those_that_match(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db, matches=lambda body: body.startswith("a"))
        await begun(batches)
        await append(db, *("b" * 1200), "a1", "b", "a2")
        assert (await read(batches, 2))[0] == ["a1", "a2"]

    async def test_concurrent_writers_lose_and_repeat_nothing(
        self, db: Database, other: Database, watcher: Watcher
    ) -> None:
        batches = watch(watcher, db)
        await begun(batches)

        async def write(database: Database, prefix: str) -> None:
            for number in range(60):
                await append(database, f"{prefix}{number}")

        writers = [write(database, f"{n}{name}-") for n in range(3) for name, database in (("d", db), ("o", other))]
        writing = asyncio.gather(*writers)
        found, _ = await read(batches, 360, 60)
        await writing
        assert len(found) == len(set(found)) == 360
        for prefix in ("0d-", "2o-"):
            assert [each for each in found if each.startswith(prefix)] == [f"{prefix}{number}" for number in range(60)]


@dataclass(frozen=True)
class PartialLog(StoredLog):
    """A log that has its numbers in common with others, and entries of its own only where they begin with "a".

    It counts how often it is read, and fails when it is told to.
    """

    reads: list[int] = field(default_factory=list)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, str]]:
        self.reads.append(position)
        if self.broken.is_set():
            raise Unavailable("the log does not answer", reason="STORAGE_UNAVAILABLE")
        found = await super().after(position, 10_000)
        return [(number, body) for number, body in found if body.startswith("a")][:limit]

    def watched(self, watcher: Watcher, token: str = "") -> AsyncIterator[Batch[str]]:
        return watcher.watch(self, self.database.changes, name="n", resume_token=token, see=lambda body: body)


class TestSharing:
    async def test_a_change_is_read_once_for_all(self, db: Database, watcher: Watcher) -> None:
        log = PartialLog(db)
        watches = [log.watched(watcher) for _ in range(30)]
        for batches in watches:
            await begun(batches)
        log.reads.clear()
        await append(db, "a1", "b", "a2", "a3")
        found = await asyncio.gather(*(read(batches, 3) for batches in watches))
        assert found == [(["a1", "a2", "a3"], found[0][1])] * 30
        assert len(log.reads) < 10

    async def test_one_that_is_far_behind_reads_for_itself(
        self, db: Database, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sutler.tails.MAX_KEPT", 7)
        slow, quick = watch(watcher, db), watch(watcher, db)
        await begun(slow)
        await begun(quick)
        for start in range(0, 60, 20):
            await append(db, *(str(start + number) for number in range(20)))
            assert (await read(quick, 20))[0] == [str(start + number) for number in range(20)]
        assert (await read(slow, 60))[0] == [str(number) for number in range(60)]
        await append(db, "more")
        assert [(await read(batches, 1))[0] for batches in (slow, quick)] == [["more"]] * 2

    async def test_one_with_nothing_to_catch_up_waits_with_the_others(self, db: Database, watcher: Watcher) -> None:
        log = PartialLog(db)
        token = await begun(log.watched(watcher))
        await append(db, "b", "b")
        other, late = log.watched(watcher), log.watched(watcher, token)
        await begun(other)
        await begun(late)
        waiting = asyncio.create_task(anext(late))  # type: ignore[arg-type]
        await wait_until(lambda: db.changes.wanted.is_set())
        log.reads.clear()
        await append(db, "a1")
        assert (await waiting).changes == ["a1"]
        assert len(log.reads) < 10
        assert (await read(other, 1))[0] == ["a1"]

    async def test_large_changes_come_in_bounded_batches(self, db: Database, watcher: Watcher) -> None:
        quick, slow = watch(watcher, db), watch(watcher, db)
        await begun(quick)
        await begun(slow)
        bodies = [letter * 1024 * 1024 for letter in "abcdef"]
        await append(db, *bodies)
        assert (await read(quick, 6))[0] == bodies
        assert [list((await anext(slow)).changes) for _ in range(2)] == [bodies[:3], bodies[3:]]

    async def test_a_log_that_fails_ends_its_watches_and_no_later_ones(self, db: Database, watcher: Watcher) -> None:
        log = PartialLog(db)
        watches = [log.watched(watcher) for _ in range(3)]
        for batches in watches:
            await begun(batches)
        log.broken.set()
        await append(db, "a1")
        for batches in watches:
            with pytest.raises(Unavailable) as caught:
                await read(batches, 1)
            assert caught.value.reason == "STORAGE_UNAVAILABLE"
        log.broken.clear()
        again = log.watched(watcher)
        await begun(again)
        await append(db, "a2")
        assert (await read(again, 1))[0] == ["a2"]


class TestCheckpoints:
    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sutler.watch.CHECKPOINT_SECONDS", 0.1)

    async def test_come_where_nothing_changes(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        tokens = [await begun(batches) for _ in range(3)]
        assert len(set(tokens)) == 1

    async def test_pass_over_what_does_not_match(self, db: Database, watcher: Watcher) -> None:
        """Or a watch of rare changes would resume from ever older positions."""
        batches = watch(watcher, db, matches=lambda _: False)
        before = await begun(batches)
        await append(db, "x")

        async def moved() -> bool:
            return await begun(batches) != before

        await wait_until(moved)


class TestResuming:
    async def test_gives_everything_after_the_batch(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        await append(db, "a", "b")
        _, token = await read(batches, 2)
        await append(db, "c")
        await append(db, "d")
        found, last = await read(watch(watcher, db, token), 2)
        assert found == ["c", "d"]
        assert (await read(watch(watcher, db, token), 2))[0] == ["c", "d"]
        again = watch(watcher, db, last)
        await begun(again)

    async def test_from_the_first_checkpoint(self, db: Database, watcher: Watcher) -> None:
        token = await begun(watch(watcher, db))
        await append(db, "a")
        assert (await read(watch(watcher, db, token), 1))[0] == ["a"]

    async def test_at_every_batch_of_a_stream_with_writers(self, db: Database, watcher: Watcher) -> None:
        token = await begun(watch(watcher, db))
        writing = asyncio.create_task(_write(db, 40))
        found: list[str] = []
        while len(found) < 40:
            batch = await asyncio.wait_for(anext(watch(watcher, db, token)), 20)  # type: ignore[arg-type]
            found.extend(batch.changes)
            token = batch.resume_token
        await writing
        assert found == [str(number) for number in range(40)]

    async def test_too_old_tells_the_oldest(self, db: Database, watcher: Watcher) -> None:
        token = await begun(watch(watcher, db))
        await append(db, "a", "b", "c")
        await compact(db, 2)
        with pytest.raises(OutOfRange) as caught:
            await anext(watch(watcher, db, token))
        assert caught.value.reason == "RESUME_TOKEN_EXPIRED"
        assert (await read(watch(watcher, db, caught.value.metadata["oldest"]), 1))[0] == ["c"]

    async def test_newer_than_all_there_is(self, db: Database, watcher: Watcher) -> None:
        """As after the store was put back from a backup."""
        token = watcher.sealer.seal("watch", "things/default", 7)
        await append(db, "a", "b")
        with pytest.raises(OutOfRange) as caught:
            await anext(watch(watcher, db, token))
        assert (await read(watch(watcher, db, caught.value.metadata["oldest"]), 1))[0] == ["a", "b"]

    async def test_too_old_from_the_moment_that_it_was_checked(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        token = await begun(batches)
        await append(db, "a", "b")

        @dataclass(frozen=True)
        class Compacted(StoredLog):
            """A log that is compacted right after somebody has asked for its bounds."""

            async def bounds(self) -> tuple[int, int]:
                found = await super().bounds()
                await compact(self.database, 1)
                return found

        late = watcher.watch(Compacted(db, "late"), db.changes, name="things/default", resume_token=token, see=str)
        with pytest.raises(OutOfRange) as caught:
            await anext(late)
        assert caught.value.reason == "RESUME_TOKEN_EXPIRED"
        assert (await read(watch(watcher, db, caught.value.metadata["oldest"]), 1))[0] == ["b"]

    async def test_just_not_too_old(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        await append(db, "a")
        _, token = await read(batches, 1)
        await append(db, "b")
        await compact(db, 1)
        assert (await read(watch(watcher, db, token), 1))[0] == ["b"]

    async def test_foreign_tokens(self, db: Database, watcher: Watcher) -> None:
        mine = await begun(watch(watcher, db))
        other_server = Watcher(TokenSealer(b"x" * 32), watcher.shutdown)
        foreign = [
            await begun(watch(watcher, db, name="things/acme")),
            await begun(watch(other_server, db)),
            mine[:-2],
            "rubbish",
            "é",
            "=",
        ]
        for token in foreign:
            with pytest.raises(Invalid) as caught:
                await anext(watch(watcher, db, token))
            assert caught.value.reason == "RESUME_TOKEN_INVALID"
            assert [violation.field for violation in caught.value.violations] == ["resume_token"]


class TestEnds:
    async def test_a_reader_that_is_too_slow(
        self, db: Database, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sutler.tails.MAX_KEPT", 2)
        batches = watch(watcher, db)
        await begun(batches)
        await append(db, *(str(number) for number in range(10)))
        await compact(db, 5)
        with pytest.raises(Exhausted) as caught:
            await read(batches, 1)
        assert caught.value.reason == "READER_TOO_SLOW"
        found, _ = await read(watch(watcher, db, caught.value.metadata["oldest"]), 5)
        assert found == ["5", "6", "7", "8", "9"]

    async def test_a_slow_reader_that_has_missed_nothing_goes_on(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        await append(db, "a")
        assert (await read(batches, 1))[0] == ["a"]
        await compact(db, 1)
        await append(db, "b")
        assert (await read(batches, 1))[0] == ["b"]

    async def test_gaps_in_the_numbers_are_no_loss(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        await db.write(lambda tx: [draw(tx, "log") for _ in range(5)])
        await append(db, "a")
        assert (await read(batches, 1))[0] == ["a"]

    async def test_shutdown_at_once(self, db: Database, watcher: Watcher) -> None:
        batches = watch(watcher, db)
        await begun(batches)
        waiting = asyncio.create_task(anext(batches))  # type: ignore[arg-type]
        await wait_until(lambda: db.changes.wanted.is_set())
        asked = time.monotonic()
        watcher.shutdown.set()
        with pytest.raises(Unavailable) as caught:
            await waiting
        assert time.monotonic() - asked < 5
        assert caught.value.reason == "SHUTTING_DOWN"
        with pytest.raises(Unavailable):
            await anext(watch(watcher, db))

    async def test_one_that_nobody_reads_leaves_nothing_behind(self, db: Database, watcher: Watcher) -> None:
        before = len(asyncio.all_tasks())
        async with closing(watch(watcher, db)) as batches:
            await begun(batches)
            waiting = asyncio.create_task(anext(batches))  # type: ignore[arg-type]
            await wait_until(lambda: db.changes.wanted.is_set())
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await wait_until(lambda: len(asyncio.all_tasks()) <= before)


class TestFinalStatus:
    async def sent(self, *items: object) -> tuple[list[object], SutlerError | None]:
        """Returns what a watch sends that yields, or raises, these."""

        async def responses() -> AsyncIterator[object]:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                yield item

        found: list[object] = []
        try:
            async for response in with_final_status("rule", responses(), lambda status: status):
                found.append(response)
        except SutlerError as error:
            return found, error
        return found, None

    async def test_is_the_last_message_before_the_error(self) -> None:
        error = OutOfRange("too old", metadata={"oldest": "x"})
        found, raised = await self.sent("a", error)
        assert raised is error
        assert found[0] == "a"
        (status,) = found[1:]
        assert isinstance(status, Status)
        told = from_status(status)
        assert (type(told), told.metadata, told.domain) == (OutOfRange, {"oldest": "x"}, "rule.sutler.dev")

    async def test_tells_no_more_than_the_error_of_what_nobody_expected(self) -> None:
        found, raised = await self.sent("a", ValueError("secret"))
        status = found[-1]
        assert isinstance(status, Status) and raised is not None
        assert "secret" not in str(status)
        assert from_status(status).metadata["incident"] == raised.metadata["incident"]

    async def test_is_not_needed_before_the_first_message(self) -> None:
        found, raised = await self.sent(NotFound("gone"))
        assert (found, type(raised)) == ([], NotFound)

    async def test_is_not_sent_at_a_good_end(self) -> None:
        assert await self.sent("a", "b") == (["a", "b"], None)


async def _write(db: Database, count: int) -> None:
    for number in range(count):
        await append(db, str(number))


@asynccontextmanager
async def closing(batches: AsyncIterator[Batch[str]]) -> AsyncIterator[AsyncIterator[Batch[str]]]:
    try:
        yield batches
    finally:
        await batches.aclose()  # type: ignore[attr-defined]
