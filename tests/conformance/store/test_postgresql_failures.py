from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from psycopg.pq import DiagnosticField
from sutler.errors import DataLoss, Exhausted, FailedPrecondition, SutlerError, Unavailable
from sutler.store import Migration, Transaction
from sutler.store.batch import CAREFUL_BATCHES
from sutler.store.engine import OutcomeUnknownError
from sutler.store.postgresql.connection import PostgresqlConnection
from sutler.store.sequences import draw
from sutler.testing import wait_until

from tests.conformance.store.changing import add, busy_writer, keys, number, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place
from tests.conformance.store.proxy import Proxy

# Ends the session that commits, while it commits.
FATAL_COMMIT = (
    "CREATE TABLE fatal (key TEXT PRIMARY KEY)",
    "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER fatal AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION die()",
)


@pytest.fixture
def terminate(postgresql_url: str) -> Callable[[int], None]:
    """Ends a session of the server."""

    def end(pid: int) -> None:
        with psycopg.connect(postgresql_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    return end


def where_and_who(tx: Transaction) -> object:
    return tx.one("SELECT current_setting('application_name'), current_schema()")


def session(tx: Transaction) -> int:
    row = tx.one("SELECT pg_backend_pid()")
    assert row is not None
    return int(row[0])


async def test_rows_follow_a_change_that_was_taken_back(postgresql_place: Place, opens: Opens) -> None:
    """psycopg deallocates all prepared statements after a ROLLBACK, and takes the next one's for later ones."""

    def refuse(tx: Transaction) -> None:
        tx.one("SELECT 1")
        raise ValueError

    def rows(first: int) -> Callable[[Transaction], None]:
        return lambda tx: tx.many(
            "INSERT INTO items (key, number) VALUES (?, ?)", [(f"{number:02}", number) for number in (first, first + 1)]
        )

    async with opens(postgresql_place) as db:
        await db.write(rows(0))
        async with busy_writer(db):
            refused, added = asyncio.create_task(db.write(refuse)), asyncio.create_task(db.write(rows(2)))
            await asyncio.sleep(0)
        assert isinstance((await asyncio.gather(refused, added, return_exceptions=True))[0], ValueError)
        await db.write(rows(4))
        assert await db.read(keys) == [f"{number:02}" for number in range(6)]


async def test_rows_follow_a_batch_whose_last_change_was_taken_back(
    postgresql_place: Place, opens: Opens, one_batch: None
) -> None:
    def refuse(tx: Transaction) -> None:
        tx.execute("INSERT INTO items (key) VALUES ('gone')")
        raise ValueError

    def numbered(key: str) -> Callable[[Transaction], None]:
        def change(tx: Transaction) -> None:
            draw(tx, "numbers")
            if not (tx.hurried and key == "vain"):
                tx.execute("INSERT INTO items (key) VALUES (?)", (key,))
            else:
                tx.insert("items", "key", ("first",))

        return change

    async with opens(postgresql_place) as db:
        await db.write(numbered("first"))
        await db.write(numbered("vain"))  # from here on with care
        who = await db.write(session)
        async with busy_writer(db):
            found = [asyncio.create_task(db.write(change)) for change in (numbered("a"), refuse)]
            await asyncio.sleep(0)
        assert isinstance((await asyncio.gather(*found, return_exceptions=True))[1], ValueError)
        await db.write(numbered("b"))
        assert await db.read(keys) == ["a", "b", "first", "vain"]
        assert await db.write(session) == who


async def test_statements_that_were_skipped_after_a_failure_work_later(postgresql_place: Place, opens: Opens) -> None:
    """What psycopg begins to prepare behind a statement that fails is not prepared."""

    def pair(first: str, second: str) -> Callable[[Transaction], None]:
        def change(tx: Transaction) -> None:
            if not tx.hurried and tx.one("SELECT 1 FROM items WHERE key = ?", (first,)):
                raise KeyError(first)
            tx.insert("items", "key, number", (first, 1))
            tx.insert("items", "key, body", (second, b""))

        return change

    async with opens(postgresql_place) as db:
        await db.write(put("taken"))
        for count in range(2 * (CAREFUL_BATCHES + 1)):
            with pytest.raises(KeyError):
                await db.write(pair("taken", f"{count:02}"))
            await db.write(pair(f"a{count:02}", f"b{count:02}"))
        assert len(await db.read(keys)) == 1 + 4 * (CAREFUL_BATCHES + 1)


async def test_a_connection_lost_between_changes_is_not_noticed(
    postgresql_place: Place, opens: Opens, terminate: Callable[[int], None]
) -> None:
    async with opens(postgresql_place) as db:
        terminate(await db.write(session))
        assert await db.write(put("a")) == 1
        for read in (db.read, db.scan):
            pids = set(await asyncio.gather(*(read(session) for _ in range(20))))
            for pid in pids:
                terminate(pid)
            assert await asyncio.gather(*(read(keys) for _ in range(20))) == [["a"]] * 20


async def test_a_connection_lost_before_commit_is_made_up_for(
    postgresql_place: Place, opens: Opens, one_batch: None, terminate: Callable[[int], None]
) -> None:
    async with opens(postgresql_place) as db:
        lost: list[int] = []

        def loses_once(tx: Transaction) -> int:
            result = add("n")(tx)
            if not lost:
                lost.append(session(tx))
                terminate(lost[0])
                tx.one("SELECT 1")
            return result

        async with busy_writer(db) as go_on:
            writing = [asyncio.create_task(db.write(loses_once if n == 5 else add("n"))) for n in range(10)]
            await wait_until(lambda: db.statistics().waiting == 10)
            go_on.set()
            results = await asyncio.gather(*writing, return_exceptions=True)
        # The one that saw the loss runs again with the others: nothing of the batch had happened.
        assert results == list(range(1, 11))
        assert await db.read(number("n")) == 10


def test_a_session_that_the_server_ends_is_lost_before_its_connection_ends(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as raw:
        connection = PostgresqlConnection(raw, ["BEGIN"])
        connection.begin()

        def says_goodbye(self: PostgresqlConnection) -> None:
            severity = {DiagnosticField.SEVERITY_NONLOCALIZED: b"FATAL"}
            raise psycopg.errors.AdminShutdown("terminating connection", info=severity)

        monkeypatch.setattr(PostgresqlConnection, "_settle", says_goodbye)
        assert not raw.closed
        with pytest.raises(OutcomeUnknownError):
            connection.commit()
        assert connection.lost


async def test_a_connection_lost_while_committing_has_an_unknown_outcome(
    postgresql_place: Place, opens: Opens, one_batch: None
) -> None:
    migrations = {"test": (Migration(1, "fatal", ("CREATE TABLE items (key TEXT, number BIGINT)", *FATAL_COMMIT)),)}
    async with opens(postgresql_place, migrations=migrations) as db:
        async with busy_writer(db) as go_on:
            changes = [put("a"), lambda tx: tx.execute("INSERT INTO fatal VALUES ('x')"), put("b")]
            writing = [asyncio.create_task(db.write(change)) for change in changes]
            await wait_until(lambda: db.statistics().waiting == 3)
            go_on.set()
            results = await asyncio.gather(*writing, return_exceptions=True)
        for result in results:
            assert isinstance(result, Unavailable)
            assert result.reason == "STORAGE_UNAVAILABLE"
        assert len({id(result) for result in results}) == 3
        assert await db.write(put("c")) == 1
        assert await db.read(keys) == ["c"]


async def test_an_error_at_commit_fails_only_its_change(postgresql_place: Place, opens: Opens, one_batch: None) -> None:
    tables = (
        "CREATE TABLE items (key TEXT PRIMARY KEY, number BIGINT)",
        "CREATE TABLE parts (item TEXT REFERENCES items (key) DEFERRABLE INITIALLY DEFERRED)",
    )
    async with opens(postgresql_place, migrations={"test": (Migration(1, "both", tables),)}) as db:
        async with busy_writer(db) as go_on:
            changes = [put("a"), lambda tx: tx.execute("INSERT INTO parts VALUES ('nothing')"), put("b")]
            writing = [asyncio.create_task(db.write(change)) for change in changes]
            await wait_until(lambda: db.statistics().waiting == 3)
            go_on.set()
            results = await asyncio.gather(*writing, return_exceptions=True)
        assert (results[0], type(results[1]).__name__, results[2]) == (1, "ConstraintError", 1)
        assert await db.read(keys) == ["a", "b"]


async def test_an_outage_is_unavailable_and_ends(postgresql_place: Place, opens: Opens) -> None:
    proxy = Proxy(postgresql_place.url)
    await proxy.start()
    async with opens(proxy.url) as db:
        await db.write(put("a"))
        assert await db.read(keys) == ["a"]
        await proxy.cut()
        for attempt in (db.write(put("b")), db.read(keys), db.scan(keys), db.health()):
            with pytest.raises(Unavailable) as caught:
                await attempt
            assert caught.value.reason == "STORAGE_UNAVAILABLE"
            assert "127.0.0.1" not in str(caught.value)
        await proxy.start()
        await db.health()
        assert await db.write(put("c")) == 1
        assert await db.read(keys) == ["a", "c"]
        await proxy.cut()


async def test_commits_during_an_outage_are_noticed_after_it(postgresql_place: Place, opens: Opens) -> None:
    proxy = Proxy(postgresql_place.url)
    await proxy.start()
    async with opens(postgresql_place) as there, opens(proxy.url) as here:

        async def follow() -> None:
            while True:
                seen = here.changes.generation
                try:
                    if await here.read(number("n")) == 2:
                        return
                except Unavailable:
                    pass
                assert await here.changes.wait(10, since=seen) != seen

        following = asyncio.create_task(follow())
        await wait_until(lambda: here.changes.generation == 1)  # it listens
        await there.write(add("n"))
        await wait_until(lambda: here.changes.generation == 2)
        await proxy.cut()
        await there.write(add("n"))
        await proxy.start()
        await asyncio.wait_for(following, 20)
        await proxy.cut()


async def test_a_silent_writer_does_not_stop_the_others(postgresql_place: Place, opens: Opens) -> None:
    async with (
        opens(postgresql_place, lock_timeout=timedelta(seconds=0.5)) as silent,
        opens(postgresql_place, lock_timeout=timedelta(seconds=20)) as other,
    ):
        async with busy_writer(silent):
            assert await asyncio.wait_for(other.write(put("a")), 10) == 1
        assert await silent.write(put("b")) == 1


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("53100", Exhausted, "STORAGE_FULL"),
        ("58030", Unavailable, "STORAGE_UNAVAILABLE"),
        ("53200", Unavailable, "STORAGE_UNAVAILABLE"),
        ("55P03", Unavailable, "STORAGE_UNAVAILABLE"),
        ("40001", Unavailable, "STORAGE_UNAVAILABLE"),
        ("XX001", DataLoss, "STORAGE_UNAVAILABLE"),
        ("42501", FailedPrecondition, "STATE_INVALID"),
    ],
)
async def test_errors_of_the_server(
    postgresql_place: Place, opens: Opens, code: str, kind: type[SutlerError], reason: str
) -> None:
    async with opens(postgresql_place) as db:
        raising = f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{code}'; END $$"
        with pytest.raises(kind) as caught:
            await db.write(lambda tx: tx.execute(raising))
        assert type(caught.value) is kind
        assert caught.value.reason == reason
        assert "secret" not in str(caught.value)


