"""Watches of events and of subjects."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf import json_format
from sutler.client import connect
from sutler.errors import Invalid, PermissionDenied
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, emit, event, on_both, token
from tests.integration.rule.watching import collect, first, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

Kind = pb.EventChange
CREATED, UPDATED, DELETED, EXPIRED = (
    pb.SubjectChange.KIND_CREATED,
    pb.SubjectChange.KIND_UPDATED,
    pb.SubjectChange.KIND_DELETED,
    pb.SubjectChange.KIND_EXPIRED,
)


def events(t: Tenant, **fields: Any) -> AsyncIterator[pb.WatchEventsResponse]:
    return t.s.rules.WatchEvents(pb.WatchEventsRequest(**fields))


def subjects(t: Tenant, **fields: Any) -> AsyncIterator[pb.WatchSubjectsResponse]:
    return t.s.rules.WatchSubjects(pb.WatchSubjectsRequest(**fields))


def cascades(count: int) -> Callable[[list[Any]], bool]:
    return lambda changes: sum(change.kind == Kind.KIND_CASCADE_ENDED for change in changes) >= count


def of(changes: list[Any], name: str) -> list[int]:
    return [change.kind for change in changes if change.event.name == name]


async def update(t: Tenant, id: str, *writes: dict[str, Any], **fields: Any) -> None:
    request = {"subject": {"name": f"subjects/{id}", **fields}, "allowMissing": True, "writes": list(writes)}
    await t.s.rules.UpdateSubject(json_format.ParseDict(request, pb.UpdateSubjectRequest()))


def value(property: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"property": property, "value": value, **fields}


@on_both
async def test_the_flow_of_events(t: Tenant) -> None:
    await t.rule("on-order", on=["order.*"], actions=[emit("parcel.packed", data={"kg": 2})])
    watch = events(t, executions=True, view=pb.EVENT_VIEW_FULL)
    begin = await first(watch)
    (order,) = await t.publish(event(type="order.confirmed", data={"total": 5}))
    (other,) = await t.publish(event(type="nobody.cares"))
    changes, _ = await collect(watch, cascades(2))
    assert of(changes, other.event) == [Kind.KIND_ACCEPTED, Kind.KIND_ENDED, Kind.KIND_CASCADE_ENDED]
    kinds = of(changes, order.event)
    assert (kinds[0], kinds[-2:]) == (Kind.KIND_ACCEPTED, [Kind.KIND_ENDED, Kind.KIND_CASCADE_ENDED])
    assert set(kinds[1:-2]) == {Kind.KIND_EXECUTION}
    (packed,) = {change.event.name for change in changes if change.event.type == "parcel.packed"}
    assert of(changes, packed) == [Kind.KIND_ACCEPTED, Kind.KIND_ENDED], "cascades are of events from outside"
    executions = [change.execution for change in changes if change.kind == Kind.KIND_EXECUTION]
    assert executions[-1].state == pb.Execution.STATE_SUCCEEDED
    for change in changes:
        assert change.HasField("change_time")
        has_data = change.event.HasField("data")
        assert has_data == (change.kind == Kind.KIND_ACCEPTED and change.event.name != other.event)

    again, _ = await collect(events(t, executions=True, resume_token=begin), cascades(2))
    assert of(again, order.event) == [
        Kind.KIND_ACCEPTED,
        Kind.KIND_EXECUTION,
        Kind.KIND_ENDED,
        Kind.KIND_CASCADE_ENDED,
    ], "a reader that comes late finds the newest state of each execution, once"
    assert all(change.event.state == pb.Event.STATE_SUCCEEDED for change in again)
    assert not any(change.event.HasField("data") for change in again), "BASIC unless asked for"


@on_both
async def test_a_filter_of_events_and_what_is_undone(t: Tenant) -> None:
    wanted = 'type = "order.*" AND data.total > 10'
    watch = events(t, filter=wanted)
    begin = await first(watch)
    await t.publish(event(type="order.confirmed", data={"total": 5}), event(type="bill.sent", data={"total": 50}))
    (large,) = await t.publish(event(type="order.confirmed", data={"total": 11}))
    changes, later = await collect(watch, cascades(1))
    assert {change.event.name for change in changes} == {large.event}
    await t.rule("late", on=["order.*"], actions=[emit("order.seen")])
    operation = await t.s.rules.ReplayEvents(pb.ReplayEventsRequest(rules=["rules/late"], filter="data.total > 10"))
    await t.s.wait(operation)
    changes, _ = await collect(events(t, filter=wanted, resume_token=later), cascades(1))
    assert of(changes, large.event) == [Kind.KIND_ENDED, Kind.KIND_CASCADE_ENDED], "it has ended once more"
    unread = events(t, filter=wanted, resume_token=begin, view=pb.EVENT_VIEW_FULL)  # no other watch has read it yet
    changes, _ = await collect(unread, cascades(1))
    assert of(changes, large.event) == [Kind.KIND_ACCEPTED, Kind.KIND_ENDED, Kind.KIND_CASCADE_ENDED]


@on_both
async def test_a_delayed_event_and_many_at_once(t: Tenant) -> None:
    watch = events(t)
    await first(watch)
    sent = event(type="later.on")
    sent.deliver_time.GetCurrentTime()
    sent.deliver_time.seconds += 1
    (delayed,) = await t.publish(sent, wait=False)
    await t.publish(*(event(type="at.once") for _ in range(500)))
    changes, _ = await collect(watch, cascades(501))
    assert of(changes, delayed.event) == [Kind.KIND_ACCEPTED, Kind.KIND_ENDED, Kind.KIND_CASCADE_ENDED]
    assert len(changes) == 1503


@on_both
async def test_changes_of_subjects(t: Tenant) -> None:
    await t.rule("count", on=["order.*"], actions=[{"setProperty": {"property": "orders", "value": 1}}])
    watch = subjects(t)
    begin = await first(watch)
    await update(t, "a", value("color", "red"), value("note", "x", ext=True))
    await update(t, "a", value("color", "red"))
    await update(t, "a", value("color", "blue", muted=True), value("note", "y", ext=True))
    await t.publish(event(type="order.confirmed", subject="a"))
    await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/a"))
    await update(t, "b", value("color", "red"), ttl="1s")
    changes, _ = await collect(watch, lambda found: found and found[-1].kind == EXPIRED)
    assert [(change.subject.name, change.kind) for change in changes] == [
        *(("subjects/a", kind) for kind in (CREATED, UPDATED, UPDATED, DELETED)),
        *(("subjects/b", kind) for kind in (CREATED, EXPIRED)),
    ]
    created, painted, counted, deleted, *_ = changes
    told = [(one.property, one.ext, one.old_value.string_value, one.new_value.string_value) for one in painted.changes]
    assert told == [("color", False, "red", "blue"), ("note", True, "x", "y")]
    assert (painted.subject.revision, painted.subject.properties["color"]) == (2, "blue")
    assert (created.principal, created.execution, list(created.changes)) == ("user:anna", "", [])
    (execution,) = await t.executions()
    assert (counted.execution, counted.principal) == (execution.name, "user:anna")
    assert counted.changes[0].event.startswith("events/")
    assert dict(deleted.subject.properties) == {"color": "blue", "orders": 1}
    assert changes[-1].principal == ""
    again, _ = await collect(subjects(t, resume_token=begin, properties=["note"]), lambda found: len(found) == 6)
    assert [change.kind for change in again] == [change.kind for change in changes]
    assert [one.property for one in again[1].changes] == ["note"]
    assert (dict(again[1].subject.properties), dict(again[1].subject.ext_properties)) == ({}, {"note": "y"})


@on_both
async def test_a_subject_that_no_longer_matches_is_told_once_more(t: Tenant) -> None:
    watch = subjects(t, filter='properties.color = "red"')
    begin = await first(watch)
    for id in ("a", "b"):
        for color in ("red", "red", "blue", "green", "red"):
            await update(t, id, value("color", color))
    await update(t, "a", value("color", None))
    await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/a"))
    await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/b"))
    changes, _ = await collect(watch, lambda found: found and found[-1].kind == DELETED)
    assert [
        (change.subject.name[-1], change.kind, json_format.MessageToDict(change.subject.properties)["color"])
        for change in changes
    ] == [
        *((id, kind, color) for id in "ab" for kind, color in ((CREATED, "red"), (UPDATED, "blue"), (UPDATED, "red"))),
        ("a", UPDATED, None),
        ("b", DELETED, "red"),
    ]
    again, _ = await collect(
        subjects(t, filter='properties.color = "red"', resume_token=begin), lambda found: len(found) == len(changes)
    )
    assert again == changes


async def test_tokens_permissions_and_filters(t: Tenant) -> None:
    mine = await first(events(t))
    for watch in (
        events(t, resume_token=mine, filter='type = "a"'),
        events(t, resume_token=mine, executions=True),
        events(t, resume_token="made-up"),
        subjects(t, resume_token=mine),
    ):
        assert (await refused(watch, Invalid)).reason == "RESUME_TOKEN_INVALID"
    assert (await refused(events(t, filter="nothing = 1"), Invalid)).reason == "FILTER_INVALID"
    assert (await refused(subjects(t, filter="color = 1"), Invalid)).reason == "FILTER_INVALID"
    async with connect(t.server.address, token=token(f"{t.name}-other")) as s:
        other = Tenant(f"{t.name}-other", s, t.server)
        assert (await refused(events(other, resume_token=mine), Invalid)).reason == "RESUME_TOKEN_INVALID"
        watch = events(other)
        await first(watch)
        await t.publish(event())
        (own,) = await other.publish(event())
        changes, _ = await collect(watch, cascades(1))
        assert {change.event.name for change in changes} == {own.event}
    async with connect(t.server.address, token=token(t.name, "rule.events.watch")) as s:
        limited = Tenant(t.name, s, t.server)
        await first(events(limited))
        await refused(subjects(limited), PermissionDenied)
