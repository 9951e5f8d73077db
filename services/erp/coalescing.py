"""Joins reads: calls that come within a few milliseconds and ask for the same fields become one call to the ERP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sutler.errors import PermissionDenied

from services.erp.faults import ACCESS_DENIED
from services.erp.figures import Figures
from services.erp.ports import Driver
from services.erp.records import Row, canonical
from services.erp.schemas import ModelSchema
from services.erp.selecting import Selector
from services.erp.users import Ask

MAX_IDS = 1000

QUIET_TURNS = 3
"""After how many turns of the event loop in which nobody joined a call is made."""

LOOK_SECONDS = 0.0005
"""The pause between two looks whether others still look into the caches."""

MOST_WINDOWS = 5
"""For how many further windows a call waits at the most, where others arrive or a call of the kind is under way."""

Ready = Callable[[], Awaitable[None]]
"""Returns when the ERP may be asked."""

Key = tuple[str, str, bytes, str, tuple[str, ...], bool]


@dataclass(slots=True)
class _Joint:
    """A call that others may still join."""

    ids: dict[int, None] = field(default_factory=dict)
    ready: list[Ready] = field(default_factory=list)
    call: asyncio.Task[dict[int, Row]] | None = None


class Coalescer:
    """Reads records by id.

    Args:
        driver: Makes the calls.
        window: How many seconds a call waits for others; 0 does not wait.
        figures: Counts reads and calls.
    """

    def __init__(self, driver: Driver, window: float, figures: Figures | None = None) -> None:
        self._figures = figures or Figures()
        self._driver = driver
        self._window = window
        self._joints: dict[Key, _Joint] = {}
        self._flying: dict[Key, asyncio.Task[dict[int, Row]]] = {}

    async def read(
        self,
        ask: Ask,
        schema: ModelSchema,
        ids: Sequence[int],
        fields: Sequence[str],
        *,
        binaries: bool,
        ready: Ready | None = None,
        came: float | None = None,
    ) -> dict[int, Row]:
        """Returns the records by id; those that do not exist or are hidden are left out.

        Args:
            ask: As whom.
            schema: The model.
            ids: Which records.
            fields: Which fields.
            binaries: Whether to read binaries in full.
            ready: Waited for before the ERP is asked.
            came: When the caller came, by the monotonic clock; what it waited since, such as for a look into a cache,
                is part of the window. Now, if it is not given.

        Raises:
            SutlerError: Why the ERP did not answer; everybody who joined gets the same. A record that the user may not
                see concerns only those who asked for it: they do not find it.
        """
        self._figures.add("read_requests")
        if not self._window or len(ids) >= MAX_IDS:
            if ready is not None:
                await ready()
            return await self._read(ask, schema, ids, fields, binaries=binaries)
        context = canonical([ask.context.language, ask.context.time_zone, ask.context.company_ids, ask.context.extra])
        key: Key = (ask.username, ask.secret, context, schema.name, tuple(sorted(fields)), binaries)
        joint = self._joints.get(key)
        if joint is None or len(joint.ids) + len(ids) > MAX_IDS:
            joint = self._joints[key] = _Joint()
            waited = 0.0 if came is None else time.monotonic() - came
            joint.call = asyncio.create_task(self._later(key, joint, ask, schema, max(0.0, self._window - waited)))
            joint.call.add_done_callback(partial(self._landed, key))
        joint.ids.update(dict.fromkeys(ids))
        if ready is not None:
            joint.ready.append(ready)
        assert joint.call is not None
        found = await asyncio.shield(joint.call)
        return {record_id: found[record_id] for record_id in ids if record_id in found}

    async def _later(self, key: Key, joint: _Joint, ask: Ask, schema: ModelSchema, window: float) -> dict[int, Row]:
        await asyncio.sleep(window)
        await self._gather(key, joint)
        if self._joints.get(key) is joint:
            del self._joints[key]
        await _all_ready(joint)
        assert joint.call is not None
        self._flying[key] = joint.call
        return await self._read(ask, schema, list(joint.ids), key[4], binaries=key[5])

    async def _read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], *, binaries: bool
    ) -> dict[int, Row]:
        """Reads records; where the ERP refuses all for one that its user may not see, those that it shows."""
        self._figures.add("read_calls")
        try:
            rows = await self._driver.read(ask, schema, ids, fields, binaries=binaries)
        except PermissionDenied as error:
            if error.reason != ACCESS_DENIED:
                raise
            self._figures.add("read_calls")
            shown = Selector(ids=tuple(ids), archived=True)
            rows = list(await self._driver.search(ask, schema, shown, fields=fields, binaries=binaries))
        return {row.id: row for row in rows}

    async def _gather(self, key: Key, joint: _Joint) -> None:
        """Lets those join that have arrived and that this process has not turned to yet, or that come while another
        call of the kind is under way, which an ERP would hardly answer at the same time."""
        quiet, known, ends = 0, len(joint.ids), time.monotonic() + MOST_WINDOWS * self._window
        flying = self._flying.get(key)
        if flying is not None:
            await asyncio.wait({flying}, timeout=MOST_WINDOWS * self._window)
        while quiet < QUIET_TURNS and time.monotonic() < ends:
            await _all_ready(joint)
            await asyncio.sleep(0)
            quiet, known = 0 if len(joint.ids) > known else quiet + 1, len(joint.ids)
            if self._figures.looking:
                quiet = 0
                await asyncio.sleep(LOOK_SECONDS)

    def _landed(self, key: Key, call: asyncio.Task[dict[int, Row]]) -> None:
        """Takes note of an error that nobody waits for any more."""
        if self._flying.get(key) is call:
            del self._flying[key]
        if not call.cancelled():
            call.exception()


async def _all_ready(joint: _Joint) -> None:
    while joint.ready:
        await joint.ready.pop()()
