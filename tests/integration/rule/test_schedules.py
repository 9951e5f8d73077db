"""Schedules through a real channel: written, read, fired once, after restarts too."""

import asyncio
import time
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.client import connect
from sutler.errors import AlreadyExists, Conflict, Invalid, NotFound, PermissionDenied
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running
from sutler.store import open_database

from services.rule.adapters.database.migrations import COMPONENT, MIGRATIONS
from services.rule.app import app
from tests.integration.rule.conftest import (
    ENGINES,
    Tenant,
    create,
    database_url,
    emit,
    event,
    eventually,
    on_all,
    on_both,
    settings_for,
    token,
)
from tests.integration.rule.test_processes import Process, connected, target

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERY_SECOND = "* * * * * *"


def schedule(cron: str = "0 3 * * *", **fields: Any) -> pb.Schedule:
    return json_format.ParseDict({"cron": cron, "event": {"type": "tick"}, **fields}, pb.Schedule())


async def add(t: Tenant, id: str, wanted: pb.Schedule, **fields: Any) -> pb.Schedule:
    return await t.s.rules.CreateSchedule(pb.CreateScheduleRequest(schedule_id=id, schedule=wanted, **fields))


async def get(t: Tenant, name: str) -> pb.Schedule:
    return await t.s.rules.GetSchedule(pb.GetScheduleRequest(name=name))


async def update(t: Tenant, wanted: pb.Schedule, *paths: str, **fields: Any) -> pb.Schedule:
    mask = FieldMask(paths=paths) if paths else None
    return await t.s.rules.UpdateSchedule(pb.UpdateScheduleRequest(schedule=wanted, update_mask=mask, **fields))


async def listed(t: Tenant, **fields: Any) -> list[str]:
    found = await t.s.rules.ListSchedules(pb.ListSchedulesRequest(**fields))
    return [one.name.removeprefix("schedules/") for one in found.schedules]


def times(events: list[pb.Event]) -> list[int]:
    return sorted(e.time.seconds for e in events)


async def fired(t: Tenant, count: int, type: str = "tick") -> list[pb.Event]:
    """Returns the events of ticks when there are so many."""

    async def enough() -> list[pb.Event]:
        found = await t.events(f'type = "{type}"')
        return found if len(found) >= count else []

    found: list[pb.Event] = await eventually(enough)
    return found


@on_all
async def test_a_schedule_publishes_at_its_ticks(t: Tenant) -> None:
    await t.rule("r", on=["clock.*"], actions=[emit("seen", data="${payload.at}")])
    draft = {
        "type": "clock.ticked",
        "subject": "clock/${schedule}",
        "data": {"at": "${tick}"},
        "extensions": {"kind": "x"},
        "extra": {"by": "${schedule}"},
    }
    made = await add(t, "s", schedule(EVERY_SECOND, event=draft))
    assert (made.state, made.enabled, made.principal) == (pb.Schedule.STATE_ACTIVE, True, "user:anna")
    assert made.next_fire_time.ToSeconds() > made.create_time.ToSeconds()
    assert not made.HasField("last_fire_time") and not made.HasField("last_error")
    first, *_ = await fired(t, 2, "clock.ticked")
    assert (first.source, first.subject) == ("//rule.sutler.dev/schedules/s", "clock/schedules/s")
    assert first.data.struct_value["at"] == first.time.ToJsonString()
    assert (first.extensions["kind"], first.extra["by"]) == ("x", "schedules/s")
    assert (first.principal, first.depth, first.root_event) == ("user:anna", 0, first.name)
    assert uuid.UUID(first.id).version == 5
    await eventually(lambda: t.events(f'type = "seen" AND root_event = "{first.name}"'))
    later = await get(t, "schedules/s")
    assert later.last_fire_time.seconds >= first.time.seconds
    assert later.next_fire_time.seconds > later.last_fire_time.seconds
    assert (later.etag, later.update_time) == (made.etag, made.update_time)
    latest = await t.s.rules.GetEvent(pb.GetEventRequest(name=later.last_event))
    assert latest.time == later.last_fire_time
    await t.s.rules.DeleteSchedule(pb.DeleteScheduleRequest(name="schedules/s"))
    names = [e.name for e in await t.events('type = "clock.ticked"')]
    await asyncio.sleep(1.2)  # a tick passes; nothing must come
    assert [e.name for e in await t.events('type = "clock.ticked"')] == names


