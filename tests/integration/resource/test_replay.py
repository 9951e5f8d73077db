"""Watches that begin with what exists, while that changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from sutler.errors import Exhausted, OutOfRange, Unavailable
from sutler.operations import records
from sutler.resource.v1 import resource_pb2 as pb
from sutler.store import Database, open_database
from sutler.tokens import TokenSealer
from sutler.watch import Batch, Watcher

from services.resource.adapters.following import Follower
from services.resource.adapters.tables import MIGRATIONS
from services.resource.watching import Scope
from services.resource.wire import revisions as wire
from tests.integration.resource.conftest import Tenant, everywhere

K = pb.ResourceChange
ALL = Scope("", "", "", None)
SUBSCRIPTIONS = "Sutler.Resource/subscriptions"
PAGE = 3


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.resource.adapters.replay.PAGE", PAGE)


@pytest_asyncio.fixture(loop_scope="session")
async def database(tenant: Tenant) -> AsyncIterator[Database]:
    """The database of the service, as another replica has it."""
    migrations = {"resource": MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with open_database(tenant.server.url, name="resource", migrations=migrations) as found:
        yield found


@pytest.fixture
def follower(database: Database) -> Follower:
    return Follower(database, Watcher(TokenSealer(b"k" * 32), asyncio.Event()))


class Replay:
    """A watch that begins with what exists, read as slowly as a test likes."""

    def __init__(self, follower: Follower, tenant: Tenant, scope: Scope = ALL, token: str = "") -> None:
        self._batches = follower.follow(tenant.name, scope, resume_token=token, replay=not token)
        self.last: Batch[bytes] = Batch((), "")

    async def next(self) -> list[tuple[int, str, int]]:
        """Returns the changes of the next batch: kind, last part of the name, revision."""
        async with asyncio.timeout(15):
            self.last = await anext(self._batches)
        message = pb.WatchResourcesResponse.FromString(wire.changes(self.last.changes, "", replaying=False))
        return [(c.kind, c.resource.name.rpartition("/")[2], c.revision) for c in message.changes]

    async def until_told(self) -> list[tuple[int, str, int]]:
        """Returns the changes up to the end of the replay, and those after it that are there already."""
        found: list[tuple[int, str, int]] = []
        while self.last.replaying:
            found += await self.next()
        return found + await self.next()


async def subscriptions(tenant: Tenant, ids: str) -> None:
    for id in ids:
        await tenant.create("", id, SUBSCRIPTIONS)


@everywhere
async def test_revisions_only_rise(tenant: Tenant, follower: Follower) -> None:
    await subscriptions(tenant, "abcdefg")
    replay = Replay(follower, tenant)
    found = await replay.next()
    assert [(kind, id) for kind, id, _ in found] == [(K.KIND_EXISTING, id) for id in "abc"]
    assert replay.last.replaying
    for id in "cf":
        for tag in ("one", "two"):
            await tenant.update(f"subscriptions/{id}", tags={"tag": tag})
    for id in "bg":
        await tenant.delete(f"subscriptions/{id}")
    await tenant.create("", "aa", SUBSCRIPTIONS)
    await tenant.create("", "ee", SUBSCRIPTIONS)
    rest = await replay.until_told()
    assert [(kind, id) for kind, id, _ in rest] == [
        *[(K.KIND_UPDATED, "c")] * 2,
        (K.KIND_DELETED, "b"),
        (K.KIND_CREATED, "aa"),
        *((K.KIND_EXISTING, id) for id in ("d", "e", "ee", "f")),
    ]
    assert not replay.last.replaying
    found += rest
    for name in {name for _, name, _ in found}:
        numbers = [revision for _, id, revision in found if id == name]
        assert numbers == sorted(set(numbers))


@everywhere
async def test_resuming_goes_on_where_it_was(tenant: Tenant, follower: Follower) -> None:
    await subscriptions(tenant, "abcde")
    replay = Replay(follower, tenant)
    await replay.next()
    await tenant.delete("subscriptions/a")
    await tenant.delete("subscriptions/e")
    again = Replay(follower, tenant, token=replay.last.resume_token)
    found = await again.next() + await again.until_told()
    assert [(kind, id) for kind, id, _ in found] == [(K.KIND_DELETED, "a"), (K.KIND_EXISTING, "d")]


async def test_the_shutdown_ends_it(tenant: Tenant, follower: Follower) -> None:
    await subscriptions(tenant, "abcde")
    replay = Replay(follower, tenant)
    await replay.next()
    follower.watcher.shutdown.set()
    with pytest.raises(Unavailable) as caught:
        await replay.next()
    assert caught.value.reason == "SHUTTING_DOWN"


async def test_it_is_not_silent_where_nothing_fits(
    tenant: Tenant, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscriptions(tenant, "abcdefgh")
    nothing = replace(ALL, filter="none", passes=lambda _: False)
    quick = Replay(follower, tenant, nothing)
    assert await quick.next() == [] and quick.last.replaying
    assert await quick.next() == [] and not quick.last.replaying
    monkeypatch.setattr("services.resource.adapters.following.CHECKPOINT_SECONDS", 0.0)
    slow = Replay(follower, tenant, nothing)
    told = []
    for _ in range(3):
        assert await slow.next() == []
        told.append(slow.last.replaying)
    assert told == [True, True, False]


async def test_changes_that_are_no_longer_kept(tenant: Tenant, follower: Follower, database: Database) -> None:
    await subscriptions(tenant, "abcde")
    replay = Replay(follower, tenant)
    await replay.next()
    await tenant.update("subscriptions/a", tags={"a": "1"})
    newest = (await tenant.get("subscriptions/a")).revision
    await database.write(
        lambda tx: tx.execute("INSERT INTO compactions (tenant, revision) VALUES (?, ?)", (tenant.name, newest))
    )
    again = Replay(follower, tenant, token=replay.last.resume_token)
    with pytest.raises(OutOfRange) as resumed:
        await again.next()
    with pytest.raises(Exhausted) as went_on:
        await replay.next()
    assert went_on.value.reason == "READER_TOO_SLOW"
    for error in (resumed.value, went_on.value):
        assert await Replay(follower, tenant, token=error.metadata["oldest"]).next() == []
