"""The feed over an ERP whose transactions end late, second by second: every change once, whatever the order."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Conflict

from services.erp.feed import looking, polling
from services.erp.feed.model import Phase
from services.erp.feed.polling import OVERLAP_SECONDS
from services.erp.feed.vanishing import trouble
from tests.unit.erp.erp_in_memory import Fed, MemoryErp, feeding


async def test_what_was_there_before_is_silent_and_what_comes_is_told() -> None:
    erp = MemoryErp()
    erp.write(1, "draft", began=9_000.0)
    erp.write(2, "sale", began=9_999.5)
    async with feeding(erp) as fed:
        await fed.poll()
        assert await fed.told() == []
        erp.now += 1
        erp.write(1, "sale")
        erp.write(3, "draft")
        await fed.poll()
        await fed.poll()
        assert await fed.told() == [
            ("order.updated", 1, "sale"),
            ("order.confirmed", 1, "sale"),
            ("order.created", 3, "draft"),
        ]
        assert (await fed.stored()).cursor.phase is Phase.LIVE


async def test_a_change_before_the_baseline_got_there_is_not_missed() -> None:
    erp = MemoryErp()
    erp.write(1, "draft", began=9_000.0)
    async with feeding(erp) as fed:
        # In the very second in which the subscription began.
        erp.write(1, "sale", began=10_000.2)
        await fed.poll()
        assert ("order.confirmed", 1, "sale") in await fed.told()


@pytest.mark.parametrize("late", [3.0, OVERLAP_SECONDS + 7, 28.0])
async def test_a_transaction_that_ends_late_is_found(late: float) -> None:
    erp = MemoryErp()
    async with feeding(erp, lag=30.0) as fed:
        await fed.poll()
        began = erp.now
        for _ in range(int(late)):
            erp.now += 1
            await fed.poll()
        erp.write(1, "draft", began=began)
        for _ in range(50):
            erp.now += 1
            await fed.poll()
        assert await fed.told() == [("order.created", 1, "draft")]
        data = await fed.database.read(lambda tx: tx.one("SELECT data FROM outbox"))
        assert data is not None
        found_by = "DETECTION_POLL" if late < OVERLAP_SECONDS else "DETECTION_CLOSED_WINDOW"
        assert found_by in data[0]


async def test_a_quiet_feed_does_not_read_the_same_records_again() -> None:
    erp = MemoryErp()
    for one in range(1, 51):
        erp.write(one, "draft")
    async with feeding(erp, lag=2.0) as fed:
        for _ in range(60):
            erp.now += 1
            await fed.poll()
        before = erp.searches
        cursor = fed.poller.feed.cursor
        erp.now += 1
        await fed.poller.open_window()
        assert erp.searches == before + 1
        assert cursor.high > erp.now - OVERLAP_SECONDS - 2


async def test_more_records_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (looking, polling):
        monkeypatch.setattr(module, "PAGE", 20)
    erp = MemoryErp()
    count = 50
    for one in range(1, count):
        erp.write(one, "draft", began=9_000.0)
    async with feeding(erp) as fed:
        await fed.poll()
        assert await fed.told() == []
        erp.now += 1
        for one in range(1, count):
            erp.write(one, "sale")
        await fed.poll()
        told = await fed.told()
        assert [one for kind, one, _ in told if kind == "order.confirmed"] == list(range(1, count))


async def test_of_several_writes_the_first_has_created_and_the_last_has_changed_or_deleted() -> None:
    erp = MemoryErp()
    for one in (1, 2):
        erp.write(one, "draft", began=9_000.0)
    async with feeding(erp) as fed:
        await fed.poll()
        erp.now += 1
        erp.write(1, "cancel")
        del erp.rows[2]
        erp.write(3, "draft")
        for record in (1, 2, 3):
            for which in ("first", "last"):
                await fed.touch(record, which)
        await fed.poller.touched()
        assert await fed.correlations() == [
            ("order.updated", 1, "last"),
            ("order.cancelled", 1, "last"),
            ("order.created", 3, "first"),
            ("order.deleted", 2, "last"),
        ]


async def test_a_replay_tells_what_exists_once_and_no_transition() -> None:
    erp = MemoryErp()
    erp.write(1, "sale", began=9_000.0)
    erp.write(2, "draft", began=9_999.9)
    async with feeding(erp, replay=True) as fed:
        await fed.poll()
        await fed.poll()
        assert sorted(await fed.told()) == [("order.created", 1, "sale"), ("order.created", 2, "draft")]


async def test_records_that_leave_the_filter_go() -> None:
    erp = MemoryErp()
    erp.write(1, "sale", began=9_000.0)
    erp.write(2, "draft", began=9_000.0)
    async with feeding(erp, filter='state = "sale"') as fed:
        await fed.poll()
        erp.now += 1
        erp.write(1, "cancel")
        erp.write(2, "sale")
        await fed.poll()
        assert sorted(await fed.told()) == [
            ("order.confirmed", 2, "sale"),
            ("order.created", 2, "sale"),
            ("order.deleted", 1, "sale"),
        ]


async def test_a_record_that_comes_back_is_told_and_none_of_its_transitions_twice() -> None:
    erp = MemoryErp()
    erp.write(1, "draft", began=9_000.0)
    async with feeding(erp, filter='state != "sent"') as fed:
        await fed.poll()
        for state in ("sale", "sent", "sale", "sent", "cancel", "sent", "sale"):
            erp.now += 1
            erp.write(1, state)
            await fed.poll()
        assert [kind for kind, _, _ in await fed.told()] == [
            "order.updated", "order.confirmed",
            "order.deleted", "order.created",
            "order.deleted", "order.created", "order.cancelled",
            "order.deleted", "order.created", "order.confirmed",
        ]  # fmt: skip
        assert len(set(await fed.ids())) == 10
        data = await fed.database.read(lambda tx: tx.all("SELECT data FROM outbox ORDER BY seq"))
        assert json.loads(data[6][0])["old_values"] == {"state": "sale"}
        assert (await fed.stored()).record_count == 1


async def test_what_a_related_record_hides_within_a_second_comes_back_under_another_id() -> None:
    erp = MemoryErp()
    erp.write(1, "sale", began=9_000.0)
    erp.write(2, "draft", began=9_000.0)
    async with feeding(erp, reconcile=5.0) as fed:
        await fed.poll()
        for hidden in ({1}, set(), {1}, set()):
            erp.hidden = hidden
            erp.now += 6
            await fed.poll()
        assert [kind for kind, _, _ in await fed.told()] == ["order.deleted", "order.created"] * 2
        assert len(set(await fed.ids())) == 4


async def test_another_user_of_the_feed_begins_a_silent_baseline() -> None:
    erp = MemoryErp()
    for one in range(1, 31):
        erp.write(one, "sale", began=9_000.0)
    async with feeding(erp, reconcile=5.0) as fed:
        await fed.poll()
        for identity, hidden in (("portal", set(range(1, 30))), ("admin", set()), ("portal", {30}), ("admin", set())):
            fed.as_user(identity)
            erp.hidden = hidden
            for _ in range(3):
                erp.now += 6
                await fed.poll()
            assert await fed.told() == []
            stored = await fed.stored()
            assert (stored.cursor.phase, stored.record_count) == (Phase.LIVE, 30 - len(hidden))
        fed.as_user("portal")
        erp.now += 1
        erp.write(1, "cancel")
        erp.write(31, "sale")
        await fed.poll()
        assert [(kind, one) for kind, one, _ in await fed.told()] == [
            ("order.updated", 1), ("order.cancelled", 1), ("order.created", 31), ("order.confirmed", 31),
        ]  # fmt: skip


async def test_another_user_within_the_second_of_a_change_tells_it_once() -> None:
    erp = MemoryErp()
    async with feeding(erp) as fed:
        await fed.poll()
        erp.write(1, "sale")
        erp.now += 0.1
        await fed.poll()
        told = await fed.told()
        for identity, hidden in (("portal", {1}), ("admin", set())):
            fed.as_user(identity)
            erp.hidden = hidden
            erp.now += 0.1
            await fed.poll()
        assert await fed.told() == told == [("order.created", 1, "sale"), ("order.confirmed", 1, "sale")]


async def test_records_that_go_all_at_once_are_told_after_a_second_look() -> None:
    erp = MemoryErp()
    for one in range(1, 41):
        erp.write(one, "sale", began=9_000.0)
    async with feeding(erp, reconcile=5.0, hold=60.0) as fed:
        await fed.poll()
        erp.hidden = set(range(1, 21))
        for _ in range(3):
            erp.now += 6
            erp.write(40, "cancel" if erp.rows[40][2] == "sale" else "sale")
            await fed.poll()
            [error] = Status.FromString(trouble(await fed.stored())).details
            assert b"RECORDS_MISSING" in error.value
        told = await fed.told()
        assert {one for _, one, _ in told} == {40}
        erp.hidden = set()
        erp.now += 6
        await fed.poll()
        assert (await fed.told(), trouble(await fed.stored())) == (told, b"")
        erp.hidden = set(range(1, 21))
        erp.now += 6
        await fed.poll()
        cursor = fed.poller.feed.cursor
        fed.poller.feed = replace(fed.poller.feed, cursor=replace(cursor, missing_since=cursor.missing_since - 61))
        erp.now += 6
        await fed.poll()
        assert {one for kind, one, _ in await fed.told() if kind == "order.deleted"} == erp.hidden
        assert trouble(await fed.stored()) == b""


async def test_many_that_only_leave_the_filter_or_are_deleted_through_the_gateway_go_at_once() -> None:
    erp = MemoryErp()
    for one in range(1, 61):
        erp.write(one, "sale", began=9_000.0)
    async with feeding(erp, filter='state = "sale"', reconcile=5.0, hold=60.0) as fed:
        await fed.poll()
        for one in range(1, 21):
            erp.write(one, "cancel", began=9_100.0)  # behind all windows
        for one in range(21, 41):
            del erp.rows[one]
            await fed.touch(one, "deleted")
        erp.now += 6
        await fed.poller.touched()
        await fed.poll()
        assert {one for kind, one, _ in await fed.told() if kind == "order.deleted"} == set(range(1, 41))


async def test_deleted_records_are_found_by_their_absence() -> None:
    erp = MemoryErp()
    erp.write(1, "draft", began=9_000.0)
    erp.write(2, "draft", began=9_000.0)
    async with feeding(erp, reconcile=5.0) as fed:
        await fed.poll()
        del erp.rows[1]
        erp.now += 6
        await fed.poll()
        await fed.poll()
        assert await fed.told() == [("order.deleted", 1, "draft")]


async def test_what_every_window_has_missed_is_found_when_ids_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "IDS", 4)
    erp = MemoryErp()
    for one in range(1, 20):
        erp.write(one, "draft", began=9_000.0)
    async with feeding(erp, reconcile=5.0) as fed:
        await fed.poll()
        erp.now += 6
        for one in (3, 4, 11, 19):
            erp.write(one, "sale", began=9_500.0)  # behind all that was read
        for one in (2, 12, 13, 14, 15, 16, 18):
            del erp.rows[one]
        for one in (1_000, 20, 21, 22, 23):
            erp.write(one, "draft", began=9_500.0)
        await fed.poller.reconcile(0.0)
        assert 0 < fed.poller.feed.cursor.reconcile_last < 20
        while fed.poller.feed.cursor.reconcile_last:
            await fed.poller.reconcile(0.0)
        await fed.poll()
        told = await fed.told()
        assert {one for kind, one, _ in told if kind == "order.confirmed"} == {3, 4, 11, 19}
        assert {one for kind, one, _ in told if kind == "order.deleted"} == {2, 12, 13, 14, 15, 16, 18}
        assert {one for kind, one, _ in told if kind == "order.created"} == {20, 21, 22, 23, 1_000}
        assert len(told) == 20
        data = await fed.database.read(lambda tx: tx.all("SELECT data FROM outbox"))
        assert all("DETECTION_RECONCILIATION" in text for (text,) in data)


async def test_an_erp_whose_clock_is_set_back_is_followed_at_once() -> None:
    erp = MemoryErp(now=100_000.0)
    async with feeding(erp, lag=30.0) as fed:
        await fed.poll()
        erp.now -= 600
        erp.write(1, "draft")
        await fed.poll()
        assert await fed.told() == [("order.created", 1, "draft")]
        began = erp.now
        for _ in range(20):
            erp.now += 1
            await fed.poll()
        erp.write(2, "draft", began=began)
        for _ in range(60):
            erp.now += 1
            await fed.poll()
        assert [one for _, one, _ in await fed.told()] == [1, 2]


async def test_what_piled_up_is_told_page_by_page_and_does_not_hold_up_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (looking, polling):
        monkeypatch.setattr(module, "PAGE", 20)
    erp = MemoryErp()
    async with feeding(erp, rate=400) as fed:
        await fed.poll()
        erp.now += 86_400 * 3
        for one in range(1, 202):
            erp.write(one, "draft")
        erp.write(202, "sale", began=9_000.0)
        await fed.touch(202, "written")
        began = time.monotonic()
        await fed.poll()
        assert time.monotonic() - began >= 200 / 400 - 0.05
        told = [one for _, one, _ in await fed.told()]
        assert sorted(set(told)) == list(range(1, 203))
        assert told.index(202) == 20


async def test_a_poll_that_was_not_stored_finds_the_same_again() -> None:
    erp = MemoryErp()
    async with feeding(erp) as fed:
        await fed.poll()
        feed = fed.poller.feed
        erp.now += 1
        erp.write(1, "sale")
        await fed.poll()
        ids = await fed.ids()
        # As if the process had been killed before the commit: the position and what is known are as before.
        await fed.database.write(lambda tx: (tx.execute("DELETE FROM outbox"), tx.execute("DELETE FROM observations")))
        fed.poller.feed = feed
        erp.now += 1
        await fed.poll()
        assert await fed.ids() == ids


async def test_who_lost_the_lease_or_reads_an_old_feed_changes_nothing() -> None:
    erp = MemoryErp()
    async with feeding(erp) as fed:
        await fed.poll()
        erp.now += 1
        erp.write(1, "sale")
        await fed.database.write(lambda tx: tx.execute("UPDATE feeds SET revision = 2"))
        with pytest.raises(Conflict) as changed:
            await fed.poll()
        assert changed.value.reason == "FEED_CHANGED"
        await fed.database.write(lambda tx: tx.execute("UPDATE leases SET fence = fence + 1"))
        with pytest.raises(Conflict) as lost:
            await fed.poll()
        assert lost.value.reason == "LEASE_LOST"
        assert await fed.told() == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 3), st.sampled_from(["draft", "sale", "cancel"])),
        st.tuples(st.just("begin"), st.integers(1, 3), st.sampled_from(["draft", "sale", "cancel"])),
        st.tuples(st.just("end"), st.just(0), st.just("")),
        st.tuples(st.just("wait"), st.sampled_from([0, 1, 4, 9]), st.just("")),
        st.tuples(st.just("poll"), st.just(0), st.just("")),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(steps=STEPS)
def test_whatever_happens_the_last_state_is_told_and_nothing_twice(steps: list[tuple[str, int, str]]) -> None:
    asyncio.run(_run(steps))


async def _run(steps: list[tuple[str, int, str]]) -> None:
    erp = MemoryErp()
    began: list[tuple[int, str, float]] = []
    async with feeding(erp, lag=15.0) as fed:
        for what, number, state in steps:
            if what == "write":
                erp.write(number, state)
            elif what == "begin":
                began.append((number, state, erp.now))
            elif what == "end":
                _end(erp, began)
            elif what == "wait":
                erp.now += number + 0.25
            else:
                await fed.poll()
        _end(erp, began)
        for _ in range(12):
            erp.now += 4
            await fed.poll()
        await _check(fed)


def _end(erp: MemoryErp, began: list[tuple[int, str, float]]) -> None:
    """Ends open transactions that are not older than any real one would be; the database keeps one order of writes."""
    for number, state, since in began:
        if erp.now - since <= 12 and since >= erp.rows.get(number, (0, 0, ""))[1]:
            erp.write(number, state, began=since)
    began.clear()


async def _check(fed: Fed) -> None:
    told: dict[int, list[tuple[str, Any]]] = {}
    for kind, record, state in await fed.told():
        told.setdefault(record, []).append((kind, state))
    assert set(told) == set(fed.erp.rows)
    for record, events in told.items():
        assert [kind for kind, _ in events].count("order.created") == 1
        assert events[0][0] == "order.created"
        states = [state for kind, state in events if kind in ("order.created", "order.updated")]
        assert all(one != two for one, two in pairwise(states))
        assert states[-1] == fed.erp.rows[record][2]
        confirmed = sum(kind == "order.confirmed" for kind, _ in events)
        assert confirmed == states.count("sale")
    ids = await fed.ids()
    assert len(ids) == len(set(ids))