async def test_a_delay_of_the_event_counts_from_its_tick_on(t: Tenant) -> None:
    await add(t, "s", schedule(EVERY_SECOND, event={"type": "tick", "delay": "600s"}))
    (first, *_) = await fired(t, 1)
    assert first.state == pb.Event.STATE_SCHEDULED
    assert 600 <= first.deliver_time.ToSeconds() - first.time.seconds <= 620


@pytest.mark.parametrize("engine", ENGINES)
async def test_two_replicas_fire_each_tick_once(engine: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url(engine, tmp_path))
        settings = settings_for(url)
        servers = [await stack.enter_async_context(running(app, settings, "rule")) for _ in range(2)]
        one, two = [await stack.enter_async_context(connected(server.address)) for server in servers]
        await one.rule("r", on=["tick"], actions=[emit("seen")])
        for number in range(5):
            await (one, two)[number % 2].s.rules.CreateSchedule(
                pb.CreateScheduleRequest(
                    schedule_id=f"s{number}", schedule=schedule(EVERY_SECOND, catchUp="CATCH_UP_ALL")
                )
            )
        events = await fired(two, 20)
        by_source: dict[str, list[int]] = {}
        for e in events:
            by_source.setdefault(e.source, []).append(e.time.seconds)
        assert len(by_source) == 5
        for seconds in by_source.values():
            assert sorted(seconds) == list(range(min(seconds), min(seconds) + len(seconds)))
        seen = await fired(one, 20, "seen")
        assert set(Counter(e.parent_execution for e in seen).values()) == {1}


@pytest.mark.parametrize("engine", ENGINES)
async def test_ticks_that_passed_while_no_server_ran(engine: str, tmp_path: Path) -> None:
    async with database_url(engine, tmp_path) as url:
        settings = settings_for(url)
        async with running(app, settings, "rule") as server, connected(server.address) as t:
            for catch_up in ("NONE", "LATEST", "ALL"):
                hourly = schedule("0 * * * *", event={"type": catch_up}, catchUp=f"CATCH_UP_{catch_up}")
                await add(t, catch_up.lower(), hourly)
            planned = (await get(t, "schedules/all")).next_fire_time.seconds
        async with open_database(url, name="rule", migrations={COMPONENT: MIGRATIONS}) as database:
            back = "UPDATE schedules SET next_fire_time = next_fire_time - 18000, due_time = due_time - 18000"
            await database.write(lambda tx: tx.execute(back))
        async with running(app, settings, "rule") as server, connected(server.address) as t:
            every = await fired(t, 5, "ALL")
            assert times(every) == [planned - hours * 3600 for hours in (5, 4, 3, 2, 1)]
            in_order = sorted(every, key=lambda e: e.create_time.ToNanoseconds())
            assert times(every) == [e.time.seconds for e in in_order]
            assert times(await fired(t, 1, "LATEST")) == [planned - 3600]
            assert not await t.events('type = "NONE"')
            for name in ("none", "latest", "all"):
                assert (await get(t, f"schedules/{name}")).next_fire_time.seconds >= planned


async def test_a_schedule_that_cannot_be_worked_on_stops_no_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rule.db"
    async with running(app, settings_for(url), "rule") as server, connected(server.address) as t:
        for name in ("whole", "broken"):
            await add(t, name, schedule(EVERY_SECOND, event={"type": name}))
    async with open_database(url, name="rule", migrations={COMPONENT: MIGRATIONS}) as database:
        lost = "UPDATE schedules SET time_zone = 'Europe/Atlantis' WHERE key = 'schedules/broken'"
        await database.write(lambda tx: tx.execute(lost))
    async with running(app, settings_for(url), "rule") as server, connected(server.address) as t:
        before = len(await t.events('type = "whole"'))
        await eventually(lambda: listed(t, filter="last_error.reason = INTERNAL"))
        await fired(t, before + 2, "whole")
        await update(t, pb.Schedule(name="schedules/broken", time_zone="Europe/Berlin"))
        await fired(t, 1, "broken")
        assert not (await get(t, "schedules/broken")).HasField("last_error")


@pytest.mark.timeout(180)
async def test_a_killed_process_neither_loses_nor_repeats_a_tick(tmp_path: Path, free_port: int) -> None:
    async with target() as (_, address):
        process = Process(f"sqlite:///{tmp_path}/rule.db", free_port, address)
        await process.start()
        async with connected(process.address) as t:
            await t.rule("r", on=["tick"], actions=[emit("seen")])
            await add(t, "s", schedule(EVERY_SECOND, catchUp="CATCH_UP_ALL"))
            await fired(t, 2)
            await process.kill()
            killed = int(time.time())
            await eventually(lambda: _value(time.time() > killed + 2))
            await process.start()

            async def caught_up() -> list[pb.Event]:
                found = await t.events('type = "tick"')
                return found if max(times(found)) > killed + 2 else []

            seconds = times(await eventually(caught_up))
            assert seconds == list(range(seconds[0], seconds[-1] + 1))
            seen = await fired(t, len(seconds), "seen")
            assert set(Counter(e.parent_execution for e in seen).values()) == {1}
        await process.stop()


