"""Reading a feed: windows of time, the baseline, writes through the gateway, and ids that went.

The open window is read at each poll and told at once. Odoo stamps a record with the start of the transaction that
changed it, so a long one appears late and behind: closed windows, read some time after their end, find it. What was
seen before is recognised by id, time and hash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from services.erp.caching import Answers
from services.erp.feed.comparing import Compared, compare, went
from services.erp.feed.events import events_of
from services.erp.feed.looking import PAGE, Look, Timing
from services.erp.feed.model import Change, Cursor, Detection, Feed, Kind, Observation, Phase, Touch
from services.erp.reading import Reading
from services.erp.records import Row
from services.erp.selecting import Selector
from services.erp.stores import FeedStore, Step
from services.erp.subscriptions import Subscription

OVERLAP_SECONDS = 5.0
"""How far windows overlap: clocks are known to a second, and transactions take a while."""

KEEP_SECONDS = 5.0
"""A position that moved without anything else is stored this often."""


class Poller:
    """Reads one feed, on behalf of the process that holds the lease.

    Args:
        feed: The feed as it was last stored.
        store: Where it is stored.
        reading: Makes records.
        answers: The cache, which drops what has changed.
        fence: The lease's fencing number.

    Attributes:
        feed: The feed, with how far it has read.
    """

    _look: Look
    _timing: Timing
    _subscription: Subscription | None

    def __init__(self, feed: Feed, store: FeedStore, reading: Reading, answers: Answers, fence: int) -> None:
        self.feed = feed
        self._store = store
        self._reading = reading
        self._answers = answers
        self._fence = fence

    def aim(self, look: Look, subscription: Subscription | None, timing: Timing) -> None:
        """Says how the feed looks at the ERP from now on, whom it is for (None: a watch), and how it reads."""
        self._look, self._subscription, self._timing = look, subscription, timing

    async def open_window(self) -> None:
        """Reads what has changed since the last poll."""
        began = self._look.erp_time()
        cursor = self.feed.cursor
        await self._scan(replace(self._look.selector, since=cursor.high - OVERLAP_SECONDS), Detection.POLL)
        due = time.time() - (self.feed.poll_time or 0.0) >= KEEP_SECONDS
        await self._move(replace(self.feed.cursor, high=max(cursor.high, began)), store=due)

    async def closed_window(self) -> None:
        """Reads the window that ended long enough ago once more, if it is worth it by now."""
        cursor, end = self.feed.cursor, self._look.erp_time() - self._timing.lag
        if end - cursor.closed < self._timing.lag / 2:
            return
        window = replace(self._look.selector, since=cursor.closed - OVERLAP_SECONDS, until=end)
        await self._scan(window, Detection.CLOSED_WINDOW)
        await self._move(replace(self.feed.cursor, closed=end))

    async def baseline(self, until: float) -> None:
        """Goes on with the baseline until it is complete, or the monotonic clock shows ``until``."""
        while self.feed.cursor.phase is Phase.BASELINE:
            cursor = self.feed.cursor
            rows = await self._look.rows(replace(self._look.selector, after_id=cursor.baseline_last))
            if len(rows) == PAGE:
                await self._settle(rows, (), Detection.POLL, replace(cursor, baseline_last=rows[-1].id))
                if time.monotonic() >= until:
                    return
                continue
            await self._settle(rows, (), Detection.POLL, cursor)
            await self._left_over()
            await self._move(replace(self.feed.cursor, phase=Phase.LIVE, replay=False))

    async def touched(self) -> None:
        """Looks at the records that were written through the gateway."""
        while touches := await self._store.touched(self.feed, PAGE):
            ids = tuple({touch.record_id: None for touch in touches})
            rows = await self._look.rows(replace(self._look.selector, ids=ids))
            cursor = replace(self.feed.cursor, touch=touches[-1].number)
            await self._settle(rows, ids, Detection.GATEWAY_WRITE, cursor, touches)

    async def reconcile(self) -> None:
        """Compares ids, if it is time: what the ERP does not have any more went."""
        cursor, now = self.feed.cursor, self._look.erp_time()
        if cursor.phase is Phase.BASELINE or not self._timing.reconcile:
            return
        if now - cursor.reconciled < self._timing.reconcile:
            return
        after = 0
        while ids := await self._store.known_ids(self.feed.uid, after, PAGE):
            found = await self._look.rows(replace(self._look.selector, ids=tuple(ids)), fields=False)
            gone = set(ids) - {row.id for row in found}
            if gone:
                await self._settle((), tuple(gone), Detection.RECONCILIATION, self.feed.cursor)
            after = ids[-1]
        await self._move(replace(self.feed.cursor, reconciled=now))

    async def _scan(self, window: Selector, detection: Detection) -> None:
        """Reads a window page by page in the order of ids, which does not shift while it is read."""
        bounded = self._look.selector.bounded
        everything = replace(window, filter=None, domain=()) if bounded else window
        after = 0
        while True:
            page = await self._look.rows(replace(everything, after_id=after), fields=not bounded)
            ids = tuple(row.id for row in page)
            rows = await self._look.rows(replace(self._look.selector, ids=ids)) if bounded and ids else page
            events = await self._settle(rows, ids, detection, self.feed.cursor)
            if len(page) < PAGE:
                return
            after = ids[-1]
            if self._subscription is not None:
                await asyncio.sleep(events / self._subscription.spec.event_rate)

    async def _settle(
        self,
        rows: Sequence[Row],
        looked_at: Sequence[int],
        detection: Detection,
        cursor: Cursor,
        touches: Sequence[Touch] = (),
    ) -> int:
        """Compares, stores and tells what was read; returns how many events that made.

        Args:
            rows: The records that were found.
            looked_at: The ids that were looked for; those that are known and were not found went.
            detection: How they came to be read.
            cursor: Where the feed is now.
            touches: The writes through the gateway that caused it, in their order. Of several to one record the first
                has created it, and the last has changed or deleted it.
        """
        first = {touch.record_id: touch for touch in reversed(touches)}
        last = {touch.record_id: touch for touch in touches}
        now = time.time()
        found = {row.id for row in rows}
        known = await self._store.observations(self.feed.uid, [*found, *(one for one in looked_at if one not in found)])
        compared = [
            compare(self.feed, row, known.get(row.id), detection, now, (last if row.id in known else first).get(row.id))
            for row in rows
        ]
        gone = [one for one in looked_at if one not in found and one in known]
        changes = await self._with_values(rows, compared)
        changes += [went(self.feed, known[one], detection, now, last.get(one)) for one in gone]
        observed = [one.observation for one in compared if one.observation is not None]
        if not observed and not gone and cursor == self.feed.cursor:
            return 0
        # First, so that nobody who hears of a change reads what was there before it.
        stale = [one.record_id for one in observed if one.record_id in known] + gone
        stale += [change.record.id for change in changes if change.first_seen]
        if stale:
            await self._answers.changed(self._look.link, self.feed.spec.model, stale)
        return await self._commit(cursor, observed, gone, changes)

    async def _with_values(self, rows: Sequence[Row], compared: Sequence[Compared]) -> list[Change]:
        """Returns the changes with all asked fields: relations are followed for those records only."""
        changed = [row for row, one in zip(rows, compared, strict=True) if one.change is not None]
        records = await self._reading.to_records(self._look.view, changed) if changed else {}
        return [
            replace(one.change, record=replace(records[one.change.record.id][0], source=None))
            for one in compared
            if one.change is not None
        ]

    async def _left_over(self) -> None:
        """Settles what an earlier baseline knew and this one has not seen: gone, or just no longer asked for."""
        generation = self.feed.cursor.generation
        while ids := await self._store.left_over(self.feed.uid, generation, PAGE):
            anywhere = Selector(ids=tuple(ids), archived=True)
            exist = {row.id for row in await self._look.rows(anywhere, fields=False)}
            known = await self._store.observations(self.feed.uid, ids)
            now = time.time()
            changes = [
                went(self.feed, known[one], Detection.RECONCILIATION, now)
                for one in ids
                if one not in exist and one in known
            ]
            await self._commit(self.feed.cursor, (), ids, changes)

    async def _commit(
        self, cursor: Cursor, observed: Sequence[Observation], gone: Sequence[int], changes: Sequence[Change]
    ) -> int:
        driver, subscription = self._look.link.driver, self._subscription
        events = []
        if subscription is not None:
            entity = subscription.spec.entity or driver.entity(self.feed.spec.model)
            transitions = subscription.spec.transitions or driver.transitions(self.feed.spec.model)
            events = [event for change in changes for event in events_of(subscription, entity, transitions, change)]
        step = Step(
            cursor=cursor,
            observed=observed,
            gone=gone,
            changes=changes if self.feed.kind is Kind.WATCH else (),
            events=events,
        )
        await self._store.commit(self.feed, step, self._fence)
        self.feed = replace(self.feed, cursor=cursor, poll_time=time.time(), error=b"")
        return len(events)

    async def _move(self, cursor: Cursor, *, store: bool = True) -> None:
        """Moves the cursor; one that is not stored is read again after a restart, which harms nothing."""
        if store:
            await self._commit(cursor, (), (), ())
        else:
            self.feed = replace(self.feed, cursor=cursor)
