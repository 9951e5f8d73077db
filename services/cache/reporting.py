"""Stores what this process has counted, so that the counters of a cache are those of all processes."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog
from sutler.errors import SutlerError
from sutler.ids import new_id

from services.cache.counting import Count, Counts
from services.cache.gauges import Gauges
from services.cache.measures import Measures
from services.cache.ports import Tallies

log = structlog.get_logger("sutler.cache")

EVERY_SECONDS = 1.0


class Reporter:
    """Stores counts and gauges, in every process.

    Args:
        counts: What happened.
        gauges: What goes on.
        tallies: Where both are stored.
        measures: What monitoring is shown.
    """

    def __init__(self, counts: Counts, gauges: Gauges, tallies: Tallies, measures: Measures) -> None:
        self._counts = counts
        self._gauges = gauges
        self._tallies = tallies
        self._measures = measures
        self._process = new_id()
        self._unsaved: Counter[tuple[int, Count]] = Counter()
        self._going_on = False

    async def run(self) -> None:
        """Stores until it is cancelled; what cannot be stored now waits for the next time."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.run_once()

    async def run_once(self) -> None:
        """Stores once; what cannot be stored is kept and logged."""
        try:
            await self.flush()
        except SutlerError as error:
            log.warning("cache.counts_not_stored", error=str(error))

    async def flush(self) -> None:
        """Stores what was counted since the last time, and what goes on now.

        Raises:
            SutlerError: If it cannot be stored; it is kept then.
        """
        taken, gauges = self._counts.take(), self._gauges.now()
        self._measures.add(taken)
        unsaved, self._unsaved = self._unsaved + taken, Counter()
        if not (unsaved or gauges or self._going_on):
            return
        try:
            await self._tallies.report(self._process, unsaved, gauges)
        except SutlerError:
            self._unsaved.update(unsaved)
            raise
        self._going_on = bool(gauges)
