"""Watches that go on elsewhere, after a restart, after retention, and over stores of earlier releases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sutler.client import connect
from sutler.errors import Code, OutOfRange, Unavailable
from sutler.operations import records
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running
from sutler.store import Transaction, open_database

from services.rule.adapters.database.accounting import execution_ended
from services.rule.adapters.database.event_flow import EventFlow
from services.rule.adapters.database.migrations import COMPONENT, MIGRATIONS
from services.rule.app import app
from services.rule.executions import ExecutionState
from services.rule.watching import EventChange
from services.rule.wire.watches import event_change_pb
from tests.integration.rule.conftest import (
    ENGINES,
    PATIENCE_SECONDS,
    Server,
    Tenant,
    database_url,
    emit,
    event,
    eventually,
    settings_for,
    token,
)
from tests.integration.rule.target import Target
from tests.integration.rule.watching import collect, first

ENDED = pb.EventChange.KIND_CASCADE_ENDED


@pytest.fixture(params=ENGINES)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with database_url(request.param, tmp_path) as url:
        yield url


@asynccontextmanager
async def serving(url: str, tenant: str = "t", **settings: object) -> AsyncIterator[Tenant]:
    async with (
        running(app, settings_for(url, **settings), "rule") as up,
        connect(up.address, token=token(tenant), attempts=1) as s,
    ):
        yield Tenant(tenant, s, Server(up.address, "", url, "", Target()))


def events(t: Tenant, **fields: Any) -> AsyncIterator[pb.WatchEventsResponse]:
    return t.s.rules.WatchEvents(pb.WatchEventsRequest(**fields))


def subjects(t: Tenant, **fields: Any) -> AsyncIterator[pb.WatchSubjectsResponse]:
    return t.s.rules.WatchSubjects(pb.WatchSubjectsRequest(**fields))


async def write(t: Tenant, subject: str) -> None:
    request = pb.UpdateSubjectRequest(subject=pb.Subject(name=f"subjects/{subject}"), allow_missing=True)
    await t.s.rules.UpdateSubject(request)


def cascades(changes: list[pb.EventChange]) -> list[str]:
    return [change.event.name for change in changes if change.kind == ENDED]


async def test_two_services_tell_the_same_and_go_on_after_a_restart(url: str) -> None:
    async with serving(url) as t:
        begin, facts = await first(events(t, executions=True)), await first(subjects(t))
        await t.rule("on-order", on=["order.*"], actions=[emit("parcel.packed")])
    async with serving(url) as one, serving(url) as two:
        watches = [events(t, executions=True) for t in (one, two)]
        for watch in watches:
            await first(watch)

        async def publish(t: Tenant, name: str) -> list[str]:
            published: list[str] = []
            for number in range(20):
                await write(t, f"{name}/{number}")
                published += [result.event for result in await t.publish(*(event() for _ in range(5)), wait=False)]
            return published

        sent = [*chain(*await asyncio.gather(publish(one, "one"), publish(two, "two")))]

        def all_ended(changes: list[pb.EventChange]) -> bool:
            return len(cascades(changes)) >= len(sent)

        resumed = events(two, executions=True, resume_token=begin)
        for watch in (*watches, resumed):
            changes, _ = await collect(watch, all_ended)
            assert sorted(cascades(changes)) == sorted(sent), "each once, none left out"
            accepted = [change.event.name for change in changes if change.kind == pb.EventChange.KIND_ACCEPTED]
            assert len(accepted) == len(set(accepted)) == 2 * len(sent)
        told, _ = await collect(subjects(one, resume_token=facts), lambda found: len(found) >= 40)
        assert len({change.subject.name for change in told}) == len(told) == 40


async def test_a_token_from_before_what_is_kept_is_refused_with_the_oldest_one(url: str) -> None:
    async with serving(url) as t, serving(url, "quiet") as quiet:
        begin, facts, silence = await first(events(t)), await first(subjects(t)), await first(events(quiet))
        await t.publish(event())
        await write(t, "a")
    short: dict[str, Any] = {"keep_events_days": 1e-9, "keep_changes_days": 1e-9, "sweep_seconds": 0.05}
    async with serving(url, **short) as t:

        async def too_old(make: Any, resume_token: str) -> OutOfRange | None:
            try:
                await first(make(t, resume_token=resume_token))
            except OutOfRange as error:
                return error
            return None

        for make, old in ((events, begin), (subjects, facts)):
            error = await eventually(lambda make=make, old=old: too_old(make, old))
            assert error.reason == "RESUME_TOKEN_EXPIRED"
            assert await first(make(t, resume_token=error.metadata["oldest"]))
    async with serving(url, "quiet") as quiet:
        watch = events(quiet, resume_token=silence)
        assert await first(watch), "what others had deleted is none of its business"
        (published,) = await quiet.publish(event(), wait=False)
        changes, _ = await collect(watch, lambda found: bool(found))
        assert changes[0].event.name == published.event


async def test_a_watch_ends_at_once_when_its_service_stops_and_says_so(tmp_path: Path) -> None:
    messages: list[pb.WatchEventsResponse] = []
    begun = asyncio.Event()
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db", drain_seconds=120)
    async with AsyncExitStack() as stack:
        async with running(app, settings, "rule") as up:
            s = await stack.enter_async_context(connect(up.address, token=token("t"), attempts=1))

            async def read() -> None:
                async for message in s.rules.WatchEvents(pb.WatchEventsRequest()):
                    messages.append(message)
                    begun.set()

            reading = asyncio.create_task(read())
            await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        with pytest.raises(Unavailable) as ended:
            await asyncio.wait_for(reading, PATIENCE_SECONDS)
    assert ended.value.reason == "SHUTTING_DOWN"
    assert messages[-1].status.code == Code.UNAVAILABLE


COLUMNS = (
    "seq, tenant, name, id, source, type, subject, time, datacontenttype, dataschema, extensions, extra, digest, "
    "create_time, update_time, correlation_id, state, parent_execution, parent_event, root_event, depth, "
    "execution_count, failure_count, bad_count, open_executions, open_children, principal"
)
OLD_EVENT = (
    *(1, "t", "events/old", "1", "/", "a.b", "", 1.0, "", "", "{}", "{}", b""),
    *(1.0, 1.0, "c", 3, "", "", "events/old", 0, 1, 0, 0, 1, 0, "p"),
)


async def test_a_store_of_the_release_before_is_followed_from_now_on(url: str) -> None:
    def insert(tx: Transaction) -> None:
        tx.draw("rule", 2)
        tx.insert("events", COLUMNS, OLD_EVENT)

    before = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS[:4]}
    async with open_database(url, name="rule", migrations=before) as database:
        await database.write(insert)

    def make(change: EventChange) -> pb.EventChange:
        return event_change_pb(change, full=True)

    now = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS}
    async with open_database(url, name="rule", migrations=now) as database:
        flow = EventFlow(database, "t", "", True, True, make)
        assert await flow.bounds() == (0, 2)
        await database.write(lambda tx: execution_ended(tx, "t", "events/old", ExecutionState.SUCCEEDED, 0))
        told = await flow.after(2, 100)
        changes = [change for _, one in told for change in one.messages]
        assert [(change.kind, change.event.name) for change in changes] == [  # type: ignore[attr-defined]
            (pb.EventChange.KIND_ENDED, "events/old"),
            (ENDED, "events/old"),
        ]
