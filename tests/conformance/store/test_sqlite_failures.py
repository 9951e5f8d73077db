from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sutler.errors import DataLoss, Exhausted, FailedPrecondition, Unavailable
from sutler.store import Database, Transaction
from sutler.store.sqlite import engine
from sutler.store.sqlite.connection import SqliteConnection
from sutler.testing import wait_until

from tests.conformance.store.changing import busy_writer, keys, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place
from tests.conformance.store.processes import ENVIRONMENT, ROOT


def big(key: str) -> Callable[[Transaction], int]:
    return lambda tx: tx.execute("INSERT INTO items (key, body) VALUES (?, ?)", (key, bytes(1_000_000)))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Makes writes beyond ``size`` fail, as a broken disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_every_commit_is_synced(sqlite_place: Place, opens: Opens) -> None:
    async with opens(sqlite_place) as db:

        def settings(tx: Transaction) -> list[object]:
            return [tx.one(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")]

        assert await db.write(settings) == [("wal",), (2,), (1,)]
        with largest_file(1), pytest.raises(Unavailable):
            await db.write(put("a"))
        # Now on another connection.
        assert await db.write(settings) == [("wal",), (2,), (1,)]


async def test_opening_waits_for_who_has_the_file_to_itself(sqlite_place: Place, opens: Opens) -> None:
    """As while another process recovers it, or removes its log because it was the last to close it."""
    async with opens(sqlite_place):
        pass
    alone = sqlite3.connect(sqlite_place.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    alone.execute("PRAGMA locking_mode = EXCLUSIVE")
    alone.execute("BEGIN EXCLUSIVE")
    asyncio.get_running_loop().call_later(0.3, alone.close)
    async with opens(sqlite_place) as db:
        await db.write(put("a"))


async def test_an_answer_comes_after_the_commit(
    sqlite_place: Place, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With these settings COMMIT returns when the log is synced. SIGKILL, which the page cache survives, tells less."""
    committed, go_on = threading.Event(), threading.Event()
    commit = SqliteConnection.commit

    def hesitant(connection: SqliteConnection) -> None:
        commit(connection)
        committed.set()
        go_on.wait(20)

    async with opens(sqlite_place) as db:
        monkeypatch.setattr(SqliteConnection, "commit", hesitant)
        writing = asyncio.create_task(db.write(put("a")))
        await wait_until(committed.is_set)
        assert await db.scan(keys) == ["a"]
        assert not writing.done()
        go_on.set()
        assert await writing == 1


async def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(
    sqlite_place: Place, opens: Opens, one_batch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*engine._WRITER_SETTINGS, "PRAGMA max_page_count = 120")
    monkeypatch.setattr(engine, "_WRITER_SETTINGS", settings)
    async with opens(sqlite_place) as db:
        async with busy_writer(db) as go_on:
            changes = [put("a"), big("too big"), put("b"), big("too big, too"), put("c")]
            writing = [asyncio.create_task(db.write(change)) for change in changes]
            await wait_until(lambda: db.statistics().waiting == 5)
            go_on.set()
            results = await asyncio.gather(*writing, return_exceptions=True)
        assert [results[n] for n in (0, 2, 4)] == [1, 1, 1]
        for result in (results[1], results[3]):
            assert isinstance(result, Exhausted)
            assert result.reason == "STORAGE_FULL"
            assert result.retry_after is not None
        assert await db.read(keys) == ["a", "b", "c"]
        await db.health()


async def test_a_disk_that_fails_at_commit_is_an_outage_and_heals(sqlite_place: Place, opens: Opens) -> None:
    async with opens(sqlite_place) as db:
        await db.write(put("before"))
        with largest_file(300_000):
            results = await asyncio.gather(
                *(db.write(change) for change in (put("small"), big("big"))), return_exceptions=True
            )
        assert results[0] == 1
        assert isinstance(results[1], Unavailable)
        assert results[1].reason == "STORAGE_UNAVAILABLE"
        assert await db.read(keys) == ["before", "small"]
        assert await db.write(big("big")) == 1
    async with opens(sqlite_place) as db:
        assert await db.read(keys) == ["before", "big", "small"]


async def test_a_file_that_is_no_database_is_refused(sqlite_place: Place, opens: Opens, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is not a database" * 1000)
    with pytest.raises(DataLoss) as caught:
        async with opens(sqlite_place):
            pass
    assert caught.value.reason == "STORAGE_UNAVAILABLE"
    assert caught.value.metadata == {"path": str(tmp_path / "store.db")}
    assert (tmp_path / "store.db").read_bytes() == b"this is not a database" * 1000


async def test_damage_that_is_found_later_is_data_loss(sqlite_place: Place, opens: Opens, tmp_path: Path) -> None:
    rows = [(str(n), "x" * 3000) for n in range(50)]
    async with opens(sqlite_place) as db:
        await db.write(lambda tx: tx.many("INSERT INTO items (key, note) VALUES (?, ?)", rows))
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as raw:
        root = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'items'").fetchone()[0]
    raw.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    async with opens(sqlite_place) as db:

        def notes(tx: Transaction) -> object:
            return tx.all("SELECT note FROM items")

        for attempt in (db.read(notes), db.scan(notes), db.write(notes)):
            with pytest.raises(DataLoss):
                await attempt
        assert await db.write(lambda tx: tx.execute("DELETE FROM leases")) == 0


@pytest.mark.parametrize("spoil", ["missing folder", "is a folder", "folder is a file"])
async def test_a_place_that_cannot_be_is_refused(opens: Opens, tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "folder" / "store.db"
    if spoil == "is a folder":
        path.mkdir(parents=True)
    elif spoil == "folder is a file":
        (tmp_path / "folder").touch()
    with pytest.raises(FailedPrecondition) as caught:
        async with opens(f"sqlite:///{path}"):
            pass
    assert caught.value.metadata == {"path": str(path)}


AS_NOBODY = """
import asyncio, os, sys
from sutler.errors import FailedPrecondition
from sutler.store import open_database

async def main():
    try:
        async with open_database(sys.argv[1], name="test", migrations={}):
            print("opened")
    except FailedPrecondition as error:
        print("refused", error.metadata["path"])

if os.geteuid() == 0:  # whom no permission binds
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main())
"""


@pytest.mark.parametrize("spoil", ["folder", "file"])
def test_missing_permission_is_refused(spoil: str) -> None:
    with TemporaryDirectory(prefix="sutler-", dir="/tmp") as folder:
        path = Path(folder) / "store.db"
        if spoil == "file":
            path.touch(mode=0o400)
        Path(folder).chmod(0o555 if spoil == "folder" else 0o777)
        command = [sys.executable, "-c", AS_NOBODY, f"sqlite:///{path}"]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
        Path(folder).chmod(0o700)
        assert done.stdout.split() == ["refused", str(path)], done.stderr


async def test_a_file_that_is_deleted_does_not_come_back_empty(
    sqlite_place: Place, opens: Opens, tmp_path: Path
) -> None:
    async with opens(sqlite_place) as db:
        await db.write(put("a"))
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(Unavailable):
            await db.scan(keys)
        assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "mysql://user:secret@host/db", "store.db"])
async def test_a_url_of_another_form_is_refused_without_telling_it(opens: Opens, url: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        async with opens(url):
            pass
    assert "secret" not in str(caught.value)


async def test_a_path_may_be_relative_and_have_spaces(
    opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opens("sqlite:///a%20b?c%23.db") as db:
        assert isinstance(db, Database)
        await db.write(put("a"))
    assert (tmp_path / "a b?c#.db").exists()


async def test_a_database_in_memory_is_gone_when_it_is_closed(opens: Opens) -> None:
    async with opens("sqlite:///:memory:") as db, opens("sqlite:///:memory:") as other:
        await db.write(put("a"))
        assert await other.read(keys) == []
    async with opens("sqlite:///:memory:") as db:
        assert await db.read(keys) == []
