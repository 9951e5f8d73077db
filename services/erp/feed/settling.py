"""What was read, settled: compared with what was known, stored, and told, all in one step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from services.erp.caching import Answers
from services.erp.feed.comparing import Compared, compare, went
from services.erp.feed.events import events_of
from services.erp.feed.looking import Look, Timing
from services.erp.feed.model import Change, Cursor, Detection, Feed, Kind, Observation, Touch
from services.erp.ports import FeedStore, Step
from services.erp.reading import Reading
from services.erp.records import Row
from services.erp.subscriptions import Subscription


class Settler:
    """Reads one feed, on behalf of the process that holds the lease.

    Args:
        feed: The feed as it was last stored.
        store: Where it is stored.
        reading: Makes records.
        answers: The cache, which drops what has changed.
        fence: The lease's fencing number.
        hold: For how many seconds records that went all at once are not told as deleted.

    Attributes:
        feed: The feed, with how far it has read.
    """

    _look: Look
    _timing: Timing
    _subscription: Subscription | None

    def __init__(
        self, feed: Feed, store: FeedStore, reading: Reading, answers: Answers, fence: int, hold: float = 0.0
    ) -> None:
        self.feed = feed
        self._hold = hold
        self._store = store
        self._reading = reading
        self._answers = answers
        self._fence = fence
        self._free = 0.0

    def aim(self, look: Look, subscription: Subscription | None, timing: Timing) -> None:
        """Says how the feed looks at the ERP from now on, whom it is for (None: a watch), and how it reads."""
        self._look, self._subscription, self._timing = look, subscription, timing

    async def _settle(
        self,
        rows: Sequence[Row],
        looked_at: Sequence[int],
        detection: Detection,
        cursor: Cursor,
        touches: Sequence[Touch] = (),
    ) -> None:
        """Compares, stores and tells what was read.

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
        known = await self._store.observations(self.feed, [*found, *(one for one in looked_at if one not in found)])
        compared = [
            compare(self.feed, row, known.get(row.id), detection, now, (last if row.id in known else first).get(row.id))
            for row in rows
        ]
        gone = [one for one in looked_at if one not in found and _in_view(known.get(one))]
        changes = await self._with_values(rows, compared)
        changes += [
            went(self.feed, known[one], detection, now, last.get(one)) for one in gone if self._was_seen(known[one])
        ]
        observed = [one.observation for one in compared if one.observation is not None]
        if not observed and not gone and cursor == self.feed.cursor:
            return
        # First, so that nobody who hears of a change reads what was there before it.
        stale = [one.record_id for one in observed if one.record_id in known] + gone
        stale += [change.record.id for change in changes if change.first_seen]
        if stale:
            await self._answers.changed(self._look.link, self.feed.spec.model, stale)
        growth = sum(not _in_view(known.get(one.record_id)) for one in observed) - len(gone)
        await self._commit(cursor, observed, gone, changes, growth=growth)

    def _was_seen(self, known: Observation) -> bool:
        """Returns whether whoever reads now has seen a record; what another has seen may just be hidden."""
        cursor = self.feed.cursor
        return not cursor.viewer_changed or known.generation == cursor.generation

    async def _with_values(self, rows: Sequence[Row], compared: Sequence[Compared]) -> list[Change]:
        """Returns the changes with all asked fields: relations are followed for those records only."""
        changed = [row for row, one in zip(rows, compared, strict=True) if one.change is not None]
        records = await self._reading.to_records(self._look.view, changed) if changed else {}
        return [
            replace(one.change, record=replace(records[one.change.record.id][0], source=None))
            for one in compared
            if one.change is not None
        ]

    async def _commit(
        self,
        cursor: Cursor,
        observed: Sequence[Observation] = (),
        gone: Sequence[int] = (),
        changes: Sequence[Change] = (),
        *,
        growth: int = 0,
    ) -> None:
        driver, subscription = self._look.link.driver, self._subscription
        events = []
        if subscription is not None:
            entity = subscription.spec.entity or driver.entity(self.feed.spec.model)
            transitions = subscription.spec.transitions or driver.transitions(self.feed.spec.model)
            events = [event for change in changes for event in events_of(subscription, entity, transitions, change)]
            await self._pace(len(events), subscription.spec.event_rate)
        step = Step(
            cursor=cursor,
            observed=observed,
            gone=gone,
            growth=growth,
            changes=changes if self.feed.kind is Kind.WATCH else (),
            events=events,
        )
        await self._store.commit(self.feed, step, self._fence)
        self._look.link.figures.add("changes", len(changes))
        self._look.link.figures.add("events", len(events))
        self.feed = replace(self.feed, cursor=cursor, poll_time=time.time(), error=b"")

    async def _pace(self, events: int, rate: int) -> None:
        """Waits until so many events may be told, so that what piled up for days floods nobody."""
        if events:
            await asyncio.sleep(self._free - time.monotonic())
            self._free = max(self._free, time.monotonic()) + events / rate

    async def _move(self, cursor: Cursor, *, store: bool = True) -> None:
        """Moves the cursor; one that is not stored is read again after a restart, which harms nothing."""
        if store:
            await self._commit(cursor)
        else:
            self.feed = replace(self.feed, cursor=cursor)


def _in_view(known: Observation | None) -> bool:
    return known is not None and known.away_time is None