async def test_what_keeps_a_tick_from_publishing_is_told(tmp_path: Path) -> None:
    async with target() as (script, address):
        script.gate.clear()
        settings = settings_for(f"sqlite:///{tmp_path}/rule.db", address, max_waiting=1)
        async with running(app, settings, "rule") as server, connected(server.address) as t:
            await t.rule("r", on=["a"], actions=[create("x")])
            await t.publish(event(type="a"), wait=False)
            await add(t, "s", schedule(EVERY_SECOND))

            async def told() -> bool:
                return (await get(t, "schedules/s")).last_error.code == 8

            async def better() -> bool:
                found = await get(t, "schedules/s")
                return found.HasField("last_fire_time") and not found.HasField("last_error")

            await eventually(told)
            assert await listed(t, filter="last_error.reason = OVERLOADED") == ["s"]
            assert not await t.events('type = "tick"')
            script.gate.set()
            await eventually(better)


async def test_a_template_that_fails_at_its_tick_is_told(t: Tenant) -> None:
    await add(t, "s", schedule(EVERY_SECOND, event={"type": "x", "data": "${[1][tick.getFullYear()]}"}))

    async def told() -> pb.Schedule | None:
        found = await get(t, "schedules/s")
        return found if found.HasField("last_error") else None

    found = await eventually(told)
    assert "event" in found.last_error.message and found.last_error.code == 9
    assert found.state == pb.Schedule.STATE_ACTIVE and not found.last_event
    mended = await update(t, schedule(EVERY_SECOND, name="schedules/s"), "event")
    assert not mended.HasField("last_error")
    await fired(t, 1)


@on_both
async def test_a_schedule_that_has_no_more_ticks_has_ended(t: Tenant) -> None:
    ends = Timestamp(seconds=int(time.time()) + 3)
    await add(t, "s", schedule(EVERY_SECOND, endTime=ends.ToJsonString()))

    async def ended() -> bool:
        return (await get(t, "schedules/s")).state == pb.Schedule.STATE_ENDED

    await eventually(ended)
    assert max(times(await t.events('type = "tick"'))) == ends.seconds - 1
    past = await add(t, "past", schedule(endTime="2020-01-01T00:00:00Z"))
    assert past.state == pb.Schedule.STATE_ENDED and not past.HasField("next_fire_time")
    far = await add(t, "far", schedule("@yearly", startTime="9999-06-01T00:00:00Z"))
    assert far.state == pb.Schedule.STATE_ENDED
    later = await add(t, "later", schedule("0 3 * * *", timeZone="Asia/Tokyo", startTime="2040-01-01T00:00:00Z"))
    assert later.next_fire_time.ToJsonString() == "2040-01-01T18:00:00Z"


@on_both
async def test_pausing_and_going_on(t: Tenant) -> None:
    await add(t, "s", schedule(EVERY_SECOND, catchUp="CATCH_UP_ALL"))
    await fired(t, 1)
    paused = await update(t, pb.Schedule(name="schedules/s", enabled=False))
    assert (paused.state, paused.HasField("next_fire_time")) == (pb.Schedule.STATE_PAUSED, False)
    count = len(await t.events('type = "tick"'))
    await asyncio.sleep(2.2)  # ticks pass; none must fire, now or later
    assert len(await t.events('type = "tick"')) == count
    going = await update(t, pb.Schedule(name="schedules/S", enabled=True), "enabled")
    assert (going.name, going.state) == ("schedules/s", pb.Schedule.STATE_ACTIVE)
    after = await fired(t, count + 1)
    ticks = [s for s in times(after) if paused.update_time.ToSeconds() < s]
    assert min(ticks) > going.update_time.ToMilliseconds() / 1000 - 0.001


