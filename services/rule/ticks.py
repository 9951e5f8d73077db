"""When a cron expression fires in a time zone, also while its clocks change.

A tick in an hour that is left out comes right after it, and one in an hour that comes twice comes the first time: so
what is to happen once a day does. Where the hour is ``*`` ticks follow the time that really passes instead, so that
what is to happen every five minutes does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from services.rule.cron import expanded

_SECOND = timedelta(seconds=1)


class Ticks:
    """The ticks of an expression that :func:`services.rule.cron.cron_faults` finds nothing wrong with.

    Args:
        cron: The expression.
        time_zone: Its time zone; UTC if empty.
    """

    def __init__(self, cron: str, time_zone: str = "") -> None:
        self._cron = expanded(cron)
        self._zone: tzinfo = ZoneInfo(time_zone) if time_zone not in ("", "UTC") else UTC
        self._elapsing = self._cron.split()[-4] == "*"

    def after(self, instant: float) -> float | None:
        """Returns the first tick later than an instant, in epoch seconds; None if none comes any more."""
        return next((tick for tick in self._forward(instant) if tick > instant), None)

    def latest(self, since: float, until: float, limit: int = 1) -> list[float]:
        """Returns the latest ticks from ``since`` on up to and with ``until``, in order; at most ``limit``."""
        found: list[float] = []
        for tick in self._backward(until):
            if tick < since or len(found) == limit:
                break
            if tick <= until and (not found or tick < found[-1]):
                found.append(tick)
        found.reverse()
        # Backwards, cronsim takes an hour that comes twice and that a day ends with for one that comes once.
        while self._elapsing and found and (later := self.after(found[-1])) is not None and later <= until:
            found.append(later)
        return found[-limit:]

    def _forward(self, instant: float) -> Iterator[float]:
        local = self._local(instant)
        start = local if self._elapsing else local.replace(tzinfo=None, fold=0)
        return self._instants(CronSim(self._cron, start))

    def _backward(self, instant: float) -> Iterator[float]:
        local = self._local(instant)
        if self._elapsing:
            start = datetime.fromtimestamp(local.timestamp() + 1, self._zone)
        else:
            start = local.replace(tzinfo=None, fold=0) + _overlap(local) + _SECOND
        return self._instants(CronSim(self._cron, start, reverse=True))

    def _local(self, instant: float) -> datetime:
        return datetime.fromtimestamp(math.floor(instant), self._zone)

    def _instants(self, local: Iterator[datetime]) -> Iterator[float]:
        try:
            for tick in local:
                yield tick.timestamp() if self._elapsing else _instant(tick, self._zone)
        except OverflowError:  # beyond the years that a calendar has
            return


@lru_cache(maxsize=4096)
def ticks_of(cron: str, time_zone: str) -> Ticks:
    """Returns the ticks of an expression in a time zone."""
    return Ticks(cron, time_zone)


def _overlap(local: datetime) -> timedelta:
    """Returns by how much clocks were put back, if a time is one that comes twice and this is the second one."""
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None and second is not None
    return first - second if local.fold else timedelta()


def _instant(naive: datetime, zone: tzinfo) -> float:
    """Returns when a clock on the wall first shows a time, or the first later one if it never shows that."""
    local = naive.replace(tzinfo=zone)
    utc = local.astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None, fold=0) == naive:
        return utc.timestamp()
    before, after = int(local.replace(fold=1).timestamp()), int(utc.timestamp())
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return float(after)