async def test_a_server_that_is_not_there_is_unavailable(opens: Opens) -> None:
    with pytest.raises(Unavailable) as caught:
        async with opens("postgresql://anna:secret@127.0.0.1:1/shop?connect_timeout=2"):
            pass
    assert caught.value.metadata == {"server": "127.0.0.1:1/shop"}
    assert caught.value.reason == "STORAGE_UNAVAILABLE"
    assert "secret" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_a_wrong_setting(postgresql_url: str, opens: Opens) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        async with opens(f"{postgresql_url}_nothing"):
            pass
    assert "server" in caught.value.metadata


@pytest.mark.parametrize("schema", ["Upper", "a-b", "", "x" * 51, 'a"; DROP SCHEMA public; --'])
async def test_a_schema_is_a_plain_name(opens: Opens, schema: str) -> None:
    with pytest.raises(FailedPrecondition):
        async with opens(f"postgresql://127.0.0.1/test?schema={schema}&connect_timeout=1"):
            pass


async def test_other_parameters_reach_the_server(postgresql_place: Place, opens: Opens) -> None:
    base, _, query = postgresql_place.url.partition("?")
    for url in (f"{base}?application_name=mine&{query}", f"{base}?{query}&application_name=mine"):
        async with opens(url) as db:
            assert await db.read(where_and_who) == ("mine", query.removeprefix("schema="))
