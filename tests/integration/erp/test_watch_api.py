"""Watches through a real server: changes as they are seen, and where to go on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import sutler.client
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, Exhausted, Invalid, OutOfRange, SutlerError, Unavailable
from sutler.store import open_database
from sutler.testing import serve, wait_until
from sutler.wire import from_struct

from services.erp.adapters.schema import MIGRATIONS
from services.erp.adapters.stored_feeds import StoredFeeds
from services.erp.app import app
from services.erp.feed import watching
from services.erp.feed.looking import principal_of
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect, gateway
from tests.integration.erp.feeds import an_order
from tests.integration.erp.rules import Recorder
from tests.integration.erp.servers import Proxy, Reply


async def watched(client: Sutler, **more: Any) -> Any:
    return client.erp.WatchRecords(erp_pb2.WatchRecordsRequest(connection=MAIN, **more))


async def test_a_watch_tells_changes_and_goes_on_where_it_was(
    fed: tuple[Sutler, Recorder], sandbox: SandboxProcess
) -> None:
    client, _ = fed
    more: dict[str, Any] = {"model": "res.partner", "fields": ["name", "country_id.code"]}
    stream = await watched(client, **more)
    first = await anext(stream)
    assert (list(first.changes), bool(first.resume_token)) == ([], True)
    [one] = sandbox.call("res.partner", "create", [{"name": "w1", "country_id": 233}])
    changes, token = await _changes(stream, 1)
    assert (changes[0].action, changes[0].id) == (erp_pb2.RecordChange.ACTION_CREATED, one)
    assert from_struct(changes[0].record.values)["country_id"]["code"] == "US"
    await stream.aclose()
    sandbox.call("res.partner", "write", [one], {"name": "w2"})
    [two] = sandbox.call("res.partner", "create", [{"name": "w3"}])
    stream = await watched(client, **more, resume_token=token)
    changes, token = await _changes(stream, 2)
    await stream.aclose()
    assert [(change.id, change.action) for change in changes] == [
        (one, erp_pb2.RecordChange.ACTION_UPDATED),
        (two, erp_pb2.RecordChange.ACTION_CREATED),
    ]
    assert changes[0].changes[0].before.string_value == "w1"
    other = await watched(client, model="res.partner", fields=["email"], resume_token=token)
    with pytest.raises(Invalid) as foreign:
        await anext(other)
    assert foreign.value.reason == "RESUME_TOKEN_INVALID"


async def test_a_watch_can_begin_with_what_exists(erp: Sutler, sandbox: SandboxProcess) -> None:
    tag = "watched"
    ids = sandbox.call("res.partner", "create", [{"name": f"x{i}", "ref": tag} for i in range(230)])
    stream = await watched(erp, model="res.partner", filter=f'ref = "{tag}"', fields=["name"], replay_existing=True)
    first = await anext(stream)
    await stream.aclose()
    seen = [change.id for change in first.changes]
    assert 0 < len(seen) < 230
    stream = await watched(
        erp,
        model="res.partner",
        filter=f'ref = "{tag}"',
        fields=["name"],
        replay_existing=True,
        resume_token=first.resume_token,
    )
    changes, _ = await _changes(stream, 230 - len(seen))
    seen += [change.id for change in changes]
    assert seen == ids
    assert {change.detection for change in changes} == {erp_pb2.RecordChange.DETECTION_REPLAY}
    sandbox.call("res.partner", "write", [ids[0]], {"name": "changed"})
    changes, _ = await _changes(stream, 1)
    assert changes[0].id == ids[0]
    assert changes[0].action == erp_pb2.RecordChange.ACTION_UPDATED
    await stream.aclose()


async def test_a_watch_says_that_the_erp_is_down_and_that_the_server_stops(
    sqlite: str, proxy: tuple[Proxy, str]
) -> None:
    lossy, url = proxy
    async with AsyncExitStack() as stack:
        async with serve(app, Settings, data=sqlite, secret_keys=KEY, poll_interval_seconds=0.1) as (client, running):
            outside = await stack.enter_async_context(sutler.client.connect(running.address, attempts=1))
            await connect(client, url, retry_policy=erp_pb2.RetryPolicy(max_attempts=1))
            stream = await watched(outside, model="res.partner", fields=["name"])
            await anext(stream)
            lossy.replace("search_read", Reply(b"<html>", 502, "text/html"), 1000)

            async def told() -> bool:
                return (await anext(stream)).feed_error.code == 14

            await wait_until(told, 20)
        last = await anext(stream)
        while not last.HasField("status"):
            last = await anext(stream)
        assert last.status.code == 14
        with pytest.raises(Unavailable) as caught:
            await anext(stream)
        assert caught.value.reason == "SHUTTING_DOWN"


LARGE = 700_000
MOST = 3 * 1024 * 1024


async def test_large_changes_come_in_messages_of_3_mib(erp: Sutler, sandbox: SandboxProcess) -> None:
    more: dict[str, Any] = {"model": "res.partner", "filter": 'ref = "large"', "fields": ["name", "comment"]}
    stream = await watched(erp, **more)
    token = (await anext(stream)).resume_token
    ids = [_large(sandbox, "large", LARGE) for _ in range(8)]
    await _changes(stream, 8)
    await stream.aclose()
    for again in ({"resume_token": token}, {"replay_existing": True}):
        stream = await watched(erp, **more, **again)
        seen: list[int] = []
        while len(seen) < 8:
            message = await anext(stream)
            assert message.ByteSize() <= MOST
            seen += [change.id for change in message.changes]
        await stream.aclose()
        assert seen == ids


async def test_a_replay_goes_on_between_two_messages_of_a_page(erp: Sutler, sandbox: SandboxProcess) -> None:
    more: dict[str, Any] = {
        "model": "res.partner", "filter": 'ref = "paged"', "fields": ["comment"], "replay_existing": True,
    }  # fmt: skip
    ids = [_large(sandbox, "paged", LARGE) for _ in range(4)]
    stream = await watched(erp, **more)
    first = await anext(stream)
    await stream.aclose()
    stream = await watched(erp, **more, resume_token=first.resume_token)
    changes, _ = await _changes(stream, 4 - len(first.changes))
    await stream.aclose()
    assert [change.id for change in (*first.changes, *changes)] == ids
    assert 0 < len(first.changes) < 4


@pytest.mark.parametrize(("size", "kept"), [(2_000_000, True), (3_500_000, False)])
async def test_a_change_that_fits_into_no_message_comes_without_values(
    erp: Sutler, sandbox: SandboxProcess, size: int, kept: bool
) -> None:
    one = _large(sandbox, f"huge {size}", size)
    stream = await watched(
        erp, model="res.partner", filter=f'ref = "huge {size}"', fields=["comment"], replay_existing=True
    )
    [change], _ = await _changes(stream, 1)
    await stream.aclose()
    assert (change.id, {field.field for field in change.changes}) == (one, {"display_name", "comment", "active"})
    assert not any(field.HasField("after") for field in change.changes)
    assert ("comment" in from_struct(change.record.values)) == kept


def _large(sandbox: SandboxProcess, ref: str, size: int) -> int:
    [made] = sandbox.call("res.partner", "create", [{"name": "large", "ref": ref, "comment": "y" * size}])
    return int(made)


async def _changes(stream: Any, count: int) -> tuple[list[Any], str]:
    found: list[Any] = []
    token = ""
    async for response in stream:
        found += response.changes
        token = response.resume_token
        if len(found) >= count:
            return found, token
    raise AssertionError("the watch has ended")


async def test_a_token_that_is_too_old_is_refused_with_the_oldest(
    sqlite: str, erp: Sutler, sandbox: SandboxProcess
) -> None:
    more: dict[str, Any] = {"model": "res.partner", "filter": 'ref = "old"', "fields": ["name"]}
    stream = await watched(erp, **more)
    token = (await anext(stream)).resume_token
    [one] = sandbox.call("res.partner", "create", [{"name": "a", "ref": "old"}])
    await _changes(stream, 1)
    await stream.aclose()
    await forget_changes(sqlite)
    stream = await watched(erp, **more, resume_token=token)
    with pytest.raises(OutOfRange) as caught:
        await anext(stream)
    assert caught.value.reason == "RESUME_TOKEN_EXPIRED"
    stream = await watched(erp, **more, resume_token=caught.value.metadata["oldest"])
    assert list((await anext(stream)).changes) == []
    sandbox.call("res.partner", "write", [one], {"name": "b"})
    changes, _ = await _changes(stream, 1)
    await stream.aclose()
    assert (changes[0].id, changes[0].changes[0].after.string_value) == (one, "b")
    foreign = await watched(erp, **more, resume_token=token[:-4] + "AAAA")
    with pytest.raises(Invalid) as invalid:
        await anext(foreign)
    assert invalid.value.reason == "RESUME_TOKEN_INVALID"


async def test_a_reader_that_is_too_slow_is_told_so(sqlite: str, erp: Sutler, sandbox: SandboxProcess) -> None:
    more: dict[str, Any] = {"model": "res.partner", "filter": 'ref = "slow"', "fields": ["comment"]}
    stream = await watched(erp, **more)
    await anext(stream)
    quick = await watched(erp, **more)
    await anext(quick)
    ids = [await asyncio.to_thread(_large, sandbox, "slow", LARGE) for _ in range(30)]
    await _changes(quick, len(ids))
    await quick.aclose()
    await forget_changes(sqlite)
    messages: list[Any] = []

    async def read() -> None:
        async for one in stream:
            messages.append(one)

    with pytest.raises(Exhausted) as caught:
        await read()
    assert (caught.value.reason, messages[-1].status.code) == ("READER_TOO_SLOW", 8)
    stream = await watched(erp, **more, resume_token=caught.value.metadata["oldest"])
    assert list((await anext(stream)).changes) == []
    await stream.aclose()


async def forget_changes(url: str) -> None:
    """Deletes all kept changes, as the housekeeping does with old ones."""
    async with open_database(url, name="erp", migrations=MIGRATIONS) as database:
        await StoredFeeds(database).forget_log(-60.0)


SECRET = "x" * 32


def as_caller(caller: str) -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(SECRET, caller, permissions=('erp.records.watch',))}"}


@dataclass
class Reader:
    """Reads a watch of partners until it ends."""

    stream: Any
    seen: list[str] = field(default_factory=list)
    error: SutlerError | None = None

    async def read(self) -> None:
        try:
            async for message in self.stream:
                self.seen += [change.record.values["name"] for change in message.changes]
        except SutlerError as error:
            self.error = error


async def test_a_watch_sees_what_its_own_user_of_the_erp_sees_however_others_are_mapped(
    sqlite: str, sandbox: SandboxProcess
) -> None:
    settings = {"secret_keys": KEY, "poll_interval_seconds": 0.1, "auth_secret": SECRET}
    async with serve(app, Settings, data=sqlite, **settings) as (client, _):
        low = erp_pb2.UserMapping(caller="user:*", username="portal", secret="portal")
        await connect(client, sandbox.url, user_mappings=[low])
        request = erp_pb2.WatchRecordsRequest(connection=MAIN, model="sale.order", fields=["name"])
        readers = {}
        async with asyncio.TaskGroup() as tasks:
            for caller in ("user:p", "user:q"):
                reader = Reader(client.erp.WatchRecords(request, metadata=as_caller(caller)))
                await anext(aiter(reader.stream))
                readers[caller] = reader
            for reader in readers.values():
                tasks.create_task(reader.read())
            high = erp_pb2.UserMapping(caller="user:p", username="admin", secret="admin")
            change = erp_pb2.Connection(name=MAIN, user_mappings=[high, low])
            await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=change))
            an_order(sandbox)

            async def ended() -> bool:
                return readers["user:p"].error is not None

            await wait_until(ended, 20)
            await adopted(sqlite, "user:q")
            change = erp_pb2.Connection(name=MAIN, user_mappings=[high])
            await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=change))
        ends = {caller: reader.error for caller, reader in readers.items()}
    assert all(isinstance(error, Conflict) and error.reason == "ERP_USER_CHANGED" for error in ends.values())
    assert [reader.seen for reader in readers.values()] == [[], []]


async def adopted(url: str, caller: str) -> None:
    """Waits until the only feed is read on behalf of a caller, and without an error."""
    async with open_database(url, name="erp", migrations=MIGRATIONS) as database:

        async def done() -> bool:
            [feed] = await StoredFeeds(database).to_follow()
            return principal_of(feed.principal).actor == caller and not feed.error

        await wait_until(done, 20)


@pytest.mark.parametrize("rest", [1.0, 600.0])
async def test_a_caller_has_a_bounded_number_of_watches_and_those_without_a_reader_rest(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, rest: float
) -> None:
    monkeypatch.setattr(watching, "ALIVE_SECONDS", 0.2)
    monkeypatch.setattr(watching, "REST_SECONDS", rest)
    erp, url = proxy
    async with gateway(sqlite, max_watches=3) as client:
        await connect(client, url)
        more: dict[str, Any] = {"model": "res.partner", "fields": ["name"]}
        tokens = {}
        for number in range(3):
            stream = await watched(client, **more, filter=f"id > {number}")
            tokens[number] = (await anext(stream)).resume_token
            await stream.aclose()
        with pytest.raises(Exhausted) as caught:
            await anext(await watched(client, **more, filter="id > 3"))
        assert (caught.value.reason, caught.value.metadata["limit"]) == ("WATCHES_LIMITED", "3")

        async def resting() -> bool:
            before = erp.count("search_read")
            await asyncio.sleep(0.5)
            return erp.count("search_read") == before

        await wait_until(resting, 20)
        [one] = sandbox.call("res.partner", "create", [{"name": "while it rested"}])
        stream = await watched(client, **more, filter="id > 1", resume_token=tokens[1])
        changes, _ = await _changes(stream, 1)
        assert [(change.id, change.action) for change in changes] == [(one, erp_pb2.RecordChange.ACTION_CREATED)]
        await asyncio.sleep(1.2)
        [two] = sandbox.call("res.partner", "create", [{"name": "while it is read"}])
        changes, _ = await _changes(stream, 1)
        assert changes[0].id == two
        await leave_elsewhere(sqlite)
        [three] = sandbox.call("res.partner", "create", [{"name": "while nobody else reads it"}])
        changes, _ = await _changes(stream, 1)
        assert changes[0].id == three
        await stream.aclose()


async def leave_elsewhere(url: str) -> None:
    """Lets all feeds rest, as the last reader of another process does."""
    async with open_database(url, name="erp", migrations=MIGRATIONS) as database:
        for feed in await StoredFeeds(database).to_follow():
            await StoredFeeds(database).rest(feed.uid)