async def test_updates_masks_etags_and_repeats(t: Tenant) -> None:
    with pytest.raises(NotFound):
        await update(t, schedule(name="schedules/s"))
    made = await update(t, schedule(name="schedules/s", displayName="Nightly"), allow_missing=True)
    assert made.cron == "0 3 * * *"
    with pytest.raises(Conflict) as caught:
        await update(t, pb.Schedule(name="schedules/s", cron="0 4 * * *", etag='"x"'))
    assert caught.value.reason == "ETAG_MISMATCH"
    request_id = str(uuid.uuid4())
    wanted = pb.Schedule(name="schedules/s", cron="0 4 * * *", time_zone="Europe/Berlin", etag=made.etag)
    first = await update(t, wanted, request_id=request_id)
    assert await update(t, wanted, request_id=request_id) == first
    assert (first.display_name, first.event.type, first.time_zone) == ("Nightly", "tick", "Europe/Berlin")
    assert first.etag != made.etag and first.uid == made.uid
    with pytest.raises(Invalid) as reused:
        await update(t, pb.Schedule(name="schedules/s", cron="0 5 * * *"), request_id=request_id)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    masked = await update(t, pb.Schedule(name="schedules/s", cron="@daily"), "time_zone")
    assert (masked.cron, masked.time_zone) == ("0 4 * * *", "")
    with pytest.raises(Invalid) as unknown:
        await update(t, pb.Schedule(name="schedules/s"), "crom")
    assert unknown.value.reason == "UPDATE_MASK_INVALID"
    with pytest.raises(Invalid) as cleared:
        await update(t, pb.Schedule(name="schedules/s"), "event")
    assert cleared.value.reason == "FIELD_INVALID"
    unchanged = await update(t, pb.Schedule(name="schedules/s", cron="0 4 * * *"))
    assert unchanged == masked
    with pytest.raises(Conflict):
        await t.s.rules.DeleteSchedule(pb.DeleteScheduleRequest(name="schedules/s", etag=made.etag))
    delete = pb.DeleteScheduleRequest(name="schedules/s", etag=masked.etag, request_id=str(uuid.uuid4()))
    await t.s.rules.DeleteSchedule(delete)
    await t.s.rules.DeleteSchedule(delete)
    with pytest.raises(NotFound):
        await t.s.rules.DeleteSchedule(pb.DeleteScheduleRequest(name="schedules/s"))
    await t.s.rules.DeleteSchedule(pb.DeleteScheduleRequest(name="schedules/s", allow_missing=True))


@on_both
async def test_creating_again(t: Tenant) -> None:
    request_id = str(uuid.uuid4())
    first, again = await asyncio.gather(*(add(t, "Night", schedule(), request_id=request_id) for _ in range(2)))
    assert first == again == await get(t, "schedules/night")
    with pytest.raises(AlreadyExists) as caught:
        await add(t, "NIGHT", schedule())
    assert caught.value.metadata["resource"] == "schedules/NIGHT"
    with pytest.raises(AlreadyExists):
        await add(t, "night", schedule(), validate_only=True)
    async with connect(t.server.address, token=token("another")) as s:
        with pytest.raises(NotFound):
            await s.rules.GetSchedule(pb.GetScheduleRequest(name="schedules/Night"))


async def test_validate_only_changes_nothing(t: Tenant) -> None:
    would = await add(t, "s", schedule(), validate_only=True)
    assert (would.name, would.state, would.HasField("next_fire_time")) == (
        "schedules/s",
        pb.Schedule.STATE_ACTIVE,
        True,
    )
    with pytest.raises(NotFound):
        await get(t, "schedules/s")
    made = await add(t, "s", schedule())
    changed = await update(t, pb.Schedule(name="schedules/s", cron="@daily"), validate_only=True)
    assert changed.cron == "@daily"
    await t.s.rules.DeleteSchedule(pb.DeleteScheduleRequest(name="schedules/s", validate_only=True))
    assert await get(t, "schedules/s") == made


