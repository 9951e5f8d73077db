"""Reading a feed: windows of time, the baseline, writes through the gateway, and ids compared.

The open window is read at each poll and told at once. Odoo stamps a record with the start of the transaction that
changed it, so a long one appears late and behind: closed windows, read some time after their end, find it. What was
seen before is recognised by id, time and hash.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from services.erp.feed.comparing import went
from services.erp.feed.looking import PAGE, as_seen, with_other_eyes
from services.erp.feed.model import Detection, Phase
from services.erp.feed.settling import Settler
from services.erp.feed.vanishing import is_mass
from services.erp.selecting import Selector

OVERLAP_SECONDS = 5.0
"""How far windows overlap: clocks are known to a second, and transactions take a while."""

KEEP_SECONDS = 5.0
"""A position that moved without anything else is stored this often."""

IDS = 1000
"""How many ids are compared at a time."""


class Poller(Settler):
    """Reads one feed: the arguments are those of :class:`Settler`."""

    async def recognise(self) -> None:
        """Begins a new silent baseline if the ERP is read as another user than before, or in another context."""
        cursor = self.feed.cursor
        if (cursor.identity, cursor.context) != self._look.viewer:
            known = bool(cursor.identity)
            await self._move(with_other_eyes(cursor, self._look) if known else as_seen(cursor, self._look))

    async def open_window(self) -> None:
        """Reads what has changed since the last poll; an ERP whose clock was set back is read from there on."""
        began = self._look.erp_time()
        since = min(self.feed.cursor.high, began) - OVERLAP_SECONDS
        await self._scan(replace(self._look.selector, since=since), Detection.POLL)
        due = time.time() - (self.feed.poll_time or 0.0) >= KEEP_SECONDS
        await self._move(replace(self.feed.cursor, high=began), store=due)

    async def closed_window(self) -> None:
        """Reads the window that ended long enough ago once more, if it is worth it by now."""
        now = self._look.erp_time()
        end = now - self._timing.lag
        closed = self.feed.cursor.closed
        if closed <= now and end - closed < self._timing.lag / 2:
            return
        window = replace(self._look.selector, since=min(closed, end) - OVERLAP_SECONDS, until=end)
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
            await self._move(replace(self.feed.cursor, phase=Phase.LIVE, replay=False, viewer_changed=False))

    async def touched(self) -> None:
        """Looks at the records that were written through the gateway."""
        while touches := await self._store.touched(self.feed, PAGE):
            ids = tuple({touch.record_id: None for touch in touches})
            rows = await self._look.rows(replace(self._look.selector, ids=ids))
            cursor = replace(self.feed.cursor, touch=touches[-1].number)
            await self._settle(rows, ids, Detection.GATEWAY_WRITE, cursor, touches)

    async def reconcile(self, until: float) -> None:
        """Goes on comparing ids and times, if it is time, until all are or the monotonic clock shows ``until``.

        What the ERP does not select any more went. What is not known, or not at that time, is looked at: it was missed,
        or came into view by a change of another record. What has just changed is left to the next poll. Where very many
        are gone at once, it is more likely that they are hidden: they are told after a second look, some time later.
        """
        cursor, now = self.feed.cursor, self._look.erp_time()
        if cursor.phase is Phase.BASELINE or not self._timing.reconcile:
            return
        if not cursor.reconcile_last and 0 <= now - cursor.reconciled < self._timing.reconcile:
            return
        if not cursor.reconcile_last:
            await self._move(replace(cursor, missing=0), store=False)
        while last := await self._compare_ids(self.feed.cursor.reconcile_last):
            await self._move(replace(self.feed.cursor, reconcile_last=last), store=False)
            if time.monotonic() >= until:
                return
        cursor = self.feed.cursor
        since = cursor.missing_since if cursor.missing else 0.0
        await self._move(replace(cursor, reconciled=now, reconcile_last=0, missing_since=since))

    async def _compare_ids(self, after: int) -> int:
        """Compares the next ids; returns the last of them, or 0 if there are no more."""
        rows = await self._look.rows(replace(self._look.selector, after_id=after), fields=False, limit=IDS)
        there = {row.id: row.update_time or 0.0 for row in rows}
        known = await self._store.known_times(self.feed, after, IDS)
        ends = [max(page) for page in (there, known) if len(page) == IDS]
        last, recent = min(ends, default=0), self.feed.cursor.high - OVERLAP_SECONDS
        differing = sorted(
            one
            for one in there.keys() | known.keys()
            if there.get(one) != known.get(one) and there.get(one, 0.0) < recent and (one <= last or not last)
        )
        held = await self._held([one for one in differing if one not in there], len(known))
        differing = [one for one in differing if one not in held]
        for start in range(0, len(differing), PAGE):
            await self._look_at(differing[start : start + PAGE], Detection.RECONCILIATION)
        return last

    async def _held(self, missed: Sequence[int], known: int) -> set[int]:
        """Returns those of the missed records that are not told as deleted yet, because so many went at once."""
        if not is_mass(len(missed), known):
            return set()
        hidden = set(missed) - await self._visible(missed)
        cursor, now = self.feed.cursor, time.time()
        since = cursor.missing_since or now
        if not is_mass(len(hidden), known) or now - since >= self._hold:
            return set()
        missing = cursor.missing + len(hidden)
        await self._move(replace(cursor, missing=missing, missing_since=since), store=False)
        return hidden

    async def _visible(self, ids: Sequence[int]) -> set[int]:
        """Returns which records the user of the ERP sees, selected or not."""
        found: set[int] = set()
        for start in range(0, len(ids), PAGE):
            anywhere = Selector(ids=tuple(ids[start : start + PAGE]), archived=True)
            found |= {row.id for row in await self._look.rows(anywhere, fields=False)}
        return found

    async def _scan(self, window: Selector, detection: Detection) -> None:
        """Reads a window page by page in the order of ids, which does not shift while it is read."""
        bounded = self._look.selector.bounded
        everything = replace(window, filter=None, domain=()) if bounded else window
        after = 0
        while True:
            page = await self._look.rows(replace(everything, after_id=after), fields=not bounded)
            ids = [row.id for row in page]
            if bounded and ids:
                await self._look_at(ids, detection)
            else:
                await self._settle(page, ids, detection, self.feed.cursor)
            if len(page) < PAGE:
                return
            after = ids[-1]
            await self.touched()

    async def _look_at(self, ids: Sequence[int], detection: Detection) -> None:
        """Looks at some records; those that are not found, or not selected, went."""
        rows = await self._look.rows(replace(self._look.selector, ids=tuple(ids)))
        await self._settle(rows, ids, detection, self.feed.cursor)

    async def _left_over(self) -> None:
        """Settles what an earlier baseline knew and this one has not seen: gone, or just no longer asked for.

        What another user saw is out of view. Very many that are gone at once are left to the comparison of ids.
        """
        cursor = self.feed.cursor
        while ids := await self._store.left_over(self.feed, PAGE):
            known = await self._store.observations(self.feed, ids)
            gone = set() if cursor.viewer_changed else set(ids) - await self._visible(ids)
            if is_mass(len(gone), len(ids)):
                kept = [replace(known[one], generation=cursor.generation) for one in gone]
                others = [one for one in ids if one not in gone]
                await self._commit(replace(cursor, reconciled=0.0), kept, others, growth=-len(others))
                continue
            changes = [went(self.feed, known[one], Detection.RECONCILIATION, time.time()) for one in ids if one in gone]
            await self._commit(self.feed.cursor, (), ids, changes, growth=-len(ids))