@pytest.mark.parametrize(
    ("fields", "reason", "metadata"),
    [
        ({"cron": "0 25 * * *"}, "CRON_INVALID", {"field": "cron", "position": "1:3", "cause": "'25' is no hour"}),
        ({"cron": "0 0 31 2 *"}, "CRON_INVALID", {"field": "cron", "cron": "0 0 31 2 *", "cause": "never fires"}),
        ({"cron": "hourly"}, "CRON_INVALID", {"field": "cron", "cause": "it has 1 fields"}),
        (
            {"timeZone": "Europe/Atlantis"},
            "TIME_ZONE_UNKNOWN",
            {"field": "time_zone", "time_zone": "Europe/Atlantis"},
        ),
        (
            {"event": {"type": "x", "data": {"a": ["${payload}"]}}},
            "TEMPLATE_INVALID",
            {"field": "event.data.a[0]", "position": "1:3"},
        ),
        ({"event": {"type": "x", "subject": "${tick"}}, "TEMPLATE_INVALID", {"field": "event.subject"}),
    ],
)
async def test_what_is_wrong_is_told_with_its_place(
    t: Tenant, fields: dict[str, Any], reason: str, metadata: dict[str, str]
) -> None:
    with pytest.raises(Invalid) as caught:
        await add(t, "s", schedule(**fields))
    assert caught.value.reason == reason
    assert metadata.items() <= caught.value.metadata.items()
    assert caught.value.violations[0].field == f"schedule.{metadata['field']}"
    await add(t, "s", schedule())
    with pytest.raises(Invalid) as again:
        await update(t, schedule(name="schedules/s", **fields))
    assert again.value.reason == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": ""},
        {"event": {}},
        {"timeZone": "../etc"},
        {"catchUp": 9},
        {"startTime": "2030-01-02T00:00:00Z", "endTime": "2030-01-01T00:00:00Z"},
    ],
)
async def test_fields_that_break_a_rule(t: Tenant, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        await add(t, "s", schedule(**fields))
    assert caught.value.reason == "FIELD_INVALID"


async def test_an_end_before_the_start_that_is_stored_is_refused(t: Tenant) -> None:
    await add(t, "s", schedule(startTime="2030-01-02T00:00:00Z"))
    with pytest.raises(Invalid) as caught:
        await update(t, pb.Schedule(name="schedules/s", end_time=Timestamp(seconds=1_800_000_000)), "end_time")
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_INVALID", "end_time")


async def test_an_author_needs_the_right_to_publish(t: Tenant) -> None:
    async with connect(t.server.address, token=token(t.name, "rule.schedules.*")) as weak:
        with pytest.raises(PermissionDenied) as caught:
            await weak.rules.CreateSchedule(pb.CreateScheduleRequest(schedule_id="s", schedule=schedule()))
    assert caught.value.metadata["permission"] == "rule.events.batchPublish"
    needed = ("rule.schedules.update", "rule.events.batchPublish")
    async with connect(t.server.address, token=token(t.name, *needed)) as changer:
        wanted = pb.UpdateScheduleRequest(schedule=schedule(name="schedules/s"), allow_missing=True)
        with pytest.raises(PermissionDenied) as denied:
            await changer.rules.UpdateSchedule(wanted)
        assert denied.value.metadata["permission"] == "rule.schedules.create"


@on_both
async def test_lists_of_schedules(t: Tenant) -> None:
    for number in range(5):
        wanted = schedule(f"0 {5 - number} 1 1 *", event={"type": f"type.{number}"}, enabled=number != 3)
        await add(t, f"s{number}", wanted)
    assert await listed(t, filter="state = STATE_PAUSED") == ["s3"]
    assert await listed(t, filter='event.type = "type.2" OR cron = "0 5*"') == ["s0", "s2"]
    assert await listed(t, filter="next_fire_time:* AND enabled = true AND NOT last_error:*") == [
        "s0",
        "s1",
        "s2",
        "s4",
    ]
    assert await listed(t, filter="catch_up = CATCH_UP_ALL") == []
    ordered = pb.ListSchedulesRequest(order_by="next_fire_time, name", page_size=2, filter="enabled = true")
    page = await t.s.rules.ListSchedules(ordered)
    assert [s.name[-1] for s in page.schedules] == ["4", "2"]
    ordered.page_token = page.next_page_token
    assert [s.name[-1] for s in (await t.s.rules.ListSchedules(ordered)).schedules] == ["1", "0"]
    for wrong, reason in (
        ({"filter": "nope = 1"}, "FILTER_INVALID"),
        ({"order_by": "nope"}, "ORDER_BY_INVALID"),
        ({"page_token": "nope"}, "PAGE_TOKEN_INVALID"),
        ({"page_size": -1}, "FIELD_INVALID"),
    ):
        with pytest.raises(Invalid) as caught:
            await listed(t, **wrong)
        assert caught.value.reason == reason


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_database_of_an_older_release_gets_schedules(engine: str, tmp_path: Path) -> None:
    async with database_url(engine, tmp_path) as url:
        async with open_database(url, name="rule", migrations={COMPONENT: MIGRATIONS[:1]}):
            pass
        async with running(app, settings_for(url), "rule") as server, connected(server.address) as t:
            await add(t, "s", schedule(EVERY_SECOND))
            await fired(t, 1)


async def _value(value: Any) -> Any:
    return value
